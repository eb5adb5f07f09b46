"""A run's files one by one: a folder's list, the beginning of a file, and its bytes.

Bytes come with a type only where that is harmless: pictures, and HTML that may run nothing and
belongs to no origin. Everything else is a download that the browser must not guess about.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response, StreamingResponse

from stile.edge.call import Call, json_response
from stile.edge.guard import CONTENT_SECURITY_POLICY
from stile.edge.route import Route
from stile.kernel.errors import Invalid, Missing
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.train import artifacts, experiments, logged_models, runs
from stile.train.artifact_paths import checked_path, ours
from stile.train.artifact_records import Artifact
from stile.train.artifacts import ListedEntry
from stile.train.run_values import RunInfo
from stile.web.pages.waiting import waiting_for
from stile.web.previews import HEAD_BYTES, IMAGE_TYPES, Preview, kind_of, preview
from stile.web.render import Crumb, Frame, error_page, frame_context, html

_LARGEST_JSON = 1 << 20
_FRAMED = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox"
)
"""For files themselves: no script, no origin, no network, also when somebody opens the address directly."""


class FileData(msgspec.Struct, frozen=True, kw_only=True):
    """A file with its beginning, or a folder with what lies in it (then ``file`` is None)."""

    run: RunInfo
    path: str
    model: str
    file: Artifact | None
    preview: Preview | None
    entries: list[ListedEntry]


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    run: RunInfo
    path: str
    model: str
    file: Artifact | None
    entries: list[ListedEntry]


def _find(tx: Tx, call: Call) -> _Found:
    """What the address names: a file or folder of the run, or with ``model`` of a model it has logged."""
    run = runs.info(tx, call.path("run_id"))
    path = checked_path(call.request.path_params.get("path", "").strip("/"), empty_allowed=True)
    model = call.query("model")
    if model and not any(each.model_id == model for each in runs.get(tx, run.run_id).models):
        raise Missing(f"The run has logged no model {model[:60]!r}.")
    uri = logged_models.get(tx, model).artifact_uri if model else run.artifact_uri
    root = ours(uri)
    if root is None:
        raise Invalid(f"These files are in a store of your own ({uri}); this server does not open it. Get them there.")
    full = f"{root}/{path}" if path else root
    entries = artifacts.folder(tx, full)
    file = artifacts.find(tx, full) if path and not entries else None
    return _Found(run=run, path=path, model=model, file=file, entries=entries)


async def _read(call: Call) -> FileData:
    found = await call.read(lambda tx: _find(tx, call))
    shown = None
    if found.file is not None:
        head = await _head(call, found.file)
        shown = await asyncio.to_thread(preview, found.path, found.file.size, head)
    return FileData(
        run=found.run, path=found.path, model=found.model, file=found.file, preview=shown, entries=found.entries
    )


async def _head(call: Call, file: Artifact) -> bytes:
    """As many of its first bytes as its preview takes."""
    kind = kind_of(file.path, file.size)
    if kind in ("image", "html", "graph", "none"):
        return b""
    most = _LARGEST_JSON if kind == "json" else HEAD_BYTES

    def read() -> bytes:
        found = bytearray()
        for chunk in call.services.blobs.chunks(file.digest):
            found += chunk
            if len(found) >= most:
                break
        return bytes(found[:most])

    return await asyncio.to_thread(read)


async def _show(call: Call) -> Response:
    data = await _read(call)
    now_ms, waiting = await call.read(lambda tx: (tx.now_ms(), waiting_for(tx, call)))
    home, query = f"/runs/{data.run.run_id}", f"?model={quote(data.model)}" if data.model else ""
    parts = data.path.split("/") if data.path else []
    experiment = await call.read(lambda tx: experiments.get(tx, data.run.experiment_id))
    crumbs = [
        Crumb("Runs", "/experiments"), Crumb(experiment.name, f"/experiments/{experiment.experiment_id}"),
        Crumb(data.run.name, home), Crumb("Files", f"{home}/files{query}"),
    ]  # fmt: skip
    crumbs += [
        Crumb(part, f"{home}/files/{quote('/'.join(parts[: at + 1]))}{query}" if at + 1 < len(parts) else "")
        for at, part in enumerate(parts)
    ]
    frame = Frame(title=parts[-1] if parts else f"Files of {data.run.name}", here="runs", crumbs=crumbs)
    raw = f"{home}/raw/{quote(data.path)}{query}"
    context: dict[str, Any] = frame_context(call, frame, now_ms, waiting) | {
        "data": data,
        "raw": raw,
        "download": raw + ("&" if query else "?") + "download=1",
        "below": f"{home}/files/" + (quote(data.path) + "/" if data.path else ""),
        "query": query,
        # The path of this page may end in .json itself, so its twin has its own address.
        "json_url": f"{home}/file.json?path={quote(data.path, safe='')}"
        + (f"&model={quote(data.model)}" if data.model else ""),
    }
    response = html("run_file.html", context, call.request)
    if data.preview is not None and data.preview.kind == "html":
        response.headers["Content-Security-Policy"] = f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"
    return response


async def _json(call: Call) -> Response:
    call.request.path_params["path"] = call.query("path")
    return json_response(await _read(call))


async def _raw(call: Call) -> Response:
    """The bytes of a file: shown where its kind is harmless and ``download`` is not asked for, else saved."""
    found = await call.read(lambda tx: _find(tx, call))
    if found.file is None:
        raise Missing(f"There is no file {found.path[:80]!r}." if found.path else "Say which file: /raw/PATH.")
    file, name = found.file, found.path.rpartition("/")[2]
    kind = kind_of(found.path, file.size)
    headers = {
        "Content-Length": str(file.size),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": _FRAMED,
    }
    media = "application/octet-stream"
    if call.query("download") or kind not in ("image", "html"):
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    else:
        media = "text/html" if kind == "html" else IMAGE_TYPES[name.lower().rpartition(".")[2]]
    chunks = await asyncio.to_thread(call.services.blobs.chunks, file.digest)
    return StreamingResponse(chunks, media_type=media, headers=headers)


ROUTES = [
    Route("GET", "/runs/{run_id}/file.json", Permission.READ, _json),
    Route("GET", "/runs/{run_id}/files", Permission.READ, _show, on_error=error_page),
    Route("GET", "/runs/{run_id}/files/{path:path}", Permission.READ, _show, on_error=error_page),
    Route("GET", "/runs/{run_id}/raw/{path:path}", Permission.READ, _raw, on_error=error_page),
]
