"""Evaluations and evidence over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.govern import registry
from stile.kernel.errors import Invalid, Missing
from stile.kernel.permission import Permission
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import evaluation_records, evaluations, evidence_records, runs
from stile.train.evaluation_records import Evaluation, EvaluationOrder, ModelFacts

_COMMIT_TAG = "mlflow.source.git.commit"


async def _request_evaluation(call: Call) -> Response:
    use_case = call.path("use_case")
    order = await call.json(EvaluationOrder)
    for digest in [order.predictions, *(scenario.predictions for scenario in order.scenarios.values())]:
        if not await asyncio.to_thread(call.services.blobs.has, digest):
            raise Missing(f"There is no blob {digest[:80]}. Upload the predictions table first (PUT /api/v1/blobs).")

    def request(tx: Tx) -> Evaluation:
        model = _model_facts(tx, use_case, order.version)
        return evaluations.request(tx, use_case=use_case, order=order, model=model, by=call.principal.name)

    made = await call.write(request)  # the event it emits starts the workflow
    return json_response({"evaluation": made.id}, 202)


async def _get_evaluation(call: Call) -> Response:
    id = call.path("id")
    found = await call.read(lambda tx: evaluations.get(tx, id))
    call.require(Permission.READ, found.use_case)
    return json_response(_shown(found))


async def _list_evaluations(call: Call) -> Response:
    use_case = call.path("use_case")

    def look(tx: Tx) -> list[Evaluation]:
        use_cases.get(tx, use_case)
        return evaluation_records.all_of(tx, use_case)

    return json_response({"evaluations": [_shown(one) for one in await call.read(look)]})


async def _get_evidence(call: Call) -> Response:
    digest = call.path("digest")
    found = await call.read(lambda tx: evidence_records.load(tx, digest))
    call.require(Permission.READ, found.subject.use_case)
    return json_response(msgspec.to_builtins(found) | {"digest": digest})


async def _list_evidence(call: Call) -> Response:
    use_case = call.path("use_case")
    kind = call.query("kind")

    def look(tx: Tx) -> object:
        use_cases.get(tx, use_case)
        return evidence_records.for_use_case(tx, use_case, kind=kind)

    return json_response({"evidence": await call.read(look)})


def _model_facts(tx: Tx, use_case: str, number: int) -> ModelFacts:
    """What evaluation needs to know from the registry, as it is now."""
    found = registry.version(tx, use_case, number)
    if not found.digest:
        raise Invalid(
            f"Version {number} has no files on this server, so evidence could not be tied to them. "
            "Log the model here and register it again."
        )
    champion = registry.aliases(tx, use_case).get("champion")
    return ModelFacts(
        digest=found.digest,
        size_bytes=sum(file.size for file in found.files),
        run_id=found.run_id,
        commit=_commit(tx, found.run_id),
        environment=next((f.digest for f in found.files if f.path.rpartition("/")[2] == "requirements.txt"), ""),
        champion="" if champion is None else registry.version(tx, use_case, champion).digest,
        champion_version="" if champion is None else str(champion),
    )


def _commit(tx: Tx, run_id: str) -> str:
    try:
        return runs.get(tx, run_id).tag(_COMMIT_TAG) if run_id else ""
    except Missing:
        return ""  # the run was deleted; the version outlives it


def _shown(one: Evaluation) -> dict[str, Any]:
    order = one.request.order
    return {
        "id": one.id,
        "use_case": one.use_case,
        "version": one.version,
        "state": one.state,
        "progress": one.progress,
        "step": one.step,
        "evidence": one.evidence or None,
        "error": one.error or None,
        "by": one.by,
        "at": one.at,
        "changed_at": one.changed_at,
        "model_digest": one.model_digest,
        "test": order.test,
        "predictions": order.predictions,
    }


_U = "/api/v1/use-cases/{use_case}"

ROUTES = [
    Route(
        "POST", _U + "/evaluations", Permission.EVALUATE, _request_evaluation, summary="Turn predictions into evidence"
    ),
    Route("GET", _U + "/evaluations", Permission.READ, _list_evaluations, summary="Evaluations, newest first"),
    Route(
        "GET", "/api/v1/evaluations/{id}", Permission.READ, _get_evaluation, summary="How far an evaluation has come"
    ),
    Route("GET", "/api/v1/evidence/{digest}", Permission.READ, _get_evidence, summary="An evidence document"),
    Route("GET", _U + "/evidence", Permission.READ, _list_evidence, summary="What evidence there is, newest first"),
]
