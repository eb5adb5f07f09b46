from __future__ import annotations

import numpy as np
import pytest

from stile.train.outcomes import Binary, Regression, point_values
from stile.train.paired import compare


def two_models(n: int = 250, better: float = 0.25) -> tuple[Binary, Binary]:
    rng = np.random.default_rng(8)
    y = rng.random(n) < 0.4
    noise = rng.random(n)
    good = np.clip(0.3 * y + better * y + 0.4 * noise, 0, 1)
    plain = np.clip(0.3 * y + 0.6 * noise, 0, 1)
    return Binary(y, good >= 0.5, good), Binary(y, plain >= 0.5, plain)


def test_difference_is_positive_in_every_metric_when_the_subject_is_better() -> None:
    good, plain = two_models()
    found = compare(good, plain, seed=1)
    for name in ("auc", "brier", "log_loss", "accuracy", "average_precision"):
        one = found[name]
        assert one.difference > 0, name  # type: ignore[operator]
        assert one.low <= one.difference <= one.high, name  # type: ignore[operator]
        assert one.p_better > 0.9, name  # type: ignore[operator]
        assert one.n == 250
    assert found["brier"].subject_value < found["brier"].champion_value  # type: ignore[operator]
    assert "selection_rate" not in found


def test_sign_turns_when_the_roles_are_swapped() -> None:
    good, plain = two_models()
    forth, back = compare(good, plain, seed=1), compare(plain, good, seed=1)
    for name in forth:
        assert forth[name].difference == pytest.approx(-back[name].difference)  # type: ignore[operator]
        assert forth[name].p_better == pytest.approx(back[name].p_worse)


def test_neither_is_better_when_both_are_the_same() -> None:
    good, _ = two_models()
    for name, one in compare(good, good).items():
        assert (one.difference, one.low, one.high) == (0, 0, 0), name
        assert one.p_better == one.p_worse == 0


def test_pairing_is_narrower_than_two_samples_when_models_agree_mostly() -> None:
    good, plain = two_models(better=0.02)
    one = compare(good, plain)["brier"]
    assert good.score is not None
    assert plain.score is not None
    a, b = (good.score - good.y) ** 2, (plain.score - plain.y) ** 2
    unpaired = 2 * 1.96 * ((a.var() + b.var()) / 250) ** 0.5
    assert one.high - one.low < unpaired  # type: ignore[operator]


def test_error_metrics_are_turned_when_outcomes_are_numbers() -> None:
    y = np.arange(50.0)
    near, far = Regression(y, y + 0.1), Regression(y, y + np.linspace(0, 3, 50))
    found = compare(near, far)
    assert found["mae"].difference == pytest.approx(point_values(far)["mae"] - 0.1)  # type: ignore[operator]
    assert found["r2"].difference > 0  # type: ignore[operator]


def test_nothing_is_compared_when_the_kinds_differ() -> None:
    good, _ = two_models()
    assert compare(good, Regression(np.ones(250), np.ones(250))) == {}
