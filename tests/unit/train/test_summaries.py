"""Least and greatest values of series: kept with every write, worked out for old stores, and walked in order."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from stile.store.database import Database, Tx
from stile.store.sqlite import SqliteDatabase
from stile.train import run_search, runs, series_records, summaries
from stile.train.points import Point, pieces

both = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)

_GREATEST = 1.7976931348623157e308


def _log(db: Database, run: str, values: list[float], *, step: int = 0, key: str = "m") -> None:
    """In one call."""
    found = pieces((key, Point(step + i, step + i, value)) for i, value in enumerate(values))
    db.write(lambda tx: runs.log_batch(tx, run, metrics=found))


def _new(db: Database) -> str:
    return db.write(lambda tx: runs.create(tx, experiment_id="0", by="ann")).info.run_id


def _ends(db: Database, run: str) -> tuple[float | None, float | None]:
    return db.read(
        lambda tx: tx.one("SELECT l.low, l.high FROM latest l JOIN runs r ON r.id = l.run WHERE r.run_id = ?", (run,))
    )  # type: ignore[return-value]


@both
def test_ends_are_those_of_everything_logged_whatever_came_when(db: Database) -> None:
    run = _new(db)
    db.write(lambda tx: runs.log_metric(tx, run, "m", Point(5, 5, 2.0)))
    assert _ends(db, run) == (2.0, 2.0)
    _log(db, run, [3.0, 1.5], step=6)
    assert _ends(db, run) == (1.5, 3.0)
    db.write(lambda tx: runs.log_metric(tx, run, "m", Point(1, 1, 9.0)))  # late: not the newest, but the greatest
    assert _ends(db, run) == (1.5, 9.0)
    found = db.read(lambda tx: runs.get(tx, run)).metrics[0]
    assert (found.value, found.step, found.at) == (1.5, 7, 7)


@both
def test_nan_is_no_number_and_infinities_are_the_largest(db: Database) -> None:
    run = _new(db)
    db.write(lambda tx: runs.log_metric(tx, run, "m", Point(0, 0, math.nan)))
    assert _ends(db, run) == (_GREATEST, -_GREATEST)
    _log(db, run, [math.nan, 1.0, math.nan], step=1)
    assert _ends(db, run) == (1.0, 1.0)
    _log(db, run, [-math.inf, math.inf, 2.0], step=4)
    assert _ends(db, run) == (-_GREATEST, _GREATEST)


@both
@pytest.mark.parametrize("seed", range(3))
def test_ends_agree_with_the_history_when_points_come_in_any_way(db: Database, seed: int) -> None:
    dice = random.Random(seed)
    run = _new(db)
    for _ in range(60):
        values = [dice.choice((math.nan, dice.gauss(0, 5), 1e308)) for _ in range(dice.choice((1, 1, 7)))]
        _log(db, run, values, step=dice.randrange(1000))
    numbers = [p.value for p in db.read(lambda tx: runs.history(tx, run, "m")) if not math.isnan(p.value)]
    assert _ends(db, run) == (min(numbers), max(numbers))


@both
def test_series_of_an_older_store_are_worked_out_once(db: Database) -> None:
    ids = [_new(db) for _ in range(3)]
    for place, run in enumerate(ids):
        _log(db, run, [1.0 + place, math.nan, 5.0 + place, 0.5])

    def forget(tx: Tx) -> None:
        tx.run("UPDATE latest SET low = NULL, high = NULL")
        tx.run("INSERT INTO summaries_due (run, key) SELECT run, key FROM latest")

    db.write(forget)
    assert db.read(summaries.missing)
    _log(db, ids[0], [77.0], step=50)  # while nothing is known of the rest
    assert _ends(db, ids[0]) == (None, None)
    order = {"experiment_ids": ["0"], "order_by": ["max(metrics.m) DESC"]}
    assert len(db.read(lambda tx: run_search.rows(tx, **order)).rows) == 3  # type: ignore[arg-type]
    assert summaries.catch_up(db) == 3
    assert [_ends(db, run) for run in ids] == [(0.5, 77.0), (0.5, 6.0), (0.5, 7.0)]
    assert not db.read(summaries.missing)
    assert summaries.catch_up(db) == 0


def _walked(db: Database, size: int, **question: object) -> list[str]:
    """All pages, forwards, and the same backwards from the last one."""
    found: list[int] = []
    after = last = ""
    while True:
        page = db.read(
            lambda tx, after=after: run_search.rows(tx, experiment_ids=["0"], max_results=size, after=after, **question)  # type: ignore[arg-type,misc]
        )
        found += page.rows
        last = page.preceding or last
        if not page.following:
            break
        after = page.following
    back: list[int] = list(page.rows)
    before = page.preceding
    while before:
        page = db.read(
            lambda tx, before=before: run_search.rows(  # type: ignore[misc]
                tx,
                experiment_ids=["0"],
                max_results=size,
                before=before,
                **question,  # type: ignore[arg-type]
            )
        )
        back = [*page.rows, *back]
        before = page.preceding
    assert back == found
    names = dict(db.read(lambda tx: tx.all("SELECT id, name FROM runs")))
    return [names[row] for row in found]


@both
@pytest.mark.parametrize("way", ["ASC", "DESC"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_runs_are_walked_by_their_greatest_value_numbers_first(db: Database, way: str, size: int) -> None:
    series = {"a": [1.0, 9.0, 2.0], "b": [8.0, 3.0], "c": [math.nan], "d": None, "e": [9.0], "gone": [99.0]}
    for name, values in series.items():
        run = db.write(lambda tx, n=name: runs.create(tx, experiment_id="0", by="ann", name=n, start_time=1)).info  # type: ignore[misc]
        if values is not None:
            _log(db, run.run_id, values)
    db.write(lambda tx: runs.delete(tx, run.run_id))
    names = _walked(db, size, order_by=[f"max(metrics.m) {way}"])
    assert names[-2:] == ["c", "d"]
    assert names.index("b") == (0 if way == "ASC" else 2)
    greatest = [max(series[name] or []) for name in names[:3]]
    assert greatest == sorted(greatest, reverse=way == "DESC")
    second = _walked(db, size, order_by=["params.nothing", f"max(metrics.m) {way}", "attributes.run_name"])
    assert sorted(second) == sorted(names)
    assert second[3:] == ["c", "d"]
    kept = _walked(db, size, order_by=[f"best(metrics.`m_loss`) {way}"], filter="metrics.m > 2.5")
    assert sorted(kept) == ["b", "e"]


def test_a_page_looks_at_few_runs_of_many(tmp_path: Path) -> None:
    from stile.testing.many_runs import seed

    db = SqliteDatabase(tmp_path / "many.db")
    try:
        db.write(lambda tx: seed(tx, 4000))
        near = db.read(lambda tx: summaries.near(tx, [0], 2, "low", up=True, after=None, limit=50))
        assert near is not None
        assert len(near.params) == 999
        assert db.read(lambda tx: summaries.near(tx, [0], 2, "low", up=True, after=None, limit=501)) is None
        rows = db.read(
            lambda tx: run_search.rows(tx, experiment_ids=["0"], max_results=50, order_by=["min(metrics.loss)"])
        ).rows
        wanted = db.read(lambda tx: tx.all("SELECT run FROM latest WHERE key = 2 ORDER BY low LIMIT 50"))
        assert rows == [row for (row,) in wanted]
    finally:
        db.close()


def test_series_records_count_what_is_due(db: Database) -> None:
    run = _new(db)
    _log(db, run, [1.0, 2.0])
    db.write(lambda tx: tx.run("INSERT INTO summaries_due (run, key) SELECT run, key FROM latest"))
    assert [count for _, _, count in db.read(lambda tx: series_records.due(tx, 10))] == [2]
