"""Verbs on logged models."""

from __future__ import annotations

from collections.abc import Mapping

from stile.kernel.errors import Invalid, Missing
from stile.store.database import Tx
from stile.train import experiments, limits
from stile.train import logged_model_records as records
from stile.train.artifact_paths import joined
from stile.train.logged_model_records import LoggedModel, ModelMetric

__all__ = ["LoggedModel", "ModelMetric", "add_params", "create", "delete", "drop_tag", "finalize", "get", "set_tags"]

STATUSES = ("LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED")


def create(
    tx: Tx,
    *,
    experiment_id: str,
    by: str,
    name: str = "",
    model_type: str = "",
    source_run_id: str = "",
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> LoggedModel:
    """A new model whose files are about to be uploaded."""
    experiment = experiments.active(tx, experiment_id)
    limits.check_logged_model_name(name)
    model_id = "m-" + tx.new_hex()
    row = records.add(
        tx,
        model_id=model_id,
        experiment=experiment.row_id,
        name=name or model_id,
        model_type=model_type,
        source_run_id=source_run_id,
        artifact_uri=joined(experiment.artifact_location, "models", model_id, "artifacts"),
        by=by,
    )
    for key, value in (tags or {}).items():
        _check("tag", key, value)
        records.set_tag(tx, row, key, value)
    for key, value in (params or {}).items():
        _check("param", key, value)
        records.add_param(tx, row, key, value)
    return get(tx, model_id)


def get(tx: Tx, model_id: str) -> LoggedModel:
    """The model.

    Raises:
        Missing: there is none with this id, or it is deleted.
    """
    found = records.find(tx, model_id)
    if found is None:
        raise Missing(f"Logged model with ID '{model_id}' not found.")
    return found


def finalize(tx: Tx, model_id: str, status: str) -> LoggedModel:
    """Say that the upload has ended, well or not."""
    if status not in STATUSES:
        raise Invalid(f"Invalid value {status!r} for parameter 'status'. It is one of {', '.join(STATUSES)}.")
    records.set_status(tx, get(tx, model_id).row, status)
    return get(tx, model_id)


def delete(tx: Tx, model_id: str) -> None:
    """Put a model aside."""
    records.set_deleted(tx, get(tx, model_id).row)


def set_tags(tx: Tx, model_id: str, tags: Mapping[str, str]) -> LoggedModel:
    """Tags, new or changed."""
    row = get(tx, model_id).row
    for key, value in tags.items():
        _check("tag", key, value)
        records.set_tag(tx, row, key, value)
    return get(tx, model_id)


def drop_tag(tx: Tx, model_id: str, key: str) -> None:
    """Take a tag away.

    Raises:
        Missing: the model has no such tag.
    """
    if not records.drop_tag(tx, get(tx, model_id).row, key):
        raise Missing(f"No tag with key {key!r} found for model with ID '{model_id}'.")


def add_params(tx: Tx, model_id: str, params: Mapping[str, str]) -> None:
    """Parameters; one logged before keeps its value."""
    row = get(tx, model_id).row
    for key, value in params.items():
        _check("param", key, value)
        records.add_param(tx, row, key, value)


def _check(kind: str, key: str, value: str) -> None:
    limits.check_key(kind, key)
    limits.check_length(f"Model {kind} value", value, limits.TAG_VALUE_LENGTH)
