"""SQL of contracts: append-only, numbered per use case."""

from __future__ import annotations

import msgspec

from stile.store.database import Row, Tx

_COLUMNS = "use_case, version, digest, body, at, author"


class ContractVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A published contract: its number in the use case and the file as written."""

    use_case: str
    version: int
    digest: str
    yaml: str
    at: int
    by: str


def insert(tx: Tx, one: ContractVersion) -> None:
    """Add a version."""
    tx.run(
        f"INSERT INTO contracts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        (one.use_case, one.version, one.digest, one.yaml, one.at, one.by),
    )


def latest(tx: Tx, use_case: str) -> ContractVersion | None:
    """The newest version, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM contracts WHERE use_case = ? ORDER BY version DESC LIMIT 1", (use_case,))
    return None if row is None else _contract(row)


def find(tx: Tx, use_case: str, version: int) -> ContractVersion | None:
    """One version, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM contracts WHERE use_case = ? AND version = ?", (use_case, version))
    return None if row is None else _contract(row)


def all_of(tx: Tx, use_case: str) -> list[ContractVersion]:
    """Every version, newest first."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM contracts WHERE use_case = ? ORDER BY version DESC", (use_case,))
    return [_contract(row) for row in rows]


def _contract(row: Row) -> ContractVersion:
    use_case, version, digest, body, at, by = row
    return ContractVersion(use_case=use_case, version=version, digest=digest, yaml=body, at=at, by=by)
