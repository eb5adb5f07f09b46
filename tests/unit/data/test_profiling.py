from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stile.data.profiling import add_profiles, bin_counts, build_profile, decile_edges, window_profile
from stile.data.table import table_of
from stile.kernel.errors import Invalid


def test_profile_counts_every_value_once_and_missing_apart() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    x[:50] = np.nan
    column = build_profile(table_of({"x": x})).columns[0]
    assert (column.n, column.missing) == (950, 50)
    assert sum(column.counts) == 950
    assert len(column.edges) == 9
    assert max(column.counts) - min(column.counts) <= 2, "deciles hold about equally many"
    assert len(column.quantiles) == 256
    assert column.mean == pytest.approx(np.nanmean(x))
    assert column.std == pytest.approx(np.nanstd(x, ddof=1))


@settings(max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_bins_agree_with_a_count_by_hand(values: list[float]) -> None:
    array = np.array(values)
    edges = decile_edges(array)
    assert edges == sorted(set(edges))
    bounds = [-np.inf, *edges, np.inf]
    by_hand = [sum(low <= v < high for v in values) for low, high in pairwise(bounds)]
    assert bin_counts(array, edges) == by_hand


def test_few_values_get_a_bin_each_and_a_constant_is_watched_on_both_sides() -> None:
    assert bin_counts(np.array([0, 0, 1.0, 2]), decile_edges(np.array([0, 1.0, 2]))) == [2, 1, 1]
    edges = decile_edges(np.full(5, 3.0))
    assert bin_counts(np.array([2.9, 3.0, 3.0, 3.1]), edges) == [1, 2, 1]


def test_categories_beyond_the_listed_ones_are_counted_together() -> None:
    reference = build_profile(table_of({"c": ["a"] * 6 + ["b"] * 3 + [None]}))
    assert reference.columns[0].categories == {"a": 6, "b": 3}
    assert reference.columns[0].missing == 1
    window = window_profile(reference, table_of({"c": ["a", "z", "z", None]}))
    assert window.columns[0].categories == {"a": 1, "b": 0}
    assert (window.columns[0].other, window.columns[0].n, window.columns[0].missing) == (2, 3, 1)


def test_counts_of_two_windows_add_up_to_those_of_both() -> None:
    rng = np.random.default_rng(1)
    make = lambda n: table_of({"x": rng.normal(size=n), "c": rng.choice(["a", "b", "q"], n)})  # noqa: E731
    reference = build_profile(make(500))
    one, two = make(70), make(110)
    both = table_of({k: [*one.columns[k].tolist(), *two.columns[k].tolist()] for k in one.names})
    added = add_profiles(window_profile(reference, one), window_profile(reference, two))
    whole = window_profile(reference, both)
    assert added.rows == whole.rows
    for a, b in zip(added.columns, whole.columns, strict=True):
        assert (a.counts, a.categories, a.other, a.n, a.missing) == (b.counts, b.categories, b.other, b.n, b.missing)
        assert a.mean == pytest.approx(b.mean)
        assert a.std == pytest.approx(b.std)


def test_windows_over_different_bins_cannot_be_added() -> None:
    one = build_profile(table_of({"x": [1.0, 2.0]}))
    two = build_profile(table_of({"x": [1.0, 3.0]}))
    with pytest.raises(Invalid, match="bins of 'x' differ"):
        add_profiles(one, two)


def test_profile_of_an_empty_column_is_defined() -> None:
    column = build_profile(table_of({"x": np.array([np.nan, np.nan])})).columns[0]
    assert (column.n, column.missing, column.mean, column.quantiles) == (0, 2, None, [])


def test_profile_has_one_digest_for_one_content() -> None:
    table = table_of({"x": [1.0, 2.0, 3.0]})
    assert build_profile(table).digest == build_profile(table).digest
    assert build_profile(table).digest != build_profile(table_of({"x": [1.0, 2.0, 4.0]})).digest
