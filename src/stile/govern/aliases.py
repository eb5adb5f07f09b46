"""Rows of aliases and of their history. An alias of a governed kind is moved only by ``govern.decisions``."""

from __future__ import annotations

import msgspec

from stile.govern.registry_events import AliasMoved
from stile.kernel.errors import Missing
from stile.store.database import Tx

GUARDED = ("champion", "challenger", "shadow")
"""Aliases that only a decision may move, for models that belong to a use case."""


class AliasMove(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an alias's history. ``version`` 0: it was taken away; ``previous`` 0: it was new."""

    alias: str
    version: int
    previous: int
    at: int
    by: str
    decision: str


def of_model(tx: Tx, name: str) -> dict[str, int]:
    """Alias -> version."""
    rows = tx.all(
        "SELECT a.alias, a.version FROM model_aliases a JOIN registered_models m ON m.id = a.model "
        "WHERE m.name = ? ORDER BY a.alias",
        (name,),
    )
    return dict(rows)


def history(tx: Tx, name: str) -> list[AliasMove]:
    """Every move of every alias of a model, newest first."""
    rows = tx.all(
        "SELECT h.alias, h.version, h.previous, h.at, h.by_name, h.decision FROM alias_history h "
        "JOIN registered_models m ON m.id = h.model WHERE m.name = ? ORDER BY h.id DESC",
        (name,),
    )
    return [AliasMove(alias=a, version=v, previous=p, at=at, by=by, decision=d) for a, v, p, at, by, d in rows]


def set_alias(  # noqa: PLR0917  the order is that of the sentence: make alias of name version
    tx: Tx, name: str, alias: str, version: int, by: str, decision: str = ""
) -> int:
    """Make ``alias`` name ``version``; returns the version it named before, 0 if none. No guard: see above.

    Raises:
        Missing: the model has no such version.
    """
    model = tx.scalar(
        "SELECT m.id FROM registered_models m JOIN model_versions v ON v.model = m.id "
        "WHERE m.name = ? AND v.version = ?",
        (name, version),
    )
    if model is None:
        raise Missing(f"Model Version (name={name}, version={version}) not found.")
    previous = _current(tx, model, alias)
    if previous == version:
        return previous
    tx.run(
        "INSERT INTO model_aliases (model, alias, version) VALUES (?, ?, ?) "
        "ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version",
        (model, alias, version),
    )
    _remember(tx, model, alias, (previous, version), by=by, decision=decision)
    tx.emit(AliasMoved(model=name, alias=alias, version=version, previous=previous, by=by, decision=decision))
    return previous


def drop_alias(tx: Tx, name: str, alias: str, by: str, decision: str = "") -> int:
    """Take an alias away; returns the version it named, 0 when it was not there. No guard: see above."""
    model = tx.scalar("SELECT id FROM registered_models WHERE name = ?", (name,))
    previous = _current(tx, model, alias) if model is not None else 0
    if not previous:
        return 0
    tx.run("DELETE FROM model_aliases WHERE model = ? AND alias = ?", (model, alias))
    _remember(tx, model, alias, (previous, 0), by=by, decision=decision)
    tx.emit(AliasMoved(model=name, alias=alias, version=0, previous=previous, by=by, decision=decision))
    return previous


def _current(tx: Tx, model: int, alias: str) -> int:
    return int(tx.scalar("SELECT version FROM model_aliases WHERE model = ? AND alias = ?", (model, alias)) or 0)


def _remember(tx: Tx, model: int, alias: str, move: tuple[int, int], *, by: str, decision: str) -> None:
    previous, version = move
    tx.run(
        "INSERT INTO alias_history (model, alias, version, previous, at, by_name, decision) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (model, alias, version, previous, tx.now_ms(), by, decision),
    )
