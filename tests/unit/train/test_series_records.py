"""Rows of metric series."""

from __future__ import annotations

import math
from functools import partial

import pytest

from stile.store.database import Database, Tx
from stile.store.sqlite import SqliteDatabase
from stile.train import run_keys, runs, series_records
from stile.train.points import ROUND, Columns, Point, pieces


def test_only_missing_points_are_added_when_some_are_known(db: SqliteDatabase) -> None:
    run = db.write(lambda tx: runs.create(tx, experiment_id="0", by="ann"))
    first = pieces([("m", Point(1, 1, 1.0)), ("m", Point(2, 2, math.nan))])
    db.write(lambda tx: runs.log_batch(tx, run.info.run_id, metrics=first))
    given = Columns([1, 2, 3, 3], [1, 2, 3, 3], [1.0, math.nan, math.inf, math.inf])
    for expected in (1, 0):
        added = db.write(
            lambda tx: series_records.add_missing(tx, run.info.row, 0, run_keys.intern(tx, "m"), given)
        )  # fmt: skip
        assert added == expected
    assert db.read(lambda tx: tx.scalar("SELECT SUM(count) FROM points")) == 3
    again = db.read(lambda tx: runs.get(tx, run.info.run_id))
    assert again.metric("m") == 1.7976931348623157e308


def test_series_stay_apart_and_whole_when_batches_cross_many_rounds(db: SqliteDatabase) -> None:
    run = db.write(lambda tx: runs.create(tx, experiment_id="0", by="ann")).info.run_id
    for start in range(0, 4000, 40):
        batch = pieces((key, Point(i, i, float(i))) for i in range(start, start + 40) for key in ("a", "b"))
        db.write(lambda tx, batch=batch: runs.log_batch(tx, run, metrics=batch))
    for key in ("a", "b"):
        found = db.read(lambda tx, key=key: runs.history(tx, run, key))
        assert found == [Point(i, i, float(i)) for i in range(4000)]
    assert db.read(lambda tx: tx.scalar("SELECT COUNT(*) FROM points")) < 40


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_points_that_come_one_by_one_are_joined_as_they_come(db: Database) -> None:
    """At no time does a series have more pieces than a round and one for each size; none is lost or doubled."""
    run = db.write(lambda tx: runs.create(tx, experiment_id="0", by="ann")).info.run_id

    def log(tx: Tx, start: int) -> list[int]:
        pieces_seen = []
        for step in range(start, start + 500):
            runs.log_metric(tx, run, "m", Point(step, step, float(step)))
            if step % 100 == 99:
                pieces_seen.append(tx.scalar("SELECT COUNT(*) FROM points"))
        return pieces_seen

    most = max(count for start in range(0, 5000, 500) for count in db.write(partial(log, start=start)))
    assert most <= 2 * ROUND + 8
    assert db.read(lambda tx: tx.scalar("SELECT SUM(count) FROM points")) == 5000
    assert db.read(lambda tx: runs.history(tx, run, "m")) == [Point(i, i, float(i)) for i in range(5000)]
