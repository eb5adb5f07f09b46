"""Taking in what was tracked elsewhere: the routes that ``stile import`` writes through."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.govern import adoption as registry_adoption
from stile.govern import registry
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.train import adoption, trace_adoption
from stile.train.adoption import Adopted
from stile.train.moving.values import (
    MovedExperiment,
    MovedFile,
    MovedModel,
    MovedRegistered,
    MovedRun,
    MovedSeries,
    MovedTrace,
)

_RUNS_PER_CALL = 500
_FILES_PER_CALL = 5_000
_POINTS_PER_CALL = 100_000


class _Experiment(msgspec.Struct):
    experiment: MovedExperiment


class _Runs(msgspec.Struct):
    experiment_id: str
    runs: list[MovedRun]


class _Known(msgspec.Struct):
    runs: list[str]


class _Points(msgspec.Struct):
    series: list[MovedSeries]


class _Models(msgspec.Struct):
    experiment_id: str
    models: list[MovedModel]


class _Traces(msgspec.Struct):
    experiment_id: str
    traces: list[MovedTrace]


class _Files(msgspec.Struct):
    artifact_uri: str
    files: list[MovedFile]


class _Registered(msgspec.Struct):
    model: MovedRegistered


class _Finished(msgspec.Struct):
    source: str
    counts: dict[str, int] = {}
    omitted: int = 0


def _check_count(count: int, most: int, what: str) -> None:
    if count > most:
        raise Invalid(f"At most {most} {what} per call. Send the rest in another.")


async def _experiment(call: Call) -> Response:
    body = await call.json(_Experiment)
    return json_response(await call.write(lambda tx: adoption.experiment(tx, body.experiment, by=call.principal.name)))


async def _runs(call: Call) -> Response:
    body = await call.json(_Runs)
    _check_count(len(body.runs), _RUNS_PER_CALL, "runs")

    def work(tx: Tx) -> list[Adopted]:
        return [adoption.run(tx, body.experiment_id, run, by=call.principal.name) for run in body.runs]

    return json_response({"runs": await call.write(work)})


async def _known(call: Call) -> Response:
    body = await call.json(_Known)
    return json_response({"runs": await call.read(lambda tx: adoption.known_runs(tx, body.runs))})


async def _points(call: Call) -> Response:
    body = await call.json(_Points)
    _check_count(sum(len(series.at) for series in body.series), _POINTS_PER_CALL, "points")
    return json_response({"added": await call.write(lambda tx: adoption.points(tx, body.series))})


async def _models(call: Call) -> Response:
    body = await call.json(_Models)
    _check_count(len(body.models), _RUNS_PER_CALL, "models")

    def work(tx: Tx) -> list[Adopted]:
        return [adoption.logged_model(tx, body.experiment_id, model, by=call.principal.name) for model in body.models]

    return json_response({"models": await call.write(work)})


async def _traces(call: Call) -> Response:
    body = await call.json(_Traces)
    _check_count(len(body.traces), _RUNS_PER_CALL, "traces")

    def work(tx: Tx) -> list[Adopted]:
        return [trace_adoption.trace(tx, body.experiment_id, one, by=call.principal.name) for one in body.traces]

    return json_response({"traces": await call.write(work)})


async def _files(call: Call) -> Response:
    """Bind the files whose content is here; answers the digests of the others, to be uploaded first."""
    body = await call.json(_Files)
    _check_count(len(body.files), _FILES_PER_CALL, "files")
    blobs = call.services.blobs

    def sizes() -> dict[str, int]:
        digests = {file.digest for file in body.files}
        return {digest: blobs.size(digest) for digest in digests if blobs.keep(digest)}

    here = await asyncio.to_thread(sizes)
    present = [
        MovedFile(path=file.path, digest=file.digest, size=here[file.digest])
        for file in body.files
        if file.digest in here
    ]

    def work(tx: Tx) -> adoption.BoundFiles:
        return adoption.files(tx, body.artifact_uri, present, by=call.principal.name, guard=registry.refuse_change)

    bound = await call.write(work)
    needs = sorted({file.digest for file in body.files} - here.keys())
    return json_response({"added": bound.added, "kept": bound.kept, "needs": needs})


async def _registered(call: Call) -> Response:
    body = await call.json(_Registered)
    found = await call.write(lambda tx: registry_adoption.registered(tx, body.model, by=call.principal.name))
    return json_response(found)


async def _finished(call: Call) -> Response:
    body = await call.json(_Finished)
    await call.write(
        lambda tx: registry_adoption.finished(
            tx, source=body.source, counts=body.counts, omitted=body.omitted, by=call.principal.name
        )
    )
    return json_response({})


ROUTES = [
    Route("POST", "/api/v1/import/experiments", Permission.TRACK, _experiment, summary="Take in an experiment"),
    Route("POST", "/api/v1/import/runs", Permission.TRACK, _runs, summary="Take in runs under their own ids"),
    Route("POST", "/api/v1/import/known-runs", Permission.READ, _known, summary="Which of these runs are here"),
    Route("POST", "/api/v1/import/points", Permission.TRACK, _points, summary="Take in metric histories"),
    Route("POST", "/api/v1/import/traces", Permission.TRACK, _traces, summary="Take in traces under their own ids"),
    Route("POST", "/api/v1/import/models", Permission.TRACK, _models, summary="Take in logged models"),
    Route(
        "POST", "/api/v1/import/files", Permission.TRACK, _files, summary="Bind files by the digest of their content"
    ),
    Route(
        "POST",
        "/api/v1/import/registered-models",
        Permission.REGISTER,
        _registered,
        summary="Take in a registered model",
    ),
    Route("POST", "/api/v1/import/finished", Permission.TRACK, _finished, summary="Record an import in the ledger"),
]
