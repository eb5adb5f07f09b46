"""SQL of published policies."""

from __future__ import annotations

import msgspec

from stile.govern.policy import Policy
from stile.store.database import Tx


class PublishedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy as published; ``version`` counts publications in the use case, ``policy.version`` is the file's own."""

    use_case: str
    version: int
    digest: str
    yaml: str
    policy: Policy
    at: int
    by: str


_COLUMNS = "use_case, number, digest, yaml, body, at, by_name"


def insert(tx: Tx, published: PublishedPolicy) -> None:
    """Add the next version."""
    tx.run(
        "INSERT INTO policies (use_case, number, digest, name, yaml, body, at, by_name) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            published.use_case, published.version, published.digest, published.policy.policy, published.yaml,
            msgspec.json.encode(published.policy), published.at, published.by,
        ),
    )  # fmt: skip


def newest(tx: Tx, use_case: str) -> PublishedPolicy | None:
    """The policy in force."""
    row = tx.one(f"SELECT {_COLUMNS} FROM policies WHERE use_case = ? ORDER BY number DESC LIMIT 1", (use_case,))
    return _published(row) if row else None


def by_digest(tx: Tx, use_case: str, digest: str) -> PublishedPolicy | None:
    """The latest publication of the policy with this digest."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM policies WHERE use_case = ? AND digest = ? ORDER BY number DESC LIMIT 1",
        (use_case, digest),
    )
    return _published(row) if row else None


def listing(tx: Tx, use_case: str) -> list[PublishedPolicy]:
    """Every version, newest first."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM policies WHERE use_case = ? ORDER BY number DESC", (use_case,))
    return [_published(row) for row in rows]


def _published(row: tuple[object, ...]) -> PublishedPolicy:
    use_case, number, digest, yaml, body, at, by = row
    return msgspec.convert(
        {
            "use_case": use_case, "version": number, "digest": digest, "yaml": yaml,
            "policy": msgspec.json.decode(bytes(body)),  # type: ignore[call-overload]
            "at": at, "by": by,
        },
        type=PublishedPolicy,
    )  # fmt: skip
