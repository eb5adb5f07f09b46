from __future__ import annotations

import numpy as np
import pytest

from stile.data.table import table_of
from stile.kernel.errors import Invalid
from stile.train.latency import latency_fact
from stile.train.overlap import row_overlap


def test_overlap_ignores_the_key_and_columns_only_one_table_has() -> None:
    train = table_of({"id": ["a", "b"], "x": [1.0, 2.0], "fold": [0, 1]})
    test = table_of({"id": ["c", "d", "e"], "x": [2.0, 2.0, 5.0]})
    assert row_overlap(test, train, key="id") == {"rows": 2, "ratio": 2 / 3, "of": 3}
    assert row_overlap(test, train)["rows"] == 0


def test_overlap_is_refused_when_tables_share_no_column() -> None:
    with pytest.raises(Invalid, match="share no column"):
        row_overlap(table_of({"a": [1]}), table_of({"b": [1]}))


def test_latency_quantiles_agree_with_numpy_when_taken_from_the_data() -> None:
    timings = np.random.default_rng(1).exponential(3, 333).tolist()
    fact = latency_fact(timings)
    assert fact["p50_ms"] == np.quantile(timings, 0.5, method="inverted_cdf")
    assert fact["p99_ms"] == np.quantile(timings, 0.99, method="inverted_cdf")
    assert fact["max_ms"] == max(timings)
    assert fact["n"] == 333
    assert latency_fact([2.0]) == {"p50_ms": 2.0, "p99_ms": 2.0, "max_ms": 2.0, "n": 1}


@pytest.mark.parametrize("timings", [[], [-1.0], [float("nan")], [float("inf")]])
def test_latency_is_refused_when_timings_are_no_durations(timings: list[float]) -> None:
    with pytest.raises(Invalid):
        latency_fact(timings)
