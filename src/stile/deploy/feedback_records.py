"""SQL of feedback."""

from __future__ import annotations

import msgspec

from stile.store.database import Tx

_FIELDS = "id, use_case, prediction, person, verdict, reason, corrected, expert, at"


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What one person said about one prediction. ``expert``: said as a domain expert of the use case."""

    id: str
    use_case: str
    prediction: str
    person: str
    verdict: str
    reason: str
    corrected: str | None
    expert: bool
    at: int


def insert(tx: Tx, said: Feedback) -> None:
    """Add it; what the person said before stays."""
    tx.run(
        f"INSERT INTO feedback ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            said.id, said.use_case, said.prediction, said.person, said.verdict, said.reason, said.corrected,
            int(said.expert), said.at,
        ),
    )  # fmt: skip


def of_prediction(tx: Tx, prediction: str) -> list[Feedback]:
    """Everything said about a prediction, oldest first."""
    rows = tx.all(f"SELECT {_FIELDS} FROM feedback WHERE prediction = ? ORDER BY position", (prediction,))
    return [_feedback(row) for row in rows]


def of_use_case(tx: Tx, use_case: str, limit: int = 200) -> list[Feedback]:
    """What was said lately, newest first."""
    rows = tx.all(
        f"SELECT {_FIELDS} FROM feedback WHERE use_case = ? ORDER BY position DESC LIMIT ?", (use_case, limit)
    )
    return [_feedback(row) for row in rows]


def judged(tx: Tx, use_case: str, *, person: str | None, after: str) -> set[str]:
    """Predictions from the id ``after`` on that a person (None: anybody) has said something about."""
    where, params = ("AND person = ? ", [person]) if person is not None else ("", [])
    rows = tx.all(
        f"SELECT DISTINCT prediction FROM feedback WHERE use_case = ? {where}AND prediction >= ?",
        [use_case, *params, after],
    )
    return {row[0] for row in rows}


def _feedback(row: tuple[object, ...]) -> Feedback:
    values = dict(zip(Feedback.__struct_fields__, row, strict=True))
    return msgspec.convert(values | {"expert": bool(values["expert"])}, Feedback)
