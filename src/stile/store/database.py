"""The contract of the row store: transactions in, results out; acknowledged means durable.

Verbs and records never open connections. They receive a ``Tx`` and run named SQL on it:

    def rename(tx: Tx, run: int, name: str) -> None:
        tx.run("UPDATE runs SET name = ? WHERE id = ?", (name, run))

    await db.awrite(lambda tx: rename(tx, run, "new"))

Thread-safety: a ``Database`` may be used from any thread; a ``Tx`` belongs to the one call it
was given to and must not leave it. A write callable that raises leaves nothing behind, whatever
other writes share its commit. It may be run again by an engine that had to retry, so it
touches nothing but the ``Tx``. A write has returned only when its rows are on stable storage;
one that is declared relaxed may return up to 50 ms before that (see ``Database.write``).
SQL is written once with ``?`` placeholders for both engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from stile.kernel.events import Event

T = TypeVar("T")
Row = tuple[Any, ...]


class Tx(Protocol):
    """One transaction. Reads see one consistent state; writes see their own effect.

    Attributes:
        keys_at_once: for how many keys one statement should ask when there are many: few where a statement costs
            next to nothing, so that what is read stays at hand; more where each takes a journey.
    """

    keys_at_once: int

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Every row of the answer."""
        ...

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        """The first row, or None."""
        ...

    def scalar(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        ...

    def run(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Execute; returns the number of rows changed."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute once per row of parameters; nothing is asked back, so an engine may do it with what follows."""
        ...

    def walk_indexes(self, *, in_order: bool = False) -> None:
        """From here on, statements of this transaction are answered by indexes alone.

        An engine that plans by statistics would otherwise read and join whole tables where it takes a page of
        answers for many, or knows nothing about a table yet.

        Args:
            in_order: they begin at the end of an index that has the order asked for, so nothing is sorted.
        """
        ...

    def now_ms(self) -> int:
        """The time of this transaction: the same value however often it is asked."""
        ...

    def new_hex(self) -> str:
        """A new 32-digit hexadecimal id."""
        ...

    def new_id(self, prefix: str) -> str:
        """A new id ``prefix_...`` that sorts by time."""
        ...

    def emit(self, event: Event) -> None:
        """Record an event in the outbox, in this transaction; subscribers get it after the commit."""
        ...

    def insist_on_sync(self) -> None:
        """What this transaction does may not be lost: it is synced before its answer, also when it was relaxed."""
        ...


class Database(Protocol):
    """The row store of one installation."""

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` on a read-only snapshot, blocking.

        Raises:
            TooSlow: a statement took longer than a read's may.
        """
        ...

    def write(self, work: Callable[[Tx], T], *, relaxed: bool = False) -> T:
        """Run ``work`` in a transaction and return once it is durable, blocking.

        Args:
            work: the callable; its return value is handed back.
            relaxed: the caller accepts to be answered up to 50 ms before the disk has synced
                (survives kill -9 of this process, not power loss or a crash of PostgreSQL).
                Only tracking writes may ask for it.
        """
        ...

    async def aread(self, work: Callable[[Tx], T]) -> T:
        """``read`` without blocking the event loop. Cancelling it stops the statement that runs."""
        ...

    async def awrite(self, work: Callable[[Tx], T], *, relaxed: bool = False) -> T:
        """``write`` without blocking the event loop."""
        ...

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` (from the writer's thread; it must be quick) after commits that emitted events."""
        ...

    def close(self) -> None:
        """Finish what was accepted, then release files. Later calls raise ``Unavailable``."""
        ...
