"""How sure a number is: Wilson for shares, DeLong for the AUC, the bootstrap for the rest."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from stile.data.table import Flags, Indices, Numbers
from stile.train.distributions import z_for

_CHUNK_CELLS = 2_000_000  # keeps a chunk of resampling weights at 16 MB
_MOST = 1000
_FEWEST = 50
_WORK = 20_000_000  # resampled rows in all, so that a million rows still end in seconds


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Ends of an interval and how it was found."""

    low: float
    high: float
    method: str


def wilson(successes: float, n: float, level: float = 0.95) -> Interval | None:
    """The score interval of a share; None when ``n`` is 0.

    Source: Wilson (1927), JASA 22:209-212; recommended by Brown, Cai, DasGupta (2001), Statistical Science 16(2).
    """
    if n <= 0:
        return None
    z = z_for(level)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(low=max(0.0, low), high=min(1.0, high), method="wilson")


def delong(y: Flags, score: Numbers, level: float = 0.95) -> tuple[float | None, Interval | None]:
    """AUC and its interval; None where an outcome is absent (value) or occurs only once (interval).

    A perfect separation has no variance to estimate from; its interval is then Wilson's for the
    smaller class, all of which was ranked rightly.

    Source: DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44:837-845; by midranks after
    Sun, Xu (2014), IEEE Signal Processing Letters 21(11).
    """
    positives = int(y.sum())
    negatives = int(y.size - positives)
    if not positives or not negatives:
        return None, None
    of_positives, of_negatives = _components(y, score)
    auc = float(of_positives.mean())
    if min(positives, negatives) < 2:
        return auc, None
    variance = float(of_positives.var(ddof=1) / positives + of_negatives.var(ddof=1) / negatives)
    if variance == 0.0:
        smaller = min(positives, negatives)
        edge = wilson(smaller * auc, smaller, level)
        return auc, None if edge is None else Interval(low=edge.low, high=edge.high, method="wilson (smaller class)")
    half = z_for(level) * variance**0.5
    return auc, Interval(low=max(0.0, auc - half), high=min(1.0, auc + half), method="delong")


def delong_difference(y: Flags, first: Numbers, second: Numbers) -> tuple[float, float] | None:
    """AUC of ``first`` minus AUC of ``second`` on the same rows, and its standard error.

    None when an outcome occurs less than twice. Source: as ``delong``.
    """
    positives = int(y.sum())
    negatives = int(y.size - positives)
    if min(positives, negatives) < 2:
        return None
    p1, n1 = _components(y, first)
    p2, n2 = _components(y, second)
    variance = float((p1 - p2).var(ddof=1) / positives + (n1 - n2).var(ddof=1) / negatives)
    return float(p1.mean() - p2.mean()), variance**0.5


def resample_count(n: int, most: int = _MOST) -> int:
    """How many bootstrap resamples ``n`` rows are worth: ``most``, fewer for very long tables."""
    return max(min(_FEWEST, most), min(most, _WORK // max(n, 1)))


def resamples(n: int, count: int, seed: int, strata: Flags | None = None) -> Iterator[Numbers]:
    """Bootstrap resamples as weights: blocks of shape (k, n) that say how often each row was drawn.

    Args:
        n: rows.
        count: resamples in all.
        seed: the same seed draws the same rows.
        strata: two groups to draw from separately, so that each keeps its size.
    """
    generator = np.random.default_rng(seed)
    groups = [np.arange(n)] if strata is None else [np.flatnonzero(strata), np.flatnonzero(~strata)]
    block = max(1, _CHUNK_CELLS // max(n, 1))
    for start in range(0, count, block):
        size = min(block, count - start)
        drawn = [group[generator.integers(0, group.size, (size, group.size))] for group in groups if group.size]
        rows: Indices = np.concatenate(drawn, axis=1) + n * np.arange(size)[:, None]
        yield np.bincount(rows.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def percentile(values: Numbers, value: float, level: float = 0.95) -> Interval | None:
    """The percentile interval of bootstrap values, widened to hold ``value``; None when most are undefined.

    Source: Efron, Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    known = values[np.isfinite(values)]
    if known.size < max(2, values.size // 2):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=min(float(low), value), high=max(float(high), value), method=f"bootstrap ({values.size})")


def midranks(values: Numbers) -> Numbers:
    """Ranks from 1, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means = ends - (counts - 1) / 2
    return np.asarray(means[inverse], dtype=np.float64)


def _components(y: Flags, score: Numbers) -> tuple[Numbers, Numbers]:
    """How each positive ranks among the negatives, and each negative among the positives (0..1)."""
    ranks = midranks(score)
    positives, negatives = score[y], score[~y]
    of_positives = (ranks[y] - midranks(positives)) / negatives.size
    of_negatives = 1 - (ranks[~y] - midranks(negatives)) / positives.size
    return of_positives, of_negatives
