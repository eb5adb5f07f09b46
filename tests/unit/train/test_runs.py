"""Runs in a real store: MLflow's semantics."""

from __future__ import annotations

import math

import pytest

from stile.kernel.errors import Exists, Invalid, Missing
from stile.store import outbox
from stile.store.sqlite import SqliteDatabase
from stile.train import experiments, metric_history, run_views, runs
from stile.train import points as packed
from stile.train.points import Point
from stile.train.run_values import InputDataset, Run


def _start(db: SqliteDatabase, **given: object) -> Run:
    return db.write(lambda tx: runs.create(tx, experiment_id="0", by="ann", **given))  # type: ignore[arg-type]


def _log(db: SqliteDatabase, run: Run, key: str, *points: Point) -> None:
    for point in points:
        db.write(lambda tx, point=point: runs.log_metric(tx, run.info.run_id, key, point))


def _again(db: SqliteDatabase, run: Run) -> Run:
    return db.read(lambda tx: runs.get(tx, run.info.run_id))


def test_latest_is_by_step_time_value_when_logged_out_of_order(db: SqliteDatabase) -> None:
    run = _start(db)
    _log(db, run, "m", Point(5, 10, 1.0), Point(9, 3, 2.0), Point(5, 10, 0.5), Point(4, 10, 9.0))
    assert _again(db, run).metric("m") == 1.0
    _log(db, run, "m", Point(5, 10, math.nan))
    assert _again(db, run).metric("m") == 1.0
    _log(db, run, "m", Point(6, 10, math.nan))
    value = _again(db, run).metric("m")
    assert value is not None
    assert math.isnan(value)


def test_identical_points_are_kept_once(db: SqliteDatabase) -> None:
    run = _start(db)
    nan = Point(1, 1, math.nan)
    for _ in range(3):
        _log(db, run, "m", Point(1, 0, 2.0), nan)
    many = [("m", Point(1, 0, 2.0))] * 200
    db.write(lambda tx: runs.log_batch(tx, run.info.run_id, metrics=packed.pieces(many)))
    found = db.read(lambda tx: runs.history(tx, run.info.run_id, "m"))
    assert len(found) == 2


def test_long_history_is_whole_and_in_few_chunks_when_logged_point_by_point(db: SqliteDatabase) -> None:
    run = _start(db)
    points = [Point(i, i, float(i % 7)) for i in range(1000)]

    def work(tx: object) -> None:
        for point in points:
            runs.log_metric(tx, run.info.run_id, "m", point)  # type: ignore[arg-type]

    db.write(work)
    assert db.read(lambda tx: runs.history(tx, run.info.run_id, "m")) == points
    assert db.read(lambda tx: tx.scalar("SELECT COUNT(*) FROM points")) <= 24
    pages = []
    token = ""
    while True:
        page = db.read(
            lambda tx, token=token: metric_history.page(tx, run.info.run_id, "m", max_results=300, page_token=token)
        )
        pages.append(page.points)
        token = page.next_page_token
        if not token:
            break
    assert [len(page) for page in pages] == [300, 300, 300, 100]
    assert [point for page in pages for point in page] == points


def test_infinity_is_clamped(db: SqliteDatabase) -> None:
    run = _start(db)
    _log(db, run, "m", Point(1, 1, math.inf))
    assert _again(db, run).metric("m") == 1.7976931348623157e308


def test_whole_batch_is_taken_back_when_one_param_changes(db: SqliteDatabase) -> None:
    run = _start(db)
    db.write(lambda tx: runs.log_param(tx, run.info.run_id, "a", "1"))
    db.write(lambda tx: runs.log_param(tx, run.info.run_id, "a", "1"))
    with pytest.raises(Invalid, match="already logged"):
        db.write(
            lambda tx: runs.log_batch(
                tx,
                run.info.run_id,
                metrics=packed.pieces([("m", Point(1, 1, 1.0))]),
                params=[("b", "2"), ("a", "9")],
                tags=[("t", "x")],
            )
        )
    after = _again(db, run)
    assert after.params == [("a", "1")]
    assert after.metrics == []
    assert after.tag("t") == ""


def test_name_and_tag_follow_each_other(db: SqliteDatabase) -> None:
    run = _start(db, name="first")
    assert run.tag("mlflow.runName") == "first"
    db.write(lambda tx: runs.set_tag(tx, run.info.run_id, "mlflow.runName", "second"))
    assert _again(db, run).info.name == "second"
    db.write(lambda tx: runs.update(tx, run.info.run_id, name="third"))
    assert _again(db, run).tag("mlflow.runName") == "third"
    with pytest.raises(Invalid):
        _start(db, name="x", tags=[("mlflow.runName", "y")])


def test_deleted_run_takes_no_writes_until_restored(db: SqliteDatabase) -> None:
    run = _start(db)
    db.write(lambda tx: runs.delete(tx, run.info.run_id))
    with pytest.raises(Invalid, match="active"):
        _log(db, run, "m", Point(1, 1, 1.0))
    db.write(lambda tx: runs.restore(tx, run.info.run_id))
    _log(db, run, "m", Point(1, 1, 1.0))


def test_restoring_an_experiment_brings_back_only_what_went_with_it(db: SqliteDatabase) -> None:
    made = db.write(lambda tx: experiments.create(tx, name="e", by="ann"))
    with_it, before = [
        db.write(lambda tx: runs.create(tx, experiment_id=made.experiment_id, by="ann")).info.run_id for _ in range(2)
    ]
    db.write(lambda tx: runs.delete(tx, before))
    db.write(lambda tx: experiments.delete(tx, made.experiment_id))
    assert db.read(lambda tx: runs.info(tx, with_it)).lifecycle == "deleted"
    with pytest.raises(Exists, match="deleted"):
        db.write(lambda tx: experiments.create(tx, name="e", by="ann"))
    db.write(lambda tx: experiments.restore(tx, made.experiment_id))
    assert db.read(lambda tx: runs.info(tx, with_it)).lifecycle == "active"
    assert db.read(lambda tx: runs.info(tx, before)).lifecycle == "deleted"


def test_end_of_a_run_is_announced_once(db: SqliteDatabase) -> None:
    run = _start(db)
    for _ in range(2):
        db.write(lambda tx: runs.update(tx, run.info.run_id, status="FINISHED", end_time=5))
    posted = [one for one in db.read(lambda tx: outbox.after(tx, 0)) if one.name == "RunFinished"]
    assert len(posted) == 1


def test_account_and_claimed_user_are_kept_apart(db: SqliteDatabase) -> None:
    run = _start(db, user_id="somebody-else")
    assert (run.info.created_by, run.info.user_id) == ("ann", "somebody-else")


@pytest.mark.parametrize("key", ["", "a/../b", "/a", "a//b", "..", "a\nb", "x" * 251, "a;b"])
def test_key_is_refused_when_it_is_no_plain_name(db: SqliteDatabase, key: str) -> None:
    run = _start(db)
    with pytest.raises(Invalid):
        _log(db, run, key, Point(1, 1, 1.0))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_step_is_refused_when_it_needs_more_than_64_bits(db: SqliteDatabase, number: int) -> None:
    run = _start(db)
    with pytest.raises(Invalid):
        _log(db, run, "m", Point(0, number, 1.0))


def test_unknown_run_is_missing(db: SqliteDatabase) -> None:
    with pytest.raises(Missing):
        db.read(lambda tx: runs.get(tx, "f" * 32))


def test_inputs_are_read_back_with_their_part(db: SqliteDatabase) -> None:
    run = _start(db)
    table = InputDataset(name="t", digest="d1", source_type="code", tags={"mlflow.data.context": "train"})
    for _ in range(2):
        db.write(lambda tx: runs.log_inputs(tx, run.info.run_id, datasets=[table], models=["m-1"]))
    again = _again(db, run)
    assert again.datasets == [table]
    assert [(m.direction, m.model_id) for m in again.models] == [("input", "m-1")]


def test_summaries_show_the_newest_first_with_the_common_metrics(db: SqliteDatabase) -> None:
    for index in range(3):
        run = _start(db, name=f"r{index}", start_time=index)
        _log(db, run, "auc", Point(1, 1, 0.5 + index))
    first = db.read(lambda tx: run_views.summaries(tx, limit=2))
    assert [row.name for row in first.runs] == ["r2", "r1"]
    assert first.metrics == ["auc"]
    assert first.runs[0].metrics == {"auc": 2.5}
    rest = db.read(lambda tx: run_views.summaries(tx, limit=2, page_token=first.next_page_token))
    assert [row.name for row in rest.runs] == ["r0"]


def test_thinned_keeps_the_ends_of_every_run(db: SqliteDatabase) -> None:
    first, second = _start(db), _start(db)
    for run, count in ((first, 100), (second, 37)):
        points = [("m", Point(i, i, float(i))) for i in range(count)]
        db.write(lambda tx, run=run, points=points: runs.log_batch(tx, run.info.run_id, metrics=packed.pieces(points)))
    ids = [first.info.run_id, second.info.run_id, "gone" * 8]
    found = dict(db.read(lambda tx: metric_history.thinned(tx, ids, "m", most=10)))
    assert set(found) == set(ids[:2])
    assert {found[ids[0]].steps[0], found[ids[0]].steps[-1]} == {0, 99}
    assert {found[ids[1]].steps[0], found[ids[1]].steps[-1]} == {0, 36}
    assert len(found[ids[0]].steps) <= 14
