"""How strongly one number of the compared runs goes with another, whatever the shape of the relation."""

from __future__ import annotations

from collections.abc import Sequence

LEAST_RUNS = 4
"""With fewer, a correlation says nothing."""


def rank_correlation(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Spearman's rank correlation in [-1, 1], ties sharing their mean rank.

    None for fewer than ``LEAST_RUNS`` pairs, or where one side has one value only.

    Source: Spearman (1904), "The proof and measurement of association between two things".
    """
    if len(left) < LEAST_RUNS:
        return None
    lefts, rights = _ranks(left), _ranks(right)
    mean = (len(left) - 1) / 2
    above = sum((a - mean) * (b - mean) for a, b in zip(lefts, rights, strict=True))
    below = (sum((a - mean) ** 2 for a in lefts) * sum((b - mean) ** 2 for b in rights)) ** 0.5
    return above / below if below else None


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for place in order[at : end + 1]:
            found[place] = (at + end) / 2
        at = end + 1
    return found
