"""Blobs, the ledger, and the stream of changed topics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from stile.edge.call import Call, json_response
from stile.edge.files import receive, send
from stile.edge.route import Route
from stile.govern import consistency
from stile.kernel.permission import Permission
from stile.store import checkpoints, ledger
from stile.store.database import Tx

_LEDGER_PAGE = 1000


async def _put_blob(call: Call) -> Response:
    digest, size = await receive(call, call.services.blobs)
    return json_response({"digest": digest, "size": size}, 201)


async def _get_blob(call: Call) -> Response:
    digest = call.path("digest")
    size = await asyncio.to_thread(call.services.blobs.size, digest)
    headers = {"Content-Disposition": "attachment", "Cache-Control": "private, immutable, max-age=31536000"}
    return await send(call, digest, size, headers)


async def _ledger(call: Call) -> Response:
    after = call.query_int("after", 0)
    limit = call.query_int("limit", _LEDGER_PAGE, low=1, high=_LEDGER_PAGE)
    use_case = call.query("use_case") or None
    found = await call.read(lambda tx: ledger.entries(tx, after=after, limit=limit, use_case=use_case))
    return json_response({"entries": found, "next_after": found[-1].position if found else after})


async def _verify(call: Call) -> Response:
    def look(tx: Tx) -> dict[str, object]:
        size, root = ledger.root(tx)
        return {"size": size, "root": root, "findings": [*ledger.verify(tx), *consistency.check(tx)]}

    report = await call.read(look)
    return json_response(report | {"ok": not report["findings"]})


async def _checkpoint(call: Call) -> Response:
    note = await call.read(checkpoints.latest)
    return Response(note or "", media_type="text/plain; charset=utf-8")


async def _events(call: Call) -> Response:
    async def stream() -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        async for topics in call.services.live.topics():
            if not topics:
                yield b": still here\n\n"
            for topic in sorted(topics):
                yield f"event: {topic}\ndata: {topic}\n\n".encode()

    return StreamingResponse(stream(), media_type="text/event-stream")


ROUTES = [
    Route("PUT", "/api/v1/blobs", Permission.TRACK, _put_blob, streams=True, summary="Store bytes under their digest"),
    Route("GET", "/api/v1/blobs/{digest}", Permission.READ, _get_blob, summary="The bytes of a digest"),
    Route("GET", "/api/v1/ledger", Permission.READ, _ledger, summary="Ledger entries, oldest first"),
    Route("GET", "/api/v1/ledger/verify", Permission.READ, _verify, summary="Check every byte of the ledger"),
    Route("GET", "/api/v1/ledger/checkpoint", Permission.READ, _checkpoint, summary="The newest signed checkpoint"),
    Route("GET", "/api/v1/events", Permission.READ, _events, summary="Names of what has changed, as it changes"),
]
