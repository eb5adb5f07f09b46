"""Rows of the artifact table: logical path -> blob."""

from __future__ import annotations

import msgspec

from stile.store.database import Tx


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One file: its logical path, the digest and size (bytes) of its content, when and by whom it was put there."""

    path: str
    digest: str
    size: int
    at: int
    by: str


def put(tx: Tx, *, path: str, digest: str, size: int, by: str) -> None:
    """The content of a path, new or replaced."""
    tx.run(
        "INSERT INTO artifacts (path, digest, size, at, by_name) VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE "
        "SET digest = excluded.digest, size = excluded.size, at = excluded.at, by_name = excluded.by_name",
        (path, digest, size, tx.now_ms(), by),
    )


def find(tx: Tx, path: str) -> Artifact | None:
    """The file at exactly this path."""
    row = tx.one("SELECT path, digest, size, at, by_name FROM artifacts WHERE path = ?", (path,))
    return None if row is None else Artifact(path=row[0], digest=row[1], size=row[2], at=row[3], by=row[4])


def below(tx: Tx, folder: str) -> list[Artifact]:
    """All files below a folder, by path. The folder's name is without a trailing slash; '' is everything."""
    where, params = ("WHERE path > ? AND path < ?", (folder + "/", folder + "0")) if folder else ("", ())
    rows = tx.all(f"SELECT path, digest, size, at, by_name FROM artifacts {where} ORDER BY path", params)
    return [Artifact(path=p, digest=d, size=s, at=a, by=b) for p, d, s, a, b in rows]


def people_below(tx: Tx, folder: str) -> list[str]:
    """Everybody who put a file there that is below a folder."""
    sql = "SELECT DISTINCT by_name FROM artifacts WHERE path > ? AND path < ? ORDER BY by_name"
    return [by for (by,) in tx.all(sql, (folder + "/", folder + "0"))]


def has_below(tx: Tx, folder: str) -> bool:
    """Whether anything lies below a folder."""
    sql = "SELECT 1 FROM artifacts WHERE path > ? AND path < ? LIMIT 1"
    return tx.one(sql, (folder + "/", folder + "0")) is not None


def children(tx: Tx, folder: str) -> list[tuple[str, int | None]]:
    """(name, size) of what lies directly in a folder; size None for folders. What lies deeper costs nothing."""
    start = folder + "/" if folder else ""
    end = folder + "0" if folder else "\U0010ffff"
    found: list[tuple[str, int | None]] = []
    cursor = start
    while True:
        row = tx.one(
            "SELECT path, size FROM artifacts WHERE path >= ? AND path < ? ORDER BY path LIMIT 1", (cursor, end)
        )
        if row is None:
            return sorted(found, key=lambda entry: entry[0])
        name, slash, _ = row[0][len(start) :].partition("/")
        found.append((name, None if slash else row[1]))
        # "0" is the character after "/": the next thing beside this folder. Paths hold no control characters.
        cursor = start + name + ("0" if slash else "\x01")


def drop(tx: Tx, path: str) -> int:
    """Take a file, or a folder with all below it, out of the table; how many files that were."""
    return tx.run("DELETE FROM artifacts WHERE path = ? OR (path > ? AND path < ?)", (path, path + "/", path + "0"))
