"""The engine for many servers: PostgreSQL, one order of commits, group commit, a pool of readers.

The invariant. All writes of an installation, from whichever server process, happen one
transaction after the other: each transaction first takes the store's write lock (an advisory
lock that PostgreSQL releases after the commit has become visible). It follows that

- a verb sees everything earlier writes did, as on SQLite: what it checks still holds when it commits;
- the ledger's positions follow each other without a gap, whoever appends;
- the outbox's positions become visible in their own order: a reader that has seen position 7 will
  never later see a 6.

The lock is held for one group of writes: all that waited in this process share one transaction
and one sync. When one of them fails after it has written, the group is run again with each write
inside its own savepoint, so that a failure takes back only its own rows. The lock queue is fair,
so several servers take turns.

A statement of which nothing is asked back (``Tx.many``) waits and is sent together with the next one
whose answer is needed, also one of the next write of the group, or with the commit: a round trip
costs more than most statements.

Nothing is guessed when a connection breaks during a commit. Every transaction leaves its number
in the row of its writer (``store_writers``); a new connection takes the write lock, which waits
for whatever is left of the old transaction, and reads whether the number has arrived.

A group in which every write is relaxed is committed without waiting for PostgreSQL's sync. The next
waiting commit, which the writer itself makes at most ``group_writes.BEHIND_S`` later, covers all before it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg

from stile.kernel.clock import Clock, SystemClock
from stile.kernel.errors import Invalid, StileError, Unavailable
from stile.kernel.ids import Ids, RandomIds
from stile.kernel.settings import without_secrets
from stile.store.database import Tx
from stile.store.group_writes import GroupedWrites, Write, closed, settle
from stile.store.migrations import migrate
from stile.store.postgres_connection import (
    AGAIN,
    Connection,
    check_server,
    connect,
    in_our_words,
    is_lost,
)
from stile.store.postgres_tx import PostgresTx
from stile.store.reading import LIMIT_S, Reading, too_slow
from stile.store.unstorable import NOT_STORABLE

T = TypeVar("T")

_READERS = 4
_LOCK = 7_070_000_001
_CHANNEL = "stile_events"
_RECONNECT_S = 10.0
_FORGET_WRITERS_MS = 30 * 86_400_000
_WRITER_SESSION = """
SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s';
SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
_READER_SESSION = """
SET statement_timeout = {limit_ms}; SET idle_in_transaction_session_timeout = '60s';
SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on
"""
_WRITERS_TABLE = (
    "CREATE TABLE IF NOT EXISTS store_writers "
    "(writer TEXT PRIMARY KEY, number BIGINT NOT NULL, at BIGINT NOT NULL) WITH (fillfactor = 50)"
)

_MARK = (
    "INSERT INTO store_writers VALUES ($1, $2, $3) "
    "ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"
)


@contextmanager
def read_only(url: str) -> Iterator[Tx]:
    """One consistent view of the database at ``url``, without a server: nothing is written, no migration is run.

    Raises:
        Unavailable: it cannot be reached.
        Invalid: the address, the user or the database cannot be used, or it holds no store.
    """
    clock = SystemClock()
    connection = connect(url, session=_READER_SESSION.format(limit_ms=0))
    try:
        connection.execute("BEGIN")
        yield PostgresTx(connection, clock, RandomIds(clock))
    except psycopg.errors.UndefinedTable as error:
        raise Invalid(f"{without_secrets(url)} is no store of a Stile server: it lacks its tables.") from error
    except psycopg.Error as error:
        raise in_our_words(error) from error
    finally:
        connection.close()


class _RunAgain(Exception):
    """The group left nothing behind, for a reason that may not come twice."""


class _RunApart(Exception):
    """A write of the group failed after it had written: each needs a savepoint of its own."""


class _Outcomes:
    """What became of the writes of one group."""

    def __init__(self, ending: PostgresTx) -> None:
        self.ending = ending
        self.results: list[tuple[Write, Any, BaseException | None]] = []
        self.emitted = False
        self.must_sync = False
        self.relaxed = False
        self.wrote = False


class PostgresDatabase(GroupedWrites):
    """A ``Database`` in PostgreSQL, shared with every other server of the installation.

    Args:
        url: ``postgresql://user:password@host:port/database``; the database exists, its tables need not.
        clock, ids: sources of time and identifiers, injected for tests.
        reconnect_s: how long a write or read waits for a server that went away.
        read_limit_s: how long one statement of a read may take.

    Raises:
        Unavailable: it cannot be reached.
        Invalid: the address, the user or the database cannot be used; says why.
        Corrupt: the tables were written by a newer Stile.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        reconnect_s: float = _RECONNECT_S,
        read_limit_s: float = LIMIT_S,
    ) -> None:
        super().__init__()
        self._url = url
        self._read_limit_s = read_limit_s
        self._reader_session = _READER_SESSION.format(limit_ms=round(read_limit_s * 1000))
        self._clock = clock or SystemClock()
        self._ids = ids or RandomIds(self._clock)
        self._reconnect_s = reconnect_s
        self._closed = False
        self._name = RandomIds(SystemClock()).hex32()  # of this writer; never shared, also not in tests with fixed ids
        self._number = 0
        self._writer: Connection | None = None
        self._writer_pid = 0
        self._prepare()
        self._readers: queue.LifoQueue[Connection | None] = queue.LifoQueue()  # the one used last has its plans at hand
        for _ in range(_READERS):
            self._readers.put(None)  # opened when first needed
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="stile-read")
        self._begin_to_commit()
        self._hearing = threading.Event()
        self._ear = threading.Thread(target=self._listen, name="stile-listen", daemon=True)
        self._ear.start()

    def read(self, work: Callable[[Tx], T]) -> T:
        return self._read(work, Reading(self._read_limit_s))

    def _read(self, work: Callable[[Tx], T], reading: Reading) -> T:
        if self._closed:
            raise closed()
        connection = self._readers.get()
        try:
            while True:
                fresh = connection is None
                if connection is None:
                    connection = connect(self._url, session=self._reader_session, wait_s=self._reconnect_s)
                try:
                    if not reading.running(connection.cancel):
                        raise too_slow(self._read_limit_s)
                    try:
                        return self._read_on(connection, work)
                    finally:
                        reading.running(None)
                except psycopg.errors.QueryCanceled as error:
                    raise too_slow(self._read_limit_s) from error
                except psycopg.Error as error:
                    if not is_lost(connection, error):
                        raise in_our_words(error) from error
                    connection.close()
                    connection = None
                    if fresh:  # once on a kept connection, once on a new one
                        raise in_our_words(error) from error
                except NOT_STORABLE as error:
                    raise in_our_words(error) from error
        finally:
            self._readers.put(connection)

    async def aread(self, work: Callable[[Tx], T]) -> T:
        reading = Reading(self._read_limit_s)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work, reading)
        except asyncio.CancelledError:
            # asking PostgreSQL to stop takes a connection of its own: not in the loop's thread
            threading.Thread(target=reading.leave, name="stile-cancel", daemon=True).start()
            raise

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._end_commits()
        self._pool.shutdown(wait=True)
        if self._writer is not None:
            try:
                self._writer.execute(f"DELETE FROM store_writers WHERE writer = '{self._name}'; NOTIFY {_CHANNEL}")
            except psycopg.Error:
                self._hearing.set()  # the row is forgotten after a month, the ear stops by itself
            self._writer.close()
        self._ear.join(2)
        for _ in range(_READERS):
            connection = self._readers.get()
            if connection is not None:
                connection.close()

    def _prepare(self) -> None:
        """Open the writer and bring the tables up to date. Servers that start together take turns."""
        connection = self._open_writer(wait_s=0.0)
        try:
            check_server(connection)
            connection.execute("SET statement_timeout = 0")  # an index over many rows takes its time
            connection.execute(f"SELECT pg_advisory_lock({_LOCK})")
            tx = PostgresTx(connection, self._clock, self._ids)
            tx.run(_WRITERS_TABLE)
            tx.run("DELETE FROM store_writers WHERE at < ?", (self._clock.now_ms() - _FORGET_WRITERS_MS,))
            migrate(tx, dialect="postgres")
            connection.execute(f"SELECT pg_advisory_unlock({_LOCK}); {_WRITER_SESSION}")
        except BaseException as error:
            connection.close()
            raise in_our_words(error) from error

    def _open_writer(self, *, wait_s: float) -> Connection:
        connection = self._writer = connect(self._url, session=_WRITER_SESSION, wait_s=wait_s)
        self._writer_pid = connection.info.backend_pid
        return connection

    def _read_on(self, connection: Connection, work: Callable[[Tx], T]) -> T:
        connection.execute("BEGIN")
        tx = PostgresTx(connection, self._clock, self._ids)
        try:
            result = work(tx)
            tx.flush()  # a reader that tried to write is told so
            return result
        finally:
            if not connection.closed and not connection.broken:
                connection.execute("ROLLBACK")

    def _commit_group(self, group: list[Write]) -> None:
        try:
            outcomes = self._outcomes(group)
        except BaseException as error:  # handed to whoever waits: the writer itself goes on
            failure = in_our_words(error.__cause__ or error if isinstance(error, _RunAgain) else error)
            for write in group:
                write.error = failure
            settle(group)
            return
        for write, result, reason in outcomes.results:
            write.result, write.error = result, None if reason is None else in_our_words(reason)
        settle(group)
        if outcomes.emitted:
            self._tell()

    def _outcomes(self, group: list[Write]) -> _Outcomes:
        """Run the group until it is stored: once more after a break, once more when one of it fails."""
        apart = again = False
        while True:
            try:
                return self._attempt(group, apart=apart)
            except _RunApart:
                apart = True
            except _RunAgain:
                if again:
                    raise
                again = True

    def _attempt(self, group: list[Write], *, apart: bool) -> _Outcomes:
        """Run the group in one transaction, with ``apart`` each write inside a savepoint.

        Raises:
            _RunAgain: nothing was stored; a second attempt may do better.
            _RunApart: nothing was stored; a second attempt with ``apart`` will do better.
            Unavailable: PostgreSQL is away, or it is unknown whether the group was stored.
        """
        connection = self._writer or self._open_writer(wait_s=self._reconnect_s)
        try:
            outcomes = self._run(connection, group, apart=apart)
        except psycopg.Error as error:
            if is_lost(connection, error):
                self._drop_writer()
                raise _RunAgain from error
            self._drop_writer()
            if isinstance(error, AGAIN):
                raise _RunAgain from error
            raise
        if not outcomes.wrote:
            self._end_without_rows(connection)
            return outcomes
        self._number += 1
        try:
            outcomes.ending.flush(then=self._ending(outcomes))
        except (psycopg.Error, *NOT_STORABLE) as error:
            if not is_lost(connection, error):
                self._drop_writer()
                if isinstance(error, AGAIN):
                    raise _RunAgain from error
                if len(group) > 1 and not apart:
                    raise _RunApart from error
                raise
            self._drop_writer()
            if not self._arrived(self._number):
                raise _RunAgain from error
        if outcomes.relaxed:
            self._groups.sync_behind()
        return outcomes

    def _sync(self) -> None:
        """Wait for PostgreSQL's disk once, for all relaxed commits so far."""
        self._commit_group([Write(_touch, False, Future())])

    def _run(self, connection: Connection, group: list[Write], *, apart: bool) -> _Outcomes:
        alone = len(group) == 1
        apart = apart and not alone
        waiting: list[tuple[str, Sequence[Any]]] | None = None if apart else []
        outcomes = _Outcomes(PostgresTx(connection, self._clock, self._ids, waiting))
        beginning = f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK})"
        outcomes.relaxed = all(write.relaxed for write in group)
        if outcomes.relaxed:
            beginning += "; SET LOCAL synchronous_commit = off"
        connection.execute(f"{beginning}; SAVEPOINT one" if apart else beginning)
        for write in group:
            tx = PostgresTx(connection, self._clock, self._ids, waiting)
            try:
                result = write.work(tx)
                if apart:
                    tx.flush(then=(("RELEASE one", ()), ("SAVEPOINT one", ())))
            except BaseException as error:  # handed to whoever asked for this write
                if isinstance(error, psycopg.Error) and (is_lost(connection, error) or isinstance(error, AGAIN)):
                    raise
                if apart:
                    connection.execute("ROLLBACK TO one")
                elif not alone and (tx.wrote or tx.broken or isinstance(error, psycopg.Error)):
                    self._drop_writer()
                    raise _RunApart from error
                elif tx.broken:
                    self._drop_writer()
                outcomes.results.append((write, None, error))
                continue
            outcomes.results.append((write, result, None))
            outcomes.emitted = outcomes.emitted or tx.emitted
            outcomes.must_sync = outcomes.must_sync or tx.must_sync
            outcomes.wrote = outcomes.wrote or tx.wrote
        return outcomes

    def _ending(self, outcomes: _Outcomes) -> list[tuple[str, Sequence[Any]]]:
        ending: list[tuple[str, Sequence[Any]]] = [(_MARK, (self._name, self._number, self._clock.now_ms()))]
        if outcomes.relaxed and outcomes.must_sync:
            ending.append(("SET LOCAL synchronous_commit = on", ()))
        if outcomes.emitted:
            ending.append((f"NOTIFY {_CHANNEL}", ()))
        return [*ending, ("COMMIT", ())]

    def _end_without_rows(self, connection: Connection) -> None:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:  # nothing was to be kept; the next write opens a new connection
            self._drop_writer()

    def _arrived(self, number: int) -> bool:
        """Whether the transaction with this number was committed; asked after its connection broke."""
        try:
            connection = self._open_writer(wait_s=self._reconnect_s)
            connection.execute(f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK})")
            found = PostgresTx(connection, self._clock, self._ids).scalar(
                "SELECT number FROM store_writers WHERE writer = ?", (self._name,)
            )
            connection.execute("ROLLBACK")
        except (psycopg.Error, StileError) as error:
            self._drop_writer()
            raise Unavailable(
                "PostgreSQL went away during a commit and has not come back: it is not known whether the last write "
                "was stored. Look before you send it again.",
                outcome="unknown",
            ) from error
        return bool(found == number)

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _listen(self) -> None:
        """Wake the listeners for commits of other servers, and once after every break, as some may have been missed."""
        while not self._closed:
            try:
                with connect(self._url, session=f"LISTEN {_CHANNEL}") as connection:
                    self._tell()
                    while not self._closed and not connection.closed:
                        for notice in connection.notifies(timeout=30.0, stop_after=1):
                            if notice.pid != self._writer_pid:  # our own commits were told by the writer
                                self._tell()
            except (psycopg.Error, StileError):
                self._hearing.wait(0.3)


def _touch(tx: Tx) -> None:
    """Change nothing but the row of this writer, which every commit changes."""
    tx.run("DELETE FROM store_writers WHERE writer = ''")
