"""What JSON will cost is told before it is decoded, and texts cost nothing but their bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.edge.json_body import decode_json, refuse_costly
from stile.kernel.errors import Invalid
from stile.protocols.inference import asked

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab{}[],:"\\\u20ac', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('{[,"\\', max_size=3), inner, max_size=4),
    max_leaves=30,
)


def _objects(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_objects, value.values()))
    return 1 + sum(map(_objects, value)) if isinstance(value, list) else 0


@given(st.lists(VALUES, min_size=1))
def test_objects_are_counted_and_texts_are_not(value: list[object]) -> None:
    body = msgspec.json.encode(value) + b" " * (256 << 10)  # small bodies are not looked at
    count = _objects(value)
    refuse_costly(body, objects=count)
    with pytest.raises(Invalid, match="objects"):
        refuse_costly(body, objects=count - 1)


@pytest.mark.parametrize(
    "body",
    [  # a few bytes each
        b"[" + b"{}," * 2_700_000 + b"{}]",
        b'{"a":[' + b'{"b":{}},' * 900_000 + b"1]}",
        b"[" + b"[]," * 5_000_000 + b"1]",
    ],
    ids=["objects", "nested", "rows"],
)
@pytest.mark.parametrize("read", [lambda body: decode_json(body, dict[str, object]), asked.admit])
def test_a_costly_body_is_refused_before_it_costs_anything(body: bytes, read: Callable[[bytes], object]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Invalid, match="objects"):
            read(body)
        assert tracemalloc.get_traced_memory()[1] < len(body) + (4 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [b"{},", b'{"a":{}},', b"[],", b'{"a":1},', b"[[]],"])
def test_a_body_too_small_to_be_looked_at_costs_little(piece: bytes) -> None:
    body = b"[" + piece * ((256 << 10) // len(piece) - 1) + b"0]"
    assert len(body) <= 256 << 10
    tracemalloc.start()
    try:
        decode_json(body, list[object])
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_large_text_full_of_brackets_is_no_object() -> None:
    body = msgspec.json.encode({"note": '{"a":[],' * 900_000})
    assert len(decode_json(body, dict[str, str])["note"]) == 7_200_000
