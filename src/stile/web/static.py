"""The built browser files: found by their hashed names, kept forever by caches, sent compressed."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from starlette.responses import Response

from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.errors import Missing
from stile.kernel.permission import Permission

STATIC = Path(__file__).resolve().parent / "static"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 26 26" fill="none" stroke-width="3">'
    '<path d="M1 22h4v-6h4v-6h4" stroke="#ae4a07"/><path d="M25 22h-4v-6h-4v-6h-4" stroke="#1c5fa8"/>'
    '<path d="M13 3v21" stroke="#808080"/></svg>'
)
_FOREVER = "public, max-age=31536000, immutable"


@lru_cache(maxsize=4)
def _manifest(stamp_ns: int) -> dict[str, str]:  # noqa: ARG001  the stamp is the cache's key
    names: dict[str, str] = json.loads((STATIC / "manifest.json").read_text("utf-8"))
    return names


@lru_cache(maxsize=4)
def _files(stamp_ns: int) -> dict[str, bytes]:  # noqa: ARG001  the stamp is the cache's key
    known = {*_TYPES, ".gz"}
    return {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in known}


def _stamp_ns() -> int | None:
    """When the files were built, or None when they were not; a rebuild is seen without a restart."""
    try:
        return (STATIC / "stamp").stat().st_mtime_ns
    except OSError:
        return None


def asset(name: str) -> str:
    """The address of an entry such as ``app.js``; empty when the assets were not built (pages still work)."""
    stamp = _stamp_ns()
    if stamp is None:
        return ""
    hashed = _manifest(stamp).get(name)
    return f"/static/{hashed}" if hashed else ""


async def _serve(call: Call) -> Response:
    name = call.path("name")
    stamp = _stamp_ns()
    files = _files(stamp) if stamp is not None else {}
    if name not in files or name.endswith(".gz"):
        raise Missing(f"There is no file {name[:80]!r} among the built assets.")
    headers = {"Vary": "Accept-Encoding", "Cache-Control": _FOREVER if "-" in name else "public, max-age=3600"}
    body = files[name]
    if f"{name}.gz" in files and "gzip" in call.request.headers.get("accept-encoding", ""):
        body = files[f"{name}.gz"]
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=_TYPES[Path(name).suffix], headers=headers)


async def _icon(call: Call) -> Response:  # noqa: ARG001  the same for everybody
    """What browsers ask for on their own when they show JSON."""
    return Response(_ICON, media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=86400"})


ROUTES = [
    Route("GET", "/static/{name}", Permission.PUBLIC, _serve, summary="A built asset"),
    Route("GET", "/favicon.ico", Permission.PUBLIC, _icon),
]
