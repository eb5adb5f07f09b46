"""What people do on the pages of a model: propose, say yes or no, apply, roll back, hold. Plain forms."""

from __future__ import annotations

from starlette.responses import Response

from stile.edge.call import Call
from stile.govern import decisions, promotions
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.people import use_cases
from stile.store.database import Tx
from stile.web.forms import form, needed
from stile.web.render import post, see_other


async def _propose(call: Call) -> Response:
    use_case, version = call.path("use_case"), int(call.path("version"))
    fields = await form(call)
    reason = needed(fields, "reason", "Say why this version should go into production: the approvers read it first.")
    await call.write(
        lambda tx: promotions.propose(tx, use_case=use_case, version=version, reason=reason, by=call.principal.name)
    )
    return see_other(
        f"/models/{use_case}/versions/{version}/gate", "Proposed. The people who must agree find it in their inbox."
    )


async def _vote(call: Call) -> Response:
    name, version = call.path("name"), call.path("version")
    fields = await form(call)
    verdict = fields.get("verdict", "")
    if verdict not in ("yes", "no"):
        raise Invalid("Choose to approve or to reject.")
    reason = needed(fields, "reason", "A yes or a no needs a reason; it becomes part of the record.")
    promotion = fields.get("promotion", "")

    def solo(tx: Tx) -> bool:
        found = promotions.use_case_of(tx, promotion)
        if found != name:
            raise Invalid("This request belongs to another use case. Open its page and vote there.")
        return use_cases.get(tx, name).solo

    call.require(Permission.APPROVE, name, solo=await call.read(solo))
    _, decision = await call.write(
        lambda tx: promotions.approve(
            tx,
            promotion=promotion,
            role=fields.get("role", ""),
            verdict="yes" if verdict == "yes" else "no",
            reason=reason,
            by=call.principal,
        )
    )
    if decision:
        return see_other(f"/decisions/{decision}", "Your yes was the last one. The version is in production.")
    word = "approved" if verdict == "yes" else "rejected"
    return see_other(
        f"/models/{name}/versions/{version}/gate", f"You {word} as {fields.get('role', '').replace('_', ' ')}."
    )


async def _apply(call: Call) -> Response:
    use_case = call.path("use_case")
    fields = await form(call)
    decision = await call.write(
        lambda tx: decisions.apply(
            tx, use_case=use_case, plan=fields.get("plan", ""), reason=fields.get("reason", ""), by=call.principal.name
        )
    )
    return see_other(f"/decisions/{decision.decision}", f"Done: v{decision.version} {decision.kind.replace('_', ' ')}.")


async def _roll_back(call: Call) -> Response:
    use_case = call.path("use_case")
    fields = await form(call)
    reason = needed(fields, "reason", "Say why: a rollback is part of the record.")
    version = int(fields["version"]) if fields.get("version", "").isdecimal() else None
    decision = await call.write(
        lambda tx: decisions.roll_back(tx, use_case=use_case, reason=reason, version=version, by=call.principal.name)
    )
    return see_other(f"/decisions/{decision.decision}", f"Rolled back to v{decision.version}.")


async def _hold(call: Call) -> Response:
    use_case = call.path("use_case")
    fields = await form(call)
    reason = needed(fields, "reason", "Say why: a hold is part of the record.")
    decision = await call.write(lambda tx: decisions.hold(tx, use_case=use_case, reason=reason, by=call.principal.name))
    return see_other(f"/decisions/{decision.decision}", f"v{decision.version} is on hold.")


ROUTES = [
    post("/models/{use_case}/versions/{version:int}/propose", Permission.PROPOSE, _propose),
    # The use case is checked by the handler: alone in a use case, the local user may approve.
    post("/models/{name}/versions/{version:int}/vote", Permission.APPROVE, _vote),
    post("/models/{use_case}/apply", Permission.APPLY, _apply),
    post("/models/{use_case}/roll-back", Permission.APPLY, _roll_back),
    post("/models/{use_case}/hold", Permission.APPLY, _hold),
]
