"""Rows of uploads that come in parts, and the key that signs addresses of transfers."""

from __future__ import annotations

import msgspec

from stile.store.database import Tx


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that comes in parts.

    Attributes:
        id: 32 hex digits; names the store apart that holds its parts, too.
        path: logical path of the artifact to be.
        parts: how many parts it has.
        by: who began it.
        at: when, ms since 1970 UTC.
        digest: of the finished content; empty while it is coming.
    """

    id: str
    path: str
    parts: int
    by: str
    at: int
    digest: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part that has arrived: its number from 1, digest and size in bytes."""

    number: int
    digest: str
    size: int


def add(tx: Tx, *, id: str, path: str, parts: int, by: str) -> Upload:
    """A new upload."""
    at = tx.now_ms()
    tx.run("INSERT INTO uploads (id, path, parts, by_name, at) VALUES (?, ?, ?, ?, ?)", (id, path, parts, by, at))
    return Upload(id=id, path=path, parts=parts, by=by, at=at, digest="")


def find(tx: Tx, id: str) -> Upload | None:
    """The upload of this id."""
    row = tx.one("SELECT id, path, parts, by_name, at, digest FROM uploads WHERE id = ?", (id,))
    if row is None:
        return None
    return Upload(id=row[0], path=row[1], parts=row[2], by=row[3], at=row[4], digest=row[5])


def coming(tx: Tx, since: int) -> int:
    """How many unfinished uploads were begun since a time."""
    return int(tx.scalar("SELECT COUNT(*) FROM uploads WHERE at >= ? AND digest = ''", (since,)))


def begun_before(tx: Tx, at: int) -> list[tuple[str, bool]]:
    """(id, whether it was finished) of uploads begun before a time, oldest first."""
    rows = tx.all("SELECT id, digest FROM uploads WHERE at < ? ORDER BY at, id", (at,))
    return [(id, digest != "") for id, digest in rows]


def finish(tx: Tx, id: str, digest: str) -> None:
    """Note what an upload has become; its parts are forgotten."""
    tx.run("DELETE FROM upload_parts WHERE upload = ?", (id,))
    tx.run("UPDATE uploads SET digest = ? WHERE id = ?", (digest, id))


def drop(tx: Tx, id: str) -> None:
    """Forget an upload and its parts."""
    tx.run("DELETE FROM upload_parts WHERE upload = ?", (id,))
    tx.run("DELETE FROM uploads WHERE id = ?", (id,))


def put_part(tx: Tx, id: str, part: Part) -> None:
    """A part that has arrived, new or once more."""
    tx.run(
        "INSERT INTO upload_parts (upload, number, digest, size) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (upload, number) DO UPDATE SET digest = excluded.digest, size = excluded.size",
        (id, part.number, part.digest, part.size),
    )


def parts(tx: Tx, id: str) -> list[Part]:
    """What has arrived of an upload, by number."""
    rows = tx.all("SELECT number, digest, size FROM upload_parts WHERE upload = ? ORDER BY number", (id,))
    return [Part(number=number, digest=digest, size=size) for number, digest, size in rows]


def bytes_beside(tx: Tx, id: str, number: int) -> int:
    """Bytes of all parts that have arrived but this one."""
    sql = "SELECT COALESCE(SUM(size), 0) FROM upload_parts WHERE upload = ? AND number <> ?"
    return int(tx.scalar(sql, (id, number)))


def signing_key(tx: Tx) -> bytes | None:
    """What signs addresses of transfers; None when there is no key yet."""
    row = tx.one("SELECT secret FROM transfer_keys WHERE id = 1")
    return None if row is None else bytes(row[0])


def offer_signing_key(tx: Tx, secret: bytes) -> bytes:
    """The key: the one there is, else this one from now on."""
    tx.run("INSERT INTO transfer_keys (id, secret) VALUES (1, ?) ON CONFLICT (id) DO NOTHING", (secret,))
    found = signing_key(tx)
    assert found is not None
    return found
