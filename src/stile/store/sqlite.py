"""The embedded engine: SQLite in WAL mode, one writer thread with group commit, a pool of readers.

Many writes that wait at the same time share one transaction and one disk sync, each inside its
own savepoint so that a failure takes back only its own rows. ``synchronous=FULL`` makes an
acknowledged write survive power loss; the sharing makes that nearly free under load.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from stile.kernel.clock import Clock, SystemClock
from stile.kernel.errors import Corrupt, Invalid, StileError, StorageFull, Unavailable
from stile.kernel.events import Event, encode_event
from stile.kernel.ids import Ids, RandomIds
from stile.store import outbox
from stile.store.database import Row, Tx
from stile.store.migrations import migrate

T = TypeVar("T")

_GROUP_LIMIT = 512
_READERS = 4
_STATEMENT_CACHE = 256
_NOT_STORABLE = (OverflowError, UnicodeEncodeError)


class SqliteTx:
    """A transaction on one apsw connection; see ``store.database.Tx`` for the promises."""

    __slots__ = ("_clock", "_connection", "_cursor", "_ids", "_now", "emitted")

    def __init__(self, connection: apsw.Connection, clock: Clock, ids: Ids) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._clock = clock
        self._ids = ids
        self._now: int | None = None
        self.emitted = False

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self._cursor.execute(sql, params).fetchall()

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        row: Row | None = self._cursor.execute(sql, params).fetchone()
        self._cursor.close()
        self._cursor = self._connection.cursor()
        return row

    def scalar(self, sql: str, params: Sequence[Any] = ()) -> Any:
        row = self.one(sql, params)
        return None if row is None else row[0]

    def run(self, sql: str, params: Sequence[Any] = ()) -> int:
        self._cursor.execute(sql, params).fetchall()
        return self._connection.changes()

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._cursor.executemany(sql, rows)

    def now_ms(self) -> int:
        if self._now is None:
            self._now = self._clock.now_ms()
        return self._now

    def new_hex(self) -> str:
        return self._ids.hex32()

    def new_id(self, prefix: str) -> str:
        return self._ids.ordered(prefix)

    def emit(self, event: Event) -> None:
        self.emitted = True
        outbox.append(self, event.name, encode_event(event))


class _Write:
    __slots__ = ("future", "relaxed", "work")

    def __init__(self, work: Callable[[Tx], Any], relaxed: bool) -> None:
        self.work = work
        self.relaxed = relaxed
        self.future: Future[Any] = Future()


class SqliteDatabase:
    """A ``Database`` in one file.

    Args:
        path: the database file; created and migrated when missing or older.
        clock, ids: sources of time and identifiers, injected for tests.

    Raises:
        Unavailable: the file cannot be opened or is locked by another program.
        Corrupt: the file is not a database, or was written by a newer Stile.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None, ids: Ids | None = None) -> None:
        self.path = path
        self._clock = clock or SystemClock()
        self._ids = ids or RandomIds(self._clock)
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[], None]] = []
        self._closed = False
        try:
            self._writer_connection = self._open(writer=True)
            migrate(SqliteTx(self._writer_connection, self._clock, self._ids), dialect="sqlite")
        except apsw.Error as error:
            raise _translated(error) from error
        self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        for _ in range(_READERS):
            self._readers.put(self._open(writer=False))
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="stile-read")
        self._thread = threading.Thread(target=self._serve_writes, name="stile-write", daemon=True)
        self._thread.start()

    def read(self, work: Callable[[Tx], T]) -> T:
        if self._closed:
            raise Unavailable("The store is closed; the server is shutting down.")
        connection = self._readers.get()
        try:
            connection.execute("BEGIN")
            try:
                return work(SqliteTx(connection, self._clock, self._ids))
            finally:
                connection.execute("ROLLBACK")
        except (apsw.Error, *_NOT_STORABLE) as error:
            raise _translated(error) from error
        finally:
            self._readers.put(connection)

    def write(self, work: Callable[[Tx], T], *, relaxed: bool = False) -> T:
        result: T = self._submit(work, relaxed).result()
        return result

    async def aread(self, work: Callable[[Tx], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read, work)

    async def awrite(self, work: Callable[[Tx], T], *, relaxed: bool = False) -> T:
        # The commit happens whether or not the caller still waits: shield it from cancellation.
        result: T = await asyncio.shield(asyncio.wrap_future(self._submit(work, relaxed)))
        return result

    def on_commit(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._pool.shutdown(wait=True)
        while not self._readers.empty():
            self._readers.get().close()
        self._writer_connection.close()

    def _submit(self, work: Callable[[Tx], Any], relaxed: bool) -> Future[Any]:
        if self._closed:
            raise Unavailable("The store is closed; the server is shutting down.")
        write = _Write(work, relaxed)
        self._queue.put(write)
        return write.future

    def _open(self, *, writer: bool) -> apsw.Connection:
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writer else 0)
        connection = apsw.Connection(str(self.path), flags=flags, statementcachesize=_STATEMENT_CACHE)
        connection.set_busy_timeout(5_000)
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-32768")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA case_sensitive_like=ON")  # as in PostgreSQL
        if not writer:
            connection.execute("PRAGMA query_only=ON")
        return connection

    def _serve_writes(self) -> None:
        stopping = False
        while not stopping:
            first = self._queue.get()
            if first is None:
                return
            group = [first]
            while len(group) < _GROUP_LIMIT:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stopping = True
                    break
                group.append(following)
            self._commit_group(group)

    def _commit_group(self, group: list[_Write]) -> None:
        connection = self._writer_connection
        outcomes: list[tuple[_Write, Any, BaseException | None]] = []
        emitted = False
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in group:
                connection.execute("SAVEPOINT one")
                tx = SqliteTx(connection, self._clock, self._ids)
                try:
                    outcomes.append((write, write.work(tx), None))
                    connection.execute("RELEASE one")
                    emitted = emitted or tx.emitted
                except (apsw.FullError, apsw.IOError):
                    raise
                except BaseException as error:  # handed to whoever asked for this write
                    outcomes.append((write, None, error))
                    connection.execute("ROLLBACK TO one")
                    connection.execute("RELEASE one")
            connection.execute("COMMIT")
        except apsw.Error as error:
            if not connection.get_autocommit():
                connection.execute("ROLLBACK")
            failure = _translated(error)
            for write in group:
                write.future.set_exception(failure)
            return
        for write, result, reason in outcomes:
            if reason is None:
                write.future.set_result(result)
            else:
                write.future.set_exception(_translated(reason))
        if emitted:
            for listener in self._listeners:
                listener()


def _translated(error: BaseException) -> BaseException:
    """The engine's error in Stile's words."""
    if isinstance(error, StileError):
        return error
    if isinstance(error, OverflowError):
        return Invalid("A number is too large: whole numbers may have 64 bits. Send a smaller one.")
    if isinstance(error, UnicodeEncodeError):
        return Invalid("A text holds half a character pair, which is not valid Unicode. Send it as UTF-8.")
    if isinstance(error, apsw.FullError):
        return StorageFull("The disk is full, so nothing was stored. Free some space and try again.")
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError | apsw.IOError):
        return Unavailable(f"The store cannot be written right now ({error}). Check the disk and its permissions.")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Unavailable("The store is in use by another program. Stop it, or try again.")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return Corrupt("The store's file is damaged or is not a Stile database. Restore the last backup.")
    return error
