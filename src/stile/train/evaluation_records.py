"""SQL of evaluations: what was asked for and how far it has come."""

from __future__ import annotations

from typing import Literal

import msgspec

from stile.kernel.errors import Missing
from stile.store.database import Row, Tx

EvaluationState = Literal["waiting", "running", "done", "failed"]

_COLUMNS = (
    "id, use_case, version, model_digest, request, state, progress, step, evidence, error, author, at, changed_at"
)


class ScenarioOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Predictions on the transformed test data: what the transformation is, and the digest of the table."""

    predictions: str
    says: str = ""


class EvaluationOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a candidate hands in. Digests name blobs (predictions) and dataset versions (test, train).

    Attributes:
        version: registry version.
        predictions: digest of the predictions table on the test dataset.
        test, train: dataset versions; without ``train`` the row overlap stays unknown.
        scenarios: further predictions tables by scenario name.
        slices: columns to give every metric by, from the predictions table or the dataset.
        threshold: scores at or above it count as positive; None takes ``y_pred``, else 0.5.
        latency_ms: timings of one-row predictions; None when not measured.
        unknown_at_decision_time: columns whose value is not known when the decision is taken; None when
            nobody looked, an empty list when somebody did and found none.
    """

    version: int
    predictions: str
    test: str
    train: str | None = None
    scenarios: dict[str, ScenarioOrder] = {}
    slices: list[str] = []
    threshold: float | None = None
    latency_ms: list[float] | None = None
    unknown_at_decision_time: list[str] | None = None


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry knows about the version under evaluation, and about the champion at that time.

    Attributes:
        digest: of the version's files.
        size_bytes: of the version's files together.
        run_id, commit, environment: where it came from; empty when not known.
        champion: model digest of the champion; empty when there is none.
        champion_version: its registry version, as text.
    """

    digest: str
    size_bytes: int
    run_id: str = ""
    commit: str = ""
    environment: str = ""
    champion: str = ""
    champion_version: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an evaluation is computed from, fixed when it was asked for."""

    order: EvaluationOrder
    model: ModelFacts
    positive: str


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation and how far it has come.

    Attributes:
        progress: 0..1.
        step: what is being done, in words.
        evidence: digest of the result; empty before the end.
        error: why it failed, in one message; empty otherwise.
    """

    id: str
    use_case: str
    version: int
    model_digest: str
    request: Request
    state: EvaluationState
    progress: float
    step: str
    evidence: str
    error: str
    by: str
    at: int
    changed_at: int


def insert(tx: Tx, one: Evaluation) -> None:
    """Add an evaluation."""
    tx.run(
        f"INSERT INTO evaluations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            one.id, one.use_case, one.version, one.model_digest, msgspec.json.encode(one.request), one.state,
            one.progress, one.step, one.evidence, one.error, one.by, one.at, one.changed_at,
        ),
    )  # fmt: skip


def get(tx: Tx, id: str) -> Evaluation:
    """One evaluation.

    Raises:
        Missing: there is none with this id.
    """
    row = tx.one(f"SELECT {_COLUMNS} FROM evaluations WHERE id = ?", (id,))
    if row is None:
        raise Missing(f"There is no evaluation {id!r}.")
    return _evaluation(row)


def all_of(tx: Tx, use_case: str, limit: int = 200) -> list[Evaluation]:
    """The evaluations of a use case, newest first."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM evaluations WHERE use_case = ? ORDER BY at DESC, id DESC LIMIT ?", (use_case, limit)
    )
    return [_evaluation(row) for row in rows]


def unfinished(tx: Tx) -> list[str]:
    """Ids of evaluations that have not ended, oldest first."""
    return [row[0] for row in tx.all("SELECT id FROM evaluations WHERE state IN ('waiting', 'running') ORDER BY at")]


def move(tx: Tx, id: str, *, progress: float, step: str) -> None:
    """Note progress of an evaluation that has not ended."""
    tx.run(
        "UPDATE evaluations SET state = 'running', progress = ?, step = ?, changed_at = ? "
        "WHERE id = ? AND state IN ('waiting', 'running')",
        (progress, step, tx.now_ms(), id),
    )


def end(tx: Tx, id: str, *, state: EvaluationState, evidence: str = "", error: str = "") -> bool:
    """Note the end of an evaluation; False when it had ended before."""
    changed = tx.run(
        "UPDATE evaluations SET state = ?, progress = CASE WHEN ? = 'done' THEN 1.0 ELSE progress END, "
        "evidence = ?, error = ?, changed_at = ? WHERE id = ? AND state IN ('waiting', 'running')",
        (state, state, evidence, error, tx.now_ms(), id),
    )
    return changed == 1


def _evaluation(row: Row) -> Evaluation:
    id, use_case, version, model_digest, request, state, progress, step, evidence, error, by, at, changed_at = row
    return Evaluation(
        id=id, use_case=use_case, version=version, model_digest=model_digest,
        request=msgspec.json.decode(request, type=Request), state=state, progress=progress, step=step,
        evidence=evidence, error=error, by=by, at=at, changed_at=changed_at,
    )  # fmt: skip
