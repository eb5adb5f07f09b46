"""Logged models by a metric: numbers first, pages without gaps, and no more work for more models."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from stile.kernel.errors import Invalid
from stile.store.database import Database, Tx
from stile.store.sqlite import SqliteDatabase
from stile.train import logged_model_records, logged_model_search
from stile.train.logged_model_records import LoggedModel
from stile.train.logged_model_search import Measured, ModelOrder
from stile.train.points import Point

_MODELS = 40
_ON = {"wine": Measured(dataset_name="wine"), "wine 2": Measured(dataset_name="wine", dataset_digest="2")}
both = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def filled(db: Database) -> Database:
    """Models of which some have several points of a metric, on several data sets, NaN, or none."""
    chance = random.Random(5)

    def work(tx: Tx) -> None:
        for index in range(_MODELS):
            model_id = f"m-{index:04d}"
            logged_model_records.add(
                tx, model_id=model_id, experiment=0, name=f"n{index % 3}", model_type="", source_run_id="",
                artifact_uri="", by="ann",
            )  # fmt: skip
            for _ in range(chance.randrange(4)):
                name, digest = chance.choice([("", ""), ("wine", "1"), ("wine", "2"), ("iris", "1")])
                value = chance.choice([0.25, 0.5, 0.5, 0.75, math.nan])
                logged_model_records.raise_metric(
                    tx, model_id, "auc", Point(chance.randrange(3), chance.randrange(2), value),
                    run_id=chance.choice("ab"), dataset_name=name, dataset_digest=digest,
                )  # fmt: skip

    db.write(work)
    return db


def _pages(db: Database, size: int, **question: Any) -> list[LoggedModel]:
    found: list[LoggedModel] = []
    token = ""
    while True:
        page = db.read(
            lambda tx, token=token: logged_model_search.search(
                tx, experiment_ids=["0"], max_results=size, page_token=token, **question
            )
        )
        found += page.models
        token = page.next_page_token
        if not token:
            return found


def _newest(model: LoggedModel, on: Measured | None) -> float | None:
    measured = [
        each
        for each in model.metrics
        if on is None or (each.dataset_name == on.dataset_name and on.dataset_digest in ("", each.dataset_digest))
    ]
    measured.sort(key=lambda each: (-each.at, -each.step, each.run_id, each.dataset_name, each.dataset_digest))
    return measured[0].value if measured and not math.isnan(measured[0].value) else None


_FILTERS: dict[str, Callable[[LoggedModel], bool]] = {
    "": lambda model: True,
    "name = 'n1'": lambda model: model.name == "n1",
    "metrics.auc >= 0.5": lambda model: any(each.value >= 0.5 for each in model.metrics),
}


@both
@pytest.mark.parametrize("on", [None, "wine", "wine 2"])
@pytest.mark.parametrize("ascending", [True, False])
def test_models_by_a_metric(filled: Database, on: str | None, ascending: bool) -> None:
    everything = _pages(filled, 1000)
    assert len(everything) == _MODELS
    measured = _ON[on] if on else None
    by_metric = ModelOrder(field_name="metrics.auc", ascending=ascending, on=measured)
    by_name = ModelOrder(field_name="name")
    ways = 1 if ascending else -1
    for text, holds in _FILTERS.items():
        for then, key in (([], lambda model: ""), ([by_name], lambda model: model.name)):
            expected = sorted(filter(holds, everything), key=lambda model: -model.row)
            expected.sort(key=lambda model: -model.created_at)
            expected.sort(key=key)
            values = {model.row: _newest(model, measured) for model in expected}
            expected.sort(key=lambda model: (values[model.row] is None, (values[model.row] or 0) * ways))
            assert any(value is None for value in values.values())
            for size in (7, 1000):
                found = _pages(filled, size, filter=text, order_by=[by_metric, *then])
                assert [model.row for model in found] == [model.row for model in expected]


def test_a_token_of_another_form_is_refused(tmp_path: Path) -> None:
    from stile.train import search_sql

    database = SqliteDatabase(tmp_path / "stile.db")
    order = [ModelOrder(field_name="metrics.auc")]
    question = search_sql.question([0], "", [], order)
    for values in ([0, "x", 1, 1], [0, 1], [1, 0, "x", 1]):
        token = search_sql.write_token(question, 0, values)
        with pytest.raises(Invalid, match="page token"):
            database.read(
                lambda tx, token=token: logged_model_search.search(
                    tx, experiment_ids=["0"], order_by=order, page_token=token
                )
            )
    database.close()


def _steps(folder: Path, models: int) -> int:
    """What a page by a metric costs in a store of so many models, in steps of SQLite's machine."""
    database = SqliteDatabase(folder / f"{models}.db")

    def fill(tx: Tx) -> None:
        tx.run(
            "INSERT INTO logged_models (id, model_id, experiment, name, model_type, source_run_id, artifact_uri, "
            "status, lifecycle, created_at, updated_at, created_by) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL "
            "SELECT i + 1 FROM n WHERE i < ?) SELECT i, 'm-' || i, 0, 'n', '', '', '', '', 'active', i, i, '' FROM n",
            (models,),
        )
        tx.run(
            "INSERT INTO logged_model_metrics (model, key, run_id, dataset_name, dataset_digest, step, at, value) "
            "SELECT id, 'auc', 'r', '', '', 1, 1, id * 7919 % 10007 FROM logged_models"
        )

    database.write(fill)
    steps = 0

    def count(event: dict[str, Any]) -> None:
        nonlocal steps
        steps += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

    for reader in [database._readers.get() for _ in range(database._readers.qsize())]:
        reader.connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, count)
        database._readers.put(reader)
    order = [ModelOrder(field_name="metrics.auc", ascending=False)]
    for text in ("", "metrics.auc > 0"):
        page = database.read(
            lambda tx, text=text: logged_model_search.search(tx, experiment_ids=["0"], filter=text, order_by=order)
        )
        assert len(page.models) == 100
    database.close()
    return steps


def test_ten_times_the_models_cost_no_more(tmp_path: Path) -> None:
    few, many = _steps(tmp_path, 500), _steps(tmp_path, 5000)
    assert many <= 1.5 * few
