"""How often PostgreSQL is asked for a group of writes, and that a failing one takes back only its own rows."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import psycopg
import pytest

from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.store.postgres import PostgresDatabase
from stile.train import runs
from stile.train.points import Point

pytestmark = pytest.mark.parametrize("engine", ["postgres"], indirect=True)


def _note(tx: Tx, name: str) -> None:
    tx.many("INSERT INTO run_keys (name) VALUES (?)", [(name,)])


def _names(tx: Tx) -> set[str]:
    return {row[0] for row in tx.all("SELECT name FROM run_keys")}


def _together(db: PostgresDatabase, works: list) -> list:
    """The outcomes of writes that share a group: the writer is held up until all of them wait."""
    entered, wait = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        entered.set()
        wait.wait(10)

    async def scene() -> list:
        held = asyncio.create_task(db.awrite(hold))
        await asyncio.to_thread(entered.wait, 10)
        jobs = [asyncio.create_task(db.awrite(work)) for work in works]
        await asyncio.sleep(0)
        wait.set()
        await held
        return await asyncio.gather(*jobs, return_exceptions=True)

    return asyncio.run(scene())


def test_a_point_costs_one_round_trip_in_a_group(db: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    made = db.write(lambda tx: runs.create(tx, experiment_id="0", by="ada").info.run_id)
    for step in range(6):  # known keys, prepared statements
        db.write(lambda tx, step=step: runs.log_metric(tx, made, "loss", Point(step, step, 1.0)))
    pipelines: list[int] = []
    pipeline = psycopg.Connection.pipeline

    def counted(self):
        pipelines.append(1)
        return pipeline(self)

    works = [partial(runs.log_metric, run_id=made, key="loss", point=Point(step, step, 1.0)) for step in range(7, 14)]
    monkeypatch.setattr(psycopg.Connection, "pipeline", counted)
    assert _together(db, works) == [None] * 7
    monkeypatch.undo()
    assert len(pipelines) == len(works), "the rows of each write travel with the question of the next, or the commit"
    assert len(db.read(lambda tx: runs.history(tx, made, "loss"))) == 13


@pytest.mark.parametrize("way", ["refused before", "refused after", "fails itself", "fails late"])
def test_a_failing_write_of_a_group_takes_back_only_its_own(db: PostgresDatabase, way: str) -> None:
    db.write(partial(_note, name="taken"))

    def fail(tx: Tx) -> None:
        if way == "refused before":
            raise Invalid("no")
        _note(tx, "never")
        if way == "refused after":
            raise Invalid("no")
        if way == "fails itself":
            tx.run("INSERT INTO run_keys (name) VALUES (?)", ("taken",))
        _note(tx, "taken")

    for place in (0, 3, 6):
        works = [partial(_note, name=f"{way}-{place}-{number}") for number in range(6)]
        works.insert(place, fail)
        outcomes = _together(db, works)
        assert [isinstance(one, Exception) for one in outcomes] == [number == place for number in range(7)]
        wanted = Invalid if way.startswith("refused") else psycopg.errors.UniqueViolation
        assert isinstance(outcomes[place], wanted)
    assert db.read(_names) == {"taken", *(f"{way}-{place}-{number}" for place in (0, 3, 6) for number in range(6))}
