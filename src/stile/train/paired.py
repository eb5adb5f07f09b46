"""Against the champion on the same rows: the difference, its interval, and how often it is above zero."""

from __future__ import annotations

import numpy as np

from stile.data.table import Flags, Numbers
from stile.train.distributions import normal_cdf, z_for
from stile.train.evidence import Paired
from stile.train.intervals import delong_difference, percentile, resample_count, resamples
from stile.train.measures import LEVEL
from stile.train.outcomes import DESCRIPTIVE, LOWER_IS_BETTER, Binary, Outcomes, point_values


def compare(subject: Outcomes, champion: Outcomes, *, seed: int = 0) -> dict[str, Paired]:
    """The paired difference in every metric both have; positive means the subject is better.

    The rows must be the same in the same order. Rows are resampled together for both (within each
    outcome when there are two), which keeps the pairing; the AUC uses DeLong's paired variance
    when it has one.

    Source: Efron, Tibshirani (1993), An Introduction to the Bootstrap, chapter 8; DeLong et al. (1988).
    """
    if type(subject) is not type(champion) or subject.n != champion.n or not subject.n:
        return {}
    values, other = point_values(subject), point_values(champion)
    names = [name for name in values if name in other and name not in DESCRIPTIVE]
    strata: Flags | None = subject.y if isinstance(subject, Binary) else None
    drawn: dict[str, list[Numbers]] = {name: [] for name in names}
    for weights in resamples(subject.n, resample_count(subject.n), seed, strata):
        first, second = subject.values(weights), champion.values(weights)
        for name in names:
            drawn[name].append(_sign(name) * (first[name] - second[name]))
    found = {name: _paired(name, np.concatenate(drawn[name]), values[name], other[name], subject.n) for name in names}
    exact = _auc(subject, champion)
    return found if exact is None else {**found, "auc": exact}


def _paired(name: str, differences: Numbers, value: float | None, other: float | None, n: int) -> Paired:
    if value is None or other is None:
        return Paired(difference=None, n=n, subject_value=value, champion_value=other)
    difference = _sign(name) * (value - other)
    interval = percentile(differences, difference, LEVEL)
    known = differences[np.isfinite(differences)]
    return Paired(
        difference=difference,
        n=n,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        level=LEVEL,
        p_better=float((known > 0).mean()) if known.size else None,
        p_worse=float((known < 0).mean()) if known.size else None,
        method=f"paired bootstrap ({differences.size})",
        subject_value=value,
        champion_value=other,
    )


def _auc(subject: Outcomes, champion: Outcomes) -> Paired | None:
    if not isinstance(subject, Binary) or not isinstance(champion, Binary):
        return None
    if subject.score is None or champion.score is None:
        return None
    found = delong_difference(subject.y, subject.score, champion.score)
    if found is None or found[1] == 0.0:
        return None
    difference, error = found
    half = z_for(LEVEL) * error
    return Paired(
        difference=difference,
        n=subject.n,
        low=difference - half,
        high=difference + half,
        level=LEVEL,
        p_better=normal_cdf(difference / error),
        p_worse=normal_cdf(-difference / error),
        method="paired delong",
        subject_value=point_values(subject)["auc"],
        champion_value=point_values(champion)["auc"],
    )


def _sign(name: str) -> float:
    return -1.0 if name in LOWER_IS_BETTER else 1.0
