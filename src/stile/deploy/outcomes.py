"""Verbs on outcomes: accept what turned out true, also before the prediction itself has arrived.

The rule of acceptance: of everything said about a prediction, what became known last (``at``)
is the accepted truth; of two with the same time, the one told here last. A source that repeats
itself adds nothing; one that says something else adds a line, and nothing is ever erased.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.deploy import outcome_records, prediction_records
from stile.deploy.events import OutcomesRecorded
from stile.kernel.errors import Invalid
from stile.people import use_cases
from stile.store.database import Tx

MAX_OUTCOMES = 10_000
EXPERT = "expert"
"""The source of outcomes that come from a domain expert's feedback."""

_MAX_TEXT = 200
_FUTURE_MS = 24 * 3600 * 1000


class OutcomeOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One outcome as told. ``at``: when it became known, ms since 1970 UTC; now when left out."""

    prediction: str
    outcome: str | int | float | bool
    source: str
    at: int | None = None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the outcomes of one call.

    Attributes:
        recorded: new lines; ``repeated``: said before by the same source.
        pending: of the new ones, those whose prediction has not arrived here yet.
    """

    recorded: int
    repeated: int
    pending: int


def text_of(outcome: str | float | bool) -> str:
    """An outcome as the text it is kept and compared as: ``1`` for 1, 1.0 and true."""
    if isinstance(outcome, bool):
        return "1" if outcome else "0"
    if isinstance(outcome, float) and outcome.is_integer():
        return str(int(outcome))
    return str(outcome).strip()


def record(tx: Tx, *, use_case: str, orders: Sequence[OutcomeOrder], by: str) -> Accepted:
    """Take down outcomes; all or none.

    Raises:
        Missing: no such use case.
        Invalid: one of them is not well formed; says which.
    """
    use_cases.get(tx, use_case)
    if len(orders) > MAX_OUTCOMES:
        raise Invalid(f"At most {MAX_OUTCOMES} outcomes in one call. Send them in parts.")
    here = prediction_records.use_cases_of(tx, [order.prediction for order in orders])
    changed: list[str] = []
    new = pending = 0
    for place, order in enumerate(orders):
        _check(tx, place, order)
        text, at = text_of(order.outcome), tx.now_ms() if order.at is None else order.at
        if outcome_records.last_from(tx, use_case, order.prediction, order.source) == text:
            continue
        new += 1
        said = {"use_case": use_case, "prediction": order.prediction, "outcome": text, "source": order.source}
        position = outcome_records.insert(tx, **said, author=by, at=at)
        before = outcome_records.accepted(tx, use_case, order.prediction)
        if before is None or at >= before[2]:
            outcome_records.accept(tx, **said, author=by, at=at, position=position)
            if here.get(order.prediction) == use_case and (before is None or before[0] != text):
                changed.append(order.prediction)
        pending += here.get(order.prediction) != use_case
    if changed:
        tx.emit(OutcomesRecorded(use_case=use_case, count=len(changed), predictions=changed[:100]))
    return Accepted(recorded=new, repeated=len(orders) - new, pending=pending)


def _check(tx: Tx, place: int, order: OutcomeOrder) -> None:
    what = f"Outcome {place}"
    if not order.prediction or len(order.prediction) > _MAX_TEXT:
        raise Invalid(f"{what}: name the prediction by its id (pred_...).")
    if not order.source.strip() or len(order.source) > _MAX_TEXT:
        raise Invalid(f"{what}: say where it comes from in 'source', in at most {_MAX_TEXT} characters.")
    if not text_of(order.outcome) or len(text_of(order.outcome)) > _MAX_TEXT:
        raise Invalid(f"{what}: an outcome is a text of 1 to {_MAX_TEXT} characters, or a number.")
    if order.at is not None and not 0 <= order.at <= tx.now_ms() + _FUTURE_MS:
        raise Invalid(f"{what}: 'at' is in milliseconds since 1970 UTC and not in the future.")
