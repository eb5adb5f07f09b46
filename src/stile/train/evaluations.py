"""Asking for an evaluation, following it, and ending it."""

from __future__ import annotations

from stile.data import datasets
from stile.kernel.canonical import is_digest
from stile.kernel.errors import Invalid
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import evaluation_records, evidence_records
from stile.train.evaluation_events import EvaluationFailed, EvaluationRequested, EvidenceRecorded
from stile.train.evaluation_records import Evaluation, EvaluationOrder, ModelFacts, Request
from stile.train.evidence import Evidence

WORKFLOW = "evaluate"
"""The name under which the workflow is registered; it takes ``{"evaluation": id}``."""

_MAX_SCENARIOS = 50
_MAX_SLICES = 20
_MAX_TIMINGS = 100_000


def request(tx: Tx, *, use_case: str, order: EvaluationOrder, model: ModelFacts, by: str) -> Evaluation:
    """Accept predictions for evaluation; the workflow does the rest.

    Args:
        tx: the transaction.
        use_case: where the version belongs.
        order: what the candidate hands in.
        model: what the registry knows about the version and the champion now.
        by: who asks.

    Raises:
        Missing: the use case or a dataset version does not exist.
        Invalid: a digest is none, or a limit is passed.
    """
    for digest in [order.predictions, *(scenario.predictions for scenario in order.scenarios.values())]:
        if not is_digest(digest):
            raise Invalid(f"{digest[:80]!r} is not a digest. Upload the predictions table first (PUT /api/v1/blobs).")
    if len(order.scenarios) > _MAX_SCENARIOS or len(order.slices) > _MAX_SLICES:
        raise Invalid(f"At most {_MAX_SCENARIOS} scenarios and {_MAX_SLICES} slice columns are evaluated at once.")
    if order.latency_ms is not None and len(order.latency_ms) > _MAX_TIMINGS:
        raise Invalid(f"At most {_MAX_TIMINGS} latency timings are accepted.")
    if order.threshold is not None and not 0 <= order.threshold <= 1:
        raise Invalid(f"The threshold must be between 0 and 1, not {order.threshold:g}.")
    positive = use_cases.get(tx, use_case).positive
    datasets.get(tx, use_case, order.test)
    if order.train is not None:
        datasets.get(tx, use_case, order.train)
    evaluation = Evaluation(
        id=tx.new_id("eval"),
        use_case=use_case,
        version=order.version,
        model_digest=model.digest,
        request=Request(order=order, model=model, positive=positive),
        state="waiting",
        progress=0.0,
        step="waiting to begin",
        evidence="",
        error="",
        by=by,
        at=tx.now_ms(),
        changed_at=tx.now_ms(),
    )
    evaluation_records.insert(tx, evaluation)
    tx.emit(EvaluationRequested(evaluation=evaluation.id, use_case=use_case, version=str(order.version), by=by))
    return evaluation


def get(tx: Tx, id: str) -> Evaluation:
    """One evaluation.

    Raises:
        Missing: there is none with this id.
    """
    return evaluation_records.get(tx, id)


def note_progress(tx: Tx, *, id: str, progress: float, step: str) -> None:
    """Say how far an evaluation has come (0..1) and what is being done."""
    evaluation_records.move(tx, id, progress=progress, step=step)


def record(tx: Tx, *, id: str, evidence: Evidence) -> str:
    """Keep the evidence and end the evaluation well; safe to repeat. Returns the evidence's digest."""
    digest = evidence_records.save(tx, evidence)
    if evaluation_records.end(tx, id, state="done", evidence=digest):
        subject = evidence.subject
        tx.emit(EvidenceRecorded(use_case=subject.use_case, version=subject.version, digest=digest, evaluation=id))
    return digest


def fail(tx: Tx, *, id: str, error: str) -> None:
    """End the evaluation with one message; nothing else is stored. Safe to repeat."""
    evaluation = evaluation_records.get(tx, id)
    if evaluation_records.end(tx, id, state="failed", error=error):
        tx.emit(
            EvaluationFailed(evaluation=id, use_case=evaluation.use_case, version=str(evaluation.version), error=error)
        )
