"""What pages show about live traffic: the drift matrix, a metric over windows, one column against its reference."""

from __future__ import annotations

import msgspec

from stile.kernel.errors import Missing
from stile.monitor import alert_records, window_records, windows
from stile.monitor.alert_records import Alert
from stile.monitor.closing import MonitorSettings, coverage_sentence, enough_outcomes
from stile.monitor.comparison import (
    DriftColumn,
    DriftMatrix,
    Histogram,
    MetricPoint,
    drift_cell,
    histogram,
    matrix,
    metric_of,
)
from stile.monitor.settings import settings_of
from stile.monitor.window_records import Window
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import evidence_records
from stile.train.evidence import Evidence

_SHOWN = 20


class WindowView(msgspec.Struct, frozen=True, kw_only=True):
    """One window with everything measured; ``coverage`` says in words what is known of outcomes."""

    window: Window
    evidence: Evidence | None
    first: Evidence | None
    coverage: str
    enough: bool


class MonitorSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The state of monitoring in a few numbers, for the value-chain strip."""

    settings: MonitorSettings
    windows: int
    newest: Window | None
    unresolved: list[Alert]
    failing: list[str]


def summary(tx: Tx, use_case: str) -> MonitorSummary:
    """How a use case stands in production."""
    recent = window_records.of_use_case(tx, use_case, 1)
    newest = recent[0] if recent else None
    return MonitorSummary(
        settings=settings_of(tx, use_case),
        windows=newest.number if newest else 0,
        newest=newest,
        unresolved=alert_records.unresolved(tx, use_case),
        failing=[one.id for one in newest.verdicts if one.result.verdict == "fail"] if newest else [],
    )


def window_view(tx: Tx, id: str) -> WindowView:
    """A window with its evidence, as first stated and as restated.

    Raises:
        Missing: no such window.
    """
    window = windows.get(tx, id)
    settings = settings_of(tx, window.use_case)
    now = evidence_records.find(tx, window.evidence) if window.evidence else None
    same = window.evidence_first == window.evidence
    first = now if same else evidence_records.find(tx, window.evidence_first)
    return WindowView(
        window=window, evidence=now, first=first,
        coverage=coverage_sentence(settings, rows=window.rows, outcomes=window.outcomes),
        enough=enough_outcomes(settings, rows=window.rows, outcomes=window.outcomes),
    )  # fmt: skip


def drift_matrix(tx: Tx, use_case: str, limit: int = _SHOWN) -> DriftMatrix:
    """Columns by windows: how far each moved from the reference.

    Raises:
        Missing: no such use case.
    """
    use_cases.get(tx, use_case)
    columns = []
    for window in reversed(_closed(tx, use_case, limit)):
        evidence = evidence_records.find(tx, window.evidence)
        cells = [drift_cell(one) for one in evidence.drift] if evidence else []
        columns.append(
            DriftColumn(
                window=window.id, number=window.number, version=window.version, rows=window.rows,
                last_at=window.last_at, cells=cells,
            )
        )  # fmt: skip
    return matrix(columns)


def metric_names(tx: Tx, use_case: str) -> list[str]:
    """Metrics that any recent window has."""
    names: dict[str, None] = {}
    for window in _closed(tx, use_case, _SHOWN):
        evidence = evidence_records.find(tx, window.evidence)
        names |= dict.fromkeys(evidence.metrics if evidence else ())
    return list(names)


def metric_over_windows(tx: Tx, use_case: str, metric: str, limit: int = _SHOWN) -> list[MetricPoint]:
    """A metric in each window, oldest first, as first stated and as restated.

    Raises:
        Missing: no such use case.
    """
    use_cases.get(tx, use_case)
    settings = settings_of(tx, use_case)
    points = []
    for window in reversed(_closed(tx, use_case, limit)):
        enough = enough_outcomes(settings, rows=window.rows, outcomes=window.outcomes)
        value = metric_of(evidence_records.find(tx, window.evidence), metric)
        first = value
        if window.evidence_first != window.evidence:
            first = metric_of(evidence_records.find(tx, window.evidence_first), metric)
        points.append(
            MetricPoint(
                window=window.id, number=window.number, version=window.version, rows=window.rows,
                last_at=window.last_at, outcomes=window.outcomes, enough=enough, value=value if enough else None,
                first=first, says=coverage_sentence(settings, rows=window.rows, outcomes=window.outcomes),
            )
        )  # fmt: skip
    return points


def column_histogram(tx: Tx, window: str, column: str) -> Histogram:
    """Counts of one column in a window beside the reference of the version that answered.

    Raises:
        Missing: no such window or column, or nothing to compare with.
    """
    found = windows.get(tx, window)
    evidence = evidence_records.find(tx, found.evidence) if found.evidence else None
    admitted = evidence_records.latest_for_version(tx, found.use_case, found.digest)
    if evidence is None or evidence.profile is None or admitted is None or admitted.profile is None:
        raise Missing("There is no archived reference to compare this window with. Evaluate the version first.")
    return histogram(window, admitted.profile, evidence.profile, column, evidence.drift)


def _closed(tx: Tx, use_case: str, limit: int) -> list[Window]:
    return [one for one in window_records.of_use_case(tx, use_case, limit) if one.state == "closed"]
