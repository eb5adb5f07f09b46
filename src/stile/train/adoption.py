"""Verbs that take in what was tracked elsewhere, with its ids, times and whole histories.

Each may be repeated: what is here already stays as it is, and only what is missing is added.
Nothing is announced: history that moves in is not news.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from stile.kernel.errors import Invalid, StileError
from stile.store.database import Tx
from stile.store.unstorable import has_nul
from stile.train import (
    adoption_records,
    artifact_records,
    artifacts,
    experiment_records,
    experiments,
    limits,
    logged_model_records,
    logged_models,
    run_keys,
    run_records,
    runs,
    series_records,
)
from stile.train import points as packed
from stile.train.artifact_paths import checked_path, is_remote, joined, ours
from stile.train.experiment_records import Experiment
from stile.train.moving.values import (
    MovedExperiment,
    MovedFile,
    MovedModel,
    MovedModelUse,
    MovedRun,
    MovedSeries,
)
from stile.train.points import Point
from stile.train.run_values import CONTEXT_TAG, ENDED, NAME_TAG, InputDataset, RunModel

_LONGEST_VALUE = 100_000


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """How taking something in has ended.

    Attributes:
        id: its id here.
        added: it was new.
        artifact_uri: where its files belong here.
        refused: what of it was not taken, in words.
    """

    id: str
    added: bool
    artifact_uri: str = ""
    refused: list[str] = []


class BoundFiles(msgspec.Struct, frozen=True, kw_only=True):
    """How many files were bound now, and how many were there already."""

    added: int
    kept: int


def experiment(tx: Tx, given: MovedExperiment, *, by: str) -> Adopted:
    """The experiment of this name; made with its times and tags when it is not here."""
    limits.check_experiment_name(given.name)
    found = experiment_records.by_name(tx, given.name)
    added = found is None
    if found is None:
        location = given.artifact_location if is_remote(given.artifact_location) else ""
        found = experiments.create(tx, name=given.name, by=by, artifact_location=location)
        adoption_records.set_experiment_times(tx, found.row_id, given.created_at or tx.now_ms(), given.updated_at)
        if given.lifecycle == "deleted":
            experiment_records.set_lifecycle(tx, found.row_id, "deleted")
    refused = _experiment_tags(tx, found, given.tags)
    if added and given.updated_at:
        adoption_records.set_experiment_times(tx, found.row_id, given.created_at, given.updated_at)
    return Adopted(id=found.experiment_id, added=added, artifact_uri=found.artifact_location, refused=refused)


def run(tx: Tx, experiment_id: str, given: MovedRun, *, by: str) -> Adopted:
    """The run under its own id; when it is here already, what it lacks is added and an open end is closed.

    Raises:
        Missing: there is no such experiment.
        Invalid: the id cannot be a run's.
    """
    limits.check_run_id(given.run_id)
    owner = experiments.get(tx, experiment_id)
    head = run_records.head(tx, given.run_id)
    added = head is None
    if head is None:
        own = joined(owner.artifact_location, given.run_id, "artifacts")
        row = run_records.add(
            tx, run_id=given.run_id, experiment=owner.row_id, name=given.name or given.run_id,
            user_id=given.user_id, start_time=given.start_time,
            artifact_uri=given.artifact_uri if is_remote(given.artifact_uri) else own, by=by,
        )  # fmt: skip
        number = owner.row_id
        run_records.set_end(tx, row, status=given.status, end_time=given.end_time)
        if given.lifecycle == "deleted":
            run_records.set_lifecycle(tx, row, "deleted")
    else:
        row, number, _ = head
        before = runs.info(tx, given.run_id)
        if before.status not in ENDED and given.status in ENDED:
            run_records.set_end(tx, row, status=given.status, end_time=given.end_time)
    refused = _params_and_tags(tx, row, number, given)
    for dataset in given.datasets:
        described = InputDataset(
            name=dataset.name, digest=dataset.digest, source_type=dataset.source_type, source=dataset.source,
            schema=dataset.schema, profile=dataset.profile, tags=dataset.tags,
        )  # fmt: skip
        kept = run_records.add_dataset(tx, number, described)
        run_records.add_input(tx, row, kept, context=dataset.tags.get(CONTEXT_TAG, ""), tags=dataset.tags)
    _model_uses(tx, row, given.models)
    return Adopted(id=given.run_id, added=added, artifact_uri=runs.info(tx, given.run_id).artifact_uri, refused=refused)


def points(tx: Tx, series: Sequence[MovedSeries]) -> int:
    """Add what is missing of some series; returns how many points were new.

    Raises:
        Missing: there is no such run.
        Invalid: a key is unusable, or the columns differ in length.
    """
    added = 0
    for one in series:
        if not len(one.at) == len(one.step) == len(one.value):
            raise Invalid(f"The columns of the series {one.key!r} differ in length. Send as many times as values.")
        limits.check_key("metric", one.key)
        before = runs.info(tx, one.run_id)
        values = [math.nan if value is None else value for value in one.value]
        if values:
            key = run_keys.intern(tx, one.key)
            given = packed.Columns(one.at, one.step, values)
            added += series_records.add_missing(tx, before.row, int(before.experiment_id), key, given)
    return added


def logged_model(tx: Tx, experiment_id: str, given: MovedModel, *, by: str) -> Adopted:
    """The logged model under its own id; when it is here already, what it lacks is added.

    Raises:
        Missing: there is no such experiment.
        Invalid: the id cannot be a model's.
    """
    limits.check_run_id(given.model_id)
    if given.status not in logged_models.STATUSES:
        raise Invalid(f"{given.status!r} is no status of a logged model. Use {', '.join(logged_models.STATUSES)}.")
    owner = experiments.get(tx, experiment_id)
    known = adoption_records.logged_model(tx, given.model_id)
    added = known is None
    if known is None:
        own = joined(owner.artifact_location, "models", given.model_id, "artifacts")
        row = logged_model_records.add(
            tx, model_id=given.model_id, experiment=owner.row_id, name=given.name or given.model_id,
            model_type=given.model_type, source_run_id=given.source_run_id,
            artifact_uri=given.artifact_uri if is_remote(given.artifact_uri) else own, by=by,
        )  # fmt: skip
        logged_model_records.set_status(tx, row, given.status)
    else:
        row = known[0]
    refused: list[str] = []
    tagged = adoption_records.logged_model_tags(tx, row)
    for key, value in given.tags.items():
        if key not in tagged and _acceptable("tag", key, value, refused):
            logged_model_records.set_tag(tx, row, key, value)
    for key, value in given.params.items():
        if _acceptable("param", key, value, refused):
            logged_model_records.add_param(tx, row, key, value)
    for one in given.metrics if known is None or known[1] == "active" else ():
        point = Point(one.at, one.step, packed.clamped(math.nan if one.value is None else one.value))
        logged_model_records.raise_metric(
            tx, given.model_id, one.key, point,
            run_id=one.run_id, dataset_name=one.dataset_name, dataset_digest=one.dataset_digest,
        )  # fmt: skip
    if added and given.created_at:
        adoption_records.set_logged_model_times(tx, row, given.created_at, given.updated_at or given.created_at)
    uri = adoption_records.logged_model_uri(tx, row)
    return Adopted(id=given.model_id, added=added, artifact_uri=uri, refused=refused)


def files(
    tx: Tx, artifact_uri: str, given: Sequence[MovedFile], *, by: str, guard: Callable[[Tx, str], None]
) -> BoundFiles:
    """Bind files below an artifact address of this store; those already bound to the same content are kept.

    ``guard`` is asked before a path is bound anew, and raises when it must stay as it is.

    Raises:
        Invalid: the address is not one of this store, or a path is not acceptable.
    """
    root = ours(artifact_uri)
    if root is None:
        raise Invalid(f"{artifact_uri[:200]!r} is in a store of your own; this server does not write there.")
    added = 0
    for file in given:
        path = f"{root}/{checked_path(file.path)}"
        before = artifact_records.find(tx, path)
        if before is None or before.digest != file.digest:
            guard(tx, path)
            artifacts.bind(tx, path=path, digest=file.digest, size=file.size, by=by)
            added += 1
    return BoundFiles(added=added, kept=len(given) - added)


def known_runs(tx: Tx, run_ids: Sequence[str]) -> list[str]:
    """Those of the ids that are runs here."""
    return adoption_records.known_runs(tx, run_ids)


def _experiment_tags(tx: Tx, found: Experiment, tags: Mapping[str, str]) -> list[str]:
    refused: list[str] = []
    for key, value in tags.items():
        if key not in found.tags and _acceptable("tag", key, value, refused):
            experiment_records.set_tag(tx, found.row_id, key, value)
    return refused


def _params_and_tags(tx: Tx, row: int, experiment: int, given: MovedRun) -> list[str]:
    refused: list[str] = []
    for key, value in given.params.items():
        if not _acceptable("param", key, value, refused):
            continue
        number = run_keys.intern(tx, key)
        before = run_records.param(tx, row, number)
        if before is None:
            run_records.add_param(tx, row, experiment, number, value)
        elif before != value:
            refused.append(f"param {key!r}: it has another value here")
    for key, value in (({NAME_TAG: given.name} if given.name else {}) | given.tags).items():
        if _acceptable("tag", key, value, refused) and run_records.tag(tx, row, key) is None:
            run_records.set_tag(tx, row, experiment, run_keys.intern(tx, key), value)
    return refused


def _model_uses(tx: Tx, row: int, models: Sequence[MovedModelUse]) -> None:
    for model in models:
        run_records.add_model(tx, row, RunModel(direction=model.direction, model_id=model.model_id, step=model.step))


def _acceptable(kind: str, key: str, value: str, refused: list[str]) -> bool:
    """Whether a key and value can be kept (longer ones than clients may send, too); why not goes to ``refused``."""
    try:
        limits.check_key(kind, key)
        limits.check_length(f"{kind.capitalize()} value", value, _LONGEST_VALUE)
        if "\0" in value:
            raise has_nul()
    except StileError as error:
        refused.append(f"{kind} {key[:80]!r}: {error.message}")
        return False
    return True
