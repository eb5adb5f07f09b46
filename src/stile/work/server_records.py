"""Rows of the servers that share a store."""

from __future__ import annotations

from stile.store.database import Tx

STOPPED = -1


def beat(tx: Tx, server: str) -> None:
    """Say that this server lives."""
    tx.run(
        "INSERT INTO work_servers (id, beat, at) VALUES (?, 1, ?) "
        "ON CONFLICT (id) DO UPDATE SET beat = work_servers.beat + 1, at = excluded.at",
        (server, tx.now_ms()),
    )


def stopped(tx: Tx, server: str) -> None:
    """Say that this server has ended; what it left is for the others."""
    tx.run("UPDATE work_servers SET beat = ?, at = ? WHERE id = ?", (STOPPED, tx.now_ms(), server))


def others(tx: Tx, server: str) -> dict[str, int]:
    """The beat of every other server."""
    return dict(tx.all("SELECT id, beat FROM work_servers WHERE id <> ?", (server,)))


def forget(tx: Tx, server: str) -> None:
    """Take a server that is gone off the list."""
    tx.run("DELETE FROM work_servers WHERE id = ?", (server,))
