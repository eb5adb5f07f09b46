"""Verbs on feedback: say what one thinks of a prediction; find the ones that need a person."""

from __future__ import annotations

import msgspec

from stile.deploy import deployment_records, feedback_records, outcomes, prediction_records, predictions
from stile.deploy.events import FeedbackGiven
from stile.deploy.feedback_records import Feedback
from stile.deploy.outcomes import EXPERT, OutcomeOrder
from stile.deploy.prediction_records import StoredPrediction
from stile.deploy.review_queue import QueueItem, item, ordered
from stile.kernel.errors import Invalid
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import evidence_records

CORRECTING = "correct"
"""The verdict that brings the right answer with it."""

LOOKED_AT = 2_000
"""The queue looks at this many of the latest answers."""

_MAX_REASON = 4_000


class FeedbackOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Feedback as given. ``corrected``: the right answer, when the given one was wrong."""

    verdict: str
    reason: str = ""
    corrected: str | int | float | bool | None = None


def give(tx: Tx, *, prediction: str, order: FeedbackOrder, by: str, expert: bool) -> Feedback:
    """Take down what a person thinks of a prediction.

    From a domain expert it is also truth: agreement confirms the answer, a correction replaces
    it; both become an outcome with the source ``expert``. Uncertainty says nothing about truth.

    Args:
        tx: the transaction.
        prediction: id of the prediction.
        order: what is said.
        by: who says it.
        expert: the person is a domain expert of the use case.

    Raises:
        Missing: no such prediction.
        Invalid: the verdict is not in the use case's vocabulary, or a correction brings no right answer.
    """
    answer = predictions.get(tx, prediction)
    charter = use_cases.get(tx, answer.use_case)
    if order.verdict not in charter.verdicts:
        raise Invalid(f"{order.verdict[:40]!r} is not a verdict here. These are: {', '.join(charter.verdicts)}.")
    if len(order.reason) > _MAX_REASON:
        raise Invalid(f"A reason may have at most {_MAX_REASON} characters.")
    corrected = None if order.corrected is None else outcomes.text_of(order.corrected)
    if order.verdict == CORRECTING and not corrected:
        raise Invalid("A correction needs the right answer: send it in 'corrected'.")
    agrees = order.verdict == charter.verdicts[0]
    if corrected and agrees and corrected != outcomes.text_of(answer.output):
        raise Invalid(f"{order.verdict!r} agrees with the answer, so it cannot bring another one.")
    said = Feedback(
        id=tx.new_id("fb"), use_case=answer.use_case, prediction=prediction, person=by, verdict=order.verdict,
        reason=order.reason, corrected=corrected, expert=expert, at=tx.now_ms(),
    )  # fmt: skip
    feedback_records.insert(tx, said)
    truth = corrected or (outcomes.text_of(answer.output) if agrees else None)
    if expert and truth:
        known = OutcomeOrder(prediction=prediction, outcome=truth, source=EXPERT)
        outcomes.record(tx, use_case=answer.use_case, orders=[known], by=by)
    tx.emit(
        FeedbackGiven(
            use_case=answer.use_case, prediction=prediction, person=by, verdict=order.verdict, reason=order.reason
        )
    )
    return said


def queue(tx: Tx, use_case: str, *, person: str, limit: int = 50) -> list[QueueItem]:
    """Predictions that need a person and that ``person`` has not judged yet, most urgent first.

    Raises:
        Missing: no such use case.
    """
    use_cases.get(tx, use_case)
    return _open(tx, use_case, person)[:limit]


def waiting(tx: Tx, use_case: str) -> tuple[int, int]:
    """(how many predictions nobody has judged that need a person, when the oldest was made; 0 for none)."""
    found = _open(tx, use_case, None)
    return len(found), min((one.at for one in found), default=0)


def _open(tx: Tx, use_case: str, person: str | None) -> list[QueueItem]:
    answers = prediction_records.page(tx, use_case, limit=LOOKED_AT, newest=True)
    if not answers:
        return []
    first = min(answer.position for answer in answers)
    beside: dict[str, list[StoredPrediction]] = {}
    for role in ("challenger", "shadow"):
        for one in prediction_records.page(tx, use_case, role=role, after=first - 1, limit=2 * LOOKED_AT):
            beside.setdefault(one.id, []).append(one)
    done = feedback_records.judged(tx, use_case, person=person, after=min(answer.id for answer in answers))
    thresholds: dict[tuple[int, int], float | None] = {}
    ranges: dict[str, dict[str, tuple[float, float]]] = {}
    found = []
    for answer in answers:
        if answer.outcome is not None or answer.id in done:
            continue
        key = (answer.revision, answer.version)
        if key not in thresholds:
            thresholds[key] = _threshold(tx, use_case, answer)
        if answer.digest not in ranges:
            ranges[answer.digest] = _ranges(tx, use_case, answer.digest)
        entry = item(answer, beside.get(answer.id, ()), threshold=thresholds[key], ranges=ranges[answer.digest])
        if entry is not None:
            found.append(entry)
    return ordered(found)


def _threshold(tx: Tx, use_case: str, answer: StoredPrediction) -> float | None:
    """Where the version's answer flips: as deployed, else one half for scores that are probabilities."""
    found = deployment_records.find(tx, use_case, answer.revision)
    variant = found[0].variant("champion") if found else None
    if variant is not None and variant.version == answer.version and variant.threshold is not None:
        return variant.threshold
    return 0.5 if isinstance(answer.output, int | str | bool) else None


def _ranges(tx: Tx, use_case: str, digest: str) -> dict[str, tuple[float, float]]:
    evidence = evidence_records.latest_for_version(tx, use_case, digest)
    if evidence is None or evidence.profile is None:
        return {}
    return {
        column.name: (column.minimum, column.maximum)
        for column in evidence.profile.columns
        if column.minimum is not None and column.maximum is not None
    }
