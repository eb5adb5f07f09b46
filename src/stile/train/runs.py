"""Verbs on runs: begin, log, end, delete, read.

Everything a batch carries is written in one transaction: one refused parameter takes the whole batch back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stile.kernel.errors import Invalid, Missing
from stile.store.database import Tx
from stile.train import experiments, limits, logged_model_records, run_keys, run_records, series_records
from stile.train import points as packed
from stile.train.artifact_paths import joined
from stile.train.events import RunFinished
from stile.train.points import Columns, Piece, Point
from stile.train.run_values import (
    CONTEXT_TAG,
    ENDED,
    NAME_TAG,
    STATUSES,
    USER_TAG,
    InputDataset,
    Run,
    RunInfo,
    RunModel,
)

_MODELS_TAG = "mlflow.log-model.history"
_FIRST = (
    "able", "bold", "brave", "bright", "calm", "clever", "eager", "fair", "fond", "gentle", "glad", "keen", "kind",
    "lucky", "merry", "nimble", "proud", "quick", "sure", "wise",
)  # fmt: skip
_SECOND = (
    "auk", "bee", "crane", "deer", "elk", "finch", "fox", "gull", "hare", "ibis", "jay", "kite", "lark", "mole",
    "newt", "owl", "pike", "quail", "rook", "seal", "toad", "wren", "yak",
)  # fmt: skip


def create(
    tx: Tx,
    *,
    experiment_id: str,
    by: str,
    user_id: str = "",
    name: str = "",
    start_time: int | None = None,
    tags: Iterable[tuple[str, str]] = (),
) -> Run:
    """Begin a run.

    Raises:
        Missing: there is no such experiment.
        Invalid: the experiment is deleted, or the name and the tag ``mlflow.runName`` disagree.
    """
    experiment = experiments.active(tx, experiment_id)
    given = dict(tags)
    for key, value in given.items():
        limits.check_key("tag", key)
        given[key] = limits.cut(value, limits.TAG_VALUE_LENGTH)
    tagged = given.get(NAME_TAG, "")
    if name and tagged and name != tagged:
        raise Invalid(
            f"Both 'run_name' ({name!r}) and the tag {NAME_TAG} ({tagged!r}) are given with different values. Give one."
        )
    run_id = tx.new_hex()
    name = name or tagged or _readable_name(run_id)
    limits.check_length("Run name", name, limits.TAG_VALUE_LENGTH)
    given[NAME_TAG] = name
    user_id = user_id or given.get(USER_TAG, "") or by
    start_time = start_time if start_time is not None else tx.now_ms()
    artifact_uri = joined(experiment.artifact_location, run_id, "artifacts")
    row = run_records.add(
        tx, run_id=run_id, experiment=experiment.row_id, name=name, user_id=user_id, start_time=start_time,
        artifact_uri=artifact_uri, by=by,
    )  # fmt: skip
    for key, number in run_keys.intern_all(tx, given).items():
        run_records.set_tag(tx, row, experiment.row_id, number, given[key])
    made = RunInfo(
        row=row, run_id=run_id, experiment_id=str(experiment.row_id), name=name, user_id=user_id, status="RUNNING",
        start_time=start_time, end_time=None, artifact_uri=artifact_uri, lifecycle="active", created_by=by,
    )  # fmt: skip
    return Run(info=made, metrics=[], params=[], tags=sorted(given.items()), datasets=[], models=[])


def get(tx: Tx, run_id: str) -> Run:
    """The run with all that was logged, deleted or not.

    Raises:
        Missing: there is no such run.
    """
    return run_records.load(tx, [_head(tx, run_id)[0]])[0]


def exists(tx: Tx, run_id: str) -> bool:
    """Whether there is such a run, deleted or not."""
    return run_records.head(tx, run_id) is not None


def info(tx: Tx, run_id: str) -> RunInfo:
    """Who a run is.

    Raises:
        Missing: there is no such run.
    """
    found = run_records.info(tx, run_id)
    if found is None:
        raise _no_run(run_id)
    return found


def update(tx: Tx, run_id: str, *, status: str = "", end_time: int | None = None, name: str = "") -> RunInfo:
    """Change status, end or name of an active run; announces the end of a run."""
    row, experiment = active(tx, run_id)
    before = info(tx, run_id)
    if status:
        if status not in STATUSES:
            raise Invalid(f"Invalid value {status!r} for parameter 'status'. It is one of {', '.join(STATUSES)}.")
        run_records.set_end(tx, row, status=status, end_time=end_time)
        if status in ENDED and before.status not in ENDED:
            tx.emit(RunFinished(run_id=run_id, experiment_id=str(experiment), status=status))
    elif end_time is not None:
        run_records.set_end(tx, row, status=before.status, end_time=end_time)
    if name:
        set_tag(tx, run_id, NAME_TAG, name)
    return info(tx, run_id)


def delete(tx: Tx, run_id: str) -> None:
    """Put a run aside; ``restore`` brings it back."""
    run_records.set_lifecycle(tx, _head(tx, run_id)[0], "deleted")


def restore(tx: Tx, run_id: str) -> None:
    """Bring a deleted run back.

    Raises:
        Invalid: its experiment is deleted.
    """
    row, experiment, _ = _head(tx, run_id)
    experiments.active(tx, str(experiment))
    run_records.set_lifecycle(tx, row, "active")


def log_metric(tx: Tx, run_id: str, key: str, point: Point) -> None:
    """One point of one metric."""
    limits.check_key("metric", key)
    limits.check_time(key, point.at)
    place = series_records.place(tx, run_id, key)
    if place is None or place.lifecycle != "active":
        active(tx, run_id)  # says why not
        raise _no_run(run_id)
    number = run_keys.intern(tx, key) if place.key is None else place.key
    one = packed.piece(Columns((point.at,), (point.step,), (point.value,)))
    series_records.append(tx, place.run, place.experiment, {number: one}, last={number: place.last_chunk})


def log_model_metric(
    tx: Tx, run_id: str, key: str, point: Point, *, model_id: str, dataset_name: str = "", dataset_digest: str = ""
) -> None:
    """One point of a metric that was measured for a logged model: kept with the run and with the model."""
    log_metric(tx, run_id, key, point)
    logged_model_records.raise_metric(
        tx, model_id, key, point, run_id=run_id, dataset_name=dataset_name, dataset_digest=dataset_digest
    )


def log_param(tx: Tx, run_id: str, key: str, value: str) -> None:
    """A parameter; it may be logged again with the same value only."""
    row, experiment = active(tx, run_id)
    _put_param(tx, row, experiment, key, value)


def set_tag(tx: Tx, run_id: str, key: str, value: str) -> None:
    """One tag; the tag ``mlflow.runName`` is the run's name."""
    row, experiment = active(tx, run_id)
    _put_tag(tx, row, experiment, key, value)


def drop_tag(tx: Tx, run_id: str, key: str) -> None:
    """Take a tag away.

    Raises:
        Missing: the run has no such tag.
    """
    row, _ = active(tx, run_id)
    number = run_keys.find(tx, key)
    if number is None or not run_records.drop_tag(tx, row, number):
        raise Missing(f"No tag with name: {key} in run with id {run_id}.")


def log_batch(
    tx: Tx,
    run_id: str,
    *,
    metrics: Mapping[str, Piece] | None = None,
    params: Sequence[tuple[str, str]] = (),
    tags: Sequence[tuple[str, str]] = (),
) -> None:
    """Many metrics (points of each series packed), params and tags, all or none."""
    metrics = metrics or {}
    limits.check_batch(sum(piece.size for piece in metrics.values()), len(params), len(tags))
    row, experiment = active(tx, run_id)
    if len({key for key, _ in params}) != len(params):
        twice = sorted(key for key, count in Counter(key for key, _ in params).items() if count > 1)
        raise Invalid(f"Duplicate parameter keys have been submitted: {twice[:5]}. Nothing was stored.")
    for key, value in params:
        _put_param(tx, row, experiment, key, value)
    for key in metrics:
        limits.check_key("metric", key)
    if metrics:
        numbers = run_keys.intern_all(tx, metrics)
        series_records.append(tx, row, experiment, {numbers[key]: piece for key, piece in metrics.items()})
    for key, value in tags:
        _put_tag(tx, row, experiment, key, value)


def log_inputs(tx: Tx, run_id: str, *, datasets: Sequence[InputDataset] = (), models: Sequence[str] = ()) -> None:
    """Say what a run has read."""
    if len(datasets) > limits.DATASETS_PER_CALL:
        raise Invalid(f"At most {limits.DATASETS_PER_CALL} datasets per call; got {len(datasets)}.")
    row, experiment = active(tx, run_id)
    for dataset in datasets:
        limits.check_length("Dataset name", dataset.name, 500)
        limits.check_length("Dataset digest", dataset.digest, 36)
        limits.check_length("Dataset schema", dataset.schema, 1_048_575)
        for key, value in dataset.tags.items():
            limits.check_length("Input tag key", key, 255)
            limits.check_length("Input tag value", value, 500)
        number = run_records.add_dataset(tx, experiment, dataset)
        run_records.add_input(tx, row, number, context=dataset.tags.get(CONTEXT_TAG, ""), tags=dataset.tags)
    for model_id in models:
        run_records.add_model(tx, row, RunModel(direction="input", model_id=model_id))


def log_outputs(tx: Tx, run_id: str, models: Sequence[tuple[str, int]]) -> None:
    """Say which logged models a run has made, each at a step."""
    row, _ = active(tx, run_id)
    for model_id, step in models:
        run_records.add_model(tx, row, RunModel(direction="output", model_id=model_id, step=step))


def record_model(tx: Tx, run_id: str, described: Mapping[str, Any]) -> None:
    """Add a model's description to the run's tag ``mlflow.log-model.history``, as older clients do."""
    row, experiment = active(tx, run_id)
    before = run_records.tag(tx, row, _MODELS_TAG)
    listed = json.loads(before) if before else []
    limits.check_length("Model description", text := json.dumps([*listed, described]), 1_000_000)
    run_records.set_tag(tx, row, experiment, run_keys.intern(tx, _MODELS_TAG), text)


def history(tx: Tx, run_id: str, key: str) -> list[Point]:
    """All points of a metric by (time, step, value); empty when it was never logged."""
    return list(map(Point, *columns(tx, run_id, key)))


def columns(tx: Tx, run_id: str, key: str) -> Columns:
    """The same with each field apart, which is much cheaper for a long history."""
    row = _head(tx, run_id)[0]
    number = run_keys.find(tx, key)
    return Columns([], [], []) if number is None else series_records.columns(tx, row, number)


def curve(tx: Tx, run_id: str, key: str, *, most: int = 320) -> list[Point]:
    """A metric's history thinned to at most ``most`` points for drawing: ends, and least and greatest between."""
    return packed.sampled(history(tx, run_id, key), most)


def active(tx: Tx, run_id: str) -> tuple[int, int]:
    """(number, experiment number) of a run that may be written to.

    Raises:
        Missing: there is no such run.
        Invalid: it is deleted.
    """
    row, experiment, lifecycle = _head(tx, run_id)
    if lifecycle != "active":
        raise Invalid(f"The run {run_id} must be in the 'active' state. It is deleted: restore it first.")
    return row, experiment


def _head(tx: Tx, run_id: str) -> tuple[int, int, str]:
    found = run_records.head(tx, run_id)
    if found is None:
        limits.check_run_id(run_id)
        raise _no_run(run_id)
    return found


def _put_param(tx: Tx, row: int, experiment: int, key: str, value: str) -> None:
    limits.check_key("param", key)
    value = limits.cut(value, limits.PARAM_VALUE_LENGTH)
    number = run_keys.intern(tx, key)
    before = run_records.param(tx, row, number)
    if before is None:
        run_records.add_param(tx, row, experiment, number, value)
    elif before != value:
        raise Invalid(
            f"Changing param values is not allowed. Param with key='{key}' was already logged with value='{before}' "
            f"and cannot become '{value}'. Log it under another name, or start a new run."
        )


def _put_tag(tx: Tx, row: int, experiment: int, key: str, value: str) -> None:
    limits.check_key("tag", key)
    if key == NAME_TAG and not value:
        return  # a run has a name; an empty one changes nothing, as in MLflow
    value = limits.cut(value, limits.TAG_VALUE_LENGTH)
    run_records.set_tag(tx, row, experiment, run_keys.intern(tx, key), value)
    if key == NAME_TAG:
        run_records.set_name(tx, row, value)


def _readable_name(run_id: str) -> str:
    rest, number = divmod(int(run_id[-12:], 16), 1000)
    rest, second = divmod(rest, len(_SECOND))
    return f"{_FIRST[rest % len(_FIRST)]}-{_SECOND[second]}-{number}"


def _no_run(run_id: str) -> Missing:
    return Missing(f"Run with id={run_id} not found.")
