"""MLflow's traces: what clients send at the end of a trace, searching, tags, links, and the older forms of it."""

from __future__ import annotations

import asyncio
import time

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.kernel.errors import Invalid, Missing
from stile.kernel.permission import Permission
from stile.protocols.mlflow import trace_wire, wire
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.trace_wire import LocationIn, TraceInfoIn
from stile.protocols.mlflow.wire import Pair, decode, done, need, reply
from stile.store.database import Tx
from stile.train import trace_search, traces
from stile.train.trace_values import SIZE_METADATA, TraceDraft
from stile.train.traces import Trace

_WAIT_S = 2.0
_ARRIVE_S = 0.6
_LOOK_EVERY_S = 0.1
_BATCH = 100


class _TraceIn(msgspec.Struct, frozen=True):
    trace_info: TraceInfoIn = TraceInfoIn()


class _Start(msgspec.Struct):
    trace: _TraceIn = _TraceIn()


class _Search(msgspec.Struct):
    locations: list[LocationIn] | None = None
    filter: str = ""
    max_results: int = 100
    order_by: list[str] = []
    page_token: str = ""


class _Ids(msgspec.Struct):
    trace_ids: list[str] = []
    run_id: str = ""


class _Delete(msgspec.Struct):
    experiment_id: str = ""
    max_timestamp_millis: int | None = None
    max_traces: int | None = None
    request_ids: list[str] = []


class _Tag(msgspec.Struct):
    key: str = ""
    value: str = ""


class _Prompt(msgspec.Struct):
    name: str = ""
    version: str = ""


class _Prompts(msgspec.Struct):
    trace_id: str = ""
    prompt_versions: list[_Prompt] = []


class _Older(msgspec.Struct):
    experiment_id: str = ""
    timestamp_ms: int = 0
    status: str | int = 0
    request_metadata: list[Pair] = []
    tags: list[Pair] = []


async def _start(call: Call) -> Response:
    """Say what a trace is as a whole, when it has ended."""
    draft = decode(await call.body(), _Start).trace.trace_info.read()
    need(draft.trace_id, "trace.trace_info.trace_id")
    need(draft.experiment_id, "trace.trace_info.trace_location.mlflow_experiment.experiment_id")
    made = await call.write(lambda tx: traces.start(tx, draft, by=call.principal.name))
    deadline = time.monotonic() + _ARRIVE_S
    while SIZE_METADATA in made.metadata and not made.spans_here and time.monotonic() < deadline:
        await asyncio.sleep(_ARRIVE_S / 20)  # its last spans are sent at the same time
        made = await call.read(lambda tx: traces.get(tx, draft.trace_id))
    return reply({"trace": {"trace_info": trace_wire.info(made)}})


async def _info(call: Call) -> Response:
    """Get a trace without its spans."""
    trace_id = call.path("trace_id")
    return reply({"trace": {"trace_info": trace_wire.info(await call.read(lambda tx: traces.get(tx, trace_id)))}})


async def _get(call: Call) -> Response:
    """Get a trace with its spans; one whose spans are still on their way is waited for a little."""
    trace_id = need(call.query("trace_id"), "trace_id")
    partial = call.query("allow_partial").lower() == "true"
    deadline = time.monotonic() + _WAIT_S
    while True:
        found = await call.read(lambda tx: traces.whole(tx, [trace_id]))
        if not found:
            raise Missing(f"Trace with ID {trace_id[:200]} is not found.")
        if partial or found[0].complete:
            return reply({"trace": trace_wire.whole(found[0])})
        if time.monotonic() > deadline:
            raise Missing(
                f"Trace with ID {trace_id} is not fully exported yet: {len(found[0].spans)} spans are here. "
                "Try again later, or ask with allow_partial."
            )
        await asyncio.sleep(_LOOK_EVERY_S)


async def _batch(call: Call) -> Response:
    """Get several traces with their spans; those that are not there or not complete are left out."""
    wanted = _several(call.request.query_params.getlist("trace_ids"))

    def work(tx: Tx) -> list[Trace]:
        return [found for found in traces.whole(tx, wanted) if found.complete]

    return reply({"traces": [trace_wire.whole(found) for found in await call.read(work)]})


async def _batch_infos(call: Call) -> Response:
    """Get several traces without their spans; those that are not there are left out."""
    wanted = _several(decode(await call.body(), _Ids).trace_ids)
    found = await call.read(lambda tx: traces.infos(tx, wanted))
    return reply({"trace_infos": [trace_wire.info(one) for one in found]})


async def _search(call: Call) -> Response:
    """Search traces."""
    body = decode(await call.body(), _Search)
    if body.locations is None:
        need("", "locations")
    experiments = [location.mlflow_experiment.experiment_id for location in body.locations or ()]
    page = await call.read(
        lambda tx: trace_search.search(
            tx, experiment_ids=experiments, filter=body.filter, max_results=body.max_results,
            order_by=body.order_by, page_token=body.page_token,
        )
    )  # fmt: skip
    out: wire.Json = {"traces": [trace_wire.info(found) for found in page.traces]}
    return reply(out | ({"next_page_token": page.next_page_token} if page.next_page_token else {}))


async def _delete(call: Call) -> Response:
    """Delete traces of an experiment, by id or up to a time."""
    body = decode(await call.body(), _Delete)
    gone = await call.write(
        lambda tx: traces.delete(
            tx, need(body.experiment_id, "experiment_id"), trace_ids=body.request_ids,
            up_to=body.max_timestamp_millis, most=body.max_traces,
        )
    )  # fmt: skip
    return reply({"traces_deleted": gone})


async def _set_tag(call: Call) -> Response:
    """Set a tag of a trace."""
    body = decode(await call.body(), _Tag)
    trace_id = call.path("trace_id")
    await call.write(lambda tx: traces.set_tag(tx, trace_id, need(body.key, "key"), body.value))
    return done()


async def _drop_tag(call: Call) -> Response:
    """Delete a tag of a trace."""
    key = call.query("key") or decode(await call.body(), _Tag).key
    trace_id = call.path("trace_id")
    await call.write(lambda tx: traces.drop_tag(tx, trace_id, need(key, "key")))
    return done()


async def _link_run(call: Call) -> Response:
    """Link traces to a run."""
    body = decode(await call.body(), _Ids)
    await call.write(lambda tx: traces.link_to_run(tx, body.trace_ids, need(body.run_id, "run_id")))
    return done()


async def _link_prompts(call: Call) -> Response:
    """Link versions of prompts to a trace."""
    body = decode(await call.body(), _Prompts)
    prompts = [(need(one.name, "name"), need(one.version, "version")) for one in body.prompt_versions]
    await call.write(lambda tx: traces.link_prompts(tx, need(body.trace_id, "trace_id"), prompts))
    return done()


async def _begin_older(call: Call) -> Response:
    """Begin a trace as MLflow 2 does."""
    body = decode(await call.body(), _Older)
    draft = TraceDraft(
        trace_id=call.services.ids.hex32(),
        experiment_id=need(body.experiment_id, "experiment_id"),
        state="IN_PROGRESS",
        at=body.timestamp_ms,
        metadata=trace_wire.of_pairs(body.request_metadata),
        tags=trace_wire.of_pairs(body.tags),
    )
    made = await call.write(lambda tx: traces.begin(tx, draft, by=call.principal.name))
    return reply({"trace_info": trace_wire.info_v2(made)})


async def _end_older(call: Call) -> Response:
    """End a trace as MLflow 2 does."""
    body = decode(await call.body(), _Older)
    trace_id = call.path("trace_id")
    found = await call.write(
        lambda tx: traces.end(
            tx, trace_id, state=trace_wire.state_in(body.status), at=body.timestamp_ms,
            metadata=trace_wire.of_pairs(body.request_metadata), tags=trace_wire.of_pairs(body.tags),
        )
    )  # fmt: skip
    return reply({"trace_info": trace_wire.info_v2(found)})


async def _info_older(call: Call) -> Response:
    """Get a trace as MLflow 2 describes it."""
    trace_id = call.path("trace_id")
    return reply({"trace_info": trace_wire.info_v2(await call.read(lambda tx: traces.get(tx, trace_id)))})


async def _search_older(call: Call) -> Response:
    """Search traces as MLflow 2 does."""
    asked = call.request.query_params
    experiments = asked.getlist("experiment_ids")
    if not experiments:
        need("", "experiment_ids")
    most = call.query_int("max_results", 100, low=1, high=trace_search.MOST)
    page = await call.read(
        lambda tx: trace_search.search(
            tx, experiment_ids=experiments, filter=call.query("filter"), max_results=most,
            order_by=asked.getlist("order_by"), page_token=call.query("page_token"),
        )
    )  # fmt: skip
    out: wire.Json = {"traces": [trace_wire.info_v2(found) for found in page.traces]}
    return reply(out | ({"next_page_token": page.next_page_token} if page.next_page_token else {}))


def _several(trace_ids: list[str]) -> list[str]:
    if not trace_ids:
        need("", "trace_ids")
    if len(trace_ids) > _BATCH:
        raise Invalid(f"At most {_BATCH} traces can be asked for at once; got {len(trace_ids)}.")
    return trace_ids


ROUTES = [
    *routes(
        [
            ("POST", "traces", Permission.TRACK, _start),
            ("GET", "traces/get", Permission.READ, _get),
            ("GET", "traces/batchGet", Permission.READ, _batch),
            ("POST", "traces/batchGetInfos", Permission.READ, _batch_infos),
            ("POST", "traces/search", Permission.READ, _search),
            ("GET", "traces/{trace_id}", Permission.READ, _info),
        ],
        majors=("3.0",),
    ),
    *routes(
        [
            ("POST", "traces/delete-traces", Permission.TRACK, _delete),
            ("POST", "traces/link-to-run", Permission.TRACK, _link_run),
            ("POST", "traces/link-prompts", Permission.TRACK, _link_prompts),
            ("PATCH", "traces/{trace_id}/tags", Permission.TRACK, _set_tag),
            ("DELETE", "traces/{trace_id}/tags", Permission.TRACK, _drop_tag),
        ],
        majors=("2.0", "3.0"),
    ),
    *routes(
        [
            ("POST", "traces", Permission.TRACK, _begin_older),
            ("GET", "traces", Permission.READ, _search_older),
            ("PATCH", "traces/{trace_id}", Permission.TRACK, _end_older),
            ("GET", "traces/{trace_id}/info", Permission.READ, _info_older),
        ]
    ),
]
