"""Metrics with their intervals, and the calibration of scores."""

from __future__ import annotations

import numpy as np

from stile.data.table import Numbers
from stile.train.evidence import CalibrationBin, Metric
from stile.train.intervals import Interval, delong, percentile, resample_count, resamples, wilson
from stile.train.outcomes import CALIBRATION_BINS, Binary, Multiclass, Outcomes, calibration_places, point_values

LEVEL = 0.95


def measure(outcomes: Outcomes, *, seed: int = 0, most_resamples: int = 1000) -> dict[str, Metric]:
    """Every metric that these outcomes allow, each with its 95 % interval and n.

    Args:
        outcomes: predictions next to the truth.
        seed: of the bootstrap; the same seed gives the same interval.
        most_resamples: bootstrap resamples; fewer are drawn from very long tables, none when 0.
    """
    values = point_values(outcomes)
    intervals = _closed_form(outcomes)
    open_names = [name for name, value in values.items() if name not in intervals and value is not None]
    if open_names and most_resamples:
        drawn: dict[str, list[Numbers]] = {name: [] for name in open_names}
        for weights in resamples(outcomes.n, resample_count(outcomes.n, most_resamples), seed):
            found = outcomes.values(weights)
            for name in open_names:
                drawn[name].append(found[name])
        intervals |= {name: percentile(np.concatenate(drawn[name]), values[name] or 0.0, LEVEL) for name in open_names}
    return {name: _metric(outcomes, value, intervals.get(name)) for name, value in values.items()}


def calibration(outcomes: Outcomes) -> list[CalibrationBin]:
    """Mean score against observed share in ten equal bins; empty without scores."""
    if not isinstance(outcomes, Binary) or outcomes.score is None:
        return []
    places = calibration_places(outcomes.score)
    bins = []
    for place in range(CALIBRATION_BINS):
        inside = places == place
        n = int(inside.sum())
        bins.append(
            CalibrationBin(
                low=place / CALIBRATION_BINS,
                high=(place + 1) / CALIBRATION_BINS,
                n=n,
                predicted=float(outcomes.score[inside].mean()) if n else None,
                observed=float(outcomes.y[inside].mean()) if n else None,
            )
        )
    return bins


def _closed_form(outcomes: Outcomes) -> dict[str, Interval | None]:
    if isinstance(outcomes, Multiclass):
        return {"accuracy": wilson(int((outcomes.y == outcomes.predicted).sum()), outcomes.n, LEVEL)}
    if not isinstance(outcomes, Binary):
        return {}
    y, predicted = outcomes.y, outcomes.predicted
    hits = int((y & predicted).sum())
    rejected = int((~y & ~predicted).sum())
    positives = int(y.sum())
    found = {
        "accuracy": wilson(hits + rejected, outcomes.n, LEVEL),
        "precision": wilson(hits, int(predicted.sum()), LEVEL),
        "recall": wilson(hits, positives, LEVEL),
        "specificity": wilson(rejected, outcomes.n - positives, LEVEL),
        "selection_rate": wilson(int(predicted.sum()), outcomes.n, LEVEL),
        "prevalence": wilson(positives, outcomes.n, LEVEL),
    }
    if outcomes.score is not None:
        found["auc"] = delong(y, outcomes.score, LEVEL)[1]
    return found


def _metric(outcomes: Outcomes, value: float | None, interval: Interval | None) -> Metric:
    if interval is None or value is None:
        return Metric(value=value, n=outcomes.n, level=LEVEL, positives=outcomes.positives)
    return Metric(
        value=value, low=interval.low, high=interval.high, level=LEVEL, method=interval.method,
        n=outcomes.n, positives=outcomes.positives,
    )  # fmt: skip
