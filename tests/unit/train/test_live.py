from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stile.data.profiling import build_profile
from stile.data.table import table_of
from stile.train.evidence import Computed, Evidence
from stile.train.live import live_evidence
from stile.train.measures import measure
from stile.train.outcomes import Binary

RNG = np.random.default_rng(3)
N = 200
X = RNG.normal(size=N)
Y = RNG.random(N) < 0.4
SCORE = np.clip(0.3 + 0.4 * Y + RNG.normal(0, 0.2, N), 0, 1)
SITE = np.where(RNG.random(N) < 0.5, "VA", "VB")
REFERENCE = build_profile(table_of({"x": RNG.normal(size=1000), "score": RNG.random(1000)}))


def window(**changes: Any) -> Evidence:
    values: dict[str, Any] = {
        "use_case": "cells", "version": "3", "digest": "sha256:" + "1" * 64, "window": "win_1",
        "features": table_of({"x": X}), "scores": SCORE, "outcomes": ["1" if y else "0" for y in Y],
        "slices": {"site": SITE}, "threshold": 0.5, "positive": "1", "reference": REFERENCE,
        "computed": Computed(by="monitor", at=1, code="stile"),
    }  # fmt: skip
    return live_evidence(**(values | changes))


def test_window_has_the_same_numbers_as_training_evidence_when_all_outcomes_are_known() -> None:
    found = window()
    expected = measure(Binary(Y, SCORE >= 0.5, SCORE), most_resamples=0)
    for name, metric in expected.items():
        assert found.metrics[name].value == pytest.approx(metric.value)
    assert found.subject.kind == "window"
    assert found.subject.window == "win_1"
    assert found.facts["coverage"] == {"outcomes_ratio": 1.0, "n": N, "known": N}
    assert sum(one.n for one in found.slices["site"]) == N
    assert [d.column for d in found.drift] == ["x", "score"]
    assert found.datasets[0].rows == N
    assert found.digest == window().digest


@pytest.mark.parametrize("unknown", [None, float("nan"), ""])
def test_only_known_outcomes_are_judged_and_coverage_says_so(unknown: Any) -> None:
    outcomes: list[Any] = ["1" if y else "0" for y in Y]
    outcomes[:150] = [unknown] * 150
    found = window(outcomes=outcomes)
    assert found.facts["coverage"] == {"outcomes_ratio": 0.25, "n": 200, "known": 50}
    assert found.metrics["recall"].n == 50
    assert found.metrics["recall"].value == pytest.approx((SCORE[150:][Y[150:]] >= 0.5).mean())
    assert sum(one.n for one in found.slices["site"]) == 50
    assert found.drift[0].n == 200, "drift needs no outcomes"


def test_drift_without_metrics_is_reported_when_no_outcome_is_known() -> None:
    found = window(outcomes=[None] * N)
    assert found.metrics == {}
    assert found.slices == {}
    assert found.facts["coverage"]["outcomes_ratio"] == 0
    assert len(found.drift) == 2


def test_text_where_a_number_belongs_counts_as_missing() -> None:
    features = table_of({"x": [*(str(v) for v in X[:150]), *["broken"] * 50]})
    found = window(features=features)
    assert found.drift[0].missing_ratio == 0.25
    assert found.drift[0].n == 150


def test_shift_is_seen_when_inputs_moved() -> None:
    moved = window(features=table_of({"x": X + 1.5}))
    assert moved.drift[0].psi > 0.25 > window().drift[0].psi  # type: ignore[operator]


def test_labels_are_judged_when_there_are_no_scores() -> None:
    words = ["ill" if s >= 0.5 else "well" for s in SCORE]
    truth = ["ill" if y else "well" for y in Y]
    classes = build_profile(table_of({"score": [1.0, 0.0, 1.0]}))
    found = window(scores=None, predicted=words, outcomes=truth, threshold=None, positive="ill", reference=classes)
    assert found.drift[0].psi is not None
    assert found.metrics["recall"].value == window().metrics["recall"].value
    assert "auc" not in found.metrics


def test_rows_without_a_score_are_left_out_of_performance() -> None:
    scores = SCORE.copy()
    scores[:20] = np.nan
    found = window(scores=scores)
    assert found.metrics["accuracy"].n == 180
    assert sum(one.n for one in found.slices["site"]) == 180
    assert next(d for d in found.drift if d.column == "score").missing_ratio == pytest.approx(0.1)


def test_numbers_are_judged_when_the_outcome_is_a_number() -> None:
    truth = X * 3
    found = window(scores=truth + 0.5, outcomes=truth, threshold=None, positive="", reference=None)
    assert found.metrics["mae"].value == pytest.approx(0.5)
    assert found.drift == []
    assert found.profile is None


def test_empty_window_is_valid_evidence() -> None:
    found = window(features=table_of({"x": np.zeros(0)}), scores=[], outcomes=[], slices={"site": []})
    assert found.facts["coverage"] == {"outcomes_ratio": 0.0, "n": 0, "known": 0}
    assert found.metrics == {}
    assert found.digest.startswith("sha256:")
