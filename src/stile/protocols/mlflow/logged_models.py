"""MLflow's logged models."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.govern import version_records
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.protocols.mlflow import wire
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import Pair, decode, done, need, reply
from stile.store.database import Tx
from stile.train import artifacts, logged_model_search, logged_models
from stile.train.artifact_paths import checked_path, ours
from stile.train.logged_model_search import Measured, ModelOrder

_STATUS_NUMBERS = {1: "LOGGED_MODEL_PENDING", 2: "LOGGED_MODEL_READY", 3: "LOGGED_MODEL_UPLOAD_FAILED"}


class _Create(msgspec.Struct):
    experiment_id: str = ""
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class _Change(msgspec.Struct):
    status: str | int = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class _DatasetIn(msgspec.Struct):
    dataset_name: str = ""
    dataset_digest: str = ""


class _OrderIn(_DatasetIn):
    field_name: str = ""
    ascending: bool = True


class _Search(msgspec.Struct):
    experiment_ids: list[str] = []
    filter: str = ""
    datasets: list[_DatasetIn] = []
    max_results: int = 100
    order_by: list[_OrderIn] = []
    page_token: str = ""


def _on(given: _DatasetIn) -> Measured | None:
    if not given.dataset_name:
        return None
    return Measured(dataset_name=given.dataset_name, dataset_digest=given.dataset_digest)


def _of(pairs: list[Pair]) -> dict[str, str]:
    return {pair.key: pair.value for pair in pairs}


def _message(tx: Tx, found: logged_models.LoggedModel) -> wire.Json:
    return wire.logged_model(found, version_records.of_logged_model(tx, found.model_id))


async def _create(call: Call) -> Response:
    """Create a logged model, pending until its files are there."""
    body = decode(await call.body(), _Create)
    made = await call.write(
        lambda tx: logged_models.create(
            tx,
            experiment_id=need(body.experiment_id, "experiment_id"),
            by=call.principal.name,
            name=body.name,
            model_type=body.model_type,
            source_run_id=body.source_run_id,
            tags=_of(body.tags),
            params=_of(body.params),
        )
    )
    return reply({"model": wire.logged_model(made)})


async def _get(call: Call) -> Response:
    """Get a logged model."""
    model_id = call.path("model_id")
    return reply({"model": await call.read(lambda tx: _message(tx, logged_models.get(tx, model_id)))})


async def _finalize(call: Call) -> Response:
    """Say that a logged model's upload has ended."""
    body = decode(await call.body(), _Change)
    model_id = call.path("model_id")
    status = _STATUS_NUMBERS.get(body.status, "?") if isinstance(body.status, int) else body.status
    found = await call.write(lambda tx: logged_models.finalize(tx, model_id, status))
    return reply({"model": wire.logged_model(found)})


async def _delete(call: Call) -> Response:
    """Delete a logged model."""
    model_id = call.path("model_id")
    await call.write(lambda tx: logged_models.delete(tx, model_id))
    return done()


async def _set_tags(call: Call) -> Response:
    """Set tags of a logged model."""
    body = decode(await call.body(), _Change)
    model_id = call.path("model_id")
    found = await call.write(lambda tx: logged_models.set_tags(tx, model_id, _of(body.tags)))
    return reply({"model": wire.logged_model(found)})


async def _drop_tag(call: Call) -> Response:
    """Delete a tag of a logged model."""
    model_id, key = call.path("model_id"), call.path("tag_key")
    await call.write(lambda tx: logged_models.drop_tag(tx, model_id, key))
    return done()


async def _add_params(call: Call) -> Response:
    """Log params of a logged model."""
    body = decode(await call.body(), _Change)
    model_id = call.path("model_id")
    await call.write(lambda tx: logged_models.add_params(tx, model_id, _of(body.params)))
    return done()


async def _files(call: Call) -> Response:
    """List a folder of a logged model."""
    model_id = call.path("model_id")
    below = checked_path(call.query("artifact_directory_path").rstrip("/"), empty_allowed=True)

    def work(tx: Tx) -> wire.Json:
        uri = logged_models.get(tx, model_id).artifact_uri
        root = ours(uri)
        if root is None:
            raise Invalid(f"The files of {model_id} are in a store of your own ({uri}); list them there.")
        return {"root_uri": uri, "files": wire.files(artifacts.folder(tx, f"{root}/{below}"), below)}

    return reply(await call.read(work))


async def _search(call: Call) -> Response:
    """Search logged models."""
    body = decode(await call.body(), _Search)

    def work(tx: Tx) -> wire.Json:
        page = logged_model_search.search(
            tx,
            experiment_ids=body.experiment_ids,
            filter=body.filter,
            datasets=[on for on in map(_on, body.datasets) if on is not None],
            max_results=body.max_results,
            order_by=[ModelOrder(field_name=o.field_name, ascending=o.ascending, on=_on(o)) for o in body.order_by],
            page_token=body.page_token,
        )
        out: wire.Json = {"models": [_message(tx, found) for found in page.models]}
        if page.next_page_token:
            out["next_page_token"] = page.next_page_token
        return out

    return reply(await call.read(work))


ROUTES = routes(
    [
        ("POST", "logged-models", Permission.TRACK, _create),
        ("POST", "logged-models/search", Permission.READ, _search),
        ("GET", "logged-models/{model_id}", Permission.READ, _get),
        ("PATCH", "logged-models/{model_id}", Permission.TRACK, _finalize),
        ("DELETE", "logged-models/{model_id}", Permission.TRACK, _delete),
        ("PATCH", "logged-models/{model_id}/tags", Permission.TRACK, _set_tags),
        ("DELETE", "logged-models/{model_id}/tags/{tag_key}", Permission.TRACK, _drop_tag),
        ("POST", "logged-models/{model_id}/params", Permission.TRACK, _add_params),
        ("GET", "logged-models/{model_id}/artifacts/directories", Permission.READ, _files),
    ]
)
