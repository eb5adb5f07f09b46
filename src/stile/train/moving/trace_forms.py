"""Spans and assessments in the forms that MLflow keeps and sends them in, brought into ours and back.

Source: ``mlflow.entities.span`` and ``mlflow.entities.assessment``; tables ``spans`` and ``assessments``.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

from stile.train import spans
from stile.train.span_check import checked
from stile.train.trace_values import Assessment, Kind

Named = Mapping[str, Any]

_WHOLE = ("int_value", "start_time_unix_nano", "end_time_unix_nano", "time_unix_nano")
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_REQUEST = "mlflow.traceRequestId"
_SOURCE_RUN = "mlflow.assessment.sourceRunId"
_SESSION = "mlflow.trace.session"
_TOKENS = "mlflow.trace.tokenUsage"
_COST = "mlflow.trace.cost"
_TOKEN_COLUMNS = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)  # fmt: skip
_COST_COLUMNS = ("input_cost", "output_cost", "total_cost")


def kept_span(content: str) -> dict[str, Any]:
    """A span as a database keeps it: attributes are names and values, each value again as JSON."""
    kept = json.loads(content)
    span: dict[str, Any] = {
        name: kept[name] for name in ("trace_id", "span_id", "parent_span_id", "name") if kept[name]
    }
    for name in ("start_time_unix_nano", "end_time_unix_nano"):
        if kept.get(name):
            span[name] = str(kept[name])
    status = {name: value for name, value in (kept.get("status") or {}).items() if value}
    if status:
        span["status"] = status
    parts = {
        "attributes": _pairs({key: _decoded(value) for key, value in (kept.get("attributes") or {}).items()}),
        "events": [
            {"time_unix_nano": str(one["time_unix_nano"]), "name": one["name"]} | _attributes(one)
            for one in kept.get("events") or []
        ],
        "links": [
            {name: _packed(one[name]) for name in ("trace_id", "span_id") if one.get(name)} | _attributes(one)
            for one in kept.get("links") or []
        ],
    }
    return span | {name: several for name, several in parts.items() if several}


def sent_span(message: Any) -> Any:
    """A span as a server sends it, with 64-bit numbers as text."""
    if isinstance(message, dict):
        return {
            name: str(value) if name in _WHOLE and isinstance(value, int) else sent_span(value)
            for name, value in message.items()
        }
    return [sent_span(one) for one in message] if isinstance(message, list) else message


def kept_metadata(row: Named) -> dict[str, str]:
    """Metadata that newer databases keep in columns of the trace."""
    found = {_SESSION: row["session_id"]} if row.get("session_id") else {}
    for key, columns in ((_TOKENS, _TOKEN_COLUMNS), (_COST, _COST_COLUMNS)):
        told = {column: row[column] for column in columns if row.get(column) is not None}
        if told:
            found[key] = json.dumps(told)
    return found


def kept_assessment(row: Named) -> Assessment:
    """An assessment as a row."""
    kind, value = cast("Kind", row["assessment_type"]), json.loads(row["value"])
    if kind == "issue":
        body = {"issue_name": value.get("issue_name") if isinstance(value, dict) else value}
    elif kind == "expectation" and value is not None and not isinstance(value, bool | int | float | str):
        body = {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": row["value"]}}
    else:
        body = {"value": value} | ({"error": json.loads(row["error"])} if row.get("error") else {})
    return Assessment(
        assessment_id=row["assessment_id"], trace_id=row["trace_id"], kind=kind, name=row["name"], body=body,
        rationale=row.get("rationale") or "", source_type=row["source_type"], source_id=row.get("source_id") or "",
        span_id=row.get("span_id") or "", metadata=_texts(json.loads(row.get("assessment_metadata") or "{}")),
        overrides=row.get("overrides") or "", valid=bool(row["valid"]), created_at=row["created_timestamp"],
        updated_at=row["last_updated_timestamp"],
    )  # fmt: skip


def sent_assessment(given: Named) -> Assessment:
    """An assessment as a server sends it."""
    kinds: tuple[Kind, ...] = ("feedback", "expectation", "issue")
    kind = next(kind for kind in kinds if given.get(kind) is not None)
    source = given.get("source") or {}
    return Assessment(
        assessment_id=given.get("assessment_id", ""), trace_id=given.get("trace_id", ""), kind=kind,
        name=given.get("assessment_name", ""), body=given[kind], rationale=given.get("rationale") or "",
        source_type=source.get("source_type") or "SOURCE_TYPE_UNSPECIFIED", source_id=source.get("source_id") or "",
        span_id=given.get("span_id") or "", metadata=_texts(given.get("metadata") or {}),
        overrides=given.get("overrides") or "", valid=bool(given.get("valid", True)),
        created_at=milliseconds(given.get("create_time")), updated_at=milliseconds(given.get("last_update_time")),
    )  # fmt: skip


class SpanRow(NamedTuple):
    """A span as a database keeps it: ids in hexadecimal, times in ns, and all of it as JSON."""

    span_id: str
    parent_id: str | None
    name: str
    kind: str
    status: str
    start: int
    end: int | None
    content: str


def span_row(message: Named) -> SpanRow:
    """The span of a message of protocol-buffer JSON, as ``kept_span`` reads it.

    Raises:
        Invalid: it is no span.
    """
    span = spans.read(checked(message))
    attributes = {key: _dumped(_plain(value)) for key, value in _listed(message)}
    content = {
        "trace_id": _base64(span.trace_id), "span_id": _base64(span.span_id),
        "parent_span_id": _base64(span.parent_id) if span.parent_id else None, "name": span.name,
        "start_time_unix_nano": span.started, "end_time_unix_nano": span.ended or None,
        "events": [
            {"name": one.get("name", ""), "time_unix_nano": int(one.get("time_unix_nano") or 0),
             "attributes": {key: _plain(value) for key, value in _listed(one)}}
            for one in message.get("events") or []
        ],
        "status": {
            "code": f"STATUS_CODE_{span.status}", "message": str((message.get("status") or {}).get("message") or ""),
        },
        "attributes": {_REQUEST: _dumped(f"tr-{span.trace_id}")} | attributes,
        "links": [
            {"trace_id": "tr-" + _hex(one.get("trace_id")), "span_id": _hex(one.get("span_id")),
             "attributes": {key: _plain(value) for key, value in _listed(one)} or None}
            for one in message.get("links") or []
        ],
    }  # fmt: skip
    return SpanRow(
        span_id=span.span_id, parent_id=span.parent_id or None, name=span.name, kind=span.type, status=span.status,
        start=span.started, end=span.ended or None, content=_dumped(content),
    )  # fmt: skip


def assessment_row(given: Assessment, trace_id: str) -> tuple[Any, ...]:
    """The columns of the table ``assessments``, in their order."""
    if given.kind == "issue":
        value = _dumped(given.body)
    elif isinstance(serialized := given.body.get("serialized_value"), dict):
        value = str(serialized.get("value"))
    else:
        value = _dumped(given.body.get("value"))
    error = given.body.get("error")
    return (
        given.assessment_id, trace_id, given.name, given.kind, value, _dumped(error) if error else None,
        given.created_at, given.updated_at, given.source_type, given.source_id or None,
        given.metadata.get(_SOURCE_RUN), given.span_id or None, given.rationale or None, given.overrides or None,
        given.valid, _dumped(given.metadata) if given.metadata else None,
    )  # fmt: skip


def milliseconds(time: str | None) -> int:
    """A time as protocol buffers write it, in ms since 1970 UTC; 0 when there is none."""
    return round(datetime.fromisoformat(time).timestamp() * 1000) if time else 0


def length(took: str | None) -> int | None:
    """A length of time as protocol buffers write it (``1.5s``), in ms."""
    return round(float(took.removesuffix("s")) * 1000) if took else None


def _packed(id: str) -> str:
    """An id as links of a kept span have it, ``tr-`` and digits, in base64."""
    try:
        return base64.b64encode(bytes.fromhex(id.removeprefix("tr-"))).decode()
    except ValueError:
        return id


def _decoded(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _attributes(one: Named) -> dict[str, Any]:
    return {"attributes": _pairs(one["attributes"])} if one.get("attributes") else {}


def _pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _typed(value)} for key, value in values.items()]


def _typed(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, int):
        return {"int_value": str(value)}
    if isinstance(value, float):
        return {"double_value": value if math.isfinite(value) else _WORDS[str(value)]}
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, Mapping):
        return {"kvlist_value": {"values": _pairs(value)}}
    return {"array_value": {"values": [_typed(item) for item in cast("Iterable[Any]", value)]}}


def _texts(pairs: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in pairs.items()}


def _listed(one: Named) -> list[tuple[str, Any]]:
    return [(pair["key"], pair.get("value")) for pair in one.get("attributes") or []]


def _plain(value: Any) -> Any:
    """A typed value as a plain one; a number that JSON has no form for comes as a word."""
    found: Iterable[tuple[str, Any]] = (value or {}).items()
    kind, inner = next(iter(found), ("", None))
    if kind == "double_value":
        return float(cast("float", inner))
    if kind == "array_value":
        return [_plain(item) for item in cast("Named", inner).get("values") or []]
    if kind == "kvlist_value":
        return {pair["key"]: _plain(pair.get("value")) for pair in cast("Named", inner).get("values") or []}
    return int(cast("str", inner)) if kind == "int_value" else inner


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def _hex(id: Any) -> str:
    """An id in base64 as hexadecimal digits; one of another form as it is."""
    try:
        return base64.b64decode(id, validate=True).hex()
    except (TypeError, ValueError):
        return str(id or "")
