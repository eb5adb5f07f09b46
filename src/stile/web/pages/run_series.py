"""A run's numbers as data: thinned curves for the browser, whole histories as files, and what is new while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import msgspec
from starlette.responses import Response, StreamingResponse

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.train import run_curves, runs
from stile.train.run_curves import Newest
from stile.train.run_values import ENDED, Run
from stile.web import csv
from stile.web.pages import live_stream
from stile.web.pages.curve_view import drawable, view_of

_MOST_KEYS = 24
_MOST_POINTS = 2000
_ROWS_PER_PAGE = 10_000
_MOST_AT_ONCE = 100_000
_REWRITTEN = b"event: written\ndata: {}\n\n"


async def _curves(call: Call) -> Response:
    """Points of some metrics, thinned for drawing."""
    run_id, view = call.path("run_id"), view_of(call)
    keys = list(dict.fromkeys(call.request.query_params.getlist("key")))
    if not 1 <= len(keys) <= _MOST_KEYS:
        raise Invalid(f"Ask for 1 to {_MOST_KEYS} metrics at once: key=loss&key=auc.")
    most = call.query_int("most", _MOST_POINTS, low=4, high=_MOST_POINTS)
    found = await call.read(
        lambda tx: run_curves.of_run(tx, run_id, keys, most=most, across=view.x, span=view.span, smooth=view.smooth)
    )  # fmt: skip
    return json_response({"curves": [drawable(each, view) for each in found]})


async def _live(call: Call) -> Response:
    """The newest point of every metric, then of those that changed, until the run has ended.

    Also says when parameters or tags were added, without saying which: the page asks for itself again.
    """
    run_id = call.path("run_id")
    newest = await call.read(lambda tx: run_curves.newest(tx, run_id))
    return StreamingResponse(_news(call, run_id, newest), media_type="text/event-stream")


async def _news(call: Call, run_id: str, newest: Newest) -> AsyncIterator[bytes]:
    def say(now: Newest, before: Newest) -> bytes:
        return _points(now, before) + (b"" if now.written == before.written else _REWRITTEN) + _ended(now)

    yield live_stream.BEGIN + _points(newest, None) + _ended(newest)
    async for said in live_stream.changes(
        call, newest, lambda tx: run_curves.newest(tx, run_id), over=lambda now: now.status in ENDED, say=say
    ):
        yield said


def _ended(newest: Newest) -> bytes:
    if newest.status not in ENDED:
        return b""
    return b"event: ended\ndata: " + msgspec.json.encode({"status": newest.status}) + b"\n\n"


def _points(newest: Newest, before: Newest | None) -> bytes:
    """The points that are new, as one event; nothing when none is."""
    known = {} if before is None else before.points
    fresh = {
        key: {"value": point.value, "step": point.step, "at": point.at}
        for key, point in newest.points.items()
        if key not in known or (known[key].at, known[key].step) != (point.at, point.step)
    }
    return b"event: points\ndata: " + msgspec.json.encode(fresh) + b"\n\n" if fresh or before is None else b""


async def _params(call: Call) -> Response:
    run = await call.read(lambda tx: runs.get(tx, call.path("run_id")))
    return csv.answer(f"{run.info.name} parameters", ("parameter", "value"), run.params)


async def _tags(call: Call) -> Response:
    run = await call.read(lambda tx: runs.get(tx, call.path("run_id")))
    return csv.answer(f"{run.info.name} tags", ("tag", "value"), run.tags)


async def _metrics(call: Call) -> Response:
    def work(tx: Tx) -> tuple[Run, dict[str, int]]:
        run = runs.get(tx, call.path("run_id"))
        return run, run_curves.sizes(tx, run.info.run_id)

    run, sizes = await call.read(work)
    rows = [(each.key, each.value, each.step, each.at, sizes.get(each.key, 1)) for each in run.metrics]
    return csv.answer(f"{run.info.name} metrics", ("metric", "value", "step", "time_ms", "points"), rows)


async def _history(call: Call) -> Response:
    """Every point of the asked metrics (without ``key`` of all), in the order of time."""
    run_id = call.path("run_id")
    run = await call.read(lambda tx: runs.get(tx, run_id))
    keys = call.request.query_params.getlist("key") or [metric.key for metric in run.metrics]

    async def pages() -> AsyncIterator[list[tuple[str, int, int, float]]]:
        for key in keys:
            times, steps, values = await call.read(partial(runs.columns, run_id=run_id, key=key))
            for start in range(0, len(steps), _ROWS_PER_PAGE):
                end = start + _ROWS_PER_PAGE
                part = zip(steps[start:end], times[start:end], values[start:end], strict=True)
                yield [(key, *point) for point in part]

    return await csv.stream(f"{run.info.name} history", ("metric", "step", "time_ms", "value"), pages())


async def _points_of(call: Call) -> Response:
    """Points of one metric as they were logged, in the order of time; ``next`` is where the rest begins."""
    run_id, key = call.path("run_id"), call.query("key")
    if not key:
        raise Invalid("Say which metric: key=loss.")
    start = call.query_int("start", 0)
    most = call.query_int("most", _MOST_AT_ONCE, low=1, high=_MOST_AT_ONCE)
    columns = await call.read(partial(runs.columns, run_id=run_id, key=key))
    total, part = len(columns.steps), columns.part(start, start + most)
    return json_response(
        {
            "key": key, "steps": part.steps, "times": part.times, "values": part.values, "total": total,
            "next": start + most if start + most < total else None,
        }
    )  # fmt: skip


ROUTES = [
    Route("GET", "/runs/{run_id}/curves.json", Permission.READ, _curves),
    Route("GET", "/runs/{run_id}/live", Permission.READ, _live),
    Route("GET", "/runs/{run_id}/params.csv", Permission.READ, _params),
    Route("GET", "/runs/{run_id}/tags.csv", Permission.READ, _tags),
    Route("GET", "/runs/{run_id}/metrics.csv", Permission.READ, _metrics),
    Route("GET", "/runs/{run_id}/history.csv", Permission.READ, _history),
    Route("GET", "/runs/{run_id}/history.json", Permission.READ, _points_of),
]
