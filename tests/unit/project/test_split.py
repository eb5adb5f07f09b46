from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.data.table import table_of
from stile.kernel.errors import Invalid
from stile.project.split import is_test_row, split


def _table(n: int):
    return table_of({"a": list(range(n)), "patient": [f"p{i // 3}" for i in range(n)]})


def test_row_stays_on_its_side_when_rows_are_added_and_reordered():
    table = _table(300)
    train, test = split(table, 0.3)
    assert sorted([*train, *test]) == list(range(300))
    more = table_of({"a": [999, *range(299, -1, -1)], "patient": ["x", *[f"p{i // 3}" for i in range(299, -1, -1)]]})
    _, again = split(more, 0.3)
    values = set(more.columns["a"][again].tolist()) - {999}
    assert values == set(table.columns["a"][test].tolist())


def test_share_is_met_up_to_chance():
    _, test = split(_table(3000), 0.3)
    assert 0.27 < len(test) / 3000 < 0.33


def test_patient_is_never_on_both_sides_when_split_by_patient():
    table = _table(300)
    train, test = split(table, 0.3, ["patient"])
    patients = table.columns["patient"]
    assert not set(patients[train]) & set(patients[test])


def test_equal_rows_fall_on_the_same_side():
    table = table_of({"a": [1, 2, 3, 4, 5] * 20})
    train, test = split(table, 0.5)
    assert not set(table.columns["a"][train].tolist()) & set(table.columns["a"][test].tolist())


def test_too_few_rows_are_refused():
    with pytest.raises(Invalid, match="too few"):
        split(table_of({"a": [1]}), 0.3)


@given(st.binary(min_size=32, max_size=32), st.floats(0.01, 0.98), st.floats(0.001, 0.01))
def test_larger_share_only_adds_test_rows(content, ratio, more):
    digest = "sha256:" + content.hex()
    assert not is_test_row(digest, ratio) or is_test_row(digest, ratio + more)


def test_order_of_columns_does_not_matter():
    one, other = table_of({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}), table_of({"b": [4, 5, 6], "a": [1, 2, 3]})
    assert [is_test_row(d, 0.5) for d in one.row_digests()] == [is_test_row(d, 0.5) for d in other.row_digests()]
    assert np.isfinite(one.columns["a"]).all()
