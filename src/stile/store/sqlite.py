"""The embedded engine: SQLite in WAL mode, one writer thread with group commit, a pool of readers.

Many writes that wait at the same time share one transaction and one disk sync, each inside its
own savepoint so that a failure takes back only its own rows. ``synchronous=FULL`` makes an
acknowledged write survive power loss; the sharing makes that nearly free under load.

A group in which every write is relaxed is committed with ``synchronous=NORMAL``: its frames are in
the write-ahead log, in the care of the operating system, and are synced with the next full group
or by the writer itself, at most ``group_writes.BEHIND_S`` after the first of them. One sync of the log covers
all frames before it, so a full write is never on the disk without the relaxed ones it has seen.

Source: SQLite's documentation of ``PRAGMA synchronous``: in WAL mode NORMAL does not sync at
commits, FULL syncs the write-ahead log after each. ``tests/conformance/test_durability.py`` counts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from stile.kernel.clock import Clock, SystemClock
from stile.kernel.errors import Corrupt, StileError, StorageFull, Unavailable
from stile.kernel.ids import Ids, RandomIds
from stile.store.database import Row, Tx
from stile.store.group_writes import GroupedWrites, Write, closed, settle
from stile.store.migrations import migrate
from stile.store.reading import LIMIT_S, Reading, too_slow
from stile.store.sqlite_log import make_room
from stile.store.transaction import Transaction
from stile.store.unstorable import NOT_STORABLE, checked, checked_rows, in_words

T = TypeVar("T")

logger = logging.getLogger("stile")

_READERS = 4
_STATEMENT_CACHE = 256
_CHECK_STEPS = 20_000
"""A statement that reads is asked whether it should stop after so many steps of SQLite's machine: about 1 ms."""


class SqliteTx(Transaction):
    """A transaction on one apsw connection; see ``store.database.Tx`` for the promises."""

    __slots__ = ("_connection", "_cursor")
    keys_at_once = 100

    def __init__(self, connection: apsw.Connection, clock: Clock, ids: Ids) -> None:
        super().__init__(clock, ids)
        self._connection = connection
        self._cursor = connection.cursor()

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self._cursor.execute(sql, checked(params)).fetchall()

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        cursor = self._cursor.execute(sql, checked(params))
        row: Row | None = cursor.fetchone()
        if row is not None and cursor.fetchone() is not None:  # more rows wait: let go of the statement
            cursor.close()
            self._cursor = self._connection.cursor()
        return row

    def scalar(self, sql: str, params: Sequence[Any] = ()) -> Any:
        row = self.one(sql, params)
        return None if row is None else row[0]

    def run(self, sql: str, params: Sequence[Any] = ()) -> int:
        self._cursor.execute(sql, checked(params)).fetchall()
        return self._connection.changes()

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._cursor.executemany(sql, checked_rows(rows))

    def walk_indexes(self, *, in_order: bool = False) -> None:
        """SQLite plans so in any case."""


class _ReaderTx(SqliteTx):
    """A transaction that reads, each statement for a limited time."""

    __slots__ = ("_reading",)

    def __init__(self, connection: apsw.Connection, clock: Clock, ids: Ids, reading: Reading) -> None:
        super().__init__(connection, clock, ids)
        self._reading = reading

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        self._reading.begin_statement()
        return super().all(sql, params)

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        self._reading.begin_statement()
        return super().one(sql, params)


class _Reader:
    """A connection that reads, and for whom it does so now."""

    __slots__ = ("connection", "reading")

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.reading: Reading | None = None
        connection.set_progress_handler(self._is_over, _CHECK_STEPS)

    def _is_over(self) -> bool:
        return self.reading is not None and self.reading.is_over()


class SqliteDatabase(GroupedWrites):
    """A ``Database`` in one file.

    Args:
        path: the database file; created and migrated when missing or older.
        clock, ids: sources of time and identifiers, injected for tests.
        read_limit_s: how long one statement of a read may take.

    Raises:
        Unavailable: the file cannot be opened or is locked by another program.
        Corrupt: the file is not a database, or was written by a newer Stile.
    """

    def __init__(
        self, path: Path, *, clock: Clock | None = None, ids: Ids | None = None, read_limit_s: float = LIMIT_S
    ) -> None:
        super().__init__()
        self.path = path
        self._read_limit_s = read_limit_s
        self._clock = clock or SystemClock()
        self._ids = ids or RandomIds(self._clock)
        self._closed = False
        self._synced = True  # whether the connection syncs its commits
        self._relaxing = True
        self._log = -1
        try:
            self._writer_connection = self._open(writer=True)
            make_room(self._writer_connection, path)
            migrate(SqliteTx(self._writer_connection, self._clock, self._ids), dialect="sqlite")
        except apsw.Error as error:
            raise _translated(error) from error
        self._readers: queue.LifoQueue[_Reader] = queue.LifoQueue()  # the one used last has the pages at hand
        for _ in range(_READERS):
            self._readers.put(_Reader(self._open(writer=False)))
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="stile-read")
        self._begin_to_commit()

    def read(self, work: Callable[[Tx], T]) -> T:
        return self._read(work, Reading(self._read_limit_s))

    async def aread(self, work: Callable[[Tx], T]) -> T:
        reading = Reading(self._read_limit_s)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work, reading)
        except asyncio.CancelledError:
            reading.leave()
            raise

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._end_commits()
        self._pool.shutdown(wait=True)
        while not self._readers.empty():
            self._readers.get().connection.close()
        self._writer_connection.close()
        if self._log >= 0:
            os.close(self._log)

    def _read(self, work: Callable[[Tx], T], reading: Reading) -> T:
        if self._closed:
            raise closed()
        reader = self._readers.get()
        connection = reader.connection
        try:
            connection.execute("BEGIN")
            try:
                reader.reading = reading
                return work(_ReaderTx(connection, self._clock, self._ids, reading))
            finally:
                reader.reading = None
                connection.execute("ROLLBACK")
        except apsw.InterruptError as error:
            raise too_slow(self._read_limit_s) from error
        except (apsw.Error, *NOT_STORABLE) as error:
            raise _translated(error) from error
        finally:
            self._readers.put(reader)

    def _open(self, *, writer: bool) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writer else 0)
        connection = apsw.Connection(str(self.path), flags=flags, statementcachesize=_STATEMENT_CACHE)
        connection.set_busy_timeout(5_000)
        # Plans never depend on bound values: otherwise many statements are planned anew at every execution.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-32768")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA case_sensitive_like=ON")  # as in PostgreSQL
        if not writer:
            connection.execute("PRAGMA query_only=ON")
        return connection

    def _commit_group(self, group: list[Write]) -> None:
        connection = self._writer_connection
        relaxed = self._relaxing and all(write.relaxed for write in group)
        done = _Done()
        try:
            done = self._run_group(group, relaxed=relaxed)
            if relaxed and done.must_sync:
                connection.execute("ROLLBACK")
                for write in group:
                    write.error = None
                done = self._run_group(group, relaxed=False)
            if not connection.get_autocommit():
                connection.execute("COMMIT")
        except apsw.Error as error:
            done.emitted = False
            if not connection.get_autocommit():
                connection.execute("ROLLBACK")
            failure = _translated(error)
            for write in group:
                write.error = failure
        if relaxed:
            self._groups.sync_behind()
        settle(group)
        if done.emitted:
            for listener in self._listeners:
                listener()

    def _run_group(self, group: list[Write], *, relaxed: bool) -> _Done:
        """Begin a transaction and run the group in it."""
        connection = self._writer_connection
        if relaxed is self._synced:  # may not be changed inside a transaction
            connection.execute("PRAGMA synchronous=NORMAL" if relaxed else "PRAGMA synchronous=FULL")
            self._synced = not relaxed
        connection.execute("BEGIN IMMEDIATE")
        return self._run_alone(group[0]) if len(group) == 1 else self._run_each(group)

    def _run_alone(self, write: Write) -> _Done:
        """Run the only write of a group; it has the whole transaction to itself."""
        tx = SqliteTx(self._writer_connection, self._clock, self._ids)
        try:
            write.result = write.work(tx)
        except (apsw.FullError, apsw.IOError):
            raise
        except BaseException as error:  # handed to whoever asked for this write
            write.error = _translated(error) if isinstance(error, (apsw.Error, *NOT_STORABLE)) else error
            if not self._writer_connection.get_autocommit():
                self._writer_connection.execute("ROLLBACK")
            return _Done()
        return _Done(tx.emitted, tx.must_sync)

    def _run_each(self, group: list[Write]) -> _Done:
        """Run each write inside a savepoint of its own."""
        connection = self._writer_connection
        execute = connection.cursor().execute
        done = _Done()
        for write in group:
            execute("SAVEPOINT one")
            tx = SqliteTx(connection, self._clock, self._ids)
            try:
                write.result = write.work(tx)
                execute("RELEASE one")
                done.emitted = done.emitted or tx.emitted
                done.must_sync = done.must_sync or tx.must_sync
            except (apsw.FullError, apsw.IOError):
                raise
            except BaseException as error:  # handed to whoever asked for this write
                write.error = _translated(error) if isinstance(error, (apsw.Error, *NOT_STORABLE)) else error
                execute("ROLLBACK TO one")
                execute("RELEASE one")
        return done

    def _sync(self) -> None:
        """Put what relaxed commits have left in the write-ahead log onto the disk."""
        try:
            if self._log < 0:
                self._log = os.open(f"{self.path}-wal", os.O_RDONLY)
            os.fsync(self._log)
        except OSError as error:
            self._relaxing = False  # from now on SQLite syncs every commit, and tells every caller
            logger.error("The disk did not sync (%s): writes are no longer relaxed, the last may be lost.", error)


class _Done:
    """What the writes of a group that stay have done."""

    __slots__ = ("emitted", "must_sync")

    def __init__(self, emitted: bool = False, must_sync: bool = False) -> None:
        self.emitted = emitted
        self.must_sync = must_sync


def _translated(error: BaseException) -> BaseException:
    """The engine's error in Stile's words."""
    if isinstance(error, StileError):
        return error
    if isinstance(error, NOT_STORABLE):
        return in_words(error)
    if isinstance(error, apsw.FullError):
        return StorageFull("The disk is full, so nothing was stored. Free some space and try again.")
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError | apsw.IOError):
        return Unavailable(f"The store cannot be written right now ({error}). Check the disk and its permissions.")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Unavailable("The store is in use by another program. Stop it, or try again.")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return Corrupt("The store's file is damaged or is not a Stile database. Restore the last backup.")
    return error
