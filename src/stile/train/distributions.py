"""The few probability functions that Stile's statistics need, without scipy."""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()
_STEPS = 10_000
_TINY = 1e-300
_PRECISION = 1e-15


def z_for(level: float) -> float:
    """The two-sided normal quantile of a confidence level in 0..1: 1.96 for 0.95."""
    return _NORMAL.inv_cdf(0.5 + level / 2)


def normal_cdf(z: float) -> float:
    """The chance that a standard normal value is at most ``z``."""
    return _NORMAL.cdf(z)


def chi2_sf(x: float, df: float) -> float:
    """The chance that a chi-squared value with ``df`` degrees of freedom exceeds ``x``."""
    if df <= 0:
        return 0.0 if x > 0 else 1.0
    return gamma_q(df / 2, x / 2)


def gamma_q(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x), for a > 0.

    Source: NIST Digital Library of Mathematical Functions, 8.7.1 (series, for x < a + 1) and
    8.9.2 (continued fraction, evaluated by Lentz's method, beyond).
    """
    if x <= 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        return max(0.0, 1.0 - front * _series(a, x))
    return min(1.0, front * _fraction(a, x))


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    for step in range(1, _STEPS):
        term *= x / (a + step)
        total += term
        if abs(term) < abs(total) * _PRECISION:
            break
    return total


def _fraction(a: float, x: float) -> float:
    b = x + 1 - a
    c = 1 / _TINY
    d = 1 / b
    value = d
    for step in range(1, _STEPS):
        numerator = -step * (step - a)
        b += 2
        d = 1 / _nonzero(numerator * d + b)
        c = _nonzero(b + numerator / c)
        value *= d * c
        if abs(d * c - 1) < _PRECISION:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
