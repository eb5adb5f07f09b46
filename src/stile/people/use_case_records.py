"""SQL of use cases and their members."""

from __future__ import annotations

import msgspec

from stile.kernel.permission import Role
from stile.store.database import Tx


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One role of one person in a use case."""

    person: str
    role: Role
    at: int
    by: str


def insert(tx: Tx, name: str, charter: bytes, by: str) -> None:
    """Add a use case; the name must be free."""
    tx.run(
        "INSERT INTO use_cases (name, charter, created_at, created_by, changed_at) VALUES (?, ?, ?, ?, ?)",
        (name, charter, tx.now_ms(), by, tx.now_ms()),
    )


def update(tx: Tx, name: str, charter: bytes) -> None:
    """Replace the charter."""
    tx.run("UPDATE use_cases SET charter = ?, changed_at = ? WHERE name = ?", (charter, tx.now_ms(), name))


def find(tx: Tx, name: str) -> tuple[bytes, int, str] | None:
    """(charter, created_at, created_by), or None."""
    row = tx.one("SELECT charter, created_at, created_by FROM use_cases WHERE name = ?", (name,))
    return (bytes(row[0]), row[1], row[2]) if row else None


def exists(tx: Tx, name: str) -> bool:
    """Whether there is such a use case."""
    return tx.one("SELECT 1 FROM use_cases WHERE name = ?", (name,)) is not None


def names(tx: Tx) -> list[str]:
    """Every use case by name."""
    return [row[0] for row in tx.all("SELECT name FROM use_cases ORDER BY name")]


def members(tx: Tx, name: str) -> list[Member]:
    """Who is on the team, by person and role."""
    rows = tx.all(
        "SELECT m.person, m.role, m.at, m.by FROM members m JOIN use_cases u ON u.id = m.use_case_id "
        "WHERE u.name = ? ORDER BY m.person, m.role",
        (name,),
    )
    return [Member(person=person, role=Role(role), at=at, by=by) for person, role, at, by in rows]


def set_roles(tx: Tx, name: str, person: str, roles: list[Role], by: str) -> None:
    """Give a person exactly these roles; an empty list takes the person off the team."""
    id = tx.scalar("SELECT id FROM use_cases WHERE name = ?", (name,))
    held = {row[0] for row in tx.all("SELECT role FROM members WHERE use_case_id = ? AND person = ?", (id, person))}
    for role in held - set(roles):
        tx.run("DELETE FROM members WHERE use_case_id = ? AND person = ? AND role = ?", (id, person, role))
    tx.many(
        "INSERT INTO members (use_case_id, person, role, at, by) VALUES (?, ?, ?, ?, ?)",
        [(id, person, str(role), tx.now_ms(), by) for role in roles if role not in held],
    )


def roles_by_use_case(tx: Tx, person: str) -> dict[str, frozenset[Role]]:
    """Every role a person holds, by use case."""
    rows = tx.all(
        "SELECT u.name, m.role FROM members m JOIN use_cases u ON u.id = m.use_case_id WHERE m.person = ?", (person,)
    )
    roles: dict[str, set[Role]] = {}
    for use_case, role in rows:
        roles.setdefault(use_case, set()).add(Role(role))
    return {use_case: frozenset(held) for use_case, held in roles.items()}
