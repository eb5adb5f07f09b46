"""Predictions next to what turned out true, and every metric of them under row weights.

A metric is written once, for weights of shape (k, n): ones give its value, bootstrap resamples
give its spread, so the number and its interval can never come from different code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stile.data.table import Flags, Indices, Numbers, Texts

CALIBRATION_BINS = 10
_LOG_FLOOR = 1e-15

LOWER_IS_BETTER = frozenset({"brier", "log_loss", "ece", "mae", "rmse"})
DESCRIPTIVE = frozenset({"selection_rate", "prevalence", "bias"})
"""Numbers that describe and are neither good nor bad."""


@dataclass(frozen=True, slots=True)
class Binary:
    """Two outcomes: what was true, what was predicted, and the score in 0..1 (None when only classes were given)."""

    y: Flags
    predicted: Flags
    score: Numbers | None

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.y.size)

    @property
    def positives(self) -> int | None:
        """Rows whose true outcome is the positive one."""
        return int(self.y.sum())

    def take(self, rows: Indices) -> Binary:
        """Only these rows."""
        return Binary(self.y[rows], self.predicted[rows], None if self.score is None else self.score[rows])

    def values(self, weights: Numbers) -> dict[str, Numbers]:
        """Every metric under each of k weightings; NaN where it is not defined."""
        total = weights.sum(axis=1)
        positives = weights @ self.y
        negatives = total - positives
        selected = weights @ self.predicted
        hits = weights @ (self.y & self.predicted)
        rejected = weights @ (~self.y & ~self.predicted)
        found = {
            "accuracy": _ratio(hits + rejected, total),
            "precision": _ratio(hits, selected),
            "recall": _ratio(hits, positives),
            "specificity": _ratio(rejected, negatives),
            "f1": _ratio(2 * hits, selected + positives),
            "selection_rate": _ratio(selected, total),
            "prevalence": _ratio(positives, total),
        }
        if self.score is not None:
            y = self.y.astype(np.float64)
            clipped = np.clip(self.score, _LOG_FLOOR, 1 - _LOG_FLOOR)
            losses = -(y * np.log(clipped) + (1 - y) * np.log(1 - clipped))
            found |= _ranking(self.y, self.score, weights, positives, negatives)
            found["brier"] = _ratio(weights @ (self.score - y) ** 2, total)
            found["log_loss"] = _ratio(weights @ losses, total)
            found["ece"] = _calibration_error(self.score, y, weights, total)
        return found


@dataclass(frozen=True, slots=True)
class Multiclass:
    """More than two outcomes, as text."""

    y: Texts
    predicted: Texts

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.y.size)

    @property
    def positives(self) -> int | None:
        """There is no positive outcome."""
        return None

    def take(self, rows: Indices) -> Multiclass:
        """Only these rows."""
        return Multiclass(self.y[rows], self.predicted[rows])

    def values(self, weights: Numbers) -> dict[str, Numbers]:
        """Accuracy, macro F1 and macro recall (over the classes that occur) under each of k weightings."""
        right = self.y == self.predicted
        scores, recalls = [], []
        for label in sorted(set(self.y.tolist()) | set(self.predicted.tolist())):
            true, said = self.y == label, self.predicted == label
            hits, occurs, guessed = weights @ (true & said), weights @ true, weights @ said
            scores.append(_ratio(2 * hits, occurs + guessed))
            recalls.append(_ratio(hits, occurs))
        return {
            "accuracy": _ratio(weights @ right, weights.sum(axis=1)),
            "macro_f1": _mean_of_known(scores),
            "balanced_accuracy": _mean_of_known(recalls),
        }


@dataclass(frozen=True, slots=True)
class Regression:
    """Numbers: what was true and what was predicted."""

    y: Numbers
    predicted: Numbers

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.y.size)

    @property
    def positives(self) -> int | None:
        """There is no positive outcome."""
        return None

    def take(self, rows: Indices) -> Regression:
        """Only these rows."""
        return Regression(self.y[rows], self.predicted[rows])

    def values(self, weights: Numbers) -> dict[str, Numbers]:
        """Mean absolute error, root mean squared error, R squared and mean error under each of k weightings."""
        total = weights.sum(axis=1)
        error = self.predicted - self.y
        squares = weights @ error**2
        mean = _ratio(weights @ self.y, total)
        # deviations from a fixed centre first: subtracting large squares would lose digits
        centred = self.y - self.y.mean() if self.n else self.y
        spread = weights @ centred**2 - total * (mean - (self.y.mean() if self.n else 0.0)) ** 2
        return {
            "mae": _ratio(weights @ np.abs(error), total),
            "rmse": np.sqrt(_ratio(squares, total)),
            "r2": 1 - _ratio(squares, np.where(spread > 0, spread, 0.0)),
            "bias": _ratio(weights @ error, total),
        }


Outcomes = Binary | Multiclass | Regression


def point_values(outcomes: Outcomes) -> dict[str, float | None]:
    """Every metric on all rows; None where it is not defined."""
    if not outcomes.n:
        return {}
    found = outcomes.values(np.ones((1, outcomes.n)))
    return {name: float(value[0]) if np.isfinite(value[0]) else None for name, value in found.items()}


def calibration_places(score: Numbers) -> Indices:
    """The bin of every score: ten of equal width, the last one closed."""
    return np.minimum((score * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def _ranking(y: Flags, score: Numbers, weights: Numbers, positives: Numbers, negatives: Numbers) -> dict[str, Numbers]:
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))  # first row of every distinct score
    by_rank = weights[:, order]
    hits = np.add.reduceat(by_rank * y[order], starts, axis=1)  # positives at every distinct score, best first
    misses = np.add.reduceat(by_rank * ~y[order], starts, axis=1)
    hits_above, misses_above = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
    pairs_won = (misses * (hits_above - hits / 2)).sum(axis=1)  # ties count half
    precision = np.divide(hits_above, hits_above + misses_above, out=np.zeros_like(hits), where=hits_above > 0)
    return {
        "auc": _ratio(pairs_won, positives * negatives),
        "average_precision": _ratio((hits * precision).sum(axis=1), positives),
    }


def _calibration_error(score: Numbers, y: Numbers, weights: Numbers, total: Numbers) -> Numbers:
    """Expected calibration error. Source: Naeini, Cooper, Hauskrecht (2015), AAAI; equal-width bins."""
    places = calibration_places(score)
    gaps = [np.abs(weights[:, places == b] @ (score - y)[places == b]) for b in np.unique(places)]
    return _ratio(np.sum(gaps, axis=0), total)


def _mean_of_known(columns: list[Numbers]) -> Numbers:
    stacked = np.array(columns)
    known = np.isfinite(stacked)
    return _ratio(np.where(known, stacked, 0.0).sum(axis=0), known.sum(axis=0))


def _ratio(above: Any, below: Any) -> Numbers:
    below = np.asarray(below, dtype=np.float64)
    result: Numbers = np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)
    return result
