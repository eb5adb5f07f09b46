"""OpenTelemetry's trace messages in their JSON form: camelCase names, ids in hexadecimal digits.

Gives the same form as ``protobuf``: snake_case names, ids in base64, 64-bit numbers as text.
Source: OTLP specification, section "JSON Protobuf Encoding".
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from stile.edge.json_body import refuse_costly
from stile.kernel.errors import Invalid, TooLarge
from stile.protocols.mlflow.protobuf import Message, double
from stile.train.span_check import MAX_DEPTH, MAX_VALUES

_CAMEL = re.compile(r"(?<!^)([A-Z])")


def read_request(body: bytes) -> list[Message]:
    """The spans of an ``ExportTraceServiceRequest`` in JSON.

    Raises:
        Invalid: it is not JSON, holds more objects than ``MAX_VALUES``, or a field is not what it must be.
        TooLarge: it holds more than ``MAX_VALUES`` values.
    """
    refuse_costly(body, objects=MAX_VALUES, values=3 * MAX_VALUES)
    reader = _Reader()
    try:
        request = msgspec.json.decode(body, type=_Request)
        return [
            reader.span(_object(msgspec.json.decode(span)))  # one at a time: each is many times as large as its JSON
            for resource in (*(request.camel or ()), *(request.snake or ()))
            for scope in (*(resource.camel or ()), *(resource.snake or ()))
            for span in scope.spans or ()
        ]
    except msgspec.ValidationError as error:
        raise Invalid(f"Invalid OpenTelemetry format: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error


class _Scope(msgspec.Struct, gc=False):
    spans: list[msgspec.Raw] | None = None


class _Resource(msgspec.Struct, gc=False):
    camel: list[_Scope] | None = msgspec.field(name="scopeSpans", default=None)
    snake: list[_Scope] | None = msgspec.field(name="scope_spans", default=None)


class _Request(msgspec.Struct, gc=False):
    camel: list[_Resource] | None = msgspec.field(name="resourceSpans", default=None)
    snake: list[_Resource] | None = msgspec.field(name="resource_spans", default=None)


class _Reader:
    def __init__(self) -> None:
        self._left = MAX_VALUES

    def span(self, given: Message) -> Message:
        self._count()
        span: Message = {}
        for name in ("trace_id", "span_id", "parent_span_id"):
            if given.get(name):
                span[name] = _hex(given[name], name)
        for name in ("name", "trace_state"):
            if given.get(name):
                span[name] = _text(given[name])
        for name in ("start_time_unix_nano", "end_time_unix_nano"):
            if given.get(name):
                span[name] = str(_whole(given[name]))
        if isinstance(given.get("kind"), int | str):
            span["kind"] = given["kind"]
        if isinstance(given.get("status"), dict):
            status = _object(given["status"])
            span["status"] = {k: status[k] for k in ("code", "message") if isinstance(status.get(k), int | str)}
        parts: tuple[tuple[str, Callable[[Message], Message]], ...] = (
            ("attributes", lambda one: self._pair(one, 1)),
            ("events", self._event),
            ("links", self._link),
        )
        for name, read in parts:
            several = [read(one) for one in _list(given, name)]
            if several:
                span[name] = several
        return span

    def _event(self, given: Message) -> Message:
        self._count()
        event: Message = {"time_unix_nano": str(_whole(given.get("time_unix_nano", 0)))}
        event["name"] = _text(given.get("name", ""))
        return self._with_attributes(event, given)

    def _link(self, given: Message) -> Message:
        self._count()
        link: Message = {name: _hex(given.get(name, ""), name) for name in ("trace_id", "span_id")}
        return self._with_attributes(link, given)

    def _with_attributes(self, made: Message, given: Message) -> Message:
        attributes = [self._pair(one, 1) for one in _list(given, "attributes")]
        return made | ({"attributes": attributes} if attributes else {})

    def _pair(self, given: Message, depth: int) -> Message:
        return {"key": _text(given.get("key", "")), "value": self._value(given.get("value"), depth)}

    def _value(self, given: Any, depth: int) -> Message:
        self._count()
        if depth > MAX_DEPTH:
            raise Invalid(f"An attribute of a span is nested more than {MAX_DEPTH} levels deep.")
        for name, value in _object(given or {}).items():
            if name in ("string_value", "bytes_value"):
                return {name: _text(value)}
            if name == "bool_value":
                return {name: value is True or value == "true"}
            if name == "int_value":
                return {name: str(_whole(value))}
            if name == "double_value":
                return {name: _double(value)}
            if name == "array_value":
                return {name: {"values": [self._value(one, depth + 1) for one in _list(_object(value), "values")]}}
            if name == "kvlist_value":
                return {name: {"values": [self._pair(one, depth + 1) for one in _list(_object(value), "values")]}}
        return {}

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooLarge(f"One request may hold at most {MAX_VALUES} spans and values. Send fewer spans at a time.")


def _object(value: Any) -> Message:
    if not isinstance(value, dict):
        raise Invalid("Invalid OpenTelemetry format: an object was expected.")
    return {_CAMEL.sub(r"_\1", key).lower(): item for key, item in value.items()}


def _list(value: Message, name: str) -> list[Message]:
    found = value.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Invalid(f"Invalid OpenTelemetry format: {name} must be a list.")
    return [_object(one) for one in found]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid("Invalid OpenTelemetry format: a text was expected.")
    return value


def _hex(value: Any, name: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(_text(value))).decode()
    except ValueError:
        raise Invalid(f"Invalid OpenTelemetry format: {name} must be hexadecimal digits.") from None


def _whole(value: Any) -> int:
    try:
        found = int(value) if isinstance(value, int | str) and len(str(value)) < 21 else None
    except ValueError:
        found = None
    if found is None:
        raise Invalid("Invalid OpenTelemetry format: a whole number was expected.")
    return found


def _double(value: Any) -> float | str:
    try:
        found = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        raise Invalid("Invalid OpenTelemetry format: a number was expected.") from None
    return double(found)
