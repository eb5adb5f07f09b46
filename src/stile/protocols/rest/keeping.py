"""Keeping house: purging what was deleted, for operators."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.clock import SystemClock
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.work.collection import YOUNGEST_MS, Wish, carry_out, survey

_DAY_MS = 86_400_000


class _Collect(msgspec.Struct):
    older_than_days: float = 0.0
    runs: list[str] = []
    contents_older_than_hours: float = YOUNGEST_MS / 3_600_000
    really: bool = False


async def _collect(call: Call) -> Response:
    body = await call.json(_Collect)
    if not 0 <= body.older_than_days <= 36_500:
        raise Invalid("older_than_days must be between 0 and 36500.")
    if not YOUNGEST_MS / 3_600_000 <= body.contents_older_than_hours <= 876_000:
        raise Invalid("contents_older_than_hours must be between 1 and 876000: uploads under way must not be touched.")
    wish = Wish(
        deleted_for_ms=int(body.older_than_days * _DAY_MS),
        runs=body.runs,
        contents_for_ms=int(body.contents_older_than_hours * 3_600_000),
    )
    db, blobs = call.services.db, call.services.blobs
    if body.really:
        found = await asyncio.to_thread(carry_out, db, blobs, SystemClock(), wish, by=call.principal.name)
    else:
        found = await asyncio.to_thread(survey, db, blobs, SystemClock(), wish)
    return json_response({"done": body.really, **msgspec.to_builtins(found)})


ROUTES = [
    Route(
        "POST", "/api/v1/collect", Permission.OPERATE, _collect, summary="Purge what was deleted (dry unless really)"
    ),
]
