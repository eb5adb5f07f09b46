"""YAML from people into plain values: safe types only, bounded in size, depth and expansion, no key twice."""

from __future__ import annotations

import datetime
from typing import Any

import yaml

from stile.kernel.errors import Invalid, TooLarge

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str) -> Any:
    """The value of one YAML document.

    Raises:
        TooLarge: more than 256 KB of text, or more than 20 000 values once aliases are followed.
        Invalid: not YAML, nested too deep, a key given twice, or a type that has no place in a policy.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise TooLarge(f"A policy may have at most {MAX_BYTES // 1024} KB.", limit=MAX_BYTES)
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise Invalid("The policy is empty.")
            _expanded_size(node, {}, set())
            return _plain(loader.construct_document(node))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise Invalid(f"The policy is not valid YAML: {place}{error.problem or error.context}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise Invalid(f"The policy is not valid YAML: {error}.") from error


def _check_depth(text: str) -> None:
    """Walk the events, which needs no recursion, before anything that recurses."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise Invalid(f"The policy is nested more than {MAX_DEPTH} levels deep.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _expanded_size(node: Any, sizes: dict[int, int], open_nodes: set[int]) -> int:
    """Values below ``node`` with aliases followed, each anchor counted once per use."""
    key = id(node)
    if key in open_nodes:
        raise Invalid("The policy contains itself through an alias.")
    if key in sizes:
        return sizes[key]
    open_nodes.add(key)
    size = 1
    if isinstance(node, yaml.MappingNode):
        _refuse_twice(node)
        size += sum(_expanded_size(part, sizes, open_nodes) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_expanded_size(part, sizes, open_nodes) for part in node.value)
    open_nodes.discard(key)
    if size > MAX_NODES:
        raise TooLarge(f"A policy may hold at most {MAX_NODES} values.", limit=MAX_NODES)
    sizes[key] = size
    return size


def _refuse_twice(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                line = key.start_mark.line + 1
                raise Invalid(f"The policy gives the key {key.value!r} twice (line {line}); only one can count.")
            seen.add(key.value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise Invalid(f"Keys of a policy are texts; {key!r} is not. Put it in quotes.")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise Invalid(f"A policy cannot hold a {type(value).__name__}.")
