"""What SQLite itself can do on this disk: the least a durable write costs, without any server."""

from __future__ import annotations

import os
import time
from pathlib import Path

import apsw

_CHUNK = os.urandom(24_000)
"""As many bytes as a thousand packed points have."""


def commits_per_second(folder: Path, seconds: float) -> float:
    """Commits of one small row each, made durable one by one."""
    return _rate(folder, seconds, b"x" * 60)


def points_per_second(folder: Path, seconds: float) -> float:
    """Points per second when a thousand packed points are one row and one durable commit."""
    return 1000 * _rate(folder, seconds, _CHUNK)


def _rate(folder: Path, seconds: float, body: bytes) -> float:
    file = folder / "bare.db"
    connection = apsw.Connection(str(file))
    try:
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE points (run INTEGER, key INTEGER, part INTEGER, body BLOB)")
        begun, done = time.perf_counter(), 0
        while (took := time.perf_counter() - begun) < seconds:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO points VALUES (1, 1, ?, ?)", (done, body))
            connection.execute("COMMIT")
            done += 1
        return done / took
    finally:
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
