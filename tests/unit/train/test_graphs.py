from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from stile.data.table import texts_of
from stile.kernel.canonical import canonical_json
from stile.train.graphs import SCHEMA, Drawing, draw
from stile.train.measures import calibration, measure
from stile.train.outcomes import Binary, Multiclass, Outcomes, Regression
from stile.train.slices import slices_of

RNG = np.random.default_rng(1)
N = 400
Y = RNG.random(N) < 0.4
SCORE = np.clip(0.3 * Y + 0.7 * RNG.random(N), 0, 1)
SITE = texts_of(np.where(RNG.random(N) < 0.6, "VA", "VB"))


def drawn(outcomes: Outcomes, threshold: float | None = 0.5) -> dict[str, Drawing]:
    slices = {"site": slices_of(outcomes, SITE[: outcomes.n], name="site")}
    found = draw(outcomes, measure(outcomes), calibration(outcomes), slices, positive="malignant", threshold=threshold)
    return {one.name: one for one in found}


def values(spec: Any) -> list[dict[str, Any]]:
    if "data" in spec:
        return list(spec["data"]["values"])
    return list(spec["layer"][-1]["data"]["values"])


def test_every_graph_is_a_whole_spec_with_a_finding_when_there_are_scores() -> None:
    found = drawn(Binary(Y, SCORE >= 0.5, SCORE))
    assert set(found) == {"roc", "precision-recall", "calibration", "scores", "confusion", "recall-by-site"}
    for one in found.values():
        assert one.spec["$schema"] == SCHEMA
        assert one.spec["description"] == one.finding
        assert one.finding.endswith(".")
        assert len(canonical_json(one.spec)) < 40_000
    missed = int((Y & (SCORE < 0.5)).sum())
    assert found["confusion"].finding.startswith(f"{missed} of {int(Y.sum())} malignant rows are missed")


def test_roc_points_lie_on_the_curve_of_scikit_learn() -> None:
    spec = drawn(Binary(Y, SCORE >= 0.5, SCORE))["roc"].spec
    false, true, _ = roc_curve(Y, SCORE, drop_intermediate=False)
    exact = {(round(float(a), 5), round(float(b), 5)) for a, b in zip(false, true, strict=True)}
    points = {(point["x"], point["y"]) for point in values(spec)}
    assert points <= exact
    assert {(0.0, 0.0), (1.0, 1.0)} <= points


def test_histogram_holds_every_row_once() -> None:
    spec = drawn(Binary(Y, SCORE >= 0.5, SCORE))["scores"].spec
    rows = spec["layer"][0]["data"]["values"]
    assert sum(row["rows"] for row in rows if row["outcome"] == "malignant") == Y.sum()
    assert sum(row["rows"] for row in rows) == N


def test_score_graphs_are_absent_when_they_cannot_be_drawn() -> None:
    assert set(drawn(Binary(Y, SCORE >= 0.5, None), None)) == {"confusion", "recall-by-site"}
    none = np.zeros(N, dtype=bool)
    assert set(drawn(Binary(none, SCORE >= 0.5, SCORE))) == {"confusion"}


def test_weakest_slice_is_named() -> None:
    b = Binary(Y, SCORE >= 0.5, SCORE)
    recalls = {s: (b.predicted[(s == SITE) & Y]).mean() for s in ("VA", "VB")}
    weakest = min(recalls, key=recalls.__getitem__)
    assert f"site={weakest} with recall {recalls[weakest]:.3f}" in drawn(b)["recall-by-site"].finding


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_other_outcomes_have_their_own_graphs(kind: str) -> None:
    if kind == "numbers":
        found = drawn(Regression(SCORE, SCORE + 0.1), None)
        assert set(found) == {"predicted-by-true", "mae-by-site"}
        assert "0.100" in found["predicted-by-true"].finding
    else:
        y = texts_of(RNG.choice(["a", "b", "c"], N))
        found = drawn(Multiclass(y, np.where(y == "a", "b", y)), None)
        assert set(found) == {"confusion", "accuracy-by-site"}
        assert "most often a is taken for b" in found["confusion"].finding
