"""Reference against window, in the shapes that pages draw. Pure."""

from __future__ import annotations

import itertools
from typing import Literal

import msgspec

from stile.data.profile import ColumnProfile, Profile
from stile.kernel.errors import Missing
from stile.train.evidence import Drift, Evidence, Metric

MISSING = "(missing)"
OTHER = "(other)"


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One bin or category: rows in the reference and in the window, and their shares 0..1."""

    label: str
    reference: int
    window: int
    reference_ratio: float
    window_ratio: float


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a window beside its reference.

    Attributes:
        bars: bins in order, or categories by reference share; missing values come last.
        drift: how far it moved; None when the window did not say.
        finding: the same in one sentence.
    """

    window: str
    column: str
    kind: Literal["numeric", "categorical"]
    reference_rows: int
    window_rows: int
    bars: list[Bar]
    drift: Drift | None
    finding: str


class DriftCell(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column moved in one window; ``beyond_noise`` when chance alone hardly does that."""

    column: str
    psi: float | None = None
    psi_null: float | None = None
    psi_p: float | None = None
    ks: float | None = None
    missing_ratio: float | None = None
    beyond_noise: bool = False


class DriftColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One window of the drift matrix."""

    window: str
    number: int
    version: int
    rows: int
    last_at: int
    cells: list[DriftCell]


class DriftMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of the data (those that moved most in the newest window first) by windows (oldest first)."""

    columns: list[str]
    windows: list[DriftColumn]
    finding: str


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A metric in one window: as first stated and as restated by later outcomes.

    Attributes:
        value: the restated number; None when there were not enough outcomes.
        first: the number as it was when the window closed.
        says: what is known about outcomes, in words.
    """

    window: str
    number: int
    version: int
    rows: int
    last_at: int
    outcomes: int
    enough: bool
    value: Metric | None
    first: Metric | None
    says: str


def histogram(window: str, reference: Profile, live: Profile, column: str, drift: list[Drift]) -> Histogram:
    """Counts of one column over the same bins.

    Raises:
        Missing: one of the two does not have the column; lists those both have.
    """
    before, after = reference.column(column), live.column(column)
    if before is None or after is None:
        both = [c.name for c in reference.columns if live.column(c.name) is not None]
        raise Missing(f"There is no column {column!r} to compare. Columns are: {', '.join(both) or 'none'}.")
    labels, left, right = _numeric(before, after) if before.kind == "numeric" else _categories(before, after)
    total_left, total_right = sum(left), sum(right)
    bars = [
        Bar(
            label=label, reference=a, window=b,
            reference_ratio=a / total_left if total_left else 0.0, window_ratio=b / total_right if total_right else 0.0,
        )
        for label, a, b in zip(labels, left, right, strict=True)
    ]  # fmt: skip
    found = next((d for d in drift if d.column == column), None)
    return Histogram(
        window=window, column=column, kind=before.kind, reference_rows=reference.rows, window_rows=live.rows,
        bars=bars, drift=found, finding=_drift_sentence(column, found),
    )  # fmt: skip


def drift_cell(drift: Drift) -> DriftCell:
    """One cell of the matrix."""
    return DriftCell(
        column=drift.column, psi=drift.psi, psi_null=drift.psi_null, psi_p=drift.psi_p, ks=drift.ks,
        missing_ratio=drift.missing_ratio, beyond_noise=drift.psi_p is not None and drift.psi_p < 0.01,
    )  # fmt: skip


def matrix(windows: list[DriftColumn]) -> DriftMatrix:
    """The drift matrix of windows given oldest first."""
    if not windows:
        return DriftMatrix(columns=[], windows=[], finding="No window has closed yet.")
    newest = windows[-1]
    moved = {cell.column: cell.psi or 0.0 for cell in newest.cells}
    names = list(dict.fromkeys([*moved, *(cell.column for window in windows for cell in window.cells)]))
    names.sort(key=lambda name: -moved.get(name, 0.0))
    beyond = [cell for cell in newest.cells if cell.beyond_noise]
    if not newest.cells:
        finding = f"Window {newest.number} has no reference to compare with."
    elif beyond:
        worst = max(beyond, key=lambda cell: cell.psi or 0.0)
        finding = (
            f"In window {newest.number}, {len(beyond)} of {len(newest.cells)} columns moved beyond chance, "
            f"most of all {worst.column} (PSI {worst.psi:.2f})."
        )
    else:
        finding = f"In window {newest.number} no column moved beyond what chance explains."
    return DriftMatrix(columns=names, windows=windows, finding=finding)


def metric_of(evidence: Evidence | None, name: str) -> Metric | None:
    """A metric of evidence, None when it was not computed."""
    return None if evidence is None else evidence.metrics.get(name)


def _numeric(before: ColumnProfile, after: ColumnProfile) -> tuple[list[str], list[int], list[int]]:
    edges = before.edges
    if not edges:
        labels = ["all values"] if before.counts else []
    else:
        inner = [f"{low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges)]
        labels = [f"below {edges[0]:.4g}", *inner, f"{edges[-1]:.4g} and above"]
    counts = after.counts or [0] * len(before.counts)
    return _with_missing(labels, before, after, list(before.counts), list(counts))


def _categories(before: ColumnProfile, after: ColumnProfile) -> tuple[list[str], list[int], list[int]]:
    labels = sorted(before.categories, key=lambda name: -before.categories[name])
    left = [before.categories[name] for name in labels]
    right = [after.categories.get(name, 0) for name in labels]
    unseen = after.other + sum(n for name, n in after.categories.items() if name not in before.categories)
    if before.other or unseen:
        labels, left, right = [*labels, OTHER], [*left, before.other], [*right, unseen]
    return _with_missing(labels, before, after, left, right)


def _with_missing(
    labels: list[str], before: ColumnProfile, after: ColumnProfile, left: list[int], right: list[int]
) -> tuple[list[str], list[int], list[int]]:
    if before.missing or after.missing:
        return [*labels, MISSING], [*left, before.missing], [*right, after.missing]
    return labels, left, right


def _drift_sentence(column: str, drift: Drift | None) -> str:
    if drift is None or drift.psi is None:
        return f"How far {column} moved is not known for this window."
    noise = f"chance alone gives about {drift.psi_null:.3f}" if drift.psi_null is not None else "noise is unknown"
    moved = "moved" if drift.psi_p is not None and drift.psi_p < 0.01 else "did not move beyond chance"
    return f"{column} {moved}: PSI {drift.psi:.3f}, {noise}."
