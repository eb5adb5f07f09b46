"""The embedded engine: SQLite in WAL mode, one writer thread with group commit, a pool of readers.

Many writes that wait at the same time share one transaction and one disk sync, each inside its
own savepoint so that a failure takes back only its own rows. ``synchronous=FULL`` makes an
acknowledged write survive power loss; the sharing makes that nearly free under load.
"""

from __future__ import annotations

import asyncio
import contextlib
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
        cursor = self._cursor.execute(sql, params)
        row: Row | None = cursor.fetchone()
        if row is not None and cursor.fetchone() is not None:  # more rows wait: let go of the statement
            cursor.close()
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
    """One piece of work for the writer, and who waits for it: a thread, or a task of an event loop."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(
        self,
        work: Callable[[Tx], Any],
        future: Future[Any] | asyncio.Future[Any],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.work = work
        self.future = future
        self.loop = loop
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Hand over the outcome; in the loop's thread when a task waits, who may have been cancelled meanwhile."""
        if self.future.cancelled():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


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

    def write(self, work: Callable[[Tx], T], *, relaxed: bool = False) -> T:  # noqa: ARG002  every write is synced
        future: Future[T] = Future()
        self._submit(_Write(work, future))
        return future.result()

    async def aread(self, work: Callable[[Tx], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read, work)

    async def awrite(self, work: Callable[[Tx], T], *, relaxed: bool = False) -> T:  # noqa: ARG002  the same
        # The commit happens whether or not the caller still waits: cancelling only stops the waiting.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._submit(_Write(work, future, loop))
        return await future

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

    def _submit(self, write: _Write) -> None:
        if self._closed:
            raise Unavailable("The store is closed; the server is shutting down.")
        self._queue.put(write)

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
        try:
            connection.execute("BEGIN IMMEDIATE")
            emitted = self._run_alone(group[0]) if len(group) == 1 else self._run_each(group)
            if not connection.get_autocommit():
                connection.execute("COMMIT")
        except apsw.Error as error:
            emitted = False
            if not connection.get_autocommit():
                connection.execute("ROLLBACK")
            failure = _translated(error)
            for write in group:
                write.error = failure
        _settle(group)
        if emitted:
            for listener in self._listeners:
                listener()

    def _run_alone(self, write: _Write) -> bool:
        """Run the only write of a group; it has the whole transaction to itself. Says whether it emitted events."""
        tx = SqliteTx(self._writer_connection, self._clock, self._ids)
        try:
            write.result = write.work(tx)
        except (apsw.FullError, apsw.IOError):
            raise
        except BaseException as error:  # handed to whoever asked for this write
            write.error = _translated(error) if isinstance(error, (apsw.Error, *_NOT_STORABLE)) else error
            if not self._writer_connection.get_autocommit():
                self._writer_connection.execute("ROLLBACK")
            return False
        return tx.emitted

    def _run_each(self, group: list[_Write]) -> bool:
        """Run each write inside a savepoint of its own. Says whether any that stays has emitted events."""
        connection = self._writer_connection
        execute = connection.cursor().execute
        emitted = False
        for write in group:
            execute("SAVEPOINT one")
            tx = SqliteTx(connection, self._clock, self._ids)
            try:
                write.result = write.work(tx)
                execute("RELEASE one")
                emitted = emitted or tx.emitted
            except (apsw.FullError, apsw.IOError):
                raise
            except BaseException as error:  # handed to whoever asked for this write
                write.error = _translated(error) if isinstance(error, (apsw.Error, *_NOT_STORABLE)) else error
                execute("ROLLBACK TO one")
                execute("RELEASE one")
        return emitted


def _settle(group: Sequence[_Write]) -> None:
    """Tell everybody who waits; an event loop is woken once for all of its tasks."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
    for write in group:
        if write.loop is None:
            write.settle()
        else:
            by_loop.setdefault(write.loop, []).append(write)
    for loop, writes in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle_here, writes)


def _settle_here(writes: Sequence[_Write]) -> None:
    for write in writes:
        write.settle()


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
