"""Writes that wait for one thread, and are taken by it in groups: what both engines share.

While a group is being committed the next one gathers, so that many writes share one sync. A group in
which every write is relaxed may be answered before its sync; then the sync is made ``BEHIND_S`` later at the
latest, by the next full group or for its own sake.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from stile.kernel.errors import Unavailable
from stile.store.database import Tx

T = TypeVar("T")

GROUP_LIMIT = 512
BEHIND_S = 0.03
"""The oldest relaxed write waits no longer before its sync begins."""


class Write:
    """One piece of work for the writer, and who waits for it: a thread, or a task of an event loop.

    Attributes:
        work, relaxed: as in ``Database.write``.
        future: what the caller waits for.
        loop: the event loop of a waiting task; None when a thread waits.
        result, error: the outcome, set before ``settle``.
    """

    __slots__ = ("error", "future", "loop", "relaxed", "result", "work")

    def __init__(
        self,
        work: Callable[[Tx], Any],
        relaxed: bool,
        future: Future[Any] | asyncio.Future[Any],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.work = work
        self.relaxed = relaxed
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


def settle(group: Sequence[Write]) -> None:
    """Tell everybody who waits; an event loop is woken once for all of its tasks."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Write]] = {}
    for write in group:
        if write.loop is None:
            write.settle()
        else:
            by_loop.setdefault(write.loop, []).append(write)
    for loop, writes in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle_here, writes)


def _settle_here(writes: Sequence[Write]) -> None:
    for write in writes:
        write.settle()


class Groups:
    """Takes writes from any thread and hands them out in groups, in order, to the thread in ``serve``."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._ending = threading.Lock()  # nothing is put behind the end, where nobody would take it
        self._ended = False
        self._due = 0.0  # when relaxed writes must be on the disk; 0: all are

    def put(self, write: Write) -> None:
        """Let a write wait its turn.

        Raises:
            Unavailable: ``end`` was called.
        """
        with self._ending:
            if self._ended:
                raise closed()
            self._waiting.put(write)

    def end(self) -> None:
        """Let ``serve`` return after what has been put so far."""
        with self._ending:
            self._ended = True
            self._waiting.put(None)

    def sync_behind(self) -> None:
        """Something was committed that is not synced yet; for the thread in ``serve``."""
        self._due = self._due or time.monotonic() + BEHIND_S

    def serve(self, commit: Callable[[list[Write]], None], sync: Callable[[], None]) -> None:
        """Hand groups to ``commit`` until ``end``, and call ``sync`` in time after ``sync_behind``."""
        stopping = False
        while not stopping:
            try:
                first = self._waiting.get(timeout=max(0.0, self._due - time.monotonic()) if self._due else None)
            except queue.Empty:
                self._sync(sync)
                continue
            if first is None:
                break
            group = [first]
            while len(group) < GROUP_LIMIT:
                try:
                    following = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stopping = True
                    break
                group.append(following)
            commit(group)
            if self._due and time.monotonic() >= self._due:
                self._sync(sync)
        if self._due:
            self._sync(sync)

    def _sync(self, sync: Callable[[], None]) -> None:
        self._due = 0.0
        sync()


class GroupedWrites(ABC):
    """The writing side of a ``Database``: one thread commits in groups what any thread or task asks for."""

    def __init__(self) -> None:
        self._groups = Groups()
        self._listeners: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None

    def write(self, work: Callable[[Tx], T], *, relaxed: bool = False) -> T:
        future: Future[T] = Future()
        self._groups.put(Write(work, relaxed, future))
        return future.result()

    async def awrite(self, work: Callable[[Tx], T], *, relaxed: bool = False) -> T:
        # The commit happens whether or not the caller still waits: cancelling only stops the waiting.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._groups.put(Write(work, relaxed, future, loop))
        return await future

    def on_commit(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def _begin_to_commit(self) -> None:
        """Start the thread; ``_commit_group`` and ``_sync`` are called in it."""
        self._thread = threading.Thread(
            target=self._groups.serve, args=(self._commit_group, self._sync), name="stile-write", daemon=True
        )
        self._thread.start()

    def _end_commits(self) -> None:
        """Commit what has been asked for so far, and no more."""
        self._groups.end()
        if self._thread is not None:
            self._thread.join()

    @abstractmethod
    def _commit_group(self, group: list[Write]) -> None:
        """Commit these writes, set the outcome of each, and ``settle`` them."""

    @abstractmethod
    def _sync(self) -> None:
        """Put what relaxed commits have left onto the disk."""


def closed() -> Unavailable:
    """The refusal of a store that is closed."""
    return Unavailable("The store is closed; the server is shutting down.")
