"""Reference profiles: a table summarised once, so that later windows are compared without its rows.

Edges are fixed when the reference is profiled (see ``profiling.py``). Windows are counted over the
same edges, so counts of several windows, workers or segments add up exactly.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from stile.kernel.canonical import digest_of


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of one column, fit to compare later windows with.

    Numeric columns carry fixed ``edges`` (B-1 inner edges for B bins) with exact counts per
    bin and a quantile grid; categorical columns carry counts by category. Missing values are
    counted apart and are in no bin.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    n: int
    missing: int
    edges: list[float] = []
    counts: list[int] = []
    quantiles: list[float] = []
    categories: dict[str, int] = {}
    other: int = 0  # rows in categories beyond the listed ones
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of a table: the reference that live windows are compared with."""

    rows: int
    columns: list[ColumnProfile]

    def column(self, name: str) -> ColumnProfile | None:
        """The profile of the named column, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def digest(self) -> str:
        """``sha256:...`` of the canonical JSON of the profile."""
        return digest_of(self)
