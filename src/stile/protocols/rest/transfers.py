"""Where addresses of single transfers lead: a content to get, a file or a part of one to put.

Such an address is its own credential: it was signed for somebody who may do this, names exactly one
content or path, and ends. Who asked for it is looked up again when it is used.
"""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.files import receive, send, take
from stile.edge.route import Route
from stile.edge.transfers import PATH, redeem
from stile.govern import registry
from stile.kernel.errors import Conflict, Missing
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.train import artifacts, uploads
from stile.train.transfer_tokens import Claim
from stile.train.uploads import Part


async def _get(call: Call) -> Response:
    claim = await call.read(lambda tx: redeem(tx, call, call.path("token")))
    if claim.act != "get":
        raise Missing("This address takes a file; it gives none.")
    name = quote(claim.what.rpartition("/")[2], safe="")
    disposition = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return await send(call, claim.digest, claim.size, disposition)


async def _put(call: Call) -> Response:
    claim = await call.read(lambda tx: _begin(tx, call))
    if claim.act == "part":
        return await _put_part(call, claim)
    body = await take(call)

    def work(tx: Tx) -> None:
        registry.refuse_change(tx, claim.what)
        body.keep(tx, call)
        artifacts.bind(tx, path=claim.what, digest=body.digest, size=body.size, by=claim.by)

    await call.write(work)
    return _taken(body.digest, body.size)


def _begin(tx: Tx, call: Call) -> Claim:
    claim = redeem(tx, call, call.path("token"))
    if claim.act == "get":
        raise Missing("This address gives a file; it takes none.")
    if claim.act == "put":
        registry.refuse_change(tx, claim.what)
    return claim


async def _put_part(call: Call, claim: Claim) -> Response:
    limit = call.services.settings.max_upload_bytes
    room = await call.read(lambda tx: uploads.room(tx, claim.what, claim.number, limit=limit))
    blobs = call.services.blobs
    digest, size = await receive(call, await asyncio.to_thread(blobs.apart, claim.what), limit=room)
    part = Part(number=claim.number, digest=digest, size=size)
    try:
        await call.write(lambda tx: uploads.keep_part(tx, claim.what, part, limit=limit))
    except (Missing, Conflict):  # completed or aborted meanwhile: nobody else clears this part away
        await asyncio.to_thread(blobs.drop_apart, claim.what)
        raise
    return _taken(digest, size)


def _taken(digest: str, size: int) -> Response:
    response = json_response({"digest": digest, "size": size})
    response.headers["ETag"] = f'"{digest}"'
    return response


ROUTES = [
    Route("GET", PATH + "{token}", Permission.PUBLIC, _get, summary="Get the content this signed address names"),
    Route(
        "PUT", PATH + "{token}", Permission.PUBLIC, _put, streams=True,
        summary="Put the file, or the part of one, this signed address names",
    ),
]  # fmt: skip
