"""Rows of logged models: model files that were logged but need not be registered."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from stile.kernel.errors import Missing
from stile.store.database import Row, Tx
from stile.train.points import Point
from stile.train.run_keys import marks

_COLUMNS = (
    "id, model_id, experiment, name, model_type, source_run_id, artifact_uri, status, "
    "created_at, updated_at, created_by"
)
_RAISE = """
INSERT INTO logged_model_metrics (model, key, run_id, dataset_name, dataset_digest, step, at, value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (model, key, run_id, dataset_name, dataset_digest)
DO UPDATE SET step = excluded.step, at = excluded.at, value = excluded.value
WHERE excluded.step > logged_model_metrics.step
   OR (excluded.step = logged_model_metrics.step AND excluded.at >= logged_model_metrics.at)
"""


class ModelMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric measured for a logged model, newest point."""

    key: str
    value: float
    step: int
    at: int
    run_id: str
    dataset_name: str
    dataset_digest: str


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model. ``status`` is MLflow's name, such as ``LOGGED_MODEL_READY``."""

    row: int
    model_id: str
    experiment_id: str
    name: str
    model_type: str
    source_run_id: str
    artifact_uri: str
    status: str
    created_at: int
    updated_at: int
    created_by: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: list[ModelMetric]


def add(
    tx: Tx,
    *,
    model_id: str,
    experiment: int,
    name: str,
    model_type: str,
    source_run_id: str,
    artifact_uri: str,
    by: str,
) -> int:
    """A new pending model; its number."""
    now = tx.now_ms()
    return int(
        tx.scalar(
            "INSERT INTO logged_models (model_id, experiment, name, model_type, source_run_id, artifact_uri, status, "
            "lifecycle, created_at, updated_at, created_by) "
            "VALUES (?, ?, ?, ?, ?, ?, 'LOGGED_MODEL_PENDING', 'active', ?, ?, ?) RETURNING id",
            (model_id, experiment, name, model_type, source_run_id, artifact_uri, now, now, by),
        )
    )


def find(tx: Tx, model_id: str) -> LoggedModel | None:
    """The model that is not deleted and has this id."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM logged_models WHERE model_id = ? AND lifecycle = 'active'", (model_id,))
    return next(iter(_of_rows(tx, rows)), None)


def load(tx: Tx, rows: Sequence[int]) -> list[LoggedModel]:
    """The models with these numbers, in this order."""
    if not rows:
        return []
    found = tx.all(f"SELECT {_COLUMNS} FROM logged_models WHERE id IN ({marks(rows)})", rows)
    by_row = {model.row: model for model in _of_rows(tx, found)}
    return [by_row[row] for row in rows if row in by_row]


def set_status(tx: Tx, row: int, status: str) -> None:
    """Pending, ready or failed."""
    tx.run("UPDATE logged_models SET status = ?, updated_at = ? WHERE id = ?", (status, tx.now_ms(), row))


def set_deleted(tx: Tx, row: int) -> None:
    """Put a model aside."""
    tx.run("UPDATE logged_models SET lifecycle = 'deleted', updated_at = ? WHERE id = ?", (tx.now_ms(), row))


def set_tag(tx: Tx, row: int, key: str, value: str) -> None:
    """One tag."""
    tx.run(
        "INSERT INTO logged_model_tags (model, key, value) VALUES (?, ?, ?) "
        "ON CONFLICT (model, key) DO UPDATE SET value = excluded.value",
        (row, key, value),
    )
    tx.run("UPDATE logged_models SET updated_at = ? WHERE id = ?", (tx.now_ms(), row))


def drop_tag(tx: Tx, row: int, key: str) -> bool:
    """Take a tag away; whether it was there."""
    return tx.run("DELETE FROM logged_model_tags WHERE model = ? AND key = ?", (row, key)) > 0


def add_param(tx: Tx, row: int, key: str, value: str) -> None:
    """A parameter; one logged before keeps its value."""
    tx.run(
        "INSERT INTO logged_model_params (model, key, value) VALUES (?, ?, ?) ON CONFLICT (model, key) DO NOTHING",
        (row, key, value),
    )


def raise_metric(
    tx: Tx, model_id: str, key: str, point: Point, *, run_id: str, dataset_name: str, dataset_digest: str
) -> None:
    """Make ``point`` the newest of a model's metric, if it is.

    Raises:
        Missing: there is no such model.
    """
    row = tx.scalar("SELECT id FROM logged_models WHERE model_id = ? AND lifecycle = 'active'", (model_id,))
    if row is None:
        raise Missing(f"Logged model with ID '{model_id}' not found.")
    value = None if math.isnan(point.value) else point.value
    tx.run(_RAISE, (row, key, run_id, dataset_name, dataset_digest, point.step, point.at, value))


def _of_rows(tx: Tx, rows: Sequence[Row]) -> list[LoggedModel]:
    if not rows:
        return []
    ids = [row[0] for row in rows]
    where = f"IN ({marks(ids)})"
    tags: dict[int, dict[str, str]] = {row: {} for row in ids}
    params: dict[int, dict[str, str]] = {row: {} for row in ids}
    metrics: dict[int, list[ModelMetric]] = {row: [] for row in ids}
    for model, key, value in tx.all(f"SELECT model, key, value FROM logged_model_tags WHERE model {where}", ids):
        tags[model][key] = value
    for model, key, value in tx.all(f"SELECT model, key, value FROM logged_model_params WHERE model {where}", ids):
        params[model][key] = value
    for model, key, run_id, name, digest, step, at, number in tx.all(
        "SELECT model, key, run_id, dataset_name, dataset_digest, step, at, value "
        f"FROM logged_model_metrics WHERE model {where} ORDER BY key, at, step, dataset_name",
        ids,
    ):
        value = math.nan if number is None else number
        metrics[model].append(
            ModelMetric(key=key, value=value, step=step, at=at, run_id=run_id, dataset_name=name, dataset_digest=digest)
        )
    return [
        LoggedModel(
            row=row[0], model_id=row[1], experiment_id=str(row[2]), name=row[3], model_type=row[4],
            source_run_id=row[5], artifact_uri=row[6], status=row[7], created_at=row[8], updated_at=row[9],
            created_by=row[10], tags=tags[row[0]], params=params[row[0]], metrics=metrics[row[0]],
        )
        for row in rows
    ]  # fmt: skip
