"""MLflow's assessments: feedback, expectations and issues about traces."""

from __future__ import annotations

import re

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.protocols.mlflow import trace_wire
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.trace_wire import AssessmentIn
from stile.protocols.mlflow.wire import decode, done, need, reply
from stile.train import assessments

_CAMEL = re.compile(r"([A-Z])")
_CHANGEABLE = ("assessment_name", "feedback", "expectation", "rationale", "metadata", "valid")


class _Create(msgspec.Struct):
    assessment: AssessmentIn = AssessmentIn()


class _Update(msgspec.Struct):
    assessment: AssessmentIn = AssessmentIn()
    update_mask: str = ""


async def _create(call: Call) -> Response:
    """Say something about a trace."""
    body = decode(await call.body(), _Create)
    trace_id = call.path("trace_id")
    said = body.assessment.read(trace_id)
    made = await call.write(lambda tx: assessments.create(tx, said, by=call.principal.name))
    return reply({"assessment": trace_wire.assessment(made)})


async def _get(call: Call) -> Response:
    """Get an assessment."""
    trace_id, id = call.path("trace_id"), call.path("assessment_id")
    return reply({"assessment": trace_wire.assessment(await call.read(lambda tx: assessments.get(tx, trace_id, id)))})


async def _update(call: Call) -> Response:
    """Change an assessment."""
    body = decode(await call.body(), _Update)
    trace_id, id = call.path("trace_id"), call.path("assessment_id")
    mask = {_CAMEL.sub(r"_\1", path).lower() for path in need(body.update_mask, "update_mask").split(",")}
    unknown = sorted(mask - set(_CHANGEABLE))
    if unknown:
        raise Invalid(f"An assessment's {unknown[0][:60]!r} cannot be changed; {', '.join(_CHANGEABLE)} can.")
    given = body.assessment
    kind, value = given.value() if mask & {"feedback", "expectation"} else (None, None)
    changed = await call.write(
        lambda tx: assessments.update(
            tx, trace_id, id,
            name=given.assessment_name if "assessment_name" in mask else None,
            kind=kind, body=value,
            rationale=given.rationale if "rationale" in mask else None,
            metadata=given.metadata if "metadata" in mask else None,
        )
    )  # fmt: skip
    return reply({"assessment": trace_wire.assessment(changed)})


async def _delete(call: Call) -> Response:
    """Delete an assessment; what it had overridden counts again."""
    trace_id, id = call.path("trace_id"), call.path("assessment_id")
    await call.write(lambda tx: assessments.delete(tx, trace_id, id))
    return done()


ROUTES = routes(
    [
        ("POST", "traces/{trace_id}/assessments", Permission.TRACK, _create),
        ("GET", "traces/{trace_id}/assessments/{assessment_id}", Permission.READ, _get),
        ("PATCH", "traces/{trace_id}/assessments/{assessment_id}", Permission.TRACK, _update),
        ("DELETE", "traces/{trace_id}/assessments/{assessment_id}", Permission.TRACK, _delete),
    ],
    majors=("3.0",),
)
