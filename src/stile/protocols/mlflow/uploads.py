"""MLflow's uploads in parts: create, complete, abort. The parts themselves go to signed addresses of this server.

The client takes this way for files of 500 MB and more (``MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE``),
sends parts side by side without a credential, and gives back the ETag of each answer.
Source: ``mlflow/store/artifact/http_artifact_repo.py`` and ``mlflow_artifacts.proto`` of MLflow 3.17.2.
"""

from __future__ import annotations

import asyncio
import re

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.edge.transfers import addresses
from stile.govern import registry
from stile.kernel.errors import Missing
from stile.kernel.permission import Permission
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import decode, done, need, reply
from stile.store.database import Tx
from stile.train import uploads
from stile.train.artifact_paths import checked_path
from stile.train.transfer_tokens import Claim
from stile.train.uploads import Part, Upload

_SEPARATORS = re.compile(r"[/\\]")


class _Create(msgspec.Struct):
    path: str = ""
    num_parts: int = 1


class _Part(msgspec.Struct):
    part_number: int = 0
    etag: str = ""


class _End(msgspec.Struct):
    path: str = ""
    upload_id: str = ""
    parts: list[_Part] = []


async def _create(call: Call) -> Response:
    """Begin an upload in parts."""
    body = decode(await call.body(), _Create)
    path = _target(call, body.path)

    def work(tx: Tx) -> Upload:
        registry.refuse_change(tx, path)
        return uploads.begin(tx, path=path, parts=body.num_parts, by=call.principal.name)

    upload = await call.write(work)
    until = upload.at + uploads.LIFETIME_MS
    claims = [
        Claim(act="part", what=upload.id, by=upload.by, until=until, number=number)
        for number in range(1, upload.parts + 1)
    ]
    credentials = [
        {"url": url, "part_number": claim.number, "headers": {}}
        for url, claim in zip(await addresses(call, claims), claims, strict=True)
    ]
    return reply({"upload_id": upload.id, "credentials": credentials})


async def _complete(call: Call) -> Response:
    """Put the parts of an upload together."""
    body = decode(await call.body(), _End)
    path = _target(call, body.path)
    claimed = [(part.part_number, part.etag.strip('"')) for part in body.parts]
    blobs = call.services.blobs

    def look(tx: Tx) -> tuple[Upload, list[Part]]:
        registry.refuse_change(tx, path)
        found = _upload(tx, call, body, path)
        return found, [] if found.digest else uploads.arranged(tx, found, claimed)

    upload, parts = await call.read(look)
    if upload.digest:
        return done()  # the answer of the first call was lost
    try:
        digest, size = await asyncio.to_thread(uploads.put_together, blobs, upload, parts)
    except Missing:
        if (await call.read(lambda tx: _upload(tx, call, body, path))).digest:
            return done()  # another call completed it meanwhile
        raise

    def work(tx: Tx) -> None:
        registry.refuse_change(tx, path)
        if not _upload(tx, call, body, path).digest:
            uploads.finish(tx, upload, digest=digest, size=size)

    await call.write(work)
    await asyncio.to_thread(blobs.drop_apart, upload.id)
    return done()


async def _abort(call: Call) -> Response:
    """Give an upload up."""
    body = decode(await call.body(), _End)
    path = _target(call, body.path)
    upload = await call.read(lambda tx: _upload(tx, call, body, path))
    if not upload.digest:
        await call.write(lambda tx: uploads.forget(tx, upload.id))
        await asyncio.to_thread(call.services.blobs.drop_apart, upload.id)
    return done()


def _upload(tx: Tx, call: Call, body: _End, path: str) -> Upload:
    return uploads.get(tx, need(body.upload_id, "upload_id"), path=path, by=call.principal.name)


def _target(call: Call, local_file: str) -> str:
    """The artifact's path: the folder of the address, and the name of the client's file (perhaps a Windows path)."""
    name = _SEPARATORS.split(need(local_file, "path"))[-1]
    return checked_path(f"{call.path('path')}/{name}")


ROUTES = routes(
    [
        ("POST", "mpu/create/{path:path}", Permission.TRACK, _create),
        ("POST", "mpu/complete/{path:path}", Permission.TRACK, _complete),
        ("POST", "mpu/abort/{path:path}", Permission.TRACK, _abort),
    ],
    service="mlflow-artifacts",
)
