"""One prediction: the answer, its inputs, what people said, and the chain from the answer down to the vote."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.deploy import feedback_records, predictions
from stile.deploy.feedback_records import Feedback
from stile.deploy.prediction_records import StoredPrediction
from stile.deploy.why import Chain, why
from stile.edge.call import Call
from stile.people import use_cases
from stile.store.database import Tx
from stile.web.pages.chain import Stop, chain
from stile.web.pages.feedback import Input, drawn, inputs_of
from stile.web.render import Crumb, Frame, Page

_OWNERS = {"model": "ds", "run": "ds", "evidence": "ds", "commit": "ds", "deployment": "eng", "prediction": "eng"}
_FIRST_SHOWN = 8


class PredictionData(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction with everything known about it; ``others``: what other versions said on the same row."""

    prediction: StoredPrediction
    others: list[StoredPrediction]
    title: str
    strip: list[Stop]
    why: Chain
    inputs: list[Input]
    feedback: list[Feedback]


def _load(tx: Tx, call: Call) -> PredictionData:
    id = call.path("id")
    answer, *others = predictions.everything(tx, id)
    return PredictionData(
        prediction=answer,
        others=others,
        title=use_cases.get(tx, answer.use_case).title or answer.use_case,
        strip=chain(tx, answer.use_case),
        why=why(tx, id),
        inputs=inputs_of(tx, answer.use_case, id, answer.inputs),
        feedback=feedback_records.of_prediction(tx, id),
    )


def _frame(data: PredictionData) -> Frame:
    name = data.prediction.use_case
    return Frame(
        title="Prediction", here="feedback",
        crumbs=[Crumb("Feedback", f"/feedback?model={name}"), Crumb(data.prediction.id)],
        live=f"deploy:{name}",
    )  # fmt: skip


def _extras(data: PredictionData, call: Call) -> dict[str, Any]:  # noqa: ARG001  all is in the data
    rows = drawn(data.inputs)
    answer = data.prediction
    right = None if answer.outcome is None else str(answer.output) == answer.outcome
    return {"first": rows[:_FIRST_SHOWN], "rest": rows[_FIRST_SHOWN:], "owners": _OWNERS, "right": right}


PAGE = Page("/predictions/{id}", "prediction.html", _load, _frame, extras=_extras)

ROUTES = PAGE.routes
