"""SQL of dataset versions and profiles: rows are added, never changed."""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec

from stile.data.profile import Profile
from stile.store.database import Row, Tx

DatasetRole = Literal["train", "test", "reference", "live"]

_COLUMNS = (
    "use_case, name, digest, role, row_count, column_count, contract_version, "
    "profile_digest, table_digest, source, at, author"
)


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A table as used, with its lineage.

    Attributes:
        digest: of the table's content, whatever file it came in.
        role: what it was registered for.
        contract_version: the contract it was checked against and kept; 0 when the use case had none.
        profile_digest: its profile; see ``GET /profiles/{digest}``.
        table: digest of the blob with the file.
        source: where it came from, in the registrar's words.
    """

    use_case: str
    name: str
    digest: str
    role: DatasetRole
    rows: int
    columns: int
    contract_version: int
    profile_digest: str
    table: str
    source: str
    at: int
    by: str


def insert(tx: Tx, one: DatasetVersion) -> None:
    """Add a dataset version."""
    tx.run(
        f"INSERT INTO datasets ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            one.use_case, one.name, one.digest, one.role, one.rows, one.columns, one.contract_version,
            one.profile_digest, one.table, one.source, one.at, one.by,
        ),
    )  # fmt: skip


def find(tx: Tx, use_case: str, digest: str) -> DatasetVersion | None:
    """The newest registration of this content in the use case, or None."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM datasets WHERE use_case = ? AND digest = ? ORDER BY id DESC LIMIT 1",
        (use_case, digest),
    )
    return None if row is None else _dataset(row)


def find_as(tx: Tx, use_case: str, digest: str, name: str, role: str) -> DatasetVersion | None:
    """This content under this name and role, or None."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM datasets WHERE use_case = ? AND digest = ? AND name = ? AND role = ?",
        (use_case, digest, name, role),
    )
    return None if row is None else _dataset(row)


def all_of(tx: Tx, use_case: str) -> list[DatasetVersion]:
    """Every dataset version of the use case, newest first."""
    return [
        _dataset(row)
        for row in tx.all(f"SELECT {_COLUMNS} FROM datasets WHERE use_case = ? ORDER BY id DESC", (use_case,))
    ]


def save_profile(tx: Tx, profile: Profile) -> str:
    """Keep a profile under its digest, which is returned. Saving it again is free."""
    digest = profile.digest
    tx.run(
        "INSERT INTO profiles (digest, body) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING",
        (digest, zlib.compress(msgspec.json.encode(profile))),
    )
    return digest


def find_profile(tx: Tx, digest: str) -> Profile | None:
    """The profile with this digest, or None."""
    body = tx.scalar("SELECT body FROM profiles WHERE digest = ?", (digest,))
    return None if body is None else msgspec.json.decode(zlib.decompress(body), type=Profile)


def _dataset(row: Row) -> DatasetVersion:
    use_case, name, digest, role, rows, columns, contract_version, profile_digest, table, source, at, by = row
    return DatasetVersion(
        use_case=use_case, name=name, digest=digest, role=role, rows=rows, columns=columns,
        contract_version=contract_version, profile_digest=profile_digest, table=table, source=source, at=at, by=by,
    )  # fmt: skip
