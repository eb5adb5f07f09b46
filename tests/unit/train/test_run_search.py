"""Searching runs: every plan gives what a plain reading of the question gives."""

from __future__ import annotations

import math
import random

import pytest

from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.store.sqlite import SqliteDatabase
from stile.train import experiment_search, experiments, run_drivers, run_places, run_search, runs
from stile.train.points import Point, pieces
from stile.train.run_values import InputDataset, Run

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def filled(db: SqliteDatabase) -> SqliteDatabase:
    """Two experiments, 60 runs; metrics with numbers, NaN and gaps; params and tags with gaps."""
    chance = random.Random(7)

    def work(tx: Tx) -> None:
        other = experiments.create(tx, name="other", by="ann").experiment_id
        for index in range(60):
            run = runs.create(
                tx, experiment_id="0" if index % 3 else other, by="ann", name=f"run {index:02}", start_time=index // 2
            )
            metrics = []
            if index % 4:
                metrics.append(("auc", Point(1, 1, math.nan if index % 7 == 0 else chance.choice([0.1, 0.5, 0.9]))))
            if index % 5:
                metrics.append(("loss", Point(1, 1, chance.random())))
            params = [("kind", chance.choice(["tree", "Forest", "linear"]))] if index % 6 else []
            tags = [("site", chance.choice(["VA", "va", "MN"]))] if index % 2 else []
            runs.log_batch(tx, run.info.run_id, metrics=pieces(metrics), params=params, tags=tags)
            if index % 10 == 0:
                table = InputDataset(name=f"t{index}", digest="d", tags={"mlflow.data.context": "train"})
                runs.log_inputs(tx, run.info.run_id, datasets=[table])
            if index % 11 == 0:
                runs.delete(tx, run.info.run_id)
            elif index % 2:
                runs.update(tx, run.info.run_id, status="FINISHED", end_time=100 + index)

    db.write(work)
    return db


def _search(db: SqliteDatabase, **given: object) -> list[Run]:
    given.setdefault("experiment_ids", ["0", "1"])
    found: list[Run] = []
    token = ""
    while True:
        page = db.read(lambda tx, token=token: run_search.search(tx, page_token=token, **given))  # type: ignore[arg-type]
        found.extend(page.runs)
        token = page.next_page_token
        if not token:
            return found
        assert page.runs


def _everything(db: SqliteDatabase) -> list[Run]:
    found = _search(db, view="ALL")
    assert len(found) == 60
    return found


def _number(run: Run, key: str, otherwise: float | None = None) -> float | None:
    value = run.metric(key)
    return otherwise if value is None or math.isnan(value) else value


_QUESTIONS = [
    ("", lambda r: True),
    ("metrics.auc > 0.4", lambda r: (r.metric("auc") or 0) > 0.4),
    ("metrics.auc != 0.5", lambda r: r.metric("auc") not in (None, 0.5)),  # NaN is no number, so it is not 0.5
    (
        "metrics.auc >= 0.5 AND metrics.loss < 0.3",
        lambda r: _number(r, "auc", 0) >= 0.5 and _number(r, "loss", 9) < 0.3,
    ),
    ("params.kind = 'tree'", lambda r: dict(r.params).get("kind") == "tree"),
    ("params.kind != 'tree'", lambda r: dict(r.params).get("kind", "tree") != "tree"),
    ("params.kind LIKE 'F%'", lambda r: dict(r.params).get("kind", "").startswith("F")),
    ("params.kind LIKE 'f%'", lambda r: False),
    ("params.kind ILIKE 'f%'", lambda r: dict(r.params).get("kind", "").startswith("F")),
    ("params.kind IS NULL", lambda r: "kind" not in dict(r.params)),
    ("tags.site = 'VA' AND metrics.auc > 0", lambda r: r.tag("site") == "VA" and (r.metric("auc") or 0) > 0),
    ("tags.site IS NOT NULL", lambda r: r.tag("site") != ""),
    ("tags.nobody = 'x'", lambda r: False),
    ("tags.nobody IS NULL", lambda r: True),
    ("status = 'FINISHED'", lambda r: r.info.status == "FINISHED"),
    ("start_time >= 10 AND start_time < 20", lambda r: 10 <= r.info.start_time < 20),
    ("run_name LIKE 'run 1%'", lambda r: r.info.name.startswith("run 1")),
    ("dataset.name = 't20'", lambda r: any(d.name == "t20" for d in r.datasets)),
    ("datasets.context IN ('train')", lambda r: bool(r.datasets)),
    ("datasets.context = 'nothing'", lambda r: False),
    ("dataset.name LIKE 't%' AND dataset.context != 'train'", lambda r: False),
    ("dataset.name != 't20'", lambda r: any(d.name != "t20" for d in r.datasets)),
    ("run_name LIKE '%1' AND run_name ILIKE 'RUN%'", lambda r: r.info.name.endswith("1")),
    ("run_name LIKE '%nowhere%'", lambda r: False),
    ("artifact_uri LIKE '%:/0/%' AND artifact_uri LIKE '%/artifacts'", lambda r: r.info.experiment_id == "0"),
    ("artifact_uri LIKE 'mlflow-artifacts:/0/%'", lambda r: r.info.experiment_id == "0"),
    ("artifact_uri ILIKE '%/0/0%'", lambda r: "/0/0" in r.info.artifact_uri),
    ("artifact_uri = 'mlflow-artifacts:/0/x'", lambda r: False),
    ("run_id ILIKE '%A%'", lambda r: "a" in r.info.run_id),
    ("run_id LIKE '0%'", lambda r: r.info.run_id.startswith("0")),
    ("run_id NOT IN ('0')", lambda r: True),
    ("params.kind = 'tree' AND params.kind = 'forest'", lambda r: False),
    ("params.kind != 'tree' AND params.kind != 'nothing'", lambda r: dict(r.params).get("kind", "tree") != "tree"),
    ("params.kind IS NULL AND params.kind != 'tree'", lambda r: False),
    ("metrics.auc > 0.4 AND metrics.auc <= 0.5", lambda r: 0.4 < _number(r, "auc", 0) <= 0.5),
    ("metrics.auc != 0.5 AND metrics.auc != 0.25", lambda r: r.metric("auc") not in (None, 0.5, 0.25)),
    ("metrics.auc = 0.5 AND metrics.auc != 0.5", lambda r: False),
    ("tags.site IS NOT NULL AND params.kind IS NULL", lambda r: r.tag("site") != "" and "kind" not in dict(r.params)),
    ("status = 'FINISHED' AND status = 'FAILED'", lambda r: False),
]  # fmt: skip


@pytest.mark.parametrize("few", [0, 10, 2000])
@pytest.mark.parametrize(("text", "wanted"), _QUESTIONS, ids=[text for text, _ in _QUESTIONS])
def test_filter_finds_what_it_says(
    filled: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, text: str, wanted: object, few: int
) -> None:
    monkeypatch.setattr(run_drivers, "FEW", few)
    monkeypatch.setattr(run_places, "_LEAST_LOOKED_AT", 5 if few < 2000 else 5000)
    monkeypatch.setattr(run_places, "_LOOKED_AT", 1)
    expected = {r.info.run_id for r in _everything(filled) if r.info.lifecycle == "active" and wanted(r)}  # type: ignore[operator]
    for orders in ([], ["metrics.auc DESC"], ["params.kind"], ["run_id"], ["max(metrics.auc) DESC"]):
        found = _search(filled, filter=text, order_by=orders, max_results=7)
        assert sorted(r.info.run_id for r in found) == sorted(expected)


def _nothing_last(value: float | str | None, ascending: bool) -> tuple[int, float | str]:
    if value is None or value == "":
        return 2, 0
    if isinstance(value, float) and math.isnan(value):
        return 1, 0
    if isinstance(value, float | int):
        return 0, value if ascending else -value
    return 0, value


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("few", [0, 2000])
def test_metric_order_puts_nan_after_numbers_and_absent_last(
    filled: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, ascending: bool, few: int
) -> None:
    monkeypatch.setattr(run_drivers, "FEW", few)
    alive = [r for r in _everything(filled) if r.info.lifecycle == "active"]
    expected = sorted(
        alive, key=lambda r: (_nothing_last(r.metric("auc"), ascending), -r.info.start_time, r.info.run_id)
    )
    order = [f"metrics.auc {'ASC' if ascending else 'DESC'}"]
    for size in (1000, 7, 1):
        found = _search(filled, order_by=order, max_results=size)
        assert [r.info.name for r in found] == [r.info.name for r in expected]
    driven = _search(filled, order_by=order, filter="metrics.loss >= 0", max_results=5)
    assert [r.info.name for r in driven] == [r.info.name for r in expected if r.metric("loss") is not None]


@pytest.mark.parametrize("size", [1000, 4])
def test_several_orders_hold_together_over_pages(filled: SqliteDatabase, size: int) -> None:
    alive = [r for r in _everything(filled) if r.info.lifecycle == "active"]
    expected = sorted(
        alive,
        key=lambda r: (
            _nothing_last(dict(r.params).get("kind"), True),
            _nothing_last(r.metric("loss"), False),
            _nothing_last(r.info.end_time, True),
            -r.info.start_time,
            r.info.run_id,
        ),
    )
    orders = ["params.kind", "metrics.loss DESC", "end_time ASC"]
    found = _search(filled, order_by=orders, max_results=size)
    assert [r.info.name for r in found] == [r.info.name for r in expected]


def test_default_order_is_newest_first(filled: SqliteDatabase) -> None:
    found = _search(filled, max_results=13)
    assert [r.info.start_time for r in found] == sorted((r.info.start_time for r in found), reverse=True)


def test_view_chooses_deleted_runs(filled: SqliteDatabase) -> None:
    assert len(_search(filled, view="DELETED_ONLY")) == 6
    assert len(_search(filled, view="ACTIVE_ONLY")) == 54


def test_pages_do_not_shift_when_runs_are_added_in_between(filled: SqliteDatabase) -> None:
    first = filled.read(lambda tx: run_search.search(tx, experiment_ids=["0"], max_results=5))
    filled.write(lambda tx: runs.create(tx, experiment_id="0", by="ann", start_time=10**6))
    second = filled.read(
        lambda tx: run_search.search(tx, experiment_ids=["0"], max_results=5, page_token=first.next_page_token)
    )
    assert not {r.info.run_id for r in first.runs} & {r.info.run_id for r in second.runs}


def test_token_is_refused_when_the_question_differs(filled: SqliteDatabase) -> None:
    page = filled.read(lambda tx: run_search.search(tx, experiment_ids=["0"], max_results=5))
    for token in (page.next_page_token, "rubbish", "e30="):
        with pytest.raises(Invalid, match="page token"):
            filled.read(
                lambda tx, token=token: run_search.search(
                    tx, experiment_ids=["0"], filter="metrics.auc > 0", max_results=5, page_token=token
                )
            )


@pytest.mark.parametrize("size", [0, -1, 50_001])
def test_page_size_is_refused_when_out_of_bounds(db: SqliteDatabase, size: int) -> None:
    with pytest.raises(Invalid, match="max_results"):
        db.read(lambda tx: run_search.search(tx, experiment_ids=["0"], max_results=size))


def test_experiments_are_found_by_name_and_tag(db: SqliteDatabase) -> None:
    for index in range(5):
        tags = {"team": "vision"} if index % 2 else {}
        db.write(lambda tx, index=index, tags=tags: experiments.create(tx, name=f"e{index}", by="ann", tags=tags))
    found = db.read(
        lambda tx: experiment_search.search(
            tx, filter="tags.team = 'vision' AND name LIKE 'e%'", order_by=["name DESC"]
        )
    )
    assert [e.name for e in found.experiments] == ["e3", "e1"]
    first = db.read(lambda tx: experiment_search.search(tx, max_results=4, order_by=["name"]))
    rest = db.read(
        lambda tx: experiment_search.search(tx, max_results=4, order_by=["name"], page_token=first.next_page_token)
    )
    assert [e.name for e in (*first.experiments, *rest.experiments)] == ["Default", "e0", "e1", "e2", "e3", "e4"]
