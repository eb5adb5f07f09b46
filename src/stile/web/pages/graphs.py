"""An archived graph: the drawing, and the numbers inside its spec as a table."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.web.render import Frame, error_page, frame_context, html

_MOST_BYTES = 4 << 20
_MOST_ROWS = 500


class GraphData(msgspec.Struct, frozen=True, kw_only=True):
    """A spec with the rows it draws (at most 500 of them)."""

    digest: str
    title: str
    columns: list[str]
    rows: list[list[Any]]
    total: int


def table_of(digest: str, spec: Any) -> GraphData:
    """The title and the inline rows of a Vega-Lite spec."""
    plain = spec if isinstance(spec, dict) else {}
    title = plain.get("title", "")
    title = title.get("text", "") if isinstance(title, dict) else title
    rows = _values(plain)
    columns = list(dict.fromkeys(key for row in rows[:_MOST_ROWS] for key in row))
    shown = [[row.get(column) for column in columns] for row in rows[:_MOST_ROWS]]
    return GraphData(digest=digest, title=str(title or "Graph"), columns=columns, rows=shown, total=len(rows))


def _values(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The first inline rows found: at the top, by name, or in a layer."""
    data = spec.get("data")
    values = data.get("values") if isinstance(data, dict) else None
    if values is None and isinstance(spec.get("datasets"), dict):
        values = next(iter(spec["datasets"].values()), None)
    if isinstance(values, list):
        return [row for row in values if isinstance(row, dict)]
    for part in ("layer", "hconcat", "vconcat", "concat"):
        for inner in spec.get(part) or ():
            if isinstance(inner, dict) and (found := _values(inner)):
                return found
    inner = spec.get("spec")
    return _values(inner) if isinstance(inner, dict) else []


async def _read(call: Call) -> GraphData:
    digest = call.path("digest")
    blobs = call.services.blobs
    if await asyncio.to_thread(blobs.size, digest) > _MOST_BYTES:
        raise Invalid("This file is too large to be a graph. Download it instead.")
    body = await asyncio.to_thread(lambda: b"".join(blobs.chunks(digest)))
    try:
        return table_of(digest, msgspec.json.decode(body))
    except msgspec.DecodeError:
        raise Invalid("This file is not a graph: it is not JSON.") from None


async def _show(call: Call) -> Response:
    data = await _read(call)
    now_ms = await call.read(lambda tx: tx.now_ms())
    context = frame_context(call, Frame(title=data.title, here="runs"), now_ms, 0) | {"data": data}
    return html("graph.html", context, call.request)


async def _json(call: Call) -> Response:
    return json_response(await _read(call))


ROUTES = [
    Route("GET", "/graphs/{digest}.json", Permission.READ, _json),
    Route("GET", "/graphs/{digest}", Permission.READ, _show, on_error=error_page),
]
