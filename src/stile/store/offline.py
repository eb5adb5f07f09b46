"""Reading a database file without a server: nothing is written, no migration is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from stile.kernel.clock import SystemClock
from stile.kernel.errors import Corrupt, Unavailable
from stile.kernel.ids import RandomIds
from stile.store.database import Tx
from stile.store.sqlite import SqliteTx


@contextmanager
def read_only(file: Path) -> Iterator[Tx]:
    """One consistent view of the database in ``file``, also while a server uses it.

    Raises:
        Corrupt: the file is not a database, or its pages are damaged.
        Unavailable: it cannot be opened.
    """
    clock = SystemClock()
    try:
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.CantOpenError as error:
        raise Unavailable(f"{file.name} cannot be opened: {error}.") from error
    try:
        connection.set_busy_timeout(5000)
        with connection:
            yield SqliteTx(connection, clock, RandomIds(clock))
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise Corrupt(f"{file.name} is not an intact database: {error}.") from error
    finally:
        connection.close()
