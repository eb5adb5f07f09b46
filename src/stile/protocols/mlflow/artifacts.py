"""MLflow's artifacts: the proxy that takes and gives files, listings, and downloads for people.

A path is decoded once (by the HTTP server), checked, and used as the key of a row; bytes go to and
come from the content-addressed store. No text of a caller ever becomes a place on the server's disk.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, unquote

from starlette.responses import Response

from stile.edge.call import Call
from stile.edge.files import send, take
from stile.edge.route import Route
from stile.govern import registry
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.protocols.mlflow import wire
from stile.protocols.mlflow.errors import mlflow_error
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import done, need, reply
from stile.store.database import Tx
from stile.train import artifacts, runs
from stile.train.artifact_paths import checked_path, ours
from stile.train.artifacts import Artifact

_SMALL = 1 << 20


async def _put(call: Call) -> Response:
    """Store a file under a path."""
    path = checked_path(call.path("path"))
    if not _is_small(call):
        await call.read(lambda tx: refuse_change(tx, path))  # before the body is taken in; and again below
    body = await take(call)

    def work(tx: Tx) -> None:
        refuse_change(tx, path)
        body.keep(tx, call)
        artifacts.bind(tx, path=path, digest=body.digest, size=body.size, by=call.principal.name)

    await call.write(work)
    return done()


def _is_small(call: Call) -> bool:
    length = call.request.headers.get("content-length", "")
    return length.isdigit() and int(length) <= _SMALL


def refuse_change(tx: Tx, path: str) -> None:
    """Refuse to write a path that nobody may, or that a decided version depends on.

    Raises:
        Forbidden: it belongs to the registry, or such a version was registered from it.
    """
    artifacts.refuse_reserved(path)
    registry.refuse_change(tx, path)


async def _get(call: Call) -> Response:
    """Get a file."""
    path = checked_path(call.path("path"))
    return await _content(call, lambda tx: artifacts.find(tx, path))


async def _remove(call: Call) -> Response:
    """Delete a file or a folder."""
    path = checked_path(call.path("path"))

    def work(tx: Tx) -> None:
        refuse_change(tx, path)
        artifacts.remove(tx, path)

    await call.write(work)
    return done()


async def _list(call: Call) -> Response:
    """List a folder."""
    path = call.query("path").strip("/")
    if _has_escape(path):
        return reply({"files": []})
    return reply({"files": wire.files(await call.read(lambda tx: artifacts.folder(tx, path)))})


def _has_escape(path: str) -> bool:
    """Whether an otherwise good path has a percent escape in it: clients list such names, but none is ever stored.

    Raises:
        Invalid: it is not good in another way, or decoded it would not be.
    """
    return checked_path(unquote(path), empty_allowed=True) != path


async def _list_of_run(call: Call) -> Response:
    """List a folder of a run."""
    run_id = need(call.query("run_id") or call.query("run_uuid"), "run_id")
    below = call.query("path").rstrip("/")
    nothing = _has_escape(below)

    def work(tx: Tx) -> wire.Json:
        uri = runs.info(tx, run_id).artifact_uri
        found = [] if nothing else artifacts.folder(tx, joined(own(uri), below))
        return {"root_uri": uri, "files": wire.files(found, below)}

    return reply(await call.read(work))


async def _download(call: Call) -> Response:
    """Download a file of a run."""
    run_id = need(call.query("run_uuid") or call.query("run_id"), "run_uuid")
    path = checked_path(call.query("path"))
    return await _content(call, lambda tx: artifacts.find(tx, joined(own(runs.info(tx, run_id).artifact_uri), path)))


async def _download_of_version(call: Call) -> Response:
    """Download a file of a model version."""
    name = need(call.query("name"), "name")
    version = call.query_int("version", 0, low=0)
    path = checked_path(call.query("path"))

    def work(tx: Tx) -> Artifact:
        found = registry.version(tx, name, version)
        return artifacts.find(tx, joined(own(registry.download_uri(found)), path))

    return await _content(call, work)


async def _content(call: Call, find: Callable[[Tx], Artifact]) -> Response:
    """The bytes of a file, as a download: never shown in place, never guessed at."""
    blobs = call.services.blobs

    def work(tx: Tx) -> tuple[Artifact, bytes | None]:
        found = find(tx)
        return found, blobs.at_hand(tx, found.digest, found.size)

    found, content = await call.read(work)
    name = quote(found.path.rpartition("/")[2], safe="")
    disposition = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return await send(call, found.digest, found.size, disposition, content)


def own(uri: str) -> str:
    """The logical path of an address of this server's artifacts.

    Raises:
        Invalid: the files are in a store of the user's own.
    """
    path = ours(uri)
    if path is None:
        raise Invalid(f"These files are in a store of your own ({uri}); this server does not open it. Get them there.")
    return path


def joined(root: str, below: str) -> str:
    """The logical path of something below another; ``below`` may be empty."""
    return f"{root}/{below}" if below else root


_PROXY = [
    ("GET", "artifacts/{path:path}", Permission.READ, _get),
    ("DELETE", "artifacts/{path:path}", Permission.TRACK, _remove),
    ("GET", "artifacts", Permission.READ, _list),
]
_DOWNLOADS = [
    ("/get-artifact", _download),
    ("/ajax-api/2.0/mlflow/get-artifact", _download),
    ("/model-versions/get-artifact", _download_of_version),
    ("/ajax-api/2.0/mlflow/model-versions/get-artifact", _download_of_version),
]

ROUTES = [
    *routes([("PUT", "artifacts/{path:path}", Permission.TRACK, _put)], service="mlflow-artifacts", streams=True),
    *routes(_PROXY, service="mlflow-artifacts"),
    *routes([("GET", "artifacts/list", Permission.READ, _list_of_run)]),
    *(
        Route("GET", path, Permission.READ, handler, on_error=mlflow_error, summary="Download a file")
        for path, handler in _DOWNLOADS
    ),
]
