"""Two recorded answers compared field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

ABSENT = "<absent>"


class Differing(NamedTuple):
    """One field that is not the same.

    Attributes:
        field: where, as ``/answer/run/info/status``; ``#`` at the end means a length.
        genuine: what the genuine server says there.
        ours: what we say there.
    """

    field: str
    genuine: Any
    ours: Any


def differing(genuine: Any, ours: Any, field: str = "") -> Iterator[Differing]:
    """Every field in which ``ours`` is not ``genuine``.

    Lists of keyed pairs (tags, params, metrics) have no order in MLflow and are compared by key; a field that is absent
    equals an empty one, as in every JSON rendering of protocol buffers.
    """
    if isinstance(genuine, dict) and isinstance(ours, dict):
        for name in sorted(genuine.keys() | ours.keys()):
            yield from differing(genuine.get(name, ABSENT), ours.get(name, ABSENT), f"{field}/{name}")
    elif isinstance(genuine, list) and isinstance(ours, list):
        if _keyed(genuine) and _keyed(ours):
            yield from differing(_by_key(genuine), _by_key(ours), field)
            return
        if len(genuine) != len(ours):
            yield Differing(f"{field}#", len(genuine), len(ours))
        for index, (one, other) in enumerate(zip(genuine, ours, strict=False)):
            yield from differing(one, other, f"{field}/{index}")
    elif genuine != ours and not (_nothing(genuine) and _nothing(ours)):
        yield Differing(field, genuine, ours)


def _nothing(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_nothing(inner) for inner in value.values())
    return value in (ABSENT, None, "", [])


def _keyed(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) and "key" in item for item in items)


def _by_key(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Items under their key; a history has many points of one key and keeps its order."""
    keys = [item["key"] for item in items]
    if len(set(keys)) != len(keys):
        return {f"{index} {item['key']}": item for index, item in enumerate(items)}
    return {item["key"]: item for item in items}
