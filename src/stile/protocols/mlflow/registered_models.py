"""MLflow's registered models and aliases."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.govern import promotions, registry, registry_search
from stile.govern.promotions import Promotion
from stile.govern.registry import RegisteredModel
from stile.kernel.permission import Permission
from stile.protocols.mlflow import wire
from stile.protocols.mlflow.model_versions import guard, latest_of, message, number, page_url
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import Pair, decode, done, need, reply
from stile.store.database import Tx


class _Create(msgspec.Struct):
    name: str = ""
    description: str = ""
    tags: list[Pair] = []


class _Change(msgspec.Struct):
    name: str = ""
    new_name: str = ""
    description: str = ""
    key: str = ""
    value: str = ""
    alias: str = ""
    version: str | int = ""
    stages: list[str] = []


def _message(tx: Tx, found: RegisteredModel) -> wire.Json:
    out: wire.Json = {
        "name": found.name,
        "creation_timestamp": found.created_at,
        "last_updated_timestamp": found.updated_at,
        "user_id": found.created_by,
        "latest_versions": latest_of(tx, found),
        "tags": wire.pairs(found.tags),
        "aliases": [{"alias": alias, "version": str(version)} for alias, version in found.aliases.items()],
    }
    if found.description:
        out["description"] = found.description
    return out


async def _create(call: Call) -> Response:
    """Create a registered model."""
    body = decode(await call.body(), _Create)

    def work(tx: Tx) -> wire.Json:
        guard(call, tx, body.name)
        tags = {tag.key: tag.value for tag in body.tags}
        made = registry.create_model(
            tx, name=body.name, by=call.principal.name, description=body.description, tags=tags
        )
        return _message(tx, made)

    return reply({"registered_model": await call.write(work)})


async def _get(call: Call) -> Response:
    """Get a registered model."""
    name = need(call.query("name"), "name")
    return reply({"registered_model": await call.read(lambda tx: _message(tx, registry.model(tx, name)))})


async def _rename(call: Call) -> Response:
    """Rename a registered model; versions and aliases stay."""
    body = decode(await call.body(), _Change)

    def work(tx: Tx) -> wire.Json:
        guard(call, tx, need(body.new_name, "new_name"))
        return _message(tx, registry.rename_model(tx, need(body.name, "name"), body.new_name))

    return reply({"registered_model": await call.write(work)})


async def _update(call: Call) -> Response:
    """Describe a registered model."""
    body = decode(await call.body(), _Change)

    def work(tx: Tx) -> wire.Json:
        guard(call, tx, body.name)
        return _message(tx, registry.describe_model(tx, body.name, body.description))

    return reply({"registered_model": await call.write(work)})


async def _delete(call: Call) -> Response:
    """Delete a registered model that no decision speaks of."""
    body = decode(await call.body(), _Change)

    def work(tx: Tx) -> None:
        guard(call, tx, body.name)
        registry.delete_model(tx, body.name, url=page_url(call, body.name))

    await call.write(work)
    return done()


async def _set_tag(call: Call) -> Response:
    """Set a tag of a registered model."""
    body = decode(await call.body(), _Change)

    def work(tx: Tx) -> None:
        guard(call, tx, body.name)
        registry.set_model_tag(tx, body.name, need(body.key, "key"), body.value)

    await call.write(work)
    return done()


async def _drop_tag(call: Call) -> Response:
    """Delete a tag of a registered model."""
    body = decode(await call.body(), _Change)

    def work(tx: Tx) -> None:
        guard(call, tx, body.name)
        registry.drop_model_tag(tx, body.name, need(body.key, "key"))

    await call.write(work)
    return done()


async def _search(call: Call) -> Response:
    """Search registered models."""
    most = call.query_int("max_results", 100)
    orders = call.request.query_params.getlist("order_by")

    def work(tx: Tx) -> wire.Json:
        page = registry_search.search_models(
            tx, filter=call.query("filter"), max_results=most, order_by=orders, page_token=call.query("page_token")
        )
        out: wire.Json = {"registered_models": [_message(tx, found) for found in page.models]}
        if page.next_page_token:
            out["next_page_token"] = page.next_page_token
        return out

    return reply(await call.read(work))


async def _latest_post(call: Call) -> Response:
    """The newest version of each stage."""
    body = decode(await call.body(), _Change)
    return await _latest(call, body.name, body.stages)


async def _latest_get(call: Call) -> Response:
    """The newest version of each stage."""
    return await _latest(call, call.query("name"), call.request.query_params.getlist("stages"))


async def _latest(call: Call, name: str, stages: list[str]) -> Response:
    need(name, "name")
    found = await call.read(lambda tx: latest_of(tx, registry.model(tx, name), stages))
    return reply({"model_versions": found})


async def _set_alias(call: Call) -> Response:
    """Make an alias name a version; a guarded alias is moved by a decision, which this may ask for."""
    body = decode(await call.body(), _Change)
    version = number(body.version)

    def work(tx: Tx) -> Promotion | None:
        guard(call, tx, body.name)
        by, alias = call.principal.name, need(body.alias, "alias")
        asked = promotions.propose_by_alias(tx, model=body.name, alias=alias, version=version, by=by)
        if asked is None:
            registry.set_alias(tx, body.name, alias, version, by=by, url=page_url(call, body.name))
        else:
            call.require(Permission.PROPOSE, body.name)
        return asked

    asked = await call.write(work)
    if asked is None:
        return done()
    url = f"{page_url(call, body.name)}/versions/{version}/gate"
    return reply({"promotion": {"id": asked.id, "state": asked.state, "url": url}})


async def _drop_alias(call: Call) -> Response:
    """Take an alias away; a guarded alias is moved by a decision only."""
    body = decode(await call.body(), _Change)

    def work(tx: Tx) -> None:
        guard(call, tx, body.name)
        url = page_url(call, body.name)
        registry.drop_alias(tx, body.name, need(body.alias, "alias"), by=call.principal.name, url=url)

    await call.write(work)
    return done()


async def _by_alias(call: Call) -> Response:
    """The version an alias names."""
    name, alias = need(call.query("name"), "name"), need(call.query("alias"), "alias")
    return reply({"model_version": await call.read(lambda tx: message(tx, registry.by_alias(tx, name, alias)))})


ROUTES = routes(
    [
        ("POST", "registered-models/create", Permission.REGISTER, _create),
        ("GET", "registered-models/get", Permission.READ, _get),
        ("POST", "registered-models/rename", Permission.REGISTER, _rename),
        ("PATCH", "registered-models/update", Permission.REGISTER, _update),
        ("DELETE", "registered-models/delete", Permission.REGISTER, _delete),
        ("GET", "registered-models/search", Permission.READ, _search),
        ("POST", "registered-models/set-tag", Permission.REGISTER, _set_tag),
        ("DELETE", "registered-models/delete-tag", Permission.REGISTER, _drop_tag),
        ("POST", "registered-models/get-latest-versions", Permission.READ, _latest_post),
        ("GET", "registered-models/get-latest-versions", Permission.READ, _latest_get),
        ("POST", "registered-models/alias", Permission.REGISTER, _set_alias),
        ("DELETE", "registered-models/alias", Permission.REGISTER, _drop_alias),
        ("GET", "registered-models/alias", Permission.READ, _by_alias),
    ]
)
