"""SQL of iterations."""

from __future__ import annotations

import msgspec

from stile.store.database import Tx


class Iteration(msgspec.Struct, frozen=True, kw_only=True):
    """A planned stretch of work; times in ms since 1970 UTC."""

    id: str
    use_case: str
    title: str
    goal: str
    starts_at: int
    ends_at: int
    created_at: int
    created_by: str


_COLUMNS = "id, use_case, title, goal, starts_at, ends_at, created_at, created_by"


def insert(tx: Tx, iteration: Iteration) -> None:
    """Add an iteration."""
    tx.run(
        f"INSERT INTO iterations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            iteration.id, iteration.use_case, iteration.title, iteration.goal, iteration.starts_at, iteration.ends_at,
            iteration.created_at, iteration.created_by,
        ),
    )  # fmt: skip


def find(tx: Tx, id: str) -> Iteration | None:
    """An iteration by id."""
    row = tx.one(f"SELECT {_COLUMNS} FROM iterations WHERE id = ?", (id,))
    return None if row is None else Iteration(**dict(zip(_COLUMNS.split(", "), row, strict=True)))


def of_use_case(tx: Tx, use_case: str) -> list[Iteration]:
    """The iterations of a use case, newest first."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM iterations WHERE use_case = ? ORDER BY starts_at DESC, id DESC", (use_case,))
    return [Iteration(**dict(zip(_COLUMNS.split(", "), row, strict=True))) for row in rows]
