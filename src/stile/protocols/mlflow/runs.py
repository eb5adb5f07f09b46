"""MLflow's runs and metric histories. Logging is the hot path: one decode, one transaction, a fixed answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.protocols.mlflow import wire
from stile.protocols.mlflow.experiments import view
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import MetricIn, Pair, decode, done, need, reply
from stile.store.database import Tx
from stile.train import limits, metric_history, run_records, run_search, runs
from stile.train.points import Point
from stile.train.run_values import InputDataset

_BULK_RUNS = 100
_NOT_GIVEN = -1


class _Create(msgspec.Struct):
    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: int | None = None
    tags: list[Pair] = []


class _Run(msgspec.Struct):
    run_id: str = ""
    run_uuid: str = ""

    def id(self) -> str:
        """The run meant, under either of its two names."""
        return need(self.run_id or self.run_uuid, "run_id")


class _Update(_Run):
    status: str | int = ""
    end_time: int | None = None
    run_name: str = ""


class _Metric(MetricIn):
    run_id: str = ""
    run_uuid: str = ""
    timestamp: int = _NOT_GIVEN


class _KeyValue(_Run):
    key: str = ""
    value: str = ""


class _Batch(_Run):
    metrics: list[MetricIn] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class _Search(msgspec.Struct):
    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: str | int = ""
    max_results: int = 1000
    order_by: list[str] = []
    page_token: str = ""


class _DatasetIn(msgspec.Struct, frozen=True):
    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class _DatasetInput(msgspec.Struct):
    dataset: _DatasetIn = _DatasetIn()
    tags: list[Pair] = []


class _ModelRef(msgspec.Struct):
    model_id: str = ""
    step: int = 0


class _Inputs(_Run):
    datasets: list[_DatasetInput] = []
    models: list[_ModelRef] = []


class _LegacyModel(_Run):
    model_json: str = ""


_STATUS_NUMBERS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


async def _create(call: Call) -> Response:
    """Begin a run."""
    body = decode(await call.body(), _Create)
    made = await call.write(
        lambda tx: runs.create(
            tx,
            experiment_id=body.experiment_id or "0",
            by=call.principal.name,
            user_id=body.user_id,
            name=body.run_name,
            start_time=body.start_time,
            tags=[(tag.key, tag.value) for tag in body.tags],
        )
    )
    return reply({"run": wire.run(made)})


async def _get(call: Call) -> Response:
    """Get a run with all that was logged."""
    run_id = need(call.query("run_id") or call.query("run_uuid"), "run_id")
    return reply({"run": wire.run(await call.read(lambda tx: runs.get(tx, run_id)))})


async def _update(call: Call) -> Response:
    """Update a run's status, end or name."""
    body = decode(await call.body(), _Update)
    status = _STATUS_NUMBERS.get(body.status, "?") if isinstance(body.status, int) else body.status
    found = await call.write(
        lambda tx: runs.update(tx, body.id(), status=status, end_time=body.end_time, name=body.run_name)
    )
    return reply({"run_info": wire.run_info(found)})


async def _delete(call: Call) -> Response:
    """Delete a run."""
    body = decode(await call.body(), _Run)
    await call.write(lambda tx: runs.delete(tx, body.id()))
    return done()


async def _restore(call: Call) -> Response:
    """Restore a deleted run."""
    body = decode(await call.body(), _Run)
    await call.write(lambda tx: runs.restore(tx, body.id()))
    return done()


async def _log_metric(call: Call) -> Response:
    """Log one point of one metric."""
    body = decode(await call.body(), _Metric)
    run_id = need(body.run_id or body.run_uuid, "run_id")
    need(body.key, "key")
    if body.value == "":
        need("", "value")
    if body.timestamp == _NOT_GIVEN:
        need("", "timestamp")
    metric = (body.key, body.point())
    await call.write(lambda tx: _put_metric(tx, run_id, body, metric))
    return done()


def _put_metric(tx: Tx, run_id: str, body: MetricIn, metric: tuple[str, Point]) -> None:
    key, point = metric
    if body.model_id:
        runs.log_model_metric(
            tx, run_id, key, point,
            model_id=body.model_id, dataset_name=body.dataset_name, dataset_digest=body.dataset_digest,
        )  # fmt: skip
    else:
        runs.log_metric(tx, run_id, key, point)


async def _log_param(call: Call) -> Response:
    """Log a parameter."""
    body = decode(await call.body(), _KeyValue)
    await call.write(lambda tx: runs.log_param(tx, body.id(), need(body.key, "key"), body.value))
    return done()


async def _set_tag(call: Call) -> Response:
    """Set a tag of a run."""
    body = decode(await call.body(), _KeyValue)
    await call.write(lambda tx: runs.set_tag(tx, body.id(), need(body.key, "key"), body.value))
    return done()


async def _drop_tag(call: Call) -> Response:
    """Delete a tag of a run."""
    body = decode(await call.body(), _KeyValue)
    await call.write(lambda tx: runs.drop_tag(tx, body.id(), need(body.key, "key")))
    return done()


async def _log_batch(call: Call) -> Response:
    """Log many metrics, params and tags, all or none."""
    body = decode(await call.body(), _Batch)
    run_id = body.id()
    limits.check_batch(len(body.metrics), len(body.params), len(body.tags))
    of_models = [(metric, (metric.key, metric.point())) for metric in body.metrics if metric.model_id]
    metrics = wire.pieces([metric for metric in body.metrics if not metric.model_id] if of_models else body.metrics)
    params = [(param.key, param.value) for param in body.params]
    tags = [(tag.key, tag.value) for tag in body.tags]

    def work(tx: Tx) -> None:
        runs.log_batch(tx, run_id, metrics=metrics, params=params, tags=tags)
        for metric, point in of_models:
            _put_metric(tx, run_id, metric, point)

    await call.write(work)
    return done()


async def _log_model(call: Call) -> Response:
    """Record a model in a run the old way: its description is added to a tag."""
    body = decode(await call.body(), _LegacyModel)
    try:
        described = json.loads(need(body.model_json, "model_json"))
    except ValueError:
        raise Invalid("Malformed model info. It is not valid JSON.") from None
    if not isinstance(described, dict):
        raise Invalid("Malformed model info. It must be a JSON object.")
    await call.write(lambda tx: runs.record_model(tx, body.id(), described))
    return done()


async def _log_inputs(call: Call) -> Response:
    """Log datasets and models a run has read."""
    body = decode(await call.body(), _Inputs)
    datasets = [
        InputDataset(
            name=need(given.dataset.name, "dataset.name"),
            digest=need(given.dataset.digest, "dataset.digest"),
            source_type=given.dataset.source_type,
            source=given.dataset.source,
            schema=given.dataset.schema,
            profile=given.dataset.profile,
            tags={tag.key: tag.value for tag in given.tags},
        )
        for given in body.datasets
    ]
    models = [need(model.model_id, "model_id") for model in body.models]
    await call.write(lambda tx: runs.log_inputs(tx, body.id(), datasets=datasets, models=models))
    return done()


async def _log_outputs(call: Call) -> Response:
    """Log models a run has made."""
    body = decode(await call.body(), _Inputs)
    models = [(need(model.model_id, "model_id"), model.step) for model in body.models]
    await call.write(lambda tx: runs.log_outputs(tx, body.id(), models))
    return done()


async def _search(call: Call) -> Response:
    """Search runs."""
    body = decode(await call.body(), _Search)

    def work(tx: Tx) -> bytearray:
        page = run_search.rows(
            tx,
            experiment_ids=body.experiment_ids,
            filter=body.filter,
            view=view(body.run_view_type),
            max_results=body.max_results,
            order_by=body.order_by,
            after=body.page_token,
        )
        return wire.runs(run_records.logged(tx, page.rows), page.following)

    return Response(memoryview(await call.read(work)), media_type="application/json")


async def _history(call: Call) -> Response:
    """All points of a metric of one run."""
    run_id = need(call.query("run_id") or call.query("run_uuid"), "run_id")
    key = need(call.query("metric_key"), "metric_key")
    most = call.query_int("max_results", 0, low=1, high=2**31 - 1)
    token = call.query("page_token")

    def work(tx: Tx) -> bytearray:
        page = metric_history.page(tx, run_id, key, max_results=min(most, limits.POINTS_PER_PAGE), page_token=token)
        return wire.metrics(wire.points(key, page.columns), page.next_page_token)

    return Response(memoryview(await call.read(work)), media_type="application/json")


async def _history_bulk(call: Call) -> Response:
    """Points of one metric of several runs, in the order of the runs."""
    run_ids = _several(call, "run_id")
    key = need(call.query("metric_key"), "metric_key")
    most = min(call.query_int("max_results", limits.POINTS_PER_PAGE), limits.POINTS_PER_PAGE)

    def work(tx: Tx) -> bytearray:
        return wire.metrics(_first_points(tx, run_ids, key, most))

    return Response(memoryview(await call.read(work)), media_type="application/json")


def _first_points(tx: Tx, run_ids: Sequence[str], key: str, most: int) -> Iterator[Sequence[wire.MetricOut]]:
    for run_id in run_ids:
        columns = runs.columns(tx, run_id, key).part(0, most)
        most -= len(columns.times)
        yield from wire.points(key, columns, run_id)


async def _history_interval(call: Call) -> Response:
    """Points of one metric of several runs, thinned by steps; ends are kept."""
    run_ids = _several(call, "run_ids")
    key = need(call.query("metric_key"), "metric_key")
    low, high = call.query("start_step"), call.query("end_step")
    most = call.query_int("max_results", 2500, low=1, high=2500)
    if bool(low) != bool(high):
        raise Invalid("If either start_step or end_step are specified, both must be specified.")
    span = (_step(low), _step(high)) if low else None
    if span is not None and span[0] > span[1]:
        raise Invalid(f"end_step must be greater than start_step. Found start_step={low} and end_step={high}.")

    def work(tx: Tx) -> bytearray:
        found = metric_history.thinned(tx, run_ids, key, span=span, most=most)
        return wire.metrics(part for run_id, columns in found for part in wire.points(key, columns, run_id))

    return Response(memoryview(await call.read(work)), media_type="application/json")


def _several(call: Call, name: str) -> list[str]:
    run_ids = call.request.query_params.getlist(name)
    if not run_ids:
        need("", name)
    if len(run_ids) > _BULK_RUNS:
        raise Invalid(
            f"GetMetricHistoryBulk request cannot specify more than {_BULK_RUNS} run_ids. Received {len(run_ids)}."
        )
    return list(dict.fromkeys(run_ids))


def _step(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"Invalid step {text[:40]!r}: it must be a whole number.") from None


_RELAXED = (
    "runs/create",
    "runs/update",
    "runs/log-metric",
    "runs/log-parameter",
    "runs/log-batch",
    "runs/set-tag",
    "runs/delete-tag",
    "runs/log-inputs",
)

ROUTES = routes(
    [
        ("POST", "runs/create", Permission.TRACK, _create),
        ("GET", "runs/get", Permission.READ, _get),
        ("POST", "runs/update", Permission.TRACK, _update),
        ("POST", "runs/delete", Permission.TRACK, _delete),
        ("POST", "runs/restore", Permission.TRACK, _restore),
        ("POST", "runs/search", Permission.READ, _search),
        ("POST", "runs/log-metric", Permission.TRACK, _log_metric),
        ("POST", "runs/log-parameter", Permission.TRACK, _log_param),
        ("POST", "runs/log-batch", Permission.TRACK, _log_batch),
        ("POST", "runs/set-tag", Permission.TRACK, _set_tag),
        ("POST", "runs/delete-tag", Permission.TRACK, _drop_tag),
        ("POST", "runs/log-model", Permission.TRACK, _log_model),
        ("POST", "runs/log-inputs", Permission.TRACK, _log_inputs),
        ("POST", "runs/outputs", Permission.TRACK, _log_outputs),
        ("GET", "metrics/get-history", Permission.READ, _history),
        ("GET", "metrics/get-history-bulk", Permission.READ, _history_bulk),
        ("GET", "metrics/get-history-bulk-interval", Permission.READ, _history_interval),
    ],
    relaxed=_RELAXED,
)
