"""Logging through our own API: points in columns."""

from __future__ import annotations

import math

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.train import bulk
from stile.train.points import Columns


class _Series(msgspec.Struct):
    at: list[int]
    step: list[int]
    value: list[float | None]


class _Points(msgspec.Struct):
    series: dict[str, _Series]


async def _log_points(call: Call) -> Response:
    """Add points in columns; a value of null is NaN."""
    body = await call.json(_Points)
    columns: dict[str, Columns] = {}
    for key, series in body.series.items():
        if not len(series.at) == len(series.step) == len(series.value):
            raise Invalid(f"The columns of {key[:80]!r} differ in length. Send as many times and steps as values.")
        columns[key] = Columns(series.at, series.step, [math.nan if v is None else v for v in series.value])
    given = bulk.pieces(columns)
    run_id = call.path("run_id")
    await call.write(lambda tx: bulk.log_points(tx, run_id, given))
    return json_response({})


ROUTES = [
    Route(
        "POST",
        "/api/v1/runs/{run_id}/points",
        Permission.TRACK,
        _log_points,
        summary="Log many points in columns",
        relaxed=True,
    ),
]
