"""What is new in compared runs while they go on: that a curve has grown, and that all have ended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response, StreamingResponse

from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.train import run_curves
from stile.train.run_curves import Progress
from stile.web.pages import live_stream
from stile.web.pages.compare import asked_runs

_ENDED = b"event: ended\ndata: {}\n\n"


async def _live(call: Call) -> Response:
    """An event whenever a run has logged the metric again, until the last of them has ended."""
    asked, key = asked_runs(call), call.query("key")
    if not asked or not key:
        raise Invalid("Say which runs and which metric: run=ID&run=ID&key=loss.")
    first = await call.read(lambda tx: run_curves.progress(tx, asked, key))
    return StreamingResponse(_news(call, asked, key, first), media_type="text/event-stream")


async def _news(call: Call, asked: list[str], key: str, first: Progress) -> AsyncIterator[bytes]:
    def say(now: Progress, before: Progress) -> bytes:
        moved = b"event: moved\ndata: " + msgspec.json.encode([key]) + b"\n\n" if now.points != before.points else b""
        return moved + (b"" if now.running else _ENDED)

    yield live_stream.BEGIN + (b"" if first.running else _ENDED)
    async for said in live_stream.changes(
        call, first, lambda tx: run_curves.progress(tx, asked, key), over=lambda now: not now.running, say=say
    ):
        yield said


ROUTES = [Route("GET", "/compare/live", Permission.READ, _live)]
