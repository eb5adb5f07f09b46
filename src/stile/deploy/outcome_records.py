"""SQL of outcomes: everything that was said, and the accepted one of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.store.database import Tx


class OutcomeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said to be true of a prediction.

    Attributes:
        at: when it became known; ``recorded_at``: when it was told here.
    """

    position: int
    prediction: str
    outcome: str
    source: str
    author: str
    at: int
    recorded_at: int


def last_from(tx: Tx, use_case: str, prediction: str, source: str) -> str | None:
    """What a source last said about a prediction."""
    found = tx.scalar(
        "SELECT outcome FROM outcomes WHERE use_case = ? AND prediction = ? AND source = ? "
        "ORDER BY position DESC LIMIT 1",
        (use_case, prediction, source),
    )
    return None if found is None else str(found)


def insert(tx: Tx, *, use_case: str, prediction: str, outcome: str, source: str, author: str, at: int) -> int:
    """Add what was said; returns its position."""
    return int(
        tx.scalar(
            "INSERT INTO outcomes (use_case, prediction, outcome, source, author, at, recorded_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING position",
            (use_case, prediction, outcome, source, author, at, tx.now_ms()),
        )
    )


def accepted(tx: Tx, use_case: str, prediction: str) -> tuple[str, str, int] | None:
    """(outcome, source, at) of the accepted truth."""
    row = tx.one(
        "SELECT outcome, source, at FROM accepted_outcomes WHERE use_case = ? AND prediction = ?",
        (use_case, prediction),
    )
    return (row[0], row[1], row[2]) if row else None


def accept(
    tx: Tx, *, use_case: str, prediction: str, position: int, outcome: str, source: str, author: str, at: int
) -> None:
    """Make this the accepted truth."""
    tx.run(
        "INSERT INTO accepted_outcomes (use_case, prediction, position, outcome, source, author, at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (use_case, prediction) DO UPDATE SET position = excluded.position, "
        "outcome = excluded.outcome, source = excluded.source, author = excluded.author, at = excluded.at",
        (use_case, prediction, position, outcome, source, author, at),
    )


def known_among(tx: Tx, use_case: str, predictions: Sequence[str]) -> list[str]:
    """Which of these predictions have an accepted truth."""
    found: list[str] = []
    for begin in range(0, len(predictions), 500):
        part = list(predictions[begin : begin + 500])
        marks = ", ".join("?" * len(part))
        rows = tx.all(
            f"SELECT prediction FROM accepted_outcomes WHERE use_case = ? AND prediction IN ({marks}) "
            "ORDER BY prediction",
            [use_case, *part],
        )
        found += [row[0] for row in rows]
    return found


def of_prediction(tx: Tx, use_case: str, prediction: str) -> list[OutcomeRow]:
    """Everything said about a prediction, oldest first."""
    rows = tx.all(
        "SELECT position, prediction, outcome, source, author, at, recorded_at FROM outcomes "
        "WHERE use_case = ? AND prediction = ? ORDER BY position",
        (use_case, prediction),
    )
    return [
        OutcomeRow(position=n, prediction=p, outcome=o, source=s, author=a, at=at, recorded_at=r)
        for n, p, o, s, a, at, r in rows
    ]


def pending(tx: Tx, use_case: str) -> int:
    """Accepted truths about predictions that have not arrived here."""
    return int(
        tx.scalar(
            "SELECT COUNT(*) FROM accepted_outcomes o WHERE o.use_case = ? AND NOT EXISTS "
            "(SELECT 1 FROM predictions p WHERE p.id = o.prediction AND p.use_case = o.use_case)",
            (use_case,),
        )
    )
