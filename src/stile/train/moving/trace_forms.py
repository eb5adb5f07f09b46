"""Spans and assessments in the forms that MLflow keeps and sends them in, brought into ours.

Source: ``mlflow.entities.span`` and ``mlflow.entities.assessment``; tables ``spans`` and ``assessments``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from stile.train.trace_values import Assessment, Kind

Named = Mapping[str, Any]

_WHOLE = ("int_value", "start_time_unix_nano", "end_time_unix_nano", "time_unix_nano")
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
        return {"double_value": value}
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, Mapping):
        return {"kvlist_value": {"values": _pairs(value)}}
    return {"array_value": {"values": [_typed(item) for item in cast("Iterable[Any]", value)]}}


def _texts(pairs: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in pairs.items()}
