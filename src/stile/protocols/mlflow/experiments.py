"""MLflow's experiments."""

from __future__ import annotations

from typing import cast

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.protocols.mlflow import wire
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import Pair, decode, done, need, reply
from stile.train import experiment_search, experiments
from stile.train.run_clauses import View

VIEWS = ("ACTIVE_ONLY", "DELETED_ONLY", "ALL")
_VIEW_NUMBERS = dict(enumerate(VIEWS, 1))


class _Create(msgspec.Struct):
    name: str = ""
    artifact_location: str = ""
    tags: list[Pair] = []


class _One(msgspec.Struct):
    experiment_id: str = ""
    new_name: str = ""
    key: str = ""
    value: str = ""


class _Search(msgspec.Struct):
    filter: str = ""
    view_type: str | int = "ACTIVE_ONLY"
    max_results: int = 1000
    order_by: list[str] = []
    page_token: str = ""


class _DatasetSearch(msgspec.Struct):
    experiment_ids: list[str] = []


def view(text: str | int) -> View:
    """ACTIVE_ONLY, DELETED_ONLY or ALL, by name or by its number in the protocol (1, 2, 3).

    Raises:
        Invalid: it is none of them.
    """
    if isinstance(text, int):
        text = _VIEW_NUMBERS.get(text, str(text))
    if not text:
        return "ACTIVE_ONLY"
    if text not in VIEWS:
        raise Invalid(f"Invalid value {text[:40]!r} for parameter 'view_type'. It is one of {', '.join(VIEWS)}.")
    return cast("View", text)


async def _create(call: Call) -> Response:
    """Create an experiment."""
    body = decode(await call.body(), _Create)
    need(body.name, "name")
    made = await call.write(
        lambda tx: experiments.create(
            tx,
            name=body.name,
            by=call.principal.name,
            artifact_location=body.artifact_location,
            tags={tag.key: tag.value for tag in body.tags},
        )
    )
    return reply({"experiment_id": made.experiment_id})


async def _get(call: Call) -> Response:
    """Get an experiment."""
    experiment_id = need(call.query("experiment_id"), "experiment_id")
    return reply({"experiment": wire.experiment(await call.read(lambda tx: experiments.get(tx, experiment_id)))})


async def _get_by_name(call: Call) -> Response:
    """Get an experiment by its name."""
    name = need(call.query("experiment_name"), "experiment_name")
    return reply({"experiment": wire.experiment(await call.read(lambda tx: experiments.get_by_name(tx, name)))})


async def _search_post(call: Call) -> Response:
    """Search experiments."""
    return await _search(call, decode(await call.body(), _Search))


async def _search_get(call: Call) -> Response:
    """Search experiments."""
    return await _search(
        call,
        _Search(
            filter=call.query("filter"),
            view_type=call.query("view_type"),
            max_results=call.query_int("max_results", 1000),
            order_by=call.request.query_params.getlist("order_by"),
            page_token=call.query("page_token"),
        ),
    )


async def _search(call: Call, wanted: _Search) -> Response:
    page = await call.read(
        lambda tx: experiment_search.search(
            tx,
            filter=wanted.filter,
            view=view(wanted.view_type),
            max_results=wanted.max_results,
            order_by=wanted.order_by,
            page_token=wanted.page_token,
        )
    )
    out: wire.Json = {"experiments": [wire.experiment(found) for found in page.experiments]}
    if page.next_page_token:
        out["next_page_token"] = page.next_page_token
    return reply(out)


async def _update(call: Call) -> Response:
    """Rename an experiment."""
    body = decode(await call.body(), _One)
    await call.write(
        lambda tx: experiments.rename(tx, need(body.experiment_id, "experiment_id"), need(body.new_name, "new_name"))
    )
    return done()


async def _delete(call: Call) -> Response:
    """Delete an experiment and its runs."""
    body = decode(await call.body(), _One)
    await call.write(lambda tx: experiments.delete(tx, need(body.experiment_id, "experiment_id")))
    return done()


async def _restore(call: Call) -> Response:
    """Restore a deleted experiment and its runs."""
    body = decode(await call.body(), _One)
    await call.write(lambda tx: experiments.restore(tx, need(body.experiment_id, "experiment_id")))
    return done()


async def _set_tag(call: Call) -> Response:
    """Set a tag of an experiment."""
    body = decode(await call.body(), _One)
    await call.write(
        lambda tx: experiments.set_tag(tx, need(body.experiment_id, "experiment_id"), need(body.key, "key"), body.value)
    )
    return done()


async def _drop_tag(call: Call) -> Response:
    """Delete a tag of an experiment."""
    body = decode(await call.body(), _One)
    await call.write(
        lambda tx: experiments.drop_tag(tx, need(body.experiment_id, "experiment_id"), need(body.key, "key"))
    )
    return done()


async def _search_datasets(call: Call) -> Response:
    """Datasets that runs of some experiments have read."""
    body = decode(await call.body(), _DatasetSearch)
    found = await call.read(lambda tx: experiments.datasets(tx, body.experiment_ids))
    return reply(
        {
            "dataset_summaries": [
                {
                    "experiment_id": one.experiment_id,
                    "name": one.name,
                    "digest": one.digest,
                    **({"context": one.context} if one.context else {}),
                }
                for one in found
            ]
        }
    )


ROUTES = routes(
    [
        ("POST", "experiments/create", Permission.TRACK, _create),
        ("GET", "experiments/get", Permission.READ, _get),
        ("GET", "experiments/get-by-name", Permission.READ, _get_by_name),
        ("POST", "experiments/search", Permission.READ, _search_post),
        ("GET", "experiments/search", Permission.READ, _search_get),
        ("POST", "experiments/update", Permission.TRACK, _update),
        ("POST", "experiments/delete", Permission.TRACK, _delete),
        ("POST", "experiments/restore", Permission.TRACK, _restore),
        ("POST", "experiments/set-experiment-tag", Permission.TRACK, _set_tag),
        ("POST", "experiments/delete-experiment-tag", Permission.TRACK, _drop_tag),
        ("POST", "experiments/search-datasets", Permission.READ, _search_datasets),
    ]
)
