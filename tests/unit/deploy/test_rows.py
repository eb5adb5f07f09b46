from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.deploy.rows import Sent, arrange
from stile.deploy.signature import Column, Signature
from stile.kernel.errors import Invalid

ABC = Signature(columns=(Column(name="a"), Column(name="b"), Column(name="c", kind="integer")))


@given(st.permutations(["a", "b", "c", "extra"]), st.booleans())
def test_rows_are_the_same_whatever_order_the_columns_come_in(order: list[str], checked: bool) -> None:
    values = {"a": 1.5, "b": -2.0, "c": 3.0, "extra": 9.0}
    arranged = arrange(ABC, Sent(columns=order, rows=[[values[n] for n in order]], checked=checked), missing_ok=False)
    assert arranged.model_input.tolist() == [[1.5, -2.0, 3.0]]
    assert arranged.cells == [[1.5, -2.0, 3.0]]
    assert arranged.extra == {"extra": [9.0]}


@pytest.mark.parametrize(
    ("columns", "rows", "says"),
    [
        (None, [], "no rows"),
        (None, [[1.0, 2.0]], "Row 0 has 2 values"),
        (None, [[1.0, 2.0, 3.0], [1.0]], "Row 1 has 1 values"),
        (["a", "b"], [[1.0, 2.0]], "lacks 1 of the 3 columns the model takes: 'c'"),
        (["a", "a", "b", "c"], [[1.0, 1.0, 2.0, 3.0]], "'a' is sent twice"),
        (None, [[1.0, None, 3.0]], "Row 0, column 'b': the value is missing (null)"),
        (None, [[1.0, "2", 3.0]], "Row 0, column 'b': a number is expected, not the text '2'"),
        (None, [[1.0, True, 3.0]], "Row 0, column 'b': a number is expected, not true or false"),
        (None, [[1.0, [2.0], 3.0]], "a number is expected, not a list"),
        (None, [[1.0, float("inf"), 3.0]], "not finite"),
        (None, [[1.0, 10**400, 3.0]], "not finite"),
        (None, [[1.0, 2.0, 3.5]], "Row 0, column 'c': a whole number is expected"),
    ],
)
def test_mismatch_is_named_exactly(columns: list[str] | None, rows: list[list[Any]], says: str) -> None:
    with pytest.raises(Invalid) as refusal:
        arrange(ABC, Sent(columns=columns, rows=rows), missing_ok=False)
    assert says in refusal.value.message


def test_checked_rows_are_still_refused_when_a_whole_number_is_not_or_one_is_not_finite() -> None:
    for row, says in (([1.0, 2.0, 3.5], "whole number"), ([1.0, float("nan"), 3.0], "not finite")):
        with pytest.raises(Invalid) as refusal:
            arrange(ABC, Sent(columns=None, rows=[row], checked=True), missing_ok=False)
        assert says in refusal.value.message


def test_null_reaches_the_model_as_nan_when_it_takes_missing_values() -> None:
    arranged = arrange(ABC, Sent(columns=None, rows=[[None, 2.0, 3.0]]), missing_ok=True)
    assert np.isnan(arranged.model_input[0, 0]) and arranged.cells == [[None, 2.0, 3.0]]


def test_record_holds_what_the_model_saw_when_a_number_is_too_long_for_an_integer() -> None:
    arranged = arrange(ABC, Sent(columns=None, rows=[[10**30, None, 3.0]]), missing_ok=True)
    assert arranged.cells == [[1e30, None, 3.0]] == [[arranged.model_input[0, 0], None, 3.0]]


def test_optional_column_may_be_left_out_when_the_model_takes_missing_values() -> None:
    signature = Signature(columns=(Column(name="a"), Column(name="b", required=False)))
    arranged = arrange(signature, Sent(columns=["a"], rows=[[1.0]], checked=True), missing_ok=True)
    assert arranged.cells == [[1.0, None]] and np.isnan(arranged.model_input[0, 1])
    with pytest.raises(Invalid):
        arrange(signature, Sent(columns=["a"], rows=[[1.0]], checked=True), missing_ok=False)


def test_text_columns_make_a_data_frame_and_booleans_become_numbers() -> None:
    signature = Signature(
        columns=(Column(name="n"), Column(name="yes", kind="boolean"), Column(name="site", kind="string"))
    )
    arranged = arrange(signature, Sent(columns=None, rows=[[1, True, "VA"]]), missing_ok=False)
    assert arranged.model_input.columns.tolist() == ["n", "yes", "site"]
    assert arranged.model_input.iloc[0].tolist() == [1.0, 1.0, "VA"]
    with pytest.raises(Invalid, match="text is expected"):
        arrange(signature, Sent(columns=None, rows=[[1, True, 3]]), missing_ok=False)
