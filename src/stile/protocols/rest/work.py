"""How background work is doing: for whoever runs the installation."""

from __future__ import annotations

from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.permission import Permission
from stile.work import records


async def _background(call: Call) -> Response:
    background = call.services.background
    return json_response(
        {
            "engine": getattr(background, "phase", "up"),
            "problem": getattr(background, "problem", ""),
            "dead_letters": await call.read(records.dead_letters),
        }
    )


ROUTES = [
    Route("GET", "/api/v1/background", Permission.AUDIT, _background, summary="State of background work; dead letters"),
]
