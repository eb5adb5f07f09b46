"""The tree of spans: order, depth, timing, and spans that make no proper tree."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from stile.kernel.errors import Invalid
from stile.train import spans
from stile.train.spans import Span


def _message(number: int = 1, parent: int = 0, start: int = 0, end: int = 100, **more: Any) -> dict[str, Any]:
    made = {"trace_id": base64.b64encode(b"t" * 16).decode(), "span_id": base64.b64encode(number.to_bytes(8)).decode()}
    made |= {"name": str(number), "start_time_unix_nano": str(start), "end_time_unix_nano": str(end)}
    if parent:
        made["parent_span_id"] = base64.b64encode(parent.to_bytes(8)).decode()
    return made | more


def _span(*how: int) -> Span:
    return spans.read(_message(*how))


def test_each_span_comes_before_its_children_in_the_order_of_time() -> None:
    given = [_span(4, 2, 30, 40), _span(3, 1, 60, 90), _span(1, 0, 0, 100), _span(2, 1, 10, 50), _span(5, 2, 20, 25)]
    tree = spans.tree(given)
    assert [(one.span.name, one.depth) for one in tree] == [("1", 0), ("2", 1), ("5", 2), ("4", 2), ("3", 1)]
    assert (tree[1].start, tree[1].width) == (0.1, 0.4)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(1, 9, 0, 10), (2, 1, 1, 5)], [("1", 0), ("2", 1)]),  # the parent has not come
        ([(1, 2, 0, 10), (2, 1, 1, 5)], [("1", 0), ("2", 1)]),  # a circle
        ([(1, 1, 0, 10)], [("1", 0)]),  # its own parent
        ([(1, 0, 0, 10), (2, 0, 1, 5)], [("1", 0), ("2", 0)]),  # two roots
        ([(1, 0, 5, 0)], [("1", 0)]),  # still open
        ([], []),
    ],
)
def test_what_is_no_proper_tree_is_shown_all_the_same(
    given: list[tuple[int, ...]], expected: list[tuple[str, int]]
) -> None:
    tree = spans.tree([_span(*how) for how in given])
    assert [(one.span.name, one.depth) for one in tree] == expected
    assert all(0 <= one.start <= 1 and 0 <= one.width <= 1 for one in tree)


def test_a_chain_of_thousands_is_no_problem() -> None:
    tree = spans.tree([_span(number, number - 1, number, 9000) for number in range(1, 5000)])
    assert [one.depth for one in tree] == list(range(4999))


@pytest.mark.parametrize(
    "change",
    [
        {"trace_id": ""}, {"trace_id": "!!"}, {"span_id": None}, {"span_id": base64.b64encode(b"x" * 9).decode()},
        {"span_id": base64.b64encode(bytes(8)).decode()}, {"name": 5}, {"name": "x" * 5000},
        {"start_time_unix_nano": "-1"},
        {"start_time_unix_nano": str(2**63)}, {"end_time_unix_nano": "soon"},
        {"attributes": [{"key": "big", "value": {"string_value": "x" * (5 << 20)}}]},
    ],
)  # fmt: skip
def test_a_span_that_cannot_be_kept_says_why(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as raised:
        spans.read(_message() | change)
    assert len(raised.value.message) > 20


def test_inputs_outputs_and_previews() -> None:
    value = {"kvlist_value": {"values": [{"key": "q", "value": {"string_value": "ü"}}]}}
    attributes = [
        {"key": "mlflow.spanInputs", "value": value},
        {"key": "mlflow.spanType", "value": {"string_value": "LLM"}},
    ]
    span = spans.read(_message(attributes=attributes))
    assert span.type == "LLM"
    assert spans.io(span) == ({"q": "ü"}, None)
    assert spans.preview(span, "mlflow.spanInputs") == '{"q": "ü"}'
    assert spans.preview(span, "mlflow.spanInputs", 6) == '{"q...'
    assert spans.preview(span, "mlflow.spanOutputs") == ""
