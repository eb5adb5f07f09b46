"""The feedback queue: one prediction at a time, in the words of the domain; agree, correct, or unsure."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from stile.data import contracts
from stile.data.profile import ColumnProfile
from stile.deploy import feedback, feedback_records, predictions
from stile.deploy.feedback import CORRECTING, FeedbackOrder
from stile.deploy.review_queue import QueueItem
from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.permission import Permission, Role
from stile.people import use_case_records, use_cases
from stile.people.use_cases import UseCase
from stile.store.database import Tx
from stile.train import evidence_records
from stile.web.charts.position import is_outside, position
from stile.web.forms import form, needed
from stile.web.pages.chain import Stop, chain
from stile.web.render import Crumb, Frame, Page, error_page, post, see_other

_FIRST_SHOWN = 8
_QUEUE = 200


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One input in the words of the domain, and where it lies among tested values.

    Attributes:
        says, unit: from the contract.
        low, high: smallest and largest tested value; ``usual``: ends of the middle 80 %.
        oddness: 0 in the middle of what was tested, 1 at its ends, more outside.
    """

    name: str
    value: Any
    says: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    usual: tuple[float, float] | None = None
    oddness: float = 0.0


class FeedbackData(msgspec.Struct, frozen=True, kw_only=True):
    """The queue of one use case for this person.

    Attributes:
        item: the prediction on top, or None when nothing waits.
        waiting: how many wait for this person; ``done``: how many the person has judged lately.
        answers: answers the model gives, for corrections.
        agreeing: the verdict that agrees; ``correcting``: the one that brings another answer, if any.
    """

    use_cases: list[str]
    use_case: UseCase | None
    chain: list[Stop]
    item: QueueItem | None
    inputs: list[Input]
    waiting: int
    done: int
    answers: list[str]
    agreeing: str
    correcting: str


def _load(tx: Tx, call: Call) -> FeedbackData:
    names = use_case_records.names(tx)
    wanted = call.query("model") or _busiest(tx, names)
    if not wanted:
        return FeedbackData(
            use_cases=names, use_case=None, chain=[], item=None, inputs=[], waiting=0, done=0, answers=[],
            agreeing="", correcting="",
        )  # fmt: skip
    use_case = use_cases.get(tx, wanted)
    queue = feedback.queue(tx, wanted, person=call.principal.name, limit=_QUEUE)
    skipped = call.query_int("skip", 0, high=_QUEUE)
    item = queue[skipped % len(queue)] if queue else None
    said = feedback_records.of_use_case(tx, wanted)
    answers = {str(one.output) for one in queue} | {one.corrected for one in said if one.corrected}
    return FeedbackData(
        use_cases=names,
        use_case=use_case,
        chain=chain(tx, wanted),
        item=item,
        inputs=inputs_of(tx, wanted, item.prediction, item.inputs) if item else [],
        waiting=len(queue),
        done=sum(one.person == call.principal.name for one in said),
        answers=sorted(answers)[:12],
        agreeing=use_case.verdicts[0],
        correcting=CORRECTING if CORRECTING in use_case.verdicts else "",
    )


def _busiest(tx: Tx, names: list[str]) -> str:
    """The use case where somebody is needed most; the first one when nothing waits."""
    counts = [(feedback.waiting(tx, name)[0], name) for name in names]
    return max(counts, key=lambda each: each[0])[1] if counts else ""


def inputs_of(tx: Tx, use_case: str, prediction: str, values: dict[str, Any]) -> list[Input]:
    """The inputs of a prediction, oddest first, beside what the version was tested on."""
    answer = predictions.get(tx, prediction)
    evidence = evidence_records.latest_for_version(tx, use_case, answer.digest)
    profile = evidence.profile if evidence else None
    contract = contracts.promises(contracts.latest(tx, use_case))
    found = []
    for name, value in values.items():
        promise = contract.column(name) if contract else None
        tested = profile.column(name) if profile else None
        found.append(_input(name, value, promise.says if promise else "", promise.unit if promise else "", tested))
    return sorted(found, key=lambda each: -each.oddness)


def _input(name: str, value: Any, says: str, unit: str, tested: ColumnProfile | None) -> Input:
    plain = Input(name=name, value=value, says=says, unit=unit)
    if tested is None or tested.minimum is None or tested.maximum is None:
        return plain
    if isinstance(value, bool) or not isinstance(value, int | float):
        return plain
    usual = None
    if len(tested.quantiles) >= 10:
        edge = len(tested.quantiles) // 10
        usual = (tested.quantiles[edge], tested.quantiles[-1 - edge])
    middle = tested.mean if tested.mean is not None else (tested.minimum + tested.maximum) / 2
    reach = (tested.maximum - middle) if value > middle else (middle - tested.minimum)
    oddness = abs(value - middle) / reach if reach > 0 else float(value != middle)
    return msgspec.structs.replace(
        plain, low=tested.minimum, high=tested.maximum, usual=usual, oddness=round(oddness, 6)
    )


def _frame(data: FeedbackData) -> Frame:
    name = data.use_case.name if data.use_case else ""
    return Frame(
        title="Feedback", here="feedback",
        crumbs=[Crumb("Portfolio", "/portfolio"), Crumb(name, f"/use-cases/{name}"), Crumb("Feedback")] if name else [],
    )  # fmt: skip


def drawn(inputs: list[Input]) -> list[dict[str, Any]]:
    """The inputs with the drawing of where each lies."""
    rows = []
    for each in inputs:
        bar, outside = "", False
        if each.low is not None and each.high is not None:
            bar = position(each.name, float(each.value), each.low, each.high, each.usual)
            outside = is_outside(float(each.value), each.low, each.high)
        rows.append({"input": each, "bar": bar, "outside": outside})
    return rows


def _extras(data: FeedbackData, call: Call) -> dict[str, Any]:
    rows = drawn(data.inputs)
    answer = str(data.item.output) if data.item else ""
    return {
        "here": "",
        "first": rows[:_FIRST_SHOWN],
        "rest": rows[_FIRST_SHOWN:],
        "others": [each for each in data.answers if each != answer],
        "skip": call.query_int("skip", 0, high=_QUEUE) + 1,
        "keys": {"agree": "a", "correct": "c", "unsure": "u"},
    }


async def _give(call: Call) -> Response:
    id, fields = call.path("id"), await form(call)
    verdict = needed(fields, "verdict", "Choose what you think of this prediction.")
    use_case = (await call.read(lambda tx: predictions.get(tx, id))).use_case
    call.require(Permission.FEEDBACK, use_case)
    corrected = fields.get("corrected", "") if verdict == CORRECTING else ""
    order = FeedbackOrder(verdict=verdict, reason=fields.get("reason", ""), corrected=corrected or None)
    expert = Role.DOMAIN_EXPERT in call.principal.roles_in(use_case)
    await call.write(lambda tx: feedback.give(tx, prediction=id, order=order, by=call.principal.name, expert=expert))
    if fields.get("back") == "prediction":
        return see_other(f"/predictions/{id}", f"Noted: {verdict}.")
    return see_other(f"/feedback?model={use_case}", f"Noted: {verdict}. Here is the next one.")


async def _to_queue(call: Call) -> Response:
    return see_other(f"/feedback?model={call.path('use_case')}")


PAGE = Page("/feedback", "feedback.html", _load, _frame, extras=_extras)

ROUTES = [
    *PAGE.routes,
    Route("GET", "/use-cases/{use_case}/feedback", Permission.READ, _to_queue, on_error=error_page),
    post("/predictions/{id}/feedback", Permission.FEEDBACK, _give),
]
