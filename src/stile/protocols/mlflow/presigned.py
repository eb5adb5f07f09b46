"""MLflow's presigned transfers: addresses under which one file can be got or put for a while, without a credential.

Files in a bucket are got from the bucket itself. Everything else goes to signed addresses of this
server: what is put must be measured, named by its digest and recorded before it counts, and a bucket
can do none of that (docs/decisions/0007).
Source: ``_create_presigned_upload_url``, ``_create_presigned_download_url`` and
``_get_presigned_download_url`` in ``mlflow/server/handlers.py`` of MLflow 3.17.2.
"""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.edge.transfers import addresses
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.protocols.mlflow.artifacts import joined, own, refuse_change
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import decode, need, reply
from stile.store.database import Tx
from stile.train import artifacts, logged_models, runs
from stile.train.artifact_paths import checked_path
from stile.train.artifacts import Artifact
from stile.train.transfer_tokens import MOST_SECONDS, Claim

GET_SECONDS = 300
PUT_SECONDS = 900


class _Ask(msgspec.Struct):
    run_id: str = ""
    model_id: str = ""
    path: str = ""
    expiration: int | None = None


async def _get(call: Call) -> Response:
    """An address to download a file from."""
    path = checked_path(call.path("path"))
    found = await call.read(lambda tx: artifacts.find(tx, path))
    return reply({"url": await _source(call, found, GET_SECONDS), "headers": {}, "file_size": found.size})


async def _download(call: Call) -> Response:
    """An address to download a file of a run from."""
    body = decode(await call.body(), _Ask)
    seconds = _seconds(body, GET_SECONDS)
    path = checked_path(need(body.path, "path"))
    found = await call.read(
        lambda tx: artifacts.find(tx, joined(own(runs.info(tx, need(body.run_id, "run_id")).artifact_uri), path))
    )
    return reply({"presigned_url": await _source(call, found, seconds), "headers": {}, "file_size": found.size})


async def _upload(call: Call) -> Response:
    """An address to upload a file of a run or logged model to."""
    body = decode(await call.body(), _Ask)
    if bool(body.run_id) == bool(body.model_id):
        raise Invalid("Exactly one of run_id and model_id must be provided.")
    seconds = _seconds(body, PUT_SECONDS)
    below = checked_path(need(body.path, "path"))

    def work(tx: Tx) -> tuple[str, int]:
        home = runs.info(tx, body.run_id) if body.run_id else logged_models.get(tx, body.model_id)
        path = joined(own(home.artifact_uri), below)
        refuse_change(tx, path)
        return path, tx.now_ms()

    path, now = await call.read(work)
    claim = Claim(act="put", what=path, by=call.principal.name, until=now + seconds * 1000)
    (url,) = await addresses(call, [claim])
    return reply({"presigned_url": url, "headers": {}})


async def _source(call: Call, found: Artifact, seconds: int) -> str:
    """Where the content can be got: from the bucket when there is one, else from this server."""
    if call.services.settings.direct_downloads:
        address = await asyncio.to_thread(call.services.blobs.address, found.digest, seconds=seconds)
        if address is not None:
            return address
    now = await call.read(lambda tx: tx.now_ms())
    claim = Claim(
        act="get", what=found.path, by=call.principal.name, until=now + seconds * 1000, digest=found.digest,
        size=found.size,
    )  # fmt: skip
    (url,) = await addresses(call, [claim])
    return url


def _seconds(body: _Ask, default: int) -> int:
    seconds = default if body.expiration is None else body.expiration
    if not 1 <= seconds <= MOST_SECONDS:
        raise Invalid(f"expiration must be between 1 and {MOST_SECONDS} seconds (got {seconds}).")
    return seconds


ROUTES = [
    *routes([("GET", "presigned/{path:path}", Permission.READ, _get)], service="mlflow-artifacts"),
    *routes(
        [
            ("POST", "artifacts/presigned-upload-url", Permission.TRACK, _upload),
            ("POST", "artifacts/presigned-download-url", Permission.READ, _download),
        ]
    ),
]
