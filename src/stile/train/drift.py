"""How far a window moved from a reference profile, column by column; needs no outcomes and no reference rows.

PSI is taken over the reference's fixed bins, so windows are comparable and their counts add up.
It always travels with the value that chance alone would give and the chance of reaching it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stile.data.profile import ColumnProfile, Profile
from stile.data.profiling import window_profile
from stile.data.table import Numbers, Table
from stile.train.distributions import chi2_sf
from stile.train.evidence import Drift

_EMPTY = 0.5  # an empty bin counts as half a row: PSI stays finite and one unseen row is no catastrophe


def drift(reference: Profile, window: Table | Profile) -> list[Drift]:
    """Drift of every column that both have, in the reference's order.

    Args:
        reference: the archived profile.
        window: rows, or their counts over the reference's bins (``window_profile``, ``add_profiles``).
            From rows KS is exact up to the reference's quantile grid; from summed counts it is read at the
            bin edges and can only come out smaller.

    Raises:
        Invalid: a column of numbers holds text in the window.
    """
    counted = window_profile(reference, window) if isinstance(window, Table) else window
    found = []
    for column in reference.columns:
        now = counted.column(column.name)
        if now is None:
            continue
        rows = window.numbers(column.name) if isinstance(window, Table) and column.kind == "numeric" else None
        found.append(_column_drift(column, now, rows))
    return found


def psi(expected: Sequence[int], actual: Sequence[int]) -> tuple[float, float, float] | None:
    """Population stability index of two sets of counts over the same bins; None when either is empty.

    Returns:
        The PSI; its mean when nothing moved, (B-1)(1/n + 1/m); and the chance of a PSI at least this large
        when nothing moved (PSI / (1/n + 1/m) is then about chi-squared with B-1 degrees of freedom).

    Source: Yurdakul, Naranjo (2020), Statistical properties of the population stability index,
        Journal of Risk Model Validation 14(4).
    """
    pairs = [(e, a) for e, a in zip(expected, actual, strict=True) if e or a]
    n, m = sum(e for e, _ in pairs), sum(a for _, a in pairs)
    if not n or not m:
        return None
    before = np.array([e or _EMPTY for e, _ in pairs], dtype=np.float64)
    after = np.array([a or _EMPTY for _, a in pairs], dtype=np.float64)
    before /= before.sum()
    after /= after.sum()
    value = float(((after - before) * np.log(after / before)).sum())
    noise = 1 / n + 1 / m
    free = len(pairs) - 1
    return value, free * noise, chi2_sf(value / noise, free)


def ks_from_grid(quantiles: Sequence[float], values: Numbers) -> float | None:
    """Largest distance between the distribution of ``values`` and the one whose quantile grid is given."""
    known = np.sort(values[~np.isnan(values)])
    grid = np.asarray(quantiles, dtype=np.float64)
    if not known.size or not grid.size:
        return None
    places = np.concatenate([known, grid])
    before = np.searchsorted(grid, places, side="right") / grid.size
    after = np.searchsorted(known, places, side="right") / known.size
    return float(np.abs(before - after).max())


def ks_from_counts(expected: Sequence[int], actual: Sequence[int]) -> float | None:
    """The distance of two distribution functions at the bin edges: a lower bound of KS."""
    n, m = sum(expected), sum(actual)
    if not n or not m:
        return None
    return float(np.abs(np.cumsum(expected) / n - np.cumsum(actual) / m).max())


def _column_drift(reference: ColumnProfile, now: ColumnProfile, rows: Numbers | None) -> Drift:
    if reference.kind == "numeric":
        moved = psi(reference.counts, now.counts)
        ks = _ks(reference, now, rows)
    else:
        names = list(reference.categories)
        expected = [*reference.categories.values(), reference.other]
        moved = psi(expected, [*(now.categories.get(name, 0) for name in names), now.other])
        ks = None
    return Drift(
        column=reference.name,
        n=now.n,
        psi=None if moved is None else moved[0],
        psi_null=None if moved is None else moved[1],
        psi_p=None if moved is None else moved[2],
        ks=ks,
        missing_ratio=_missing_ratio(now),
        reference_missing_ratio=_missing_ratio(reference),
    )


def _ks(reference: ColumnProfile, now: ColumnProfile, rows: Numbers | None) -> float | None:
    if rows is not None:
        return ks_from_grid(reference.quantiles, rows)
    if now.quantiles:
        return ks_from_grid(reference.quantiles, np.asarray(now.quantiles, dtype=np.float64))
    return ks_from_counts(reference.counts, now.counts)


def _missing_ratio(column: ColumnProfile) -> float | None:
    rows = column.n + column.missing
    return column.missing / rows if rows else None
