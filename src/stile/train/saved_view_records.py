"""Rows of saved views: a search of runs under a name."""

from __future__ import annotations

import msgspec

from stile.store.database import Row, Tx

_COLUMNS = "id, experiment, name, owner, sees, query, created_at, updated_at"


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a table of runs shows.

    Attributes:
        filter: in the search grammar.
        columns: left sides such as ``metrics.auc`` or ``max(metrics.auc)``, in order; none: chosen automatically.
        sort: a key, then ASC or DESC; empty for the newest first.
        baseline: id of the run the others are compared with; empty for none.
        lifecycle: ``deleted`` for deleted runs; empty for those that are not.
    """

    filter: str = ""
    columns: list[str] = []
    sort: str = ""
    baseline: str = ""
    lifecycle: str = ""


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """A search somebody keeps; ``shared`` with everybody who sees the experiment, or for its owner alone."""

    id: int
    experiment_id: str
    name: str
    owner: str
    shared: bool
    query: Query
    created_at: int
    updated_at: int


def insert(tx: Tx, *, experiment: int, name: str, owner: str, shared: bool, query: Query) -> int:
    """A new view; its number."""
    now = tx.now_ms()
    return int(
        tx.scalar(
            "INSERT INTO saved_views (experiment, name, owner, sees, query, created_at, updated_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (experiment, name, owner, _sees(shared), msgspec.json.encode(query).decode(), now, now),
        )
    )


def update(tx: Tx, id: int, *, name: str, shared: bool, query: Query) -> None:
    """All that may change about a view."""
    tx.run(
        "UPDATE saved_views SET name = ?, sees = ?, query = ?, updated_at = ? WHERE id = ?",
        (name, _sees(shared), msgspec.json.encode(query).decode(), tx.now_ms(), id),
    )


def delete(tx: Tx, id: int) -> None:
    """Take a view away."""
    tx.run("DELETE FROM saved_views WHERE id = ?", (id,))


def find(tx: Tx, experiment: int, id: int) -> SavedView | None:
    """A view of an experiment."""
    row = tx.one(f"SELECT {_COLUMNS} FROM saved_views WHERE id = ? AND experiment = ?", (id, experiment))
    return None if row is None else _view(row)


def named(tx: Tx, experiment: int, owner: str, name: str) -> int | None:
    """The number of somebody's view of this name."""
    found = tx.scalar(
        "SELECT id FROM saved_views WHERE experiment = ? AND owner = ? AND name = ?", (experiment, owner, name)
    )
    return None if found is None else int(found)


def seen_by(tx: Tx, experiment: int, person: str) -> list[SavedView]:
    """The views of an experiment that are somebody's own or shared, by name."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM saved_views WHERE experiment = ? AND (owner = ? OR sees = 'everybody') "
        "ORDER BY name, owner",
        (experiment, person),
    )
    return [_view(row) for row in rows]


def count(tx: Tx, experiment: int, owner: str) -> int:
    """How many views somebody keeps in an experiment."""
    return int(tx.scalar("SELECT COUNT(*) FROM saved_views WHERE experiment = ? AND owner = ?", (experiment, owner)))


def _sees(shared: bool) -> str:
    return "everybody" if shared else "owner"


def _view(row: Row) -> SavedView:
    return SavedView(
        id=row[0], experiment_id=str(row[1]), name=row[2], owner=row[3], shared=row[4] == "everybody",
        query=msgspec.json.decode(row[5], type=Query), created_at=row[6], updated_at=row[7],
    )  # fmt: skip
