"""Saved views of an experiment's runs: searches that people keep under a name."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.permission import Permission
from stile.train import saved_views
from stile.train.saved_view_records import Query


class _NewView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    query: Query = Query()
    shared: bool = False


class _ViewChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str | None = None
    query: Query | None = None
    shared: bool | None = None


async def _list(call: Call) -> Response:
    experiment = call.path("experiment_id")
    found = await call.read(lambda tx: saved_views.listing(tx, experiment, call.principal))
    return json_response({"views": found})


async def _save(call: Call) -> Response:
    experiment, wanted = call.path("experiment_id"), await call.json(_NewView)
    made = await call.write(
        lambda tx: saved_views.save(
            tx, experiment, name=wanted.name, query=wanted.query, shared=wanted.shared, by=call.principal
        )
    )
    return json_response(made, 201)


async def _change(call: Call) -> Response:
    experiment, id, wanted = call.path("experiment_id"), int(call.path("id")), await call.json(_ViewChanges)
    made = await call.write(
        lambda tx: saved_views.change(
            tx, experiment, id, by=call.principal, name=wanted.name, query=wanted.query, shared=wanted.shared
        )
    )
    return json_response(made)


async def _delete(call: Call) -> Response:
    experiment, id = call.path("experiment_id"), int(call.path("id"))
    await call.write(lambda tx: saved_views.delete(tx, experiment, id, by=call.principal))
    return Response(status_code=204)


_V = "/api/v1/experiments/{experiment_id}/views"

ROUTES = [
    Route("GET", _V, Permission.READ, _list, summary="Saved views: one's own and the shared ones"),
    Route("POST", _V, Permission.READ, _save, summary="Keep a search of runs under a name"),
    Route("PATCH", _V + "/{id:int}", Permission.READ, _change, summary="Rename, change or share one's own view"),
    Route("DELETE", _V + "/{id:int}", Permission.READ, _delete, summary="Delete one's own view"),
]
