"""One consistent copy of a SQLite file that others go on writing to.

Source: SQLite's online backup API; copied in one pass in WAL mode, readers and writers do not wait.
"""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from stile.kernel.errors import Corrupt, StorageFull, Unavailable


def copy_database(file: Path, target: Path) -> None:
    """Copy the database in ``file`` as it is at one moment to the new file ``target``, synced to disk.

    Raises:
        Unavailable: it cannot be opened.
        Corrupt: it is not an intact database.
        StorageFull: no room for the copy.
    """
    try:
        source = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        copy = apsw.Connection(str(target))
    except apsw.CantOpenError as error:
        raise Unavailable(f"{file.name} cannot be copied: {error}.") from error
    try:
        source.set_busy_timeout(30_000)
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(-1)
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise Corrupt(f"{file.name} is not an intact database: {error}.") from error
    except apsw.FullError as error:
        raise StorageFull("There is no room for the backup. Free some space and try again.") from error
    finally:
        copy.close()
        source.close()
    with target.open("rb") as written:
        os.fsync(written.fileno())


def is_intact(file: Path) -> bool:
    """Whether every page of a database holds together (``PRAGMA integrity_check``)."""
    try:
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()
    except apsw.Error:
        return False


def counts(file: Path) -> dict[str, int]:
    """Rows of every table of a database."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
        ).fetchall()
        found: dict[str, int] = {}
        for (name,) in tables:
            ((count,),) = connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchall()
            assert isinstance(count, int)
            found[str(name)] = count
        return found
    finally:
        connection.close()
