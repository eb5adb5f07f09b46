"""Forms that keep, change and delete saved views of an experiment's runs."""

from __future__ import annotations

from starlette.responses import Response

from stile.edge.call import Call
from stile.kernel.permission import Permission
from stile.train import saved_views
from stile.train.saved_view_records import Query, SavedView
from stile.web.forms import form, needed
from stile.web.pages.runs_asked import address, of_view
from stile.web.render import post, see_other

_NAME = "A view needs a name: a few words you will recognise it by."


async def _save(call: Call) -> Response:
    experiment, fields = call.path("experiment_id"), await form(call)
    name = needed(fields, "name", _NAME)
    made = await call.write(
        lambda tx: saved_views.save(
            tx, experiment, name=name, query=_query(fields), shared="shared" in fields, by=call.principal
        )
    )
    return _to(made, f"Kept as {made.name}.")


async def _change(call: Call) -> Response:
    experiment, id, fields = call.path("experiment_id"), int(call.path("id")), await form(call)
    name = needed(fields, "name", _NAME)
    query = _query(fields) if "show" in fields else None
    made = await call.write(
        lambda tx: saved_views.change(
            tx, experiment, id, by=call.principal, name=name, query=query, shared="shared" in fields
        )
    )
    return _to(made, f"{made.name} is changed.")


async def _delete(call: Call) -> Response:
    experiment, id = call.path("experiment_id"), int(call.path("id"))
    await call.write(lambda tx: saved_views.delete(tx, experiment, id, by=call.principal))
    return see_other(f"/experiments/{experiment}", "The view is deleted.")


def _query(fields: dict[str, str]) -> Query:
    columns = [each.strip() for each in fields.get("cols", "").split(",")]
    return Query(
        filter=fields.get("filter", ""), columns=[each for each in columns if each], sort=fields.get("sort", ""),
        baseline=fields.get("baseline", ""), lifecycle=fields.get("lifecycle", ""),
    )  # fmt: skip


def _to(view: SavedView, said: str) -> Response:
    return see_other(address(f"/experiments/{view.experiment_id}", of_view(view.query, view.id)), said)


_V = "/experiments/{experiment_id}/views"

ROUTES = [
    post(_V, Permission.READ, _save),
    post(_V + "/{id:int}", Permission.READ, _change),
    post(_V + "/{id:int}/delete", Permission.READ, _delete),
]
