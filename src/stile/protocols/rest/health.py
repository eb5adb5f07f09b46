"""Whether the server is alive, and which one it is. Open to everybody, tells nothing of anybody's work."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from stile import __version__
from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.permission import Permission


async def _health(call: Call) -> Response:  # noqa: ARG001  every handler takes the call
    return PlainTextResponse("OK")


async def _about(call: Call) -> Response:
    return json_response({"name": "stile", "version": __version__, "url": call.services.settings.url})


ROUTES = [
    Route("GET", "/health", Permission.PUBLIC, _health, summary="OK when the server answers"),
    Route("GET", "/api/v1/about", Permission.PUBLIC, _about, summary="Name, version and address of this server"),
]
