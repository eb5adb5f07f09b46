"""The forms of MLflow's messages: requests decoded leniently, answers built from our values.

Bodies are JSON renderings of protocol buffers: unknown fields are ignored, 64-bit numbers come as
numbers or text, NaN and infinities as text, null means not given.
Source: ``mlflow/protos/service.proto`` and ``model_registry.proto`` of MLflow 3.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from stile.kernel.errors import Invalid
from stile.train.artifacts import ListedEntry
from stile.train.experiment_records import Experiment
from stile.train.limits import check_time
from stile.train.logged_model_records import LoggedModel
from stile.train.points import Columns, Piece, Point, piece
from stile.train.run_records import Logged, gathered
from stile.train.run_values import InputDataset, Run, RunInfo, RunModel

T = TypeVar("T", bound=msgspec.Struct)
Json = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_encode_into = msgspec.json.Encoder().encode_into
_COMMA = ord(",")
_JSON = "application/json"
_PART = 10_000


class Pair(msgspec.Struct, gc=False):
    """A tag or parameter as sent."""

    key: str = ""
    value: str = ""


class MetricIn(msgspec.Struct, gc=False):
    """A metric point as sent."""

    key: str = ""
    value: float | str = ""
    timestamp: int = 0
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""

    def point(self) -> Point:
        """The point.

        Raises:
            Invalid: its value is no number.
        """
        return Point(self.timestamp, self.step, number(self.value))


def pieces(metrics: Iterable[MetricIn]) -> dict[str, Piece]:
    """Points packed by key.

    Raises:
        Invalid: a value is no number, or a time or step does not fit 64 bits.
    """
    by_key: defaultdict[str, list[MetricIn]] = defaultdict(list)
    for metric in metrics:
        by_key[metric.key].append(metric)
    return {key: _piece(found) for key, found in by_key.items()}


@lru_cache(maxsize=64)
def _decoder(kind: type[T]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)


def decode(body: bytes, kind: type[T]) -> T:
    """A body as ``kind``.

    Raises:
        Invalid: it is not JSON, or a field cannot be what it must be.
    """
    try:
        decoded: T = _decoder(kind).decode(body or b"{}")
        return decoded
    except msgspec.ValidationError:
        return _without_nulls(body, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error


def number(value: float | str) -> float:
    """A metric's value, which JSON cannot always carry as a number.

    Raises:
        Invalid: it is not a number.
    """
    if not isinstance(value, str):
        return value if type(value) is float else _of_int(value)
    try:
        return float(value)
    except ValueError:
        raise Invalid(f"Invalid value {value[:80]!r} for parameter 'value' supplied: it must be a number.") from None


def _of_int(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Invalid("Invalid value for parameter 'value' supplied: it is too large for a number.") from None


def need(value: str, name: str) -> str:
    """A required text.

    Raises:
        Invalid: it was not given.
    """
    if not value:
        raise Invalid(f"Missing value for required parameter '{name}'. See the API docs for more information.")
    return value


def reply(value: Json) -> Response:
    """An answer."""
    return Response(_encode(value), media_type=_JSON)


def done() -> Response:
    """The answer of calls that have nothing to say."""
    return Response(b"{}", media_type=_JSON)


def float_out(value: float) -> float | str:
    """A number as JSON carries it: NaN as text."""
    return value if value == value else "NaN"  # noqa: PLR0124  only NaN differs from itself


def pairs(items: dict[str, str] | Iterable[tuple[str, str]]) -> list[Json]:
    """Tags or parameters."""
    rows = items.items() if isinstance(items, dict) else items
    return [{"key": key, "value": value} for key, value in rows]


def experiment(found: Experiment) -> Json:
    """An Experiment message."""
    return {
        "experiment_id": found.experiment_id,
        "name": found.name,
        "artifact_location": found.artifact_location,
        "lifecycle_stage": found.lifecycle,
        "creation_time": found.created_at,
        "last_update_time": found.updated_at,
        "tags": pairs(found.tags),
    }


def run_info(info: RunInfo) -> Json:
    """A RunInfo message."""
    out: Json = {
        "run_id": info.run_id,
        "run_uuid": info.run_id,
        "run_name": info.name,
        "experiment_id": info.experiment_id,
        "user_id": info.user_id,
        "status": info.status,
        "start_time": info.start_time,
        "artifact_uri": info.artifact_uri,
        "lifecycle_stage": info.lifecycle,
    }
    if info.end_time is not None:
        out["end_time"] = info.end_time
    return out


def run(found: Run) -> Json:
    """A Run message."""
    return _run(
        found.info,
        (
            [MetricOut(m.key, float_out(m.value), m.at, m.step) for m in found.metrics],
            [Pair(key, value) for key, value in found.params],
            [Pair(key, value) for key, value in found.tags],
        ),
        found.datasets,
        found.models,
    )


def runs(found: Logged) -> list[Json]:
    """Run messages, made of rows."""
    return [_run(*one) for one in gathered(found, _latest, Pair)]


def _latest(key: str, value: float | None, step: int, at: int) -> MetricOut:
    return MetricOut(key, "NaN" if value is None else value, at, step)


def _run(
    info: RunInfo,
    data: tuple[list[MetricOut], list[Pair], list[Pair]],
    datasets: list[InputDataset],
    models: list[RunModel],
) -> Json:
    metrics, params, tags = data
    out: Json = {
        "info": run_info(info),
        "data": {"metrics": metrics, "params": params, "tags": tags},
        "inputs": {"dataset_inputs": [], "model_inputs": []},
        "outputs": {"model_outputs": []},
    }
    if datasets:
        out["inputs"]["dataset_inputs"] = [_dataset_input(dataset) for dataset in datasets]
    if models:
        read = [{"model_id": m.model_id} for m in models if m.direction == "input"]
        made = [{"model_id": m.model_id, "step": m.step} for m in models if m.direction == "output"]
        out["inputs"]["model_inputs"] = read
        out["outputs"]["model_outputs"] = made
    return out


def _dataset_input(found: InputDataset) -> Json:
    return {
        "tags": pairs(found.tags),
        "dataset": {
            "name": found.name,
            "digest": found.digest,
            "source_type": found.source_type,
            "source": found.source,
            "schema": found.schema,
            "profile": found.profile,
        },
    }


class MetricOut(msgspec.Struct, gc=False):
    """A Metric message."""

    key: str
    value: float | str
    timestamp: int
    step: int


class MetricOfRun(MetricOut, gc=False):
    """A Metric message that names its run, where it is not plain which."""

    run_id: str


def points(key: str, columns: Columns, run_id: str = "") -> Sequence[MetricOut]:
    """Metric messages of one series."""
    times, steps, values = columns
    sent: Iterable[float | str] = values if math.isfinite(sum(values)) else map(float_out, values)
    if run_id:
        return list(map(MetricOfRun, repeat(key), sent, times, steps, repeat(run_id)))
    return list(map(MetricOut, repeat(key), sent, times, steps))


def metrics(found: Sequence[MetricOut], next_page_token: str = "") -> bytearray:
    """The answer with some points, encoded in parts so that other threads get their turn in between."""
    out = bytearray(b'{"metrics":[]')
    for start in range(0, len(found), _PART):
        end = len(out) - 1
        _encode_into(found[start : start + _PART], out, end if start else end - 1)
        if start:
            out[end] = _COMMA  # was the bracket that ended the part before
    if next_page_token:
        out += b',"next_page_token":' + _encode(next_page_token)
    out += b"}"
    return out


def files(found: Iterable[ListedEntry], below: str = "") -> list[Json]:
    """FileInfo messages, their names put below a folder."""
    prefix = below.rstrip("/") + "/" if below else ""
    return [
        {"path": prefix + entry.name, "is_dir": entry.is_folder}
        | ({} if entry.size is None else {"file_size": entry.size})
        for entry in found
    ]


def logged_model(found: LoggedModel, registrations: Iterable[tuple[str, int]] = ()) -> Json:
    """A LoggedModel message."""
    return {
        "info": {
            "model_id": found.model_id,
            "experiment_id": found.experiment_id,
            "name": found.name,
            "creation_timestamp_ms": found.created_at,
            "last_updated_timestamp_ms": found.updated_at,
            "artifact_uri": found.artifact_uri,
            "status": found.status,
            "model_type": found.model_type,
            "source_run_id": found.source_run_id,
            "tags": pairs(found.tags),
            "registrations": [{"name": name, "version": str(version)} for name, version in registrations],
        },
        "data": {
            "params": pairs(found.params),
            "metrics": [
                {
                    "key": m.key,
                    "value": float_out(m.value),
                    "timestamp": m.at,
                    "step": m.step,
                    "run_id": m.run_id,
                    "model_id": found.model_id,
                }
                | ({"dataset_name": m.dataset_name, "dataset_digest": m.dataset_digest} if m.dataset_name else {})
                for m in found.metrics
            ],
        },
    }


def _piece(metrics: list[MetricIn]) -> Piece:
    values: list[Any] = [metric.value for metric in metrics]
    if set(map(type, values)) != {float}:
        values = list(map(number, values))
    times = [metric.timestamp for metric in metrics]
    check_time(metrics[0].key, min(times))
    return piece(Columns(times, [metric.step for metric in metrics], values))


def _without_nulls(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.convert(_stripped(msgspec.json.decode(body)), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"Invalid value for a parameter supplied: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value
