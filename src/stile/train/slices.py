"""Subgroups: the same metrics for every value of a column, and how evenly the groups are treated."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np

from stile.data.table import Column, Flags, Texts, texts_of
from stile.kernel.errors import Invalid
from stile.train.evidence import Metric, SliceValue
from stile.train.measures import LEVEL, measure
from stile.train.outcomes import Binary, Outcomes

MAX_VALUES = 100
_FEW_NUMBERS = 12
_SLICE_RESAMPLES = 200
_FAIRNESS_RESAMPLES = 2000
MISSING = "(missing)"


def slice_labels(column: Column) -> Texts:
    """The subgroup of every row, as text: values of a column, or quarters of a column of many numbers."""
    if column.dtype != np.object_ and np.unique(column[~np.isnan(column)]).size > _FEW_NUMBERS:
        return _quarters(column)
    labels = texts_of(column)
    labels[[label is None for label in labels]] = MISSING
    return labels


def slices_of(outcomes: Outcomes, labels: Texts, *, name: str, seed: int = 0) -> list[SliceValue]:
    """Metrics of every subgroup, largest first. Small groups are measured too: their ``n`` tells.

    Raises:
        Invalid: the column has more than 100 values.
    """
    counts = Counter(labels.tolist())
    if len(counts) > MAX_VALUES:
        raise Invalid(
            f"The column {name!r} has {len(counts)} different values; at most {MAX_VALUES} can be slices. "
            "Choose a column with fewer, or group its values.",
            column=name,
        )
    found = []
    for value, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        part = outcomes.take(np.flatnonzero(labels == value))
        metrics = measure(part, seed=seed, most_resamples=_SLICE_RESAMPLES)
        found.append(SliceValue(value=value, n=n, positives=part.positives, metrics=metrics))
    return found


def fairness_of(outcomes: Outcomes, labels: Texts, *, seed: int = 0) -> dict[str, Metric]:
    """How even the groups are: lowest over highest rate among them; 1 is even, 0.8 the usual floor.

    ``demographic_parity_ratio`` compares how often each group gets the positive prediction,
    ``equal_opportunity_ratio`` how often a true positive of each group is found. Empty unless there
    are two outcomes. ``n`` counts the rows of the smallest group: it limits what is known.

    Source: Hardt, Price, Srebro (2016), Equality of Opportunity in Supervised Learning; the four-fifths
    rule in 29 CFR 1607.4 D. Intervals: parametric bootstrap of each group's count.
    """
    if not isinstance(outcomes, Binary) or not outcomes.n:
        return {}
    everybody = np.ones(outcomes.n, dtype=np.bool_)
    return {
        "demographic_parity_ratio": _ratio_metric(outcomes, labels, everybody, seed),
        "equal_opportunity_ratio": _ratio_metric(outcomes, labels, outcomes.y, seed),
    }


def _ratio_metric(outcomes: Binary, labels: Texts, among: Flags, seed: int) -> Metric:
    groups = [among & (labels == value) for value in sorted(set(labels.tolist()))]
    sizes = np.array([int(group.sum()) for group in groups], dtype=np.int64)
    hits = np.array([int(outcomes.predicted[group].sum()) for group in groups], dtype=np.int64)
    positives = int(outcomes.y.sum())
    if sizes.size < 2 or sizes.min() == 0 or hits.max() == 0:
        return Metric(value=None, n=int(sizes.min()) if sizes.size else 0, positives=positives)
    rates = hits / sizes
    drawn = np.random.default_rng(seed).binomial(sizes, rates, (_FAIRNESS_RESAMPLES, sizes.size)) / sizes
    highest = drawn.max(axis=1)
    ratios = drawn.min(axis=1)[highest > 0] / highest[highest > 0]
    value = float(rates.min() / rates.max())
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Metric(
        value=value, low=min(float(low), value), high=max(float(high), value), level=LEVEL,
        method=f"bootstrap ({_FAIRNESS_RESAMPLES})", n=int(sizes.min()), positives=positives,
    )  # fmt: skip


def _quarters(column: Column) -> Texts:
    known = column[~np.isnan(column)]
    cuts = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
    bounds = [known.min(), *cuts, known.max()]
    names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(bounds)]
    places = np.searchsorted(cuts, column, side="left")
    labels = np.empty(column.size, dtype=np.object_)
    for row, place in enumerate(places):
        labels[row] = MISSING if np.isnan(column[row]) else names[place]
    return labels
