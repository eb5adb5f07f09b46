"""SQL of columns, cards and their moves."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.board.columns import Column
from stile.store.database import Tx


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One card.

    Attributes:
        number: counts up within the use case, for people to say.
        column: name of the column it is in.
        came_from: the column it was in before an incident took it away.
        version: the model version it stands for, if any; such a card is moved by events only.
        promotion, decision, alert: ids of what it is about now; empty for none.
        iteration: id of the iteration it is planned for; empty for none.
        flag, flag_reason: ``incident`` or empty, and why.
        label: standing of the version as the last decision wrote it.
        moved_at: since when it is in its column, ms since 1970 UTC.
    """

    id: str
    use_case: str
    number: int
    title: str
    body: str
    column: str
    came_from: str = ""
    owner: str = ""
    version: int | None = None
    promotion: str = ""
    decision: str = ""
    alert: str = ""
    iteration: str = ""
    flag: str = ""
    flag_reason: str = ""
    label: str = ""
    created_at: int
    created_by: str
    moved_at: int
    changed_at: int


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of a card."""

    at: int
    by: str
    from_column: str
    to_column: str
    because: str


_FIELDS = (
    "id", "use_case", "number", "title", "body", "column", "came_from", "owner", "version", "promotion", "decision",
    "alert", "iteration", "flag", "flag_reason", "label", "created_at", "created_by", "moved_at", "changed_at",
)  # fmt: skip
_SQL_NAMES = {"column": "column_name"}
_COLUMNS = ", ".join(_SQL_NAMES.get(field, field) for field in _FIELDS)


def columns(tx: Tx, use_case: str) -> list[Column]:
    """The columns of a board as they were set, in order; empty when nobody set them."""
    rows = tx.all("SELECT name, title, wip_limit FROM board_columns WHERE use_case = ? ORDER BY position", (use_case,))
    return [Column(name=name, title=title, wip_limit=limit) for name, title, limit in rows]


def set_columns(tx: Tx, use_case: str, wanted: list[Column]) -> None:
    """Replace the columns of a board."""
    tx.run("DELETE FROM board_columns WHERE use_case = ?", (use_case,))
    tx.many(
        "INSERT INTO board_columns (use_case, name, title, position, wip_limit) VALUES (?, ?, ?, ?, ?)",
        [(use_case, c.name, c.title, place, c.wip_limit) for place, c in enumerate(wanted)],
    )


def insert(tx: Tx, card: Card) -> None:
    """Add a card."""
    marks = ", ".join("?" for _ in _FIELDS)
    tx.run(f"INSERT INTO cards ({_COLUMNS}) VALUES ({marks})", [getattr(card, field) for field in _FIELDS])


def update(tx: Tx, card: Card) -> None:
    """Write a card back, found by its id."""
    sets = ", ".join(f"{_SQL_NAMES.get(field, field)} = ?" for field in _FIELDS[1:])
    tx.run(f"UPDATE cards SET {sets} WHERE id = ?", [*(getattr(card, field) for field in _FIELDS[1:]), card.id])


def next_number(tx: Tx, use_case: str) -> int:
    """The number of the next card of a use case."""
    return int(tx.scalar("SELECT COALESCE(MAX(number), 0) + 1 FROM cards WHERE use_case = ?", (use_case,)))


def find(tx: Tx, id: str) -> Card | None:
    """A card by id."""
    return _first(tx, "id = ?", (id,))


def of_version(tx: Tx, use_case: str, version: int) -> Card | None:
    """The card that stands for a model version."""
    return _first(tx, "use_case = ? AND version = ?", (use_case, version))


def with_alert(tx: Tx, alert: str) -> list[Card]:
    """The cards an alert has flagged."""
    return _all(tx, "alert = ?", (alert,))


def of_use_case(tx: Tx, use_case: str, iteration: str = "") -> list[Card]:
    """Cards of a board, those longest in their column first; with ``iteration`` only its cards."""
    if iteration:
        return _all(tx, "use_case = ? AND iteration = ?", (use_case, iteration))
    return _all(tx, "use_case = ?", (use_case,))


def in_column(tx: Tx, use_case: str, column: str) -> list[Card]:
    """Cards in one column."""
    return _all(tx, "use_case = ? AND column_name = ?", (use_case, column))


def add_move(tx: Tx, card: str, *, by: str, from_column: str, to_column: str, because: str) -> None:
    """Remember one step in the life of a card."""
    tx.run(
        "INSERT INTO card_moves (card, at, by, from_column, to_column, because) VALUES (?, ?, ?, ?, ?, ?)",
        (card, tx.now_ms(), by, from_column, to_column, because),
    )


def moves(tx: Tx, card: str) -> list[Move]:
    """The life of a card, oldest first."""
    rows = tx.all("SELECT at, by, from_column, to_column, because FROM card_moves WHERE card = ? ORDER BY id", (card,))
    return [Move(at=at, by=by, from_column=f, to_column=t, because=b) for at, by, f, t, b in rows]


def _first(tx: Tx, where: str, params: tuple[Any, ...]) -> Card | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM cards WHERE {where}", params)
    return None if row is None else _card(row)


def _all(tx: Tx, where: str, params: tuple[Any, ...]) -> list[Card]:
    return [
        _card(row) for row in tx.all(f"SELECT {_COLUMNS} FROM cards WHERE {where} ORDER BY moved_at, number", params)
    ]


def _card(row: tuple[Any, ...]) -> Card:
    return Card(**dict(zip(_FIELDS, row, strict=True)))
