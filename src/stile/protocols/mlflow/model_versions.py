"""MLflow's model versions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.govern import registry, registry_search, version_records
from stile.govern.registry import ModelVersion, RegisteredModel
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.people import use_cases
from stile.protocols.mlflow import wire
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import Pair, decode, done, need, reply
from stile.store.database import Tx
from stile.train import logged_model_records


class _Create(msgspec.Struct):
    name: str = ""
    source: str = ""
    run_id: str = ""
    run_link: str = ""
    description: str = ""
    model_id: str = ""
    tags: list[Pair] = []


class _Change(msgspec.Struct):
    name: str = ""
    version: str | int = ""
    description: str = ""
    key: str = ""
    value: str = ""
    stage: str = ""
    archive_existing_versions: bool = False


def number(version: str | int) -> int:
    """A version number as the client gave it.

    Raises:
        Invalid: it is not a whole number above zero.
    """
    text = str(version)
    need(text, "version")
    if not text.isdecimal() or not text.isascii() or len(text) > 15 or int(text) < 1:
        raise Invalid(f"Invalid value {text[:40]!r} for parameter 'version' supplied: it must be a version number.")
    return int(text)


def message(tx: Tx, found: ModelVersion) -> wire.Json:
    """A ModelVersion message, with its aliases and what its logged model knows."""
    out: wire.Json = {
        "name": found.name,
        "version": str(found.version),
        "creation_timestamp": found.created_at,
        "last_updated_timestamp": found.updated_at,
        "user_id": found.created_by,
        "current_stage": found.stage,
        "source": found.source,
        "run_id": found.run_id,
        "status": "READY",
        "tags": wire.pairs(found.tags),
        "aliases": found.aliases,
    }
    for key, value in (("description", found.description), ("run_link", found.run_link), ("model_id", found.model_id)):
        if value:
            out[key] = value
    logged = logged_model_records.find(tx, found.model_id) if found.model_id else None
    if logged is not None:
        data = wire.logged_model(logged)["data"]
        out["model_params"] = [{"name": pair["key"], "value": pair["value"]} for pair in data["params"]]
        out["model_metrics"] = data["metrics"]
    return out


def latest_of(tx: Tx, found: RegisteredModel, stages: Sequence[str] = ()) -> list[wire.Json]:
    """The newest version of each stage (of all stages when none are named)."""
    wanted = {registry.canonical_stage(stage) for stage in stages}
    newest: dict[str, ModelVersion] = {}
    for version in version_records.of_model(tx, found.row):
        newest.setdefault(version.stage, version)
    return [message(tx, version) for stage, version in sorted(newest.items()) if not wanted or stage in wanted]


def guard(call: Call, tx: Tx, name: str) -> None:
    """Where the model belongs to a use case, the caller must be allowed to register in that use case.

    Raises:
        Invalid: no model is named.
        Forbidden: the caller is not.
    """
    if use_cases.exists(tx, need(name, "name")):
        call.require(Permission.REGISTER, name)


def page_url(call: Call, name: str) -> str:
    """The page on which decisions about a model are made."""
    return f"{call.services.settings.url}/models/{name}"


async def _create(call: Call) -> Response:
    """Register a version; its files are pinned by digest."""
    body = decode(await call.body(), _Create)

    def work(tx: Tx) -> wire.Json:
        guard(call, tx, body.name)
        made = registry.create_version(
            tx,
            name=body.name,
            source=need(body.source, "source"),
            by=call.principal.name,
            run_id=body.run_id,
            model_id=body.model_id,
            run_link=body.run_link,
            description=body.description,
            tags={tag.key: tag.value for tag in body.tags},
        )
        return message(tx, made)

    return reply({"model_version": await call.write(work)})


async def _get(call: Call) -> Response:
    """Get a version."""
    name, version = need(call.query("name"), "name"), number(call.query("version"))
    return reply({"model_version": await call.read(lambda tx: message(tx, registry.version(tx, name, version)))})


async def _update(call: Call) -> Response:
    """Describe a version."""
    body = decode(await call.body(), _Change)
    version = number(body.version)

    def work(tx: Tx) -> wire.Json:
        guard(call, tx, body.name)
        return message(tx, registry.describe_version(tx, body.name, version, body.description))

    return reply({"model_version": await call.write(work)})


async def _transition(call: Call) -> Response:
    """Set a version's old-style stage."""
    body = decode(await call.body(), _Change)
    version = number(body.version)

    def work(tx: Tx) -> wire.Json:
        guard(call, tx, body.name)
        found = registry.set_stage(
            tx, body.name, version, need(body.stage, "stage"), archive_existing=body.archive_existing_versions
        )
        return message(tx, found)

    return reply({"model_version": await call.write(work)})


async def _delete(call: Call) -> Response:
    """Delete a version that no decision speaks of."""
    body = decode(await call.body(), _Change)
    version = number(body.version)

    def work(tx: Tx) -> None:
        guard(call, tx, body.name)
        registry.delete_version(tx, body.name, version, by=call.principal.name, url=page_url(call, body.name))

    await call.write(work)
    return done()


async def _set_tag(call: Call) -> Response:
    """Set a tag of a version."""
    body = decode(await call.body(), _Change)
    version = number(body.version)

    def work(tx: Tx) -> None:
        guard(call, tx, body.name)
        registry.set_version_tag(tx, body.name, version, need(body.key, "key"), body.value)

    await call.write(work)
    return done()


async def _drop_tag(call: Call) -> Response:
    """Delete a tag of a version."""
    body = decode(await call.body(), _Change)
    version = number(body.version)

    def work(tx: Tx) -> None:
        guard(call, tx, body.name)
        registry.drop_version_tag(tx, body.name, version, need(body.key, "key"))

    await call.write(work)
    return done()


async def _search(call: Call) -> Response:
    """Search versions."""
    most = call.query_int("max_results", 10_000)
    orders = call.request.query_params.getlist("order_by")

    def work(tx: Tx) -> wire.Json:
        page = registry_search.search_versions(
            tx, filter=call.query("filter"), max_results=most, order_by=orders, page_token=call.query("page_token")
        )
        out: wire.Json = {"model_versions": [message(tx, found) for found in page.versions]}
        if page.next_page_token:
            out["next_page_token"] = page.next_page_token
        return out

    return reply(await call.read(work))


async def _download_uri(call: Call) -> Response:
    """Where a version's files are."""
    name, version = need(call.query("name"), "name"), number(call.query("version"))
    found = await call.read(lambda tx: registry.version(tx, name, version))
    return reply({"artifact_uri": registry.download_uri(found)})


ROUTES = routes(
    [
        ("POST", "model-versions/create", Permission.REGISTER, _create),
        ("GET", "model-versions/get", Permission.READ, _get),
        ("PATCH", "model-versions/update", Permission.REGISTER, _update),
        ("POST", "model-versions/transition-stage", Permission.REGISTER, _transition),
        ("DELETE", "model-versions/delete", Permission.REGISTER, _delete),
        ("POST", "model-versions/set-tag", Permission.REGISTER, _set_tag),
        ("DELETE", "model-versions/delete-tag", Permission.REGISTER, _drop_tag),
        ("GET", "model-versions/search", Permission.READ, _search),
        ("GET", "model-versions/get-download-uri", Permission.READ, _download_uri),
    ]
)
