"""Checks that a span has the form in which spans are kept, before it is: whoever reads it may rely on that form.

Source: ``opentelemetry/proto/trace/v1/trace.proto`` and ``common.proto`` in their JSON mapping.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from stile.kernel.errors import Invalid, TooLarge

MAX_DEPTH = 40  # a client reads at most 100 messages inside each other, and each level is two
MAX_VALUES = 200_000
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_WORDS = ("NaN", "Infinity", "-Infinity")

Message = dict[str, Any]


def checked(message: Any) -> Message:
    """The span with the fields that are known; see ``stile.train.spans`` for their form.

    Raises:
        Invalid: a field is not what it must be; says which.
        TooLarge: it holds more than ``MAX_VALUES`` values.
    """
    return _Check().span(message)


class _Check:
    def __init__(self) -> None:
        self._left = MAX_VALUES

    def span(self, given: Any) -> Message:
        span = _texts(_object(given, "a span"), ("trace_id", "span_id", "parent_span_id", "name", "trace_state"))
        for name in ("start_time_unix_nano", "end_time_unix_nano"):
            if given.get(name) is not None:
                span[name] = _whole(given[name], name)
        if isinstance(given.get("kind"), int | str):
            span["kind"] = given["kind"]
        status = _object(given.get("status") or {}, "status")
        span["status"] = {name: status[name] for name in ("code", "message") if isinstance(status.get(name), int | str)}
        parts: tuple[tuple[str, Callable[[Any], Message]], ...] = (
            ("attributes", lambda one: self._pair(one, 1)),
            ("events", self._event),
            ("links", self._link),
        )
        for name, check in parts:
            several = [check(one) for one in _list(given.get(name), name)]
            if several:
                span[name] = several
        return span

    def _event(self, given: Any) -> Message:
        time = _whole(_object(given, "an event").get("time_unix_nano", "0"), "time_unix_nano")
        return {"time_unix_nano": time, "name": _text(given.get("name", ""), "name"), **self._attributes(given)}

    def _link(self, given: Any) -> Message:
        link = _texts(_object(given, "a link"), ("trace_id", "span_id", "trace_state"))
        return link | self._attributes(given)

    def _attributes(self, given: Mapping[str, Any]) -> Message:
        found = [self._pair(one, 1) for one in _list(given.get("attributes"), "attributes")]
        return {"attributes": found} if found else {}

    def _pair(self, given: Any, depth: int) -> Message:
        pair = _object(given, "an attribute")
        return {"key": _text(pair.get("key"), "key"), "value": self._value(pair.get("value"), depth)}

    def _value(self, given: Any, depth: int) -> Message:
        self._left -= 1
        if self._left < 0:
            raise TooLarge(f"A span may hold at most {MAX_VALUES} values. Log large values as artifacts.")
        if depth > MAX_DEPTH:
            raise Invalid(f"An attribute of a span is nested more than {MAX_DEPTH} levels deep.")
        kind, value = next(iter(_object(given or {}, "a value").items()), ("", None))
        if kind in ("string_value", "bytes_value"):
            return {kind: _text(value, kind)}
        if kind == "bool_value" and isinstance(value, bool):
            return {kind: value}
        if kind == "int_value":
            return {kind: _whole(value, kind)}
        if kind == "double_value" and (value in _WORDS or _is_number(value)):
            return {kind: value}
        if kind in ("array_value", "kvlist_value"):
            inner = _list(_object(value, kind).get("values"), "values")
            below = self._value if kind == "array_value" else self._pair
            return {kind: {"values": [below(one, depth + 1) for one in inner]}}
        if kind:
            raise _wrong(kind)
        return {}


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _object(value: Any, what: str) -> Message:
    if not isinstance(value, dict):
        raise Invalid(f"Invalid span: {what} must be an object.")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(what)
    return value


def _texts(given: Message, names: tuple[str, ...]) -> Message:
    return {name: _text(given[name], name) for name in names if given.get(name)}


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise _wrong(what)
    return value


def _whole(value: Any, what: str) -> str:
    if not isinstance(value, str) or not _WHOLE.fullmatch(value) or not -(2**63) <= int(value) < 2**63:
        raise _wrong(what)
    return value


def _wrong(what: str) -> Invalid:
    return Invalid(f"Invalid span: {what[:40]!r} is not what it must be.")
