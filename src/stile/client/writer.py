"""Points on their way to the server, in the background: the training loop never waits for the network.

``put`` returns at once. A thread sends what has come together, and keeps trying while the server is
away; points are never dropped for that. A point that is sent twice is stored once, so a server that
was killed in the middle costs nothing. Memory is bounded: what is too much waits in a file while the
server is away, and ``put`` waits when the server is there but slower than the loop.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
import weakref
from array import array
from collections.abc import Callable

from stile.client.kept import KeptFile
from stile.client.waiting import POINTS_PER_CALL, Part, Waiting, size
from stile.kernel.errors import Conflict, Invalid, StileError, StorageFull, TooLarge, TooMany, Unavailable

Send = Callable[[Part], None]
"""Sends series in columns and returns when they are stored."""

Told = Callable[[str], None]

MOST_WAITING = 1_000_000
_TOGETHER_S = 0.1
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_SILENT_S = 10.0
_WRITERS: weakref.WeakSet[PointWriter] = weakref.WeakSet()
_AWAY = (Unavailable, StorageFull, TooMany)
_UNFIT = (Invalid, TooLarge)


def tell(message: str) -> None:
    """Say something to whoever watches the program."""
    print(f"stile: {message}", file=sys.stderr)


class PointWriter:
    """Sends the points of one run from a thread of its own, which starts with the first point.

    Args:
        send: stores a piece; raises ``Unavailable`` when the server is away.
        most: points that may wait in memory.
        kept: takes what is too much while the server is away, and what could not be sent when the program ends.
        told: called with what the user should know; may be replaced.
        begins: called when the thread starts, once in every process that has points.
    """

    def __init__(
        self, send: Send, *, most: int = MOST_WAITING, kept: KeptFile | None = None, told: Told = tell,
        begins: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._begins = begins
        self._send = send
        self._most = most
        self._kept = kept
        self.told = told
        self.after_fork()
        _WRITERS.add(self)

    def after_fork(self) -> None:
        """Nothing waits and no thread runs: at first, and in a forked child, where what waited is its parent's."""
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting = Waiting()
        self._sending: list[Part] = []
        self._in_flight = 0
        self._room = self._most
        self._in_file = 0
        self._closing = False
        self._give_up_at = math.inf
        self._refused: list[StileError] = []
        self._said: set[str] = set()
        self._away_since = math.inf
        self._running = False

    def put(self, key: str, value: float, step: int, at: int) -> None:
        """Take one point; ``at`` in ms since 1970 UTC.

        Raises:
            Conflict: the writer was closed.
            TypeError, ValueError, OverflowError: the value is no number or the step no 64-bit whole one.
        """
        with self._lock:  # the lock itself: entering a condition costs as much as all the rest
            waiting = self._waiting
            if waiting.count >= self._room:
                self._hold_back()
                waiting = self._waiting
            columns = waiting.series.get(key)
            if columns is None:
                if not isinstance(key, str):
                    raise TypeError("a metric's name is text")
                columns = waiting.series[str(key)] = (array("q"), array("q"), array("d"))
            at_column, step_column, value_column = columns
            number = float(value)
            try:
                step_column.append(step)
                at_column.append(at)
                value_column.append(number)
                waiting.count += 1
            except BaseException:  # Ctrl-C in the middle, or a step that is no 64-bit number
                waiting.level()
                raise
            if waiting.count == 1:
                self._wake()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything put so far is stored; False when that took longer.

        Raises:
            StileError: the server has refused points; says why.
        """
        with self._changed:
            done = self._changed.wait_for(lambda: not self._unsent, timeout_s)
            self._raise_refused()
        return done

    def close(self, timeout_s: float = 60.0, *, at_most_s: float | None = None) -> int:
        """Send what waits and end. What the server could not take goes to the file; how many points that were.

        Args:
            timeout_s: how long a server that is away is waited for.
            at_most_s: how long this may take altogether, when it matters.

        Raises:
            StileError: the server has refused points; says why.
        """
        patience = timeout_s + 60.0 if at_most_s is None else at_most_s
        with self._changed:  # waited for by a condition: it lets go of the lock however often this thread holds it
            self._closing = True
            self._room = 0
            self._give_up_at = time.monotonic() + timeout_s
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: not self._running, patience)
            finally:  # also when that is interrupted
                left = [*self._sending, *self._waiting.parts()]
                self._sending, self._waiting, self._in_flight = [], Waiting(), 0
                count = self._in_file + sum(map(size, left))
                if count:
                    self._leave_behind(left, count)
        self._raise_refused()
        return count

    def park(self, seconds: float) -> None:
        """Wait without holding the lock, however often this thread holds it."""
        with self._changed:
            self._changed.wait(seconds)

    def _raise_refused(self) -> None:
        if self._refused:
            raise self._refused.pop(0)

    @property
    def _unsent(self) -> int:
        return self._waiting.count + self._in_flight + self._in_file

    def _hold_back(self) -> None:
        """Wait for room; refuse what comes after the end."""
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._waiting.count < self._room or self._closing)
        if self._closing:
            raise Conflict(
                "The run has ended here, so nothing more can be logged to it. Log before it ends, or go on "
                "with it: Client().resume(run_id)"
            )

    def _wake(self) -> None:
        if not self._running:
            self._running = True
            self._begins()
            threading.Thread(target=self._run, name="stile-points", daemon=True).start()
        self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._take():
                parts = self._sending
                while parts and self._patiently(parts[0]):
                    with self._changed:
                        self._landed(parts)
                if parts or not self._send_file():
                    return
        finally:
            with self._changed:
                self._running = False
                self._changed.notify_all()

    def _take(self) -> bool:
        """Take what waits, after a moment for more to come together; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting.count or self._closing)
            if not self._closing:
                # a moment for more to come together; a close ends it
                self._changed.wait_for(lambda: self._closing or self._waiting.count >= POINTS_PER_CALL, _TOGETHER_S)
            taken, self._waiting = self._waiting, Waiting()
            self._in_flight = taken.count
            self._make_room()
        if not taken.count:
            return False
        self._sending = list(taken.parts())
        return True

    def _landed(self, parts: list[Part]) -> None:
        if not parts:  # whoever closed has lost patience and kept it
            return
        self._in_flight -= size(parts.pop(0))
        self._make_room()

    def _make_room(self) -> None:
        self._room = 0 if self._closing else max(self._most - self._in_flight, 1)
        self._changed.notify_all()

    def _patiently(self, part: Part) -> bool:
        """Send a piece, however long the server is away; False when that was given up."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                self._send(part)
            except _UNFIT as error:
                return self._narrow(part, error)
            except Exception as error:  # whatever it is, the points are not to blame, and stay
                if not self._rest(error, pause):
                    return False
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            else:
                self._back()
                return True

    def _rest(self, error: Exception, pause: float) -> bool:
        """Wait before the next try; False when there shall be none."""
        now = time.monotonic()
        away = isinstance(error, _AWAY)
        self._away_since = min(self._away_since, now)
        if not away or now - self._away_since > _SILENT_S:
            why = error.message if isinstance(error, StileError) else f"{type(error).__name__}: {error}"
            self._say_once(f"points wait, because they cannot be sent now: {why}")
        full = Waiting()
        with self._changed:
            if self._closing and (not away or now >= self._give_up_at):
                return False
            self._changed.wait_for(
                lambda: self._closing or self._is_full(), min(pause, max(self._give_up_at - now, 0.0))
            )
            if self._closing:
                self._changed.wait(min(pause, max(self._give_up_at - time.monotonic(), 0.0)))
            elif self._is_full():
                full, self._waiting = self._waiting, full
                self._in_file += full.count
                self._make_room()
        if full.count and self._kept is not None:
            self._say_once(f"so much waits that it is kept in {self._kept.path} until the server takes points again.")
            self._kept.add(full.parts())
        return True

    def _is_full(self) -> bool:
        return self._kept is not None and self._waiting.count >= self._room

    def _send_file(self) -> bool:
        """Send what went to the file while the server was away; False when that was given up."""
        if not self._in_file or self._kept is None:
            return True
        for part in self._kept.parts():
            if not self._patiently(part):
                return False
        self._kept.forget()
        with self._changed:
            self._in_file = 0
            self._changed.notify_all()
        return True

    def _back(self) -> None:
        if self._away_since < math.inf:
            self._away_since = math.inf
            if self._said:
                self.told("points are sent again.")
                self._said.clear()

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self.told(message)

    def _narrow(self, part: Part, error: StileError) -> bool:
        """A refused piece: its series go one by one, so that one unusable name costs no other metric."""
        if len(part) == 1:
            (key,) = part
            with self._changed:
                self._refused.append(error)
            self._say_once(f"points of {key[:80]!r} are refused: {error.message}")
            return True
        return all(self._patiently({key: columns}) for key, columns in part.items())

    def _leave_behind(self, left: list[Part], count: int) -> None:
        if self._kept is None:
            self.told(f"{count} points could not be sent: the server does not take them.")
            return
        if left:
            self._kept.add(left)
        self.told(
            f"{count} points could not be sent and are kept in {self._kept.path}. "
            f"Client().send_kept({str(self._kept.folder)!r}) sends them once the server takes them."
        )


def _after_fork() -> None:
    for writer in list(_WRITERS):
        writer.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
