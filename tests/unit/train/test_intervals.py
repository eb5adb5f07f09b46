from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from stile.train.intervals import delong, delong_difference, midranks, percentile, resample_count, resamples, wilson


@given(n=st.integers(1, 5000), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels_when_given_any_count(n: int, share: float, level: float) -> None:
    hits = round(n * share)
    low, high = proportion_confint(hits, n, alpha=1 - level, method="wilson")
    found = wilson(hits, n, level)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((max(0, low), min(1, high)), abs=1e-12)


def test_wilson_is_none_when_there_are_no_rows() -> None:
    assert wilson(0, 0) is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50))
def test_midranks_agree_with_scipy_when_there_are_ties(values: list[int]) -> None:
    assert midranks(np.array(values, dtype=float)).tolist() == rankdata(values).tolist()


def pairs_variance(y: np.ndarray, score: np.ndarray) -> float:
    """DeLong's variance straight from its definition: every positive against every negative."""
    kernel = (score[y][:, None] > score[~y][None, :]) + 0.5 * (score[y][:, None] == score[~y][None, :])
    return kernel.mean(axis=1).var(ddof=1) / y.sum() + kernel.mean(axis=0).var(ddof=1) / (~y).sum()


def sample(seed: int, n: int = 90, step: float = 0.05) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.4
    first = np.clip(np.round((0.3 * y + rng.random(n) * 0.7) / step) * step, 0, 1)
    second = np.clip(np.round((0.2 * y + 0.5 * first + rng.random(n) * 0.3) / step) * step, 0, 1)
    return y, first, second


@pytest.mark.parametrize("seed", range(5))
def test_delong_agrees_with_all_pairs_when_scores_have_ties(seed: int) -> None:
    y, score, _ = sample(seed)
    auc, interval = delong(y, score)
    assert auc == pytest.approx(roc_auc_score(y, score))
    assert interval is not None
    assert interval.method == "delong"
    half = 1.959963984540054 * pairs_variance(y, score) ** 0.5
    assert interval.low == pytest.approx(max(0, auc - half))
    assert interval.high == pytest.approx(min(1, auc + half))


def test_delong_does_not_claim_certainty_when_separation_is_perfect() -> None:
    y = np.array([True] * 10 + [False] * 20)
    auc, interval = delong(y, y.astype(float))
    assert auc == 1.0
    assert interval is not None
    assert interval.high == 1.0
    assert interval.low == pytest.approx(proportion_confint(10, 10, method="wilson")[0])


@pytest.mark.parametrize(("positives", "value"), [(0, None), (1, True), (5, None)])
def test_delong_has_no_interval_when_an_outcome_is_too_rare(positives: int, value: object) -> None:
    y = np.arange(5) < positives
    auc, interval = delong(y, np.linspace(0, 1, 5))
    assert (auc is not None) == bool(value)
    assert interval is None


def test_paired_delong_agrees_with_the_covariance_form_when_models_are_correlated() -> None:
    y, first, second = sample(3, 200)
    found = delong_difference(y, first, second)
    assert found is not None
    difference, error = found
    assert difference == pytest.approx(roc_auc_score(y, first) - roc_auc_score(y, second))

    def parts(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kernel = (score[y][:, None] > score[~y][None, :]) + 0.5 * (score[y][:, None] == score[~y][None, :])
        return kernel.mean(axis=1), kernel.mean(axis=0)

    (p1, n1), (p2, n2) = parts(first), parts(second)
    covariance = np.cov(p1, p2) / p1.size + np.cov(n1, n2) / n1.size
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert error == pytest.approx(expected**0.5)


@settings(max_examples=20)
@given(n=st.integers(1, 300), count=st.integers(1, 40), seed=st.integers(0, 9))
def test_resamples_draw_every_row_as_often_as_there_are_rows(n: int, count: int, seed: int) -> None:
    drawn = np.concatenate(list(resamples(n, count, seed)))
    assert drawn.shape == (count, n)
    assert (drawn.sum(axis=1) == n).all()
    assert (drawn == np.concatenate(list(resamples(n, count, seed)))).all()


def test_resamples_keep_each_stratum_when_drawn_apart() -> None:
    strata = np.arange(50) < 7
    drawn = np.concatenate(list(resamples(50, 30, 1, strata)))
    assert (drawn[:, strata].sum(axis=1) == 7).all()
    assert (drawn[:, ~strata].sum(axis=1) == 43).all()


def test_percentile_is_none_when_most_resamples_are_undefined() -> None:
    assert percentile(np.array([np.nan] * 9 + [0.5]), 0.5) is None
    found = percentile(np.linspace(0, 1, 101), 0.5)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.025, 0.975))


def test_fewer_resamples_are_drawn_when_the_table_is_long() -> None:
    assert resample_count(100) == 1000
    assert resample_count(10_000_000) == 50
    assert resample_count(100, 20) == 20
