from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from stile.data.table import texts_of
from stile.train.measures import calibration, measure
from stile.train.outcomes import Binary, Multiclass, Regression, point_values


def binary(seed: int, n: int, step: float = 0.02) -> Binary:
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.35
    y[:2] = [True, False]
    score = np.clip(np.round((0.35 * y + rng.random(n) * 0.65) / step) * step, 0, 1)
    return Binary(y, score >= 0.5, score)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(5, 300), step=st.sampled_from([0.001, 0.1, 0.25]))
def test_binary_metrics_agree_with_scikit_learn_when_scores_have_ties(seed: int, n: int, step: float) -> None:
    b = binary(seed, n, step)
    assert b.score is not None
    values = point_values(b)
    expected = {
        "accuracy": sk.accuracy_score(b.y, b.predicted),
        "recall": sk.recall_score(b.y, b.predicted),
        "specificity": sk.recall_score(~b.y, ~b.predicted),
        "auc": sk.roc_auc_score(b.y, b.score),
        "average_precision": sk.average_precision_score(b.y, b.score),
        "brier": sk.brier_score_loss(b.y, b.score),
        "log_loss": sk.log_loss(b.y, np.clip(b.score, 1e-15, 1 - 1e-15)),
        "prevalence": b.y.mean(),
        "selection_rate": b.predicted.mean(),
    }
    if b.predicted.any():
        expected |= {"precision": sk.precision_score(b.y, b.predicted), "f1": sk.f1_score(b.y, b.predicted)}
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, abs=1e-12), name


def test_weights_agree_with_repeated_rows_when_bootstrapping() -> None:
    b = binary(5, 60)
    assert b.score is not None
    weights = np.random.default_rng(0).integers(0, 4, (3, 60)).astype(float)
    values = b.values(weights)
    for k in range(3):
        rows = np.repeat(np.arange(60), weights[k].astype(int))
        for name, value in point_values(b.take(rows)).items():
            assert values[name][k] == pytest.approx(value), name


def test_calibration_agrees_with_scikit_learn_when_bins_are_equal_width() -> None:
    b = binary(2, 500, 0.0137)
    assert b.score is not None
    bins = [one for one in calibration(b) if one.n]
    observed, predicted = calibration_curve(b.y, b.score, n_bins=10)
    assert [one.observed for one in bins] == pytest.approx(observed.tolist())
    assert [one.predicted for one in bins] == pytest.approx(predicted.tolist())
    ece = sum(one.n * abs(one.predicted - one.observed) for one in bins) / 500  # type: ignore[operator]
    assert point_values(b)["ece"] == pytest.approx(ece)


def test_recall_is_none_with_its_n_when_there_are_no_positives() -> None:
    b = Binary(np.zeros(8, dtype=bool), np.arange(8) < 2, np.linspace(0, 1, 8))
    found = measure(b)
    for name in ("recall", "auc", "average_precision"):
        assert found[name].value is None
        assert found[name].low is None
        assert (found[name].n, found[name].positives) == (8, 0)
    assert found["specificity"].value == 0.75


def test_scores_have_no_metrics_when_only_classes_were_given() -> None:
    found = measure(Binary(np.arange(6) < 3, np.arange(6) < 2, None))
    assert "auc" not in found
    assert "recall" in found


def test_intervals_repeat_when_the_seed_is_the_same() -> None:
    b = binary(7, 120)
    assert measure(b, seed=3) == measure(b, seed=3)
    assert measure(b, seed=3)["brier"].low != measure(b, seed=4)["brier"].low


def test_every_interval_holds_its_value_and_narrows_when_there_are_more_rows() -> None:
    small, large = measure(binary(1, 60)), measure(binary(1, 3000))
    for name, metric in large.items():
        assert metric.value is not None
        assert metric.low <= metric.value <= metric.high, name  # type: ignore[operator]
        assert metric.n == 3000
        assert metric.method, name
        assert metric.high - metric.low < small[name].high - small[name].low, name  # type: ignore[operator]


def test_bootstrap_of_brier_agrees_with_theory_when_the_sample_is_large() -> None:
    b = binary(9, 2000)
    assert b.score is not None
    losses = (b.score - b.y) ** 2
    half = 1.96 * losses.std(ddof=1) / len(losses) ** 0.5
    found = measure(b)["brier"]
    assert found.low == pytest.approx(losses.mean() - half, abs=half * 0.15)
    assert found.high == pytest.approx(losses.mean() + half, abs=half * 0.15)


@pytest.mark.parametrize("n", [10, 400])
def test_regression_metrics_agree_with_scikit_learn(n: int) -> None:
    rng = np.random.default_rng(n)
    y = rng.normal(1e6, 3, n)  # far from zero, where careless sums of squares lose all digits
    r = Regression(y, y + rng.normal(0.2, 1, n))
    values = point_values(r)
    assert values["mae"] == pytest.approx(sk.mean_absolute_error(y, r.predicted))
    assert values["rmse"] == pytest.approx(sk.root_mean_squared_error(y, r.predicted))
    assert values["r2"] == pytest.approx(sk.r2_score(y, r.predicted), abs=1e-6)
    assert measure(r)["mae"].low < values["mae"]  # type: ignore[operator]


def test_r2_is_none_when_the_truth_is_constant() -> None:
    assert point_values(Regression(np.ones(5), np.arange(5.0)))["r2"] is None


def test_multiclass_metrics_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b", "c"], 200)
    said = np.where(rng.random(200) < 0.7, y, rng.choice(["a", "b", "d"], 200))
    values = point_values(Multiclass(texts_of(y), texts_of(said)))
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(y, said))
    assert values["macro_f1"] == pytest.approx(sk.f1_score(y, said, average="macro"))
    recalls = [sk.recall_score(y == label, said == label) for label in "abc"]
    assert values["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_nothing_is_measured_when_there_are_no_rows() -> None:
    assert measure(Binary(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool), None)) == {}
