"""Room in SQLite's write-ahead log, made before it is needed.

A commit that makes the log longer waits for two things: its frames, and the file system's own journal, which
has to keep the new length. One that overwrites what is there waits for its frames only. SQLite overwrites its log
once that has been through a checkpoint, but deletes it whenever the last connection closes: without this, the
first thousand pages after each start cost up to twice the sync. PostgreSQL fills its log segments with zeros
for the same reason (``wal_init_zero``).

Source: SQLite's "WAL-mode File Format": a frame counts only when its salts and checksum fit, so zeros behind
the last frame end the log, and a log without a valid header is empty.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import apsw

logger = logging.getLogger("stile")

ROOM = 5 << 20
"""Bytes: the 1000 pages after which SQLite makes a checkpoint, and the transaction that gets there."""

_PIECE = bytes(1 << 20)


def make_room(connection: apsw.Connection, path: Path) -> None:
    """Make the log of a database in WAL mode at least ``ROOM`` bytes long, with zeros that are on the disk.

    It is there for speed only: a disk without that much room, or one that refuses, leaves the log as it was.

    Args:
        connection: may write; has no transaction.
        path: the database file.

    Raises:
        apsw.BusyError: another program is writing.
    """
    connection.execute("BEGIN IMMEDIATE")  # so that nobody else writes behind the log's end, or empties it
    try:
        _lengthen(Path(f"{path}-wal"))
    except OSError as error:
        logger.info("No room was made in the write-ahead log (%s); commits are as safe, and slower at first.", error)
    finally:
        connection.execute("ROLLBACK")


def _lengthen(log: Path) -> None:
    # Closing a descriptor gives up this process's locks on the file; SQLite's are on others, never on this.
    file = os.open(log, os.O_WRONLY)
    try:
        before = length = os.fstat(file).st_size
        try:
            while length < ROOM:
                length += os.pwrite(file, _PIECE[: ROOM - length], length)
            if length > before:
                os.fdatasync(file)
        except OSError:
            os.ftruncate(file, before)
            raise
    finally:
        os.close(file)
