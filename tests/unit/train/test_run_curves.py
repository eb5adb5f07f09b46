"""Curves of runs read from the store."""

from __future__ import annotations

import math

import pytest

from stile.kernel.errors import Missing
from stile.store.sqlite import SqliteDatabase
from stile.train import run_curves, run_records, runs
from stile.train.points import Point, pieces


def begun(db: SqliteDatabase, logged: list[tuple[str, Point]]) -> str:
    run = db.write(lambda tx: runs.create(tx, experiment_id="0", by="ann")).info.run_id
    if logged:
        db.write(lambda tx: runs.log_batch(tx, run, metrics=pieces(logged)))
    return run


def test_sizes_and_newest_are_those_of_the_run(db: SqliteDatabase) -> None:
    run = begun(db, [("loss", Point(i, i, 1.0 / (i + 1))) for i in range(20)] + [("auc", Point(9, 0, math.nan))])
    begun(db, [("loss", Point(1, 1, 7.0))])
    assert db.read(lambda tx: run_curves.sizes(tx, run)) == {"loss": 20, "auc": 1}
    newest = db.read(lambda tx: run_curves.newest(tx, run))
    assert newest.status == "RUNNING"
    db.write(lambda tx: runs.log_param(tx, run, "lr", "0.1"))
    assert db.read(lambda tx: run_curves.newest(tx, run)).written == newest.written + 1
    assert newest.points["loss"] == Point(19, 19, 0.05)
    assert math.isnan(newest.points["auc"].value)


def test_lines_of_one_run_are_thinned_and_empty_where_nothing_was_logged(db: SqliteDatabase) -> None:
    run = begun(db, [("loss", Point(i, i, float(i % 7))) for i in range(500)])
    loss, other = db.read(lambda tx: run_curves.of_run(tx, run, ["loss", "auc"], most=40))
    assert (loss.key, loss.line.total, len(loss.line.values) <= 40) == ("loss", 500, True)
    assert (other.line.total, other.line.values) == (0, [])
    with pytest.raises(Missing):
        db.read(lambda tx: run_curves.of_run(tx, "0" * 32, ["loss"], most=40))


def test_newest_runs_of_an_experiment_come_first_and_deleted_ones_not(db: SqliteDatabase) -> None:
    made = [
        db.write(lambda tx, at=at: runs.create(tx, experiment_id="0", by="ann", start_time=at)).info.run_id
        for at in (10, 30, 20, 40)
    ]
    db.write(lambda tx: runs.delete(tx, made[3]))
    found = db.read(lambda tx: run_records.newest(tx, 0, 2))
    assert [info.run_id for info in found] == [made[1], made[2]]


def test_runs_that_are_gone_are_left_out_of_several(db: SqliteDatabase) -> None:
    first = begun(db, [("loss", Point(1, 1, 1.0))])
    silent = begun(db, [])
    asked = [silent, "f" * 32, first]
    assert [line.run_id for line in db.read(lambda tx: run_curves.of_runs(tx, asked, "loss", most=9))] == [first]
    assert [run.info.run_id for run in db.read(lambda tx: run_curves.several(tx, asked))] == [silent, first]
