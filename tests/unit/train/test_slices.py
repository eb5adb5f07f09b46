from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import recall_score

from stile.data.table import texts_of
from stile.kernel.errors import Invalid
from stile.train.outcomes import Binary
from stile.train.slices import MISSING, fairness_of, slice_labels, slices_of


def outcomes(n: int = 300) -> tuple[Binary, np.ndarray]:
    rng = np.random.default_rng(2)
    site = rng.choice(["a", "b", "c"], n, p=[0.6, 0.37, 0.03])
    y = rng.random(n) < 0.4
    score = np.clip(0.4 * y + rng.random(n) * 0.6 - 0.1 * (site == "b"), 0, 1)
    return Binary(y, score >= 0.45, score), site


def test_slices_agree_with_scikit_learn_and_cover_every_row() -> None:
    b, site = outcomes()
    found = slices_of(b, texts_of(site), name="site")
    assert [one.value for one in found] == ["a", "b", "c"], "largest first"
    assert sum(one.n for one in found) == 300
    for one in found:
        mask = site == one.value
        assert one.metrics["recall"].value == pytest.approx(recall_score(b.y[mask], b.predicted[mask]))
        assert one.positives == one.metrics["recall"].positives == int(b.y[mask].sum())


def test_small_group_keeps_its_value_and_tells_its_n() -> None:
    b, site = outcomes()
    smallest = slices_of(b, texts_of(site), name="site")[-1]
    assert smallest.n < 20
    assert smallest.metrics["accuracy"].value is not None
    assert smallest.metrics["accuracy"].n == smallest.n


def test_numbers_become_quarters_when_there_are_many() -> None:
    labels = slice_labels(np.array([*range(100), np.nan], dtype=float))
    counts = {label: int((labels == label).sum()) for label in set(labels)}
    assert counts.pop(MISSING) == 1
    assert sorted(counts.values()) == [25, 25, 25, 25]


def test_few_numbers_stay_values() -> None:
    assert slice_labels(np.array([1.0, 2.0, np.nan])).tolist() == ["1", "2", MISSING]


def test_slicing_is_refused_when_a_column_has_too_many_values() -> None:
    b, _ = outcomes()
    with pytest.raises(Invalid, match="at most 100"):
        slices_of(b, texts_of([f"u{i}" for i in range(300)]), name="user")


def test_fairness_ratios_agree_with_rates_by_group() -> None:
    b, site = outcomes()
    found = fairness_of(b, texts_of(site))
    selected = [b.predicted[site == s].mean() for s in "abc"]
    recalls = [recall_score(b.y[site == s], b.predicted[site == s]) for s in "abc"]
    parity, opportunity = found["demographic_parity_ratio"], found["equal_opportunity_ratio"]
    assert parity.value == pytest.approx(min(selected) / max(selected))
    assert opportunity.value == pytest.approx(min(recalls) / max(recalls))
    assert parity.n == int((site == "c").sum())
    assert parity.low <= parity.value <= parity.high  # type: ignore[operator]


def test_fairness_is_not_defined_when_there_is_one_group_or_nobody_is_selected() -> None:
    b, site = outcomes()
    assert fairness_of(b, texts_of(["x"] * 300))["demographic_parity_ratio"].value is None
    nobody = Binary(b.y, np.zeros(300, dtype=bool), b.score)
    assert fairness_of(nobody, texts_of(site))["demographic_parity_ratio"].value is None
