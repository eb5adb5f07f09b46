"""SQL of promotion requests and of the approvals given on them."""

from __future__ import annotations

from typing import Literal

import msgspec

from stile.govern.separation import Approval, Binding
from stile.store.database import Tx

PromotionState = Literal["open", "promoted", "rejected"]


class PromotionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A request as stored; ``binding`` holds the digests when it was made."""

    id: str
    use_case: str
    version: int
    binding: Binding
    reason: str
    by: str
    at: int
    state: PromotionState
    decision: str = ""
    closed_at: int | None = None


_COLUMNS = "id, use_case, subject_version, binding, reason, by_name, at, state, decision, closed_at"


def insert(tx: Tx, row: PromotionRow) -> None:
    """Add a request."""
    tx.run(
        f"INSERT INTO promotions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.id, row.use_case, row.version, msgspec.json.encode(row.binding), row.reason, row.by, row.at,
            row.state, row.decision, row.closed_at,
        ),
    )  # fmt: skip


def find(tx: Tx, id: str) -> PromotionRow | None:
    """The request with this id."""
    row = tx.one(f"SELECT {_COLUMNS} FROM promotions WHERE id = ?", (id,))
    return _promotion(row) if row else None


def listing(tx: Tx, use_case: str, *, only_open: bool = False) -> list[PromotionRow]:
    """Requests of a use case, newest first."""
    state = " AND state = 'open'" if only_open else ""
    rows = tx.all(f"SELECT {_COLUMNS} FROM promotions WHERE use_case = ?{state} ORDER BY id DESC", (use_case,))
    return [_promotion(row) for row in rows]


def close(tx: Tx, id: str, state: PromotionState, decision: str) -> None:
    """End a request with the decision that ended it."""
    tx.run(
        "UPDATE promotions SET state = ?, decision = ?, closed_at = ? WHERE id = ?", (state, decision, tx.now_ms(), id)
    )


def add_approval(tx: Tx, approval: Approval) -> None:
    """Add one yes or no."""
    tx.run(
        "INSERT INTO approvals (id, promotion, role, person, verdict, reason, at, binding, solo, credential_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            approval.id, approval.promotion, approval.role, approval.person, approval.verdict, approval.reason,
            approval.at, msgspec.json.encode(approval.over), int(approval.solo),
            approval.credential_by,
        ),
    )  # fmt: skip


def approvals(tx: Tx, promotion: str) -> list[Approval]:
    """Everything said about a request, oldest first."""
    rows = tx.all(
        "SELECT id, promotion, role, person, verdict, reason, at, binding, solo, credential_by FROM approvals "
        "WHERE promotion = ? ORDER BY id",
        (promotion,),
    )
    return [
        Approval(
            id=id, promotion=of, role=role, person=person, verdict=verdict, reason=reason, at=at,
            over=msgspec.json.decode(bytes(binding), type=Binding), solo=bool(solo),
            credential_by=by,
        )
        for id, of, role, person, verdict, reason, at, binding, solo, by in rows
    ]  # fmt: skip


def _promotion(row: tuple[object, ...]) -> PromotionRow:
    id, use_case, version, binding, reason, by, at, state, decision, closed_at = row
    return msgspec.convert(
        {
            "id": id, "use_case": use_case, "version": version, "reason": reason, "by": by, "at": at, "state": state,
            "binding": msgspec.json.decode(bytes(binding)),  # type: ignore[call-overload]
            "decision": decision, "closed_at": closed_at,
        },
        type=PromotionRow,
    )  # fmt: skip
