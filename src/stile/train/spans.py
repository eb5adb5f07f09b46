"""Spans: the steps of a trace, as OpenTelemetry describes them, and the tree they make.

A span is kept as the JSON of its protocol buffer: names in snake_case, ids in base64, 64-bit
numbers as text, attributes as typed values. So it is given back as it came, and nothing is lost.
Source: ``opentelemetry/proto/trace/v1/trace.proto`` and its JSON mapping.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from stile.kernel.errors import Invalid
from stile.train.trace_values import INPUTS, OUTPUTS, SPAN_TYPE

NAME_LENGTH = 4096
BODY_BYTES = 4 << 20
SPANS_PER_TRACE = 20_000
_MOST_NS = 2**63 - 1
STATUSES = {0: "UNSET", 1: "OK", 2: "ERROR"}
_STATUS_NAMES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a trace.

    Attributes:
        trace_id: 32 hexadecimal digits; ``span_id`` and ``parent_id`` 16, '' for the root's parent.
        status: UNSET, OK or ERROR.
        started, ended: ns since 1970 UTC; ``ended`` 0 while it is open.
        body: the whole span as JSON.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    type: str
    status: str
    started: int
    ended: int
    body: str


class Branch(NamedTuple):
    """A span in the tree: how deep it lies, and where it lies in the trace's time (fractions of 1)."""

    span: Span
    depth: int
    start: float
    width: float


def read(message: Mapping[str, Any]) -> Span:
    """The span in a message of protocol-buffer JSON as described above.

    Raises:
        Invalid: an id, a time or the name cannot be used, or it is too large; says which.
    """
    trace_id = _id(message.get("trace_id"), "trace_id", 16)
    span_id = _id(message.get("span_id"), "span_id", 8)
    parent = message.get("parent_span_id")
    name = message.get("name") or ""
    if not isinstance(name, str) or len(name) > NAME_LENGTH:
        raise Invalid(f"A span's name must be text of at most {NAME_LENGTH} characters.")
    body = msgspec.json.encode(message).decode()
    if len(body) > BODY_BYTES:
        raise Invalid(f"The span {name[:80]!r} is larger than {BODY_BYTES} bytes. Log large values as artifacts.")
    given = values(message)
    kind = given.get(SPAN_TYPE)
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_id(parent, "parent_span_id", 8) if parent else "",
        name=searchable(name),
        type=searchable(kind[:250]) if isinstance(kind, str) and kind else "UNKNOWN",
        status=_status(message.get("status")),
        started=_time(message.get("start_time_unix_nano"), "start_time_unix_nano"),
        ended=_time(message.get("end_time_unix_nano"), "end_time_unix_nano"),
        body=body,
    )


def values(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message's attributes as plain values."""
    found = message.get("attributes")
    pairs = found if isinstance(found, list) else []
    return {str(pair.get("key")): plain(pair.get("value")) for pair in pairs if isinstance(pair, dict)}


def plain(value: Any) -> Any:
    """A typed attribute value as a plain one."""
    if not isinstance(value, dict) or not value:
        return None
    kind, inner = next(iter(value.items()))
    if kind == "int_value":
        return int(inner)
    if kind == "array_value":
        return [plain(item) for item in inner.get("values", [])]
    if kind == "kvlist_value":
        return {str(pair["key"]): plain(pair.get("value")) for pair in inner.get("values", [])}
    return inner


def root(spans: Iterable[Span]) -> Span | None:
    """The span without a parent, if it is there."""
    return next((span for span in spans if not span.parent_id), None)


def preview(span: Span, which: str, most: int = 1000) -> str:
    """The beginning of a span's inputs or outputs as text; '' when it has none."""
    value = values(msgspec.json.decode(span.body)).get(which)
    if value is None:
        return ""
    text = searchable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= most else text[: most - 3] + "..."


def searchable(text: str) -> str:
    """A text of a span as it may stand in a column of its own; the span's body keeps it as it was sent.

    No store keeps a NUL in a column, and spans come in batches: one odd text shall not cost the others.
    """
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def tree(spans: Sequence[Span]) -> list[Branch]:
    """The spans as an indented list: each before its children, siblings by start.

    Spans whose parent is not there, and those in a circle, count as roots.
    """
    if not spans:
        return []
    known = {span.span_id for span in spans}
    children: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda one: (one.started, one.span_id)):
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.span_id else ""
        children.setdefault(parent, []).append(span)
    begin = min(span.started for span in spans)
    end = max(max(span.ended, span.started) for span in spans)
    whole = max(1, end - begin)
    listed: list[Branch] = []
    seen: set[str] = set()

    def walk(first: Span) -> None:
        waiting = [(first, 0)]
        while waiting:
            span, depth = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            stop = span.ended if span.ended else end
            listed.append(Branch(span, depth, (span.started - begin) / whole, max(0, stop - span.started) / whole))
            waiting += [(child, depth + 1) for child in reversed(children.get(span.span_id, ()))]

    for span in [*children.get("", ()), *spans]:
        walk(span)
    return listed


def io(span: Span) -> tuple[Any, Any]:
    """(inputs, outputs) of a span as plain values; None where it has none."""
    found = values(msgspec.json.decode(span.body))
    return found.get(INPUTS), found.get(OUTPUTS)


def _status(status: Any) -> str:
    code = status.get("code", 0) if isinstance(status, dict) else 0
    return STATUSES.get(_STATUS_NAMES.get(code, 0) if isinstance(code, str) else code, "UNSET")


def _id(value: Any, name: str, size: int) -> str:
    try:
        decoded = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        decoded = b""
    if not decoded or len(decoded) > size or not any(decoded):
        raise Invalid(f"A span's {name} must be {size} bytes that are not all zero.")
    return decoded.rjust(size, b"\0").hex()


def _time(value: Any, name: str) -> int:
    try:
        time = int(value or 0)
    except (TypeError, ValueError):
        time = -1
    if not 0 <= time <= _MOST_NS:
        raise Invalid(f"A span's {name} must be nanoseconds since 1970 that fit 63 bits.")
    return time
