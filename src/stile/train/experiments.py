"""Verbs on experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stile.kernel.errors import Exists, Invalid, Missing
from stile.store.database import Tx
from stile.train import experiment_records as records
from stile.train import limits, run_records
from stile.train.artifact_paths import SCHEME, checked_location
from stile.train.experiment_records import Experiment
from stile.train.run_values import DatasetSummary

DEFAULT_ID = "0"
_SEARCHED_FOR_DATASETS = 20
_MOST_DATASETS = 1000


def get(tx: Tx, experiment_id: str) -> Experiment:
    """The experiment, deleted or not.

    Raises:
        Missing: there is none with this id.
    """
    number = limits.experiment_number(experiment_id)
    found = None if number is None else records.by_id(tx, number)
    if found is None:
        raise Missing(f"No Experiment with id={experiment_id} exists.")
    return found


def get_by_name(tx: Tx, name: str) -> Experiment:
    """The experiment of this name, deleted or not.

    Raises:
        Missing: there is none.
    """
    found = records.by_name(tx, name)
    if found is None:
        raise Missing(f"Could not find experiment with name '{name}'.")
    return found


def create(
    tx: Tx, *, name: str, by: str, artifact_location: str = "", tags: Mapping[str, str] | None = None
) -> Experiment:
    """A new experiment.

    Raises:
        Exists: the name is taken, also by a deleted experiment.
    """
    limits.check_experiment_name(name)
    location = checked_location(artifact_location) if artifact_location else ""
    taken = records.by_name(tx, name)
    if taken is not None:
        hint = "" if taken.lifecycle == "active" else " It is deleted: restore it, or choose another name."
        raise Exists(f"Experiment '{name}' already exists.{hint}")
    for key, value in (tags or {}).items():
        _check_tag(key, value)
    number = records.add(tx, name=name, location=location, by=by)
    if not location:
        records.set_location(tx, number, f"{SCHEME}{number}")
    for key, value in (tags or {}).items():
        records.set_tag(tx, number, key, value)
    return get(tx, str(number))


def rename(tx: Tx, experiment_id: str, name: str) -> None:
    """Another name for an active experiment."""
    limits.check_experiment_name(name)
    experiment = active(tx, experiment_id)
    taken = records.by_name(tx, name)
    if taken is not None and taken.experiment_id != experiment.experiment_id:
        raise Exists(f"Experiment '{name}' already exists.")
    records.set_name(tx, experiment.row_id, name)


def delete(tx: Tx, experiment_id: str) -> None:
    """Put an experiment and its runs aside; ``restore`` brings both back.

    Raises:
        Missing: there is no such experiment, or it is deleted already.
    """
    experiment = get(tx, experiment_id)
    if experiment.lifecycle != "active":
        raise Missing(f"No active Experiment with id={experiment_id} exists: it is deleted already.")
    records.set_lifecycle(tx, experiment.row_id, "deleted")
    run_records.delete_with_experiment(tx, experiment.row_id)


def restore(tx: Tx, experiment_id: str) -> None:
    """Bring a deleted experiment back, with the runs that went away with it.

    Raises:
        Missing: there is no such experiment, or it is not deleted.
    """
    experiment = get(tx, experiment_id)
    if experiment.lifecycle != "deleted":
        raise Missing(f"No deleted Experiment with id={experiment_id} exists: it is active.")
    records.set_lifecycle(tx, experiment.row_id, "active")
    run_records.restore_with_experiment(tx, experiment.row_id)


def set_tag(tx: Tx, experiment_id: str, key: str, value: str) -> None:
    """One tag of an active experiment."""
    _check_tag(key, value)
    records.set_tag(tx, active(tx, experiment_id).row_id, key, value)


def drop_tag(tx: Tx, experiment_id: str, key: str) -> None:
    """Take a tag away.

    Raises:
        Missing: the experiment has no such tag.
    """
    if not records.drop_tag(tx, active(tx, experiment_id).row_id, key):
        raise Missing(f"No tag with name: {key} in experiment with id {experiment_id}.")


def datasets(tx: Tx, experiment_ids: Sequence[str]) -> list[DatasetSummary]:
    """Datasets that runs of these experiments have read; at most 1,000.

    Raises:
        Invalid: no experiment is named, or more than 20 are.
    """
    if not 0 < len(experiment_ids) <= _SEARCHED_FOR_DATASETS:
        raise Invalid(f"Name 1 to {_SEARCHED_FOR_DATASETS} experiment_ids; there are {len(experiment_ids)}.")
    known = limits.experiment_numbers(experiment_ids)
    return run_records.datasets_read(tx, known, _MOST_DATASETS) if known else []


def active(tx: Tx, experiment_id: str) -> Experiment:
    """The experiment, which must not be deleted.

    Raises:
        Invalid: it is deleted.
    """
    experiment = get(tx, experiment_id)
    if experiment.lifecycle != "active":
        raise Invalid(f"The experiment {experiment_id} must be in the 'active' state. It is deleted: restore it first.")
    return experiment


def _check_tag(key: str, value: str) -> None:
    limits.check_key("tag", key)
    limits.check_length("Experiment tag value", value, limits.EXPERIMENT_TAG_VALUE_LENGTH)
