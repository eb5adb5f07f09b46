"""Runs that share a value come in the same order whichever way they are found, over pages, forwards and backwards."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from stile.kernel.errors import Invalid
from stile.store.database import Database, Tx
from stile.train import experiments, run_clauses, run_drivers, run_places, run_search, runs, search_sql
from stile.train.points import Point, pieces
from stile.train.run_clauses import View
from stile.train.run_values import Run

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)

_LONG = "x" * 120
_RUNS = 70


@pytest.fixture
def filled(db: Database) -> Database:
    """Runs of which many share a value, some have none, and long texts differ only at their end."""
    chance = random.Random(11)

    def work(tx: Tx) -> None:
        for index in range(_RUNS):
            name = chance.choice(["train", "train", "tune", f"{_LONG}{index % 3}"])
            user = chance.choice(["ann", "ann", "bob", "cyd"])
            made = runs.create(
                tx, experiment_id="0", by="ann", name=name, user_id=user, start_time=chance.randrange(_RUNS // 2)
            ).info
            metrics = [("auc", Point(1, 1, chance.choice([0.5, 0.5, 0.5, 0.75, math.nan, math.nan])))]
            params = [("kind", chance.choice(["tree", "tree", "tree", "linear", f"{_LONG}a", f"{_LONG}b"]))]
            runs.log_batch(
                tx,
                made.run_id,
                metrics=pieces(metrics if index % 8 else []),
                params=params if index % 7 else [],
                tags=[("even", str(index % 2))],
            )
            if index % 13 == 0:
                runs.delete(tx, made.run_id)
            elif index % 3:
                runs.update(tx, made.run_id, status=chance.choice(["FINISHED", "FAILED"]), end_time=index // 20)

    db.write(work)
    return db


def _found(db: Database, size: int, **asked: Any) -> list[int]:
    """All pages; walked back from the last one they are the same."""
    question = {"experiment_ids": ["0"], **asked}
    pages = [db.read(lambda tx: run_search.rows(tx, max_results=size, **question))]
    while after := pages[-1].following:
        pages.append(db.read(lambda tx: run_search.rows(tx, max_results=size, after=after, **question)))
    back = pages[-1:]
    while before := back[0].preceding:
        back.insert(
            0,
            db.read(lambda tx: run_search.rows(tx, max_results=size, before=before, **question)),
        )
    found = [row for page in pages for row in page.rows]
    assert [row for page in back for row in page.rows] == found
    return found


def _last(value: Any, rank: int) -> tuple[int, Any]:
    return (rank, 0) if rank else (0, value)


_PLACES: dict[str, Callable[[Run], tuple[int, Any]]] = {
    "metrics.auc": lambda run: (
        _last(0, 2) if run.metric("auc") is None else _last(run.metric("auc"), int(math.isnan(run.metric("auc") or 0)))
    ),
    "params.kind": lambda run: _last(dict(run.params).get("kind"), 0 if dict(run.params).get("kind") else 2),
    "attributes.status": lambda run: (0, run.info.status),
    "attributes.user_id": lambda run: (0, run.info.user_id),
    "attributes.run_name": lambda run: (0, run.info.name),
    "attributes.end_time": lambda run: _last(run.info.end_time, int(run.info.end_time is None)),
}
_VIEWS: list[tuple[View, str]] = [("ACTIVE_ONLY", "active"), ("DELETED_ONLY", "deleted")]
_FILTERS: dict[str, Callable[[Run], bool]] = {
    "": lambda run: True,
    "tags.even = '1'": lambda run: run.tag("even") == "1",
    "attributes.user_id = 'ann' AND attributes.status != 'FAILED'": lambda run: (
        run.info.user_id == "ann" and run.info.status != "FAILED"
    ),
    "attributes.end_time > 0 AND metrics.auc < 0.7": lambda run: (
        (run.info.end_time or 0) > 0 and (run.metric("auc") or 1) < 0.7
    ),
    "attributes.start_time >= 20": lambda run: run.info.start_time >= 20,
    "attributes.start_time < 19.5 AND attributes.end_time <= 1.5": lambda run: (
        run.info.start_time < 20 and run.info.end_time in (0, 1)
    ),
    "attributes.start_time > 9.5 AND attributes.end_time != 0.5": lambda run: (
        run.info.start_time > 9 and run.info.end_time is not None
    ),
    "attributes.start_time >= 20.5 AND attributes.end_time = 2": lambda run: (
        run.info.start_time > 20 and run.info.end_time == 2
    ),
    "attributes.start_time = 20.5": lambda run: False,
    "attributes.user_id LIKE '%b'": lambda run: run.info.user_id == "bob",
    "attributes.user_id ILIKE 'C%' AND attributes.status != 'RUNNING'": lambda run: (
        run.info.user_id == "cyd" and run.info.status != "RUNNING"
    ),
    "attributes.status LIKE 'nothing%'": lambda run: False,
    "attributes.end_time < 1e300": lambda run: run.info.end_time is not None,
    "attributes.run_name LIKE '%un%' AND params.kind != 'tree'": lambda run: (
        "un" in run.info.name and dict(run.params).get("kind", "tree") != "tree"
    ),
    "metrics.auc != 0.5 AND params.kind IS NOT NULL": lambda run: (
        run.metric("auc") not in (None, 0.5) and "kind" in dict(run.params)
    ),
    "params.kind LIKE '%e%' AND metrics.auc >= 0.5 AND metrics.auc < 0.7": lambda run: (
        "e" in dict(run.params).get("kind", "") and run.metric("auc") == 0.5
    ),
    "params.kind IS NULL AND attributes.run_name ILIKE '%XX%'": lambda run: (
        "kind" not in dict(run.params) and "xx" in run.info.name
    ),
}


def _wanted(runs: list[Run], orders: list[tuple[str, str]]) -> list[int]:
    """The rows of runs in an order, sorted by one key after the other."""
    kept = sorted(runs, key=lambda run: (-run.info.start_time, run.info.run_id))
    for key, way in reversed(orders):
        if key == "attributes.start_time":
            kept.sort(key=lambda run: run.info.run_id)
            kept.sort(key=lambda run: run.info.start_time, reverse=way == "DESC")
            continue
        places = {run.info.row: _PLACES[key](run) for run in kept}
        present = [run for run in kept if not places[run.info.row][0]]
        present.sort(key=lambda run: places[run.info.row][1], reverse=way == "DESC")
        absent = [run for run in kept if places[run.info.row][0]]
        kept = [*present, *sorted(absent, key=lambda run: places[run.info.row][0])]
    return [run.info.row for run in kept]


def _look_at(monkeypatch: pytest.MonkeyPatch, few: int, looked_at: int) -> None:
    monkeypatch.setattr(run_drivers, "FEW", few)
    monkeypatch.setattr(run_places, "FEW", few)
    monkeypatch.setattr(run_places, "_LEAST_LOOKED_AT", looked_at)
    monkeypatch.setattr(run_places, "_LOOKED_AT", 1)


@pytest.mark.parametrize(("few", "looked_at"), [(4, 3), (4, 40), (30, 40), (2000, 5000)])
@pytest.mark.parametrize("key", _PLACES)
def test_places_that_runs_share(
    filled: Database, monkeypatch: pytest.MonkeyPatch, key: str, few: int, looked_at: int
) -> None:
    everything = filled.read(lambda tx: run_search.search(tx, experiment_ids=["0"], view="ALL")).runs
    assert len(everything) == _RUNS
    _look_at(monkeypatch, few, looked_at)
    for number, (text, holds) in enumerate(_FILTERS.items()):
        view, lifecycle = _VIEWS[number == 1]
        kept = [run for run in everything if run.info.lifecycle == lifecycle and holds(run)]
        for way, then in (("ASC", []), ("DESC", []), ("DESC", [("attributes.start_time", "ASC")])):
            orders = [(key, way), *then]
            for size in (5, 1000):
                found = _found(filled, size, filter=text, order_by=[" ".join(each) for each in orders], view=view)
                assert found == _wanted(kept, orders)


@pytest.mark.parametrize(("few", "looked_at"), [(4, 10), (4, 1000)])
@pytest.mark.parametrize("key", _PLACES)
def test_places_are_sorted_by_further_keys(
    filled: Database, monkeypatch: pytest.MonkeyPatch, key: str, few: int, looked_at: int
) -> None:
    everything = filled.read(lambda tx: run_search.search(tx, experiment_ids=["0"], view="ALL")).runs
    _look_at(monkeypatch, few, looked_at)
    kept = [run for run in everything if run.info.lifecycle == "active"]
    others = [other for other in _PLACES if other != key]
    for number, second in enumerate(others):
        third = others[(number + 2) % len(others)]
        for ways in (("ASC", "DESC", "ASC"), ("DESC", "ASC", "DESC")):
            for many in (2, 3):
                orders = list(zip((key, second, third), ways, strict=True))[:many]
                found = _found(filled, 9, order_by=[" ".join(each) for each in orders])
                assert found == _wanted(kept, orders), orders


def test_a_token_with_other_values_is_refused(filled: Database) -> None:
    orders = ["params.kind"]
    question = search_sql.question(["0"], "", "ACTIVE_ONLY", orders)
    here: list[tuple[int, list[object]]] = [(0, []), (0, ["tree"]), (0, ["tree", "tree", "1", "id"]), (0, [1, 2, 3, 4])]
    for phase, values in (*here, (3, ["tree", "tree", 1, "id"]), (4, [1, 1, "id"])):
        token = search_sql.write_token(question, phase, values)
        with pytest.raises(Invalid, match="page token"):
            filled.read(lambda tx: run_search.rows(tx, experiment_ids=["0"], order_by=orders, after=token))  # noqa: B023


@pytest.mark.parametrize(("tried", "parts"), [(2, 100), (20, 100), (20, 2)])
def test_runs_of_several_experiments_come_in_one_order(
    db: Database, monkeypatch: pytest.MonkeyPatch, tried: int, parts: int
) -> None:
    """Most are in one of the experiments, so that its share of a page is too small at first."""
    chance = random.Random(3)

    def work(tx: Tx) -> list[str]:
        made = ["0", *(experiments.create(tx, name=f"e{number}", by="ann").experiment_id for number in range(4))]
        for index in range(_RUNS):
            run = runs.create(
                tx, experiment_id=made[max(0, index % 9 - 5)], by="ann", name=chance.choice(["train", "tune"]),
                user_id=chance.choice(["ann", "bob"]), start_time=chance.randrange(_RUNS // 2),
            ).info.run_id  # fmt: skip
            metrics = [("auc", Point(1, 1, chance.choice([0.5, 0.75, math.nan])))] if index % 8 else []
            params = [("kind", chance.choice(["tree", "linear"]))] if index % 7 else []
            runs.log_batch(tx, run, metrics=pieces(metrics), params=params, tags=[("even", str(index % 2))])
            if index % 3:
                runs.update(tx, run, status=chance.choice(["FINISHED", "FAILED"]), end_time=index // 20)
        return made

    made = db.write(work)
    everything = db.read(lambda tx: run_search.search(tx, experiment_ids=made)).runs
    assert len(everything) == _RUNS
    _look_at(monkeypatch, 4, 3)
    monkeypatch.setattr(run_search, "_LEAST_SHARE", 2)
    monkeypatch.setattr(run_search, "_MOST_TRIED", tried)
    monkeypatch.setattr(run_clauses, "_MOST_PARTS", parts)
    for text in ("", "tags.even = '1'", "params.kind IS NULL AND tags.even != '1'"):
        kept = list(filter(_FILTERS.get(text, lambda run: _is_without(run)), everything))
        assert kept
        for key in _PLACES:
            for way in ("ASC", "DESC"):
                found = _found(db, 9, experiment_ids=[*made, "999"], filter=text, order_by=[f"{key} {way}"])
                assert found == _wanted(kept, [(key, way)]), (text, key, way)


def _is_without(run: Run) -> bool:
    return "kind" not in dict(run.params) and run.tag("even") != "1"
