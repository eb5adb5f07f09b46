"""Monitor: live windows against the reference archived at training, performance as outcomes arrive, alerts."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.edge.route import Route
from stile.govern import decision_records, registry
from stile.kernel.errors import Missing
from stile.kernel.permission import Permission
from stile.monitor import alerts, views, windows
from stile.monitor.alert_records import Alert
from stile.monitor.comparison import DriftMatrix, Histogram, MetricPoint
from stile.monitor.views import MonitorSummary
from stile.monitor.window_records import Window
from stile.people import use_cases
from stile.store.database import Tx
from stile.web.charts.histograms import histogram_pair
from stile.web.charts.sparkline import sparkline
from stile.web.charts.windows import Mark, Reading, over_windows
from stile.web.forms import form, needed
from stile.web.pages.chain import Stop, chain
from stile.web.pages.gate_view import metric_of_rule
from stile.web.render import Crumb, Frame, Page, error_page, post, see_other
from stile.web.words import short_time

_HISTOGRAMS = 6
_WINDOWS = 20


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that changed what answers, for the marks on the time axis."""

    at: int
    label: str


class MonitorData(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the page says about live traffic.

    Attributes:
        metric, metrics: the performance metric shown, and those there are.
        limit: of the live rule about that metric, if any.
        points: the metric per window, oldest first.
        histograms: the columns that moved most in the newest window, against their reference.
    """

    use_case: str
    title: str
    chain: list[Stop]
    summary: MonitorSummary
    alerts: list[Alert]
    windows: list[Window]
    metric: str
    metrics: list[str]
    limit: float | None
    points: list[MetricPoint]
    drift: DriftMatrix
    histograms: list[Histogram]
    happenings: list[Happening]
    champion: int


def _load(tx: Tx, call: Call) -> MonitorData:
    name = call.path("name")
    use_case = use_cases.get(tx, name)
    recent = windows.windows(tx, name, _WINDOWS)
    names = views.metric_names(tx, name)
    ruled = _live_limits(recent)
    asked = call.query("metric")
    metric = asked if asked in names else next((each for each in ruled if each in names), next(iter(names), ""))
    drift = views.drift_matrix(tx, name)
    newest = drift.windows[-1] if drift.windows else None
    taken = decision_records.listing(tx, name, limit=50)
    return MonitorData(
        use_case=name,
        title=use_case.title or name,
        chain=chain(tx, name),
        summary=views.summary(tx, name),
        alerts=alerts.alerts(tx, name)[:20],
        windows=recent,
        metric=metric,
        metrics=names,
        limit=ruled.get(metric),
        points=views.metric_over_windows(tx, name, metric) if metric else [],
        drift=drift,
        histograms=_histograms(tx, newest.window, drift.columns[:_HISTOGRAMS]) if newest else [],
        happenings=[
            Happening(at=each.at, label=f"v{each.version}")
            for each in taken
            if each.kind in ("promoted", "rolled_back")
        ],
        champion=registry.aliases(tx, name).get("champion", 0),
    )


def _live_limits(recent: list[Window]) -> dict[str, float]:
    """Metric -> limit, from the live rules as they were applied."""
    limits: dict[str, float] = {}
    for window in recent:
        for verdict in window.verdicts:
            metric = metric_of_rule(verdict.result.rule)
            if metric and verdict.result.limit is not None:
                limits.setdefault(metric, verdict.result.limit)
    return limits


def _histograms(tx: Tx, window: str, columns: list[str]) -> list[Histogram]:
    found = []
    for column in columns:
        try:
            found.append(views.column_histogram(tx, window, column))
        except Missing:
            continue
    return found


def _frame(data: MonitorData) -> Frame:
    return Frame(
        title=f"Monitor {data.title}",
        here="portfolio",
        crumbs=[
            Crumb("Portfolio", "/portfolio"),
            Crumb(data.use_case, f"/use-cases/{data.use_case}"),
            Crumb("Monitor"),
        ],
        live=f"monitor:{data.use_case} deploy:{data.use_case}",
    )


def _extras(data: MonitorData, call: Call) -> dict[str, Any]:  # noqa: ARG001  all is in the data
    readings = [
        Reading(
            at=point.last_at, label=f"window {point.number}",
            value=point.value.value if point.value else None,
            low=point.value.low if point.value else None,
            high=point.value.high if point.value else None,
            n=point.rows,
        )
        for point in data.points
    ]  # fmt: skip
    marks = [Mark(each.at, each.label) for each in data.happenings]
    performance = over_windows(
        data.metric, readings, limit=data.limit, limit_words="rule", marks=marks, since=_began(data), when=short_time
    )
    return {
        "here": "monitor",
        "performance": performance if any(reading.value is not None for reading in readings) else None,
        "coverage": data.points[-1].says if data.points else "",
        "moved": _moved(data.drift),
        "charts": [
            histogram_pair(
                each.column,
                [bar.label for bar in each.bars],
                [bar.reference for bar in each.bars],
                [bar.window for bar in each.bars],
                finding=each.finding,
            )
            for each in data.histograms
        ],
        "open_alerts": [each for each in data.alerts if each.state != "resolved"],
        "past_alerts": [each for each in data.alerts if each.state == "resolved"],
    }


def _began(data: MonitorData) -> int | None:
    """When the first window that is shown began: deployments inside it get their mark."""
    shown = {point.window for point in data.points}
    return min((window.first_at for window in data.windows if window.id in shown), default=None)


def _moved(drift: DriftMatrix) -> list[dict[str, Any]]:
    """Per column: the newest cell, and how its PSI went over the windows."""
    if not drift.windows:
        return []
    newest = {cell.column: cell for cell in drift.windows[-1].cells}
    series: dict[str, list[float]] = {}
    for window in drift.windows:
        for cell in window.cells:
            if cell.psi is not None:
                series.setdefault(cell.column, []).append(cell.psi)
    return [
        {"column": name, "cell": newest[name], "spark": sparkline(f"PSI of {name}", series.get(name, []))}
        for name in drift.columns
        if name in newest
    ]


async def _close(call: Call) -> Response:
    use_case = call.path("use_case")
    await form(call)
    window = await call.write(lambda tx: windows.cut_now(tx, use_case=use_case, by=call.principal.name))
    return see_other(f"/models/{use_case}/monitor", f"Window {window.number} is being closed over {window.rows} rows.")


async def _acknowledge(call: Call) -> Response:
    id, fields = call.path("id"), await form(call)
    cause = needed(fields, "cause", "Say what caused it, even if only 'unknown so far': others will read it.")
    alert = await call.read(lambda tx: alerts.get(tx, id))
    call.require(Permission.MONITOR, alert.use_case)
    await call.write(lambda tx: alerts.acknowledge(tx, id=id, cause=cause, by=call.principal.name))
    return see_other(f"/models/{alert.use_case}/monitor", "Acknowledged. The cause stands beside the alert.")


async def _resolve(call: Call) -> Response:
    id = call.path("id")
    await form(call)
    alert = await call.read(lambda tx: alerts.get(tx, id))
    call.require(Permission.MONITOR, alert.use_case)
    await call.write(lambda tx: alerts.resolve(tx, id=id, by=call.principal.name))
    return see_other(f"/models/{alert.use_case}/monitor", "The alert is over.")


async def _to_monitor(call: Call) -> Response:
    return see_other(f"/models/{call.path('use_case')}/monitor")


PAGE = Page("/models/{name}/monitor", "monitor.html", _load, _frame, extras=_extras)

ROUTES = [
    *PAGE.routes,
    Route("GET", "/use-cases/{use_case}/monitor", Permission.READ, _to_monitor, on_error=error_page),
    post("/models/{use_case}/windows", Permission.MONITOR, _close),
    post("/alerts/{id}/acknowledge", Permission.READ, _acknowledge),
    post("/alerts/{id}/resolve", Permission.READ, _resolve),
]
