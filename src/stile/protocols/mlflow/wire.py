"""The forms of MLflow's messages: requests decoded leniently, answers built from our values.

Bodies are JSON renderings of protocol buffers: unknown fields are ignored, 64-bit numbers come as
numbers or text, NaN and infinities as text, null means not given, and a field may be named as in the
protocol (``run_id``) or in camel case (``runId``). Old clients send the whole as a text in JSON.
Source: ``mlflow/protos/service.proto`` and ``model_registry.proto`` of MLflow 3.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, TypeVar, get_args

import msgspec
from starlette.responses import Response

from stile.edge.json_body import refuse_costly
from stile.kernel.errors import Invalid
from stile.store.database import Row
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
_MOST_OBJECTS, _MOST_VALUES = 20_000, 200_000  # a thousand datasets or points with all that belongs to them, and more


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


@lru_cache(maxsize=256)
def _decoder(kind: type[T]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)


@lru_cache(maxsize=256)
def _snakes(kind: Any) -> tuple[tuple[str, Any], ...]:
    """The fields of a message whose names differ in camel case, and what they are when they were not sent."""
    return tuple(
        (field.name, field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory())
        for field in msgspec.structs.fields(kind)
        if "_" in field.name
    )


@lru_cache(maxsize=256)
def _camels(kind: Any) -> tuple[bytes, ...]:
    """The names, as quoted in JSON, that fields of a message and of its parts have in camel case only."""
    found: dict[bytes, None] = {}
    for name, inner in _fields(kind).items():
        if "_" in name:
            found[f'"{_camel(name)}"'.encode()] = None
        found.update(dict.fromkeys(_camels(inner)))
    return tuple(found)


@lru_cache(maxsize=256)
def _fields(kind: Any) -> dict[str, Any]:
    """The fields of a message, and the message each is made of (None when it is made of none)."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return {}
    return {field.name: _message_in(field.type) for field in msgspec.structs.fields(kind)}


def _message_in(annotated: Any) -> Any:
    if isinstance(annotated, type) and issubclass(annotated, msgspec.Struct):
        return annotated
    inner = (_message_in(argument) for argument in get_args(annotated))
    return next((found for found in inner if found is not None), None)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def decode(body: bytes, kind: type[T]) -> T:
    """A body as ``kind``.

    Raises:
        Invalid: it is not JSON, holds too many values, or a field cannot be what it must be.
    """
    refuse_costly(body, objects=_MOST_OBJECTS, values=_MOST_VALUES)
    try:
        decoded: T = _decoder(kind).decode(body or b"{}")
    except msgspec.ValidationError:
        return _leniently(body, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error
    for name, unset in _snakes(kind):
        if getattr(decoded, name) != unset:
            return decoded  # who names one field as in the protocol names all of them so
    return _leniently(body, kind) if any(name in body for name in _camels(kind)) else decoded


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


class InfoOut(msgspec.Struct, gc=False):
    """A RunInfo message."""

    run_id: str
    run_uuid: str
    run_name: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    artifact_uri: str
    lifecycle_stage: str
    end_time: int | msgspec.UnsetType = msgspec.UNSET


class _Data(msgspec.Struct, gc=False):
    metrics: list[MetricOut]
    params: list[Pair]
    tags: list[Pair]


class RunOut(msgspec.Struct, gc=False):
    """A Run message."""

    info: InfoOut
    data: _Data
    inputs: Json | msgspec.Raw
    outputs: Json | msgspec.Raw


_NO_INPUTS = msgspec.Raw(b'{"dataset_inputs":[],"model_inputs":[]}')
_NO_OUTPUTS = msgspec.Raw(b'{"model_outputs":[]}')


def run_info(info: RunInfo) -> InfoOut:
    """A RunInfo message."""
    return _info(msgspec.structs.astuple(info))


def run(found: Run) -> RunOut:
    """A Run message."""
    metrics = [MetricOut(m.key, float_out(m.value), m.at, m.step) for m in found.metrics]
    data = _Data(metrics, [Pair(*each) for each in found.params], [Pair(*each) for each in found.tags])
    return _run(run_info(found.info), data, found.datasets, found.models)


def runs(found: Iterable[Logged], next_page_token: str = "") -> bytearray:
    """The answer with some runs, made of rows and encoded in parts: each while its rows are at hand."""
    parts = (
        [
            _run(_info(info), _Data(*data), datasets, models)
            for info, data, datasets, models in gathered(part, _latest, _pairs)
        ]
        for part in found
    )
    return _in_parts(b'{"runs":[]', parts, next_page_token)


def _latest(
    key: str, values: Sequence[float | None], steps: Sequence[int], times: Sequence[int]
) -> Iterable[MetricOut]:
    sent: Iterable[Any] = ("NaN" if value is None else value for value in values) if None in values else values
    return map(MetricOut, repeat(key), sent, times, steps)


def _pairs(key: str, values: Sequence[str]) -> Iterable[Pair]:
    return map(Pair, repeat(key), values)


def _info(row: Row) -> InfoOut:
    """A RunInfo message of the fields of a ``RunInfo``."""
    _, run_id, experiment, name, user_id, status, start_time, end_time, artifact_uri, lifecycle, _ = row
    return InfoOut(
        run_id, run_id, name, str(experiment), user_id, status, start_time, artifact_uri, lifecycle,
        msgspec.UNSET if end_time is None else end_time,
    )  # fmt: skip


def _run(info: InfoOut, data: _Data, datasets: list[InputDataset], models: list[RunModel]) -> RunOut:
    if not datasets and not models:
        return RunOut(info, data, _NO_INPUTS, _NO_OUTPUTS)
    read = [{"model_id": m.model_id} for m in models if m.direction == "input"]
    made = [{"model_id": m.model_id, "step": m.step} for m in models if m.direction == "output"]
    inputs = {"dataset_inputs": [_dataset_input(dataset) for dataset in datasets], "model_inputs": read}
    return RunOut(info, data, inputs, {"model_outputs": made})


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


def points(key: str, columns: Columns, run_id: str = "") -> Iterator[Sequence[MetricOut]]:
    """Metric messages of one series, some at a time: each is many times as large as a point."""
    for start in range(0, len(columns.times), _PART):
        times, steps, values = columns.part(start, start + _PART)
        sent: Iterable[float | str] = values if math.isfinite(sum(values)) else map(float_out, values)
        if run_id:
            yield list(map(MetricOfRun, repeat(key), sent, times, steps, repeat(run_id)))
        else:
            yield list(map(MetricOut, repeat(key), sent, times, steps))


def metrics(parts: Iterable[Sequence[MetricOut]], next_page_token: str = "") -> bytearray:
    """The answer with the points of some series, encoded so that other threads get their turn in between."""
    return _in_parts(b'{"metrics":[]', parts, next_page_token)


def _in_parts(empty: bytes, parts: Iterable[Sequence[Any]], next_page_token: str) -> bytearray:
    """The answer that begins with ``empty``, which ends in an empty list: the parts are put into it, one by one."""
    out = bytearray(empty)
    filled = False
    for part in parts:
        end = len(out) - 1
        _encode_into(part, out, end if filled else end - 1)
        if filled:
            out[end] = _COMMA  # was the bracket that ended the part before
        filled = True
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


def _leniently(body: bytes, kind: type[T]) -> T:
    try:
        sent = msgspec.json.decode(body)
        if isinstance(sent, str):
            refuse_costly(sent.encode(), objects=_MOST_OBJECTS, values=_MOST_VALUES)
            sent = msgspec.json.decode(sent)
        return msgspec.convert(_named(_stripped(sent), kind), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"Invalid value for a parameter supplied: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error


def _named(value: Any, kind: Any) -> Any:
    """What was sent, with fields of messages named as in the protocol; what maps hold is left alone."""
    if isinstance(value, list):
        return [_named(item, kind) for item in value]
    if not isinstance(value, dict) or kind is None:
        return value
    fields = _fields(kind)
    known = {_camel(name): name for name in fields}
    renamed = {name: item for name, item in value.items() if name in fields}
    for name, item in value.items():
        renamed.setdefault(known.get(name, name), item)
    return {name: _named(item, fields.get(name)) for name, item in renamed.items()}


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    return value
