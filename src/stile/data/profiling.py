"""Building profiles: from a reference table, and from windows over a reference's fixed bins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from stile.data.profile import ColumnProfile, Profile
from stile.data.table import Column, Numbers, Table, texts_of
from stile.kernel.errors import Invalid

GRID = 256
"""Points of the quantile grid: a distribution function is known to 1/256."""
BINS = 10
TOP = 100
"""Categories counted by name; the rest are counted together as ``other``."""


def build_profile(
    table: Table, columns: Sequence[str] | None = None, *, grid: int = GRID, edges: dict[str, list[float]] | None = None
) -> Profile:
    """The reference profile of a table.

    Args:
        table: the reference rows.
        columns: which columns, in this order; all by default.
        grid: points of the quantile grid; use 1,024 where a finer KS is worth four times the size.
        edges: inner bin edges to use for some columns instead of the table's own deciles.
    """
    fixed = edges or {}
    profiles = []
    for name in table.names if columns is None else columns:
        if table.is_numeric(name):
            profiles.append(_numeric(name, table.columns[name], fixed.get(name), grid))
        else:
            profiles.append(_categorical(name, table.columns[name], None))
    return Profile(rows=table.rows, columns=profiles)


def window_profile(reference: Profile, window: Table, *, grid: int = GRID) -> Profile:
    """A window counted over the reference's bins and categories, for the columns both have.

    Raises:
        Invalid: a column the reference knows as numbers holds text in the window.
    """
    columns = []
    for column in reference.columns:
        if column.name not in window:
            continue
        if column.kind == "numeric":
            columns.append(_numeric(column.name, window.numbers(column.name), column.edges, grid))
        else:
            listed = list(column.categories)
            columns.append(_categorical(column.name, window.texts(column.name), listed))
    return Profile(rows=window.rows, columns=columns)


def add_profiles(first: Profile, second: Profile) -> Profile:
    """Two windows over the same reference as one: counts add up exactly; quantile grids do not and are dropped.

    Raises:
        Invalid: the profiles were counted over different bins.
    """
    columns = []
    for a in first.columns:
        b = second.column(a.name)
        if b is None or a.kind != b.kind or a.edges != b.edges:
            raise Invalid(f"The profiles cannot be added: the bins of {a.name!r} differ.", column=a.name)
        columns.append(_added(a, b))
    return Profile(rows=first.rows + second.rows, columns=columns)


def decile_edges(values: Numbers, bins: int = BINS) -> list[float]:
    """Inner edges that cut the values into ``bins`` of about equal counts; bin i holds edge[i-1] <= x < edge[i].

    With no more distinct values than bins, every value gets a bin of its own; a constant gets an edge
    on either side, so that leaving it is seen.
    """
    distinct = np.unique(values)
    if distinct.size == 0:
        return []
    if distinct.size == 1:
        return [float(distinct[0]), float(np.nextafter(distinct[0], np.inf))]
    if distinct.size <= bins:
        return [float(edge) for edge in (distinct[:-1] + distinct[1:]) / 2]
    cuts = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    return [float(edge) for edge in cuts if edge > distinct[0]]


def bin_counts(values: Numbers, edges: Sequence[float]) -> list[int]:
    """How many values fall into each bin; NaN falls into none."""
    known = values[~np.isnan(values)]
    places = np.searchsorted(np.asarray(edges, dtype=np.float64), known, side="right")
    return [int(count) for count in np.bincount(places, minlength=len(edges) + 1)]


def _numeric(name: str, values: Numbers, edges: list[float] | None, grid: int) -> ColumnProfile:
    known = values[~np.isnan(values)]
    chosen = decile_edges(known) if edges is None else edges
    points = (np.arange(grid) + 0.5) / grid
    quantiles = np.quantile(known, points, method="inverted_cdf") if known.size else known
    return ColumnProfile(
        name=name,
        kind="numeric",
        n=int(known.size),
        missing=int(values.size - known.size),
        edges=chosen,
        counts=bin_counts(known, chosen),
        quantiles=[float(q) for q in quantiles],
        minimum=float(known.min()) if known.size else None,
        maximum=float(known.max()) if known.size else None,
        mean=float(known.mean()) if known.size else None,
        std=float(known.std(ddof=1)) if known.size > 1 else None,
    )


def _categorical(name: str, values: Column, listed: list[str] | None) -> ColumnProfile:
    counts: Counter[Any] = Counter(texts_of(values).tolist())
    missing = counts.pop(None, 0)
    n = sum(counts.values())
    if listed is None:
        kept = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP])
    else:
        kept = {category: counts.get(category, 0) for category in listed}
    return ColumnProfile(
        name=name, kind="categorical", n=n, missing=missing, categories=kept, other=n - sum(kept.values())
    )


def _added(a: ColumnProfile, b: ColumnProfile) -> ColumnProfile:
    lows = [v for v in (a.minimum, b.minimum) if v is not None]
    highs = [v for v in (a.maximum, b.maximum) if v is not None]
    mean, std = _pooled(a, b)
    return ColumnProfile(
        name=a.name,
        kind=a.kind,
        n=a.n + b.n,
        missing=a.missing + b.missing,
        edges=a.edges,
        counts=[x + y for x, y in zip(a.counts, b.counts, strict=True)],
        categories={key: a.categories.get(key, 0) + b.categories.get(key, 0) for key in a.categories | b.categories},
        other=a.other + b.other,
        minimum=min(lows) if lows else None,
        maximum=max(highs) if highs else None,
        mean=mean,
        std=std,
    )


def _pooled(a: ColumnProfile, b: ColumnProfile) -> tuple[float | None, float | None]:
    if a.mean is None or b.mean is None:
        return (b.mean, b.std) if a.mean is None else (a.mean, a.std)
    n = a.n + b.n
    mean = (a.n * a.mean + b.n * b.mean) / n
    squares = sum((p.std or 0.0) ** 2 * (p.n - 1) + p.n * ((p.mean or 0.0) - mean) ** 2 for p in (a, b))
    return mean, (squares / (n - 1)) ** 0.5 if n > 1 else None
