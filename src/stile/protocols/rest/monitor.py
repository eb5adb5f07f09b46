"""Windows of live traffic, drift and performance over time, alerts."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.json_body import decode_json
from stile.edge.route import Route
from stile.kernel.permission import Permission
from stile.monitor import alerts, views, windows
from stile.monitor.alert_records import Alert
from stile.monitor.closing import MonitorSettings
from stile.monitor.settings import change_settings, settings_of
from stile.people import use_cases
from stile.store.database import Tx


class _Close(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    until: int | None = None


class _Cause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cause: str


async def _close(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_Close)
    window = await call.write(
        lambda tx: windows.cut_now(tx, use_case=use_case, by=call.principal.name, until=wanted.until)
    )
    return json_response(window, 202)


async def _windows(call: Call) -> Response:
    use_case, limit = call.path("use_case"), call.query_int("limit", 50, low=1, high=1000)
    return json_response({"windows": await call.read(lambda tx: windows.windows(tx, use_case, limit))})


async def _window(call: Call) -> Response:
    id = call.path("id")
    return json_response(await call.read(lambda tx: views.window_view(tx, id)))


async def _histogram(call: Call) -> Response:
    id, column = call.path("id"), call.path("column")
    return json_response(await call.read(lambda tx: views.column_histogram(tx, id, column)))


async def _drift(call: Call) -> Response:
    use_case, limit = call.path("use_case"), call.query_int("limit", 20, low=1, high=200)
    return json_response(await call.read(lambda tx: views.drift_matrix(tx, use_case, limit)))


async def _metric(call: Call) -> Response:
    use_case, metric = call.path("use_case"), call.path("metric")
    limit = call.query_int("limit", 20, low=1, high=200)
    points = await call.read(lambda tx: views.metric_over_windows(tx, use_case, metric, limit))
    return json_response({"metric": metric, "points": points})


async def _settings(call: Call) -> Response:
    use_case = call.path("use_case")

    def look(tx: Tx) -> MonitorSettings:
        use_cases.get(tx, use_case)
        return settings_of(tx, use_case)

    return json_response(await call.read(look))


async def _set_settings(call: Call) -> Response:
    use_case = call.path("use_case")
    changes = await call.json(dict[str, Any])

    def change(tx: Tx) -> MonitorSettings:
        now = msgspec.structs.asdict(settings_of(tx, use_case))
        wanted = decode_json(msgspec.json.encode(now | changes), MonitorSettings)
        return change_settings(tx, use_case=use_case, settings=wanted, by=call.principal.name)

    return json_response(await call.write(change))


async def _alerts(call: Call) -> Response:
    use_case = call.path("use_case")

    def look(tx: Tx) -> list[Alert]:
        use_cases.get(tx, use_case)
        return alerts.alerts(tx, use_case)

    return json_response({"alerts": await call.read(look)})


async def _alert(call: Call) -> Response:
    id = call.path("id")
    return json_response(await call.read(lambda tx: alerts.get(tx, id)))


async def _acknowledge(call: Call) -> Response:
    id, wanted = call.path("id"), await call.json(_Cause)
    await _require_monitor(call, id)
    return json_response(
        await call.write(lambda tx: alerts.acknowledge(tx, id=id, cause=wanted.cause, by=call.principal.name))
    )


async def _resolve(call: Call) -> Response:
    id = call.path("id")
    await _require_monitor(call, id)
    return json_response(await call.write(lambda tx: alerts.resolve(tx, id=id, by=call.principal.name)))


async def _require_monitor(call: Call, id: str) -> None:
    """An alert's use case is known only from its record; the right is checked there."""
    alert = await call.read(lambda tx: alerts.get(tx, id))
    call.require(Permission.MONITOR, alert.use_case)


_U = "/api/v1/use-cases/{use_case}"
_W = "/api/v1/windows/{id}"
_A = "/api/v1/alerts/{id}"

ROUTES = [
    Route("POST", _U + "/windows", Permission.MONITOR, _close, summary="Close a window over what there is"),
    Route("GET", _U + "/windows", Permission.READ, _windows, summary="Windows, newest first"),
    Route("GET", _U + "/drift", Permission.READ, _drift, summary="Drift matrix: columns by windows"),
    Route("GET", _U + "/live-metrics/{metric}", Permission.READ, _metric, summary="A metric over windows"),
    Route("GET", _U + "/monitor-settings", Permission.READ, _settings, summary="How windows are cut"),
    Route("PATCH", _U + "/monitor-settings", Permission.MONITOR, _set_settings, summary="Change how windows are cut"),
    Route("GET", _U + "/alerts", Permission.READ, _alerts, summary="Alerts, newest first"),
    Route("GET", _W, Permission.READ, _window, summary="A window with its evidence"),
    Route("GET", _W + "/columns/{column:path}", Permission.READ, _histogram, summary="Reference against window"),
    Route("GET", _A, Permission.READ, _alert, summary="An alert"),
    Route("POST", _A + "/acknowledge", Permission.READ, _acknowledge, summary="Say that one has looked, and why"),
    Route("POST", _A + "/resolve", Permission.READ, _resolve, summary="Declare an alert over"),
]
