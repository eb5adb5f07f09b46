"""Rows of small contents that are acknowledged, but not yet in the blob store (see ``blobs_arriving``)."""

from __future__ import annotations

from collections.abc import Iterable

from stile.store.database import Tx


def add(tx: Tx, digest: str, content: bytes) -> None:
    """Keep a content; one that waits already stays as it is."""
    sql = "INSERT INTO arrivals (digest, content) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING"
    tx.many(sql, [(digest, content)])


def find(tx: Tx, digest: str) -> bytes | None:
    """A content that waits; None when there is none of that digest."""
    content = tx.scalar("SELECT content FROM arrivals WHERE digest = ?", (digest,))
    return None if content is None else bytes(content)


def some(tx: Tx, most: int) -> list[tuple[str, bytes]]:
    """(digest, content) of up to ``most`` that wait."""
    rows = tx.all("SELECT digest, content FROM arrivals LIMIT ?", (most,))
    return [(digest, bytes(content)) for digest, content in rows]


def drop(tx: Tx, digests: Iterable[str]) -> None:
    """Forget contents that are in the blob store."""
    tx.many("DELETE FROM arrivals WHERE digest = ?", [(digest,) for digest in digests])
