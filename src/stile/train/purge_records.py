"""Rows of deleted runs, logged models and experiments: finding them, and taking them away for good."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.store.database import Row, Tx
from stile.train.artifact_paths import ours
from stile.train.run_keys import marks

_RUN_TABLES = ("points", "latest", "params", "run_tags", "run_inputs", "run_models")
_MODEL_TABLES = ("logged_model_tags", "logged_model_params", "logged_model_metrics")
_RUN = "id, run_id, experiment, name, artifact_uri, lifecycle, COALESCE(deleted_at, end_time, start_time)"
_BLOCK = 500


class DeletedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that may be purged. ``deleted_at`` in ms since 1970 UTC; its end where that was not recorded."""

    row: int
    run_id: str
    experiment: int
    name: str
    artifact_uri: str
    lifecycle: str
    deleted_at: int


class DeletedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model that may be purged."""

    row: int
    model_id: str
    experiment: int
    name: str
    artifact_uri: str


def deleted_runs(tx: Tx, before: int) -> list[DeletedRun]:
    """Runs that were deleted before a time, oldest first."""
    sql = (
        f"SELECT {_RUN} FROM runs WHERE lifecycle = 'deleted' "
        "AND COALESCE(deleted_at, end_time, start_time) < ? ORDER BY id"
    )
    return [_run(row) for row in tx.all(sql, (before,))]


def runs(tx: Tx, run_ids: Sequence[str]) -> list[DeletedRun]:
    """The runs with these ids, deleted or not."""
    found: list[DeletedRun] = []
    for start in range(0, len(run_ids), _BLOCK):
        part = run_ids[start : start + _BLOCK]
        found += [_run(row) for row in tx.all(f"SELECT {_RUN} FROM runs WHERE run_id IN ({marks(part)})", part)]
    return found


def deleted_experiments(tx: Tx, before: int) -> list[tuple[int, str]]:
    """(number, name) of experiments that were deleted before a time; the default one is never among them."""
    sql = "SELECT id, name FROM experiments WHERE lifecycle = 'deleted' AND updated_at < ? AND id <> 0 ORDER BY id"
    return [(row[0], row[1]) for row in tx.all(sql, (before,))]


def deleted_models(tx: Tx, before: int, experiments: Sequence[int]) -> list[DeletedModel]:
    """Logged models that were deleted before a time, and all of these experiments."""
    columns = "id, model_id, experiment, name, artifact_uri"
    rows = tx.all(f"SELECT {columns} FROM logged_models WHERE lifecycle = 'deleted' AND updated_at < ?", (before,))
    for start in range(0, len(experiments), _BLOCK):
        part = experiments[start : start + _BLOCK]
        rows += tx.all(f"SELECT {columns} FROM logged_models WHERE experiment IN ({marks(part)})", part)
    return [
        DeletedModel(row=row[0], model_id=row[1], experiment=row[2], name=row[3], artifact_uri=row[4])
        for row in dict.fromkeys(tuple(row) for row in rows)
    ]


def is_empty(tx: Tx, experiment: int) -> bool:
    """Whether an experiment has neither runs nor logged models left."""
    left = "SELECT 1 FROM runs WHERE experiment = ? UNION ALL SELECT 1 FROM logged_models WHERE experiment = ? LIMIT 1"
    return tx.one(left, (experiment, experiment)) is None


def points_of(tx: Tx, run: int) -> int:
    """How many points were logged to a run."""
    return int(tx.scalar("SELECT COALESCE(SUM(count), 0) FROM points WHERE run = ?", (run,)))


def files_of(tx: Tx, artifact_uri: str) -> tuple[int, int]:
    """(number, bytes) of the files below an artifact address of this store."""
    root = _root(artifact_uri)
    if root is None:
        return 0, 0
    row = tx.one(
        "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM artifacts WHERE path > ? AND path < ?", (root + "/", root + "0")
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


def experiment_within(tx: Tx, artifact_uri: str) -> str | None:
    """The name of an experiment that keeps its files below this address, if there is one."""
    sql = (
        "SELECT name FROM experiments WHERE artifact_location = ? OR (artifact_location > ? AND artifact_location < ?)"
    )
    found = tx.scalar(f"{sql} LIMIT 1", (artifact_uri, artifact_uri + "/", artifact_uri + "0"))
    return None if found is None else str(found)


def drop_run(tx: Tx, run: DeletedRun) -> None:
    """Take a run away with everything logged to it."""
    for table in _RUN_TABLES:
        tx.run(f"DELETE FROM {table} WHERE run = ?", (run.row,))
    _drop_files(tx, run.artifact_uri)
    tx.run("DELETE FROM runs WHERE id = ?", (run.row,))


def drop_model(tx: Tx, model: DeletedModel) -> None:
    """Take a logged model away with everything logged to it."""
    for table in _MODEL_TABLES:
        tx.run(f"DELETE FROM {table} WHERE model = ?", (model.row,))
    _drop_files(tx, model.artifact_uri)
    tx.run("DELETE FROM logged_models WHERE id = ?", (model.row,))


def drop_experiment(tx: Tx, experiment: int) -> None:
    """Take an empty experiment away."""
    tx.run("DELETE FROM input_datasets WHERE experiment = ?", (experiment,))
    tx.run("DELETE FROM experiment_tags WHERE experiment = ?", (experiment,))
    tx.run("DELETE FROM saved_views WHERE experiment = ?", (experiment,))
    tx.run("DELETE FROM experiments WHERE id = ?", (experiment,))


def _drop_files(tx: Tx, artifact_uri: str) -> None:
    root = _root(artifact_uri)
    if root is not None:
        tx.run("DELETE FROM artifacts WHERE path > ? AND path < ?", (root + "/", root + "0"))


def _root(artifact_uri: str) -> str | None:
    return ours(artifact_uri) if artifact_uri else None


def _run(row: Row) -> DeletedRun:
    return DeletedRun(
        row=row[0], run_id=row[1], experiment=row[2], name=row[3], artifact_uri=row[4], lifecycle=row[5],
        deleted_at=row[6],
    )  # fmt: skip
