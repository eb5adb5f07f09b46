"""The few messages of OpenTelemetry's trace protocol, read from protocol-buffer bytes.

Only what an ``ExportTraceServiceRequest`` holds is read; fields that are not known are passed over.
The result has the form of the messages' JSON: names in snake_case, ids in base64, 64-bit numbers as
text. Everything a sender chooses (sizes, depth, number of values) is bounded before it costs anything.
Source: the protocol buffer wire format; ``opentelemetry/proto/{collector/trace,trace,common,resource}/v1``.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from typing import Any

from stile.kernel.errors import Invalid, TooLarge
from stile.train.span_check import MAX_DEPTH, MAX_VALUES

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Message = dict[str, Any]


def read_request(body: bytes) -> list[Message]:
    """The spans of an ``ExportTraceServiceRequest``.

    Raises:
        Invalid: the bytes are no such message, or nested deeper than ``MAX_DEPTH``.
        TooLarge: they hold more than ``MAX_VALUES`` values.
    """
    return _Reader().spans(memoryview(body))


class _Reader:
    """Reads one request; counts what it has read."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def spans(self, body: memoryview) -> list[Message]:
        found: list[Message] = []
        for resource_spans in _messages(body, 1):
            for scope_spans in _messages(resource_spans, 2):
                found += [self._span(span) for span in _messages(scope_spans, 2)]
        return found

    def _span(self, body: memoryview) -> Message:
        self._count()
        span: Message = {}
        attributes: list[Message] = []
        events: list[Message] = []
        links: list[Message] = []
        for number, value in _fields(body):
            if number in _SPAN_BYTES:
                span[_SPAN_BYTES[number]] = base64.b64encode(_bytes(value)).decode()
            elif number in _SPAN_TEXTS:
                span[_SPAN_TEXTS[number]] = _text(value)
            elif number in _SPAN_TIMES:
                span[_SPAN_TIMES[number]] = str(_whole(value))
            elif number == 6:
                span["kind"] = _whole(value)
            elif number == 9:
                attributes.append(self._pair(_bytes(value), 1))
            elif number == 11:
                events.append(self._event(_bytes(value)))
            elif number == 13:
                links.append(self._link(_bytes(value)))
            elif number == 15:
                span["status"] = _status(_bytes(value))
        for name, several in (("attributes", attributes), ("events", events), ("links", links)):
            if several:
                span[name] = several
        return span

    def _event(self, body: memoryview) -> Message:
        self._count()
        event: Message = {}
        attributes: list[Message] = []
        for number, value in _fields(body):
            if number == 1:
                event["time_unix_nano"] = str(_whole(value))
            elif number == 2:
                event["name"] = _text(value)
            elif number == 3:
                attributes.append(self._pair(_bytes(value), 1))
        return event | ({"attributes": attributes} if attributes else {})

    def _link(self, body: memoryview) -> Message:
        self._count()
        link: Message = {}
        attributes: list[Message] = []
        for number, value in _fields(body):
            if number in (1, 2):
                link["trace_id" if number == 1 else "span_id"] = base64.b64encode(_bytes(value)).decode()
            elif number == 3:
                link["trace_state"] = _text(value)
            elif number == 4:
                attributes.append(self._pair(_bytes(value), 1))
        return link | ({"attributes": attributes} if attributes else {})

    def _pair(self, body: memoryview, depth: int) -> Message:
        pair: Message = {"key": ""}
        for number, value in _fields(body):
            if number == 1:
                pair["key"] = _text(value)
            elif number == 2:
                pair["value"] = self._value(_bytes(value), depth)
        return pair

    def _value(self, body: memoryview, depth: int) -> Message:
        self._count()
        if depth > MAX_DEPTH:
            raise Invalid(f"An attribute of a span is nested more than {MAX_DEPTH} levels deep.")
        found: Message = {}
        for number, value in _fields(body):
            if number == 1:
                found = {"string_value": _text(value)}
            elif number == 2:
                found = {"bool_value": bool(_whole(value))}
            elif number == 3:
                found = {"int_value": str(_signed(_whole(value)))}
            elif number == 4:
                found = {"double_value": double(_double(value))}
            elif number == 5:
                listed = [self._value(one, depth + 1) for one in _messages(_bytes(value), 1)]
                found = {"array_value": {"values": listed}}
            elif number == 6:
                pairs = [self._pair(one, depth + 1) for one in _messages(_bytes(value), 1)]
                found = {"kvlist_value": {"values": pairs}}
            elif number == 7:
                found = {"bytes_value": base64.b64encode(_bytes(value)).decode()}
        return found

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooLarge(f"One request may hold at most {MAX_VALUES} spans and values. Send fewer spans at a time.")


_SPAN_BYTES = {1: "trace_id", 2: "span_id", 4: "parent_span_id"}
_SPAN_TEXTS = {3: "trace_state", 5: "name"}
_SPAN_TIMES = {7: "start_time_unix_nano", 8: "end_time_unix_nano"}


def double(value: float) -> float | str:
    """A double as JSON carries it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _status(body: memoryview) -> Message:
    status: Message = {}
    for number, value in _fields(body):
        if number == 2:
            status["message"] = _text(value)
        elif number == 3:
            status["code"] = _whole(value)
    return status


def _messages(body: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(body):
        if number == wanted:
            yield _bytes(value)


def _fields(body: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at, end = 0, len(body)
    while at < end:
        tag, at = _varint(body, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise _broken()
        if kind == _VARINT:
            value, at = _varint(body, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(body, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise _broken()
        if size > end - at:
            raise _broken()
        yield number, body[at : at + size]
        at += size


def _varint(body: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(body):
            raise _broken()
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise _broken()


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _broken()
    return value


def _text(value: int | memoryview) -> str:
    try:
        return bytes(_bytes(value)).decode()
    except UnicodeDecodeError:
        raise Invalid("A text in the OpenTelemetry request is not valid UTF-8.") from None


def _whole(value: int | memoryview) -> int:
    if isinstance(value, int):
        return value
    if len(value) != 8:
        raise _broken()
    return int(struct.unpack("<Q", value)[0])


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _double(value: int | memoryview) -> float:
    raw = _bytes(value)
    if len(raw) != 8:
        raise _broken()
    return float(struct.unpack("<d", raw)[0])


def _broken() -> Invalid:
    return Invalid("Invalid OpenTelemetry format: the body is not an ExportTraceServiceRequest.")
