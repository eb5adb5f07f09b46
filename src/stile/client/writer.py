"""Points on their way to the server, in the background: the training loop never waits for the network.

``put`` returns at once. A thread sends what has come together, and keeps trying while the server is
away; points are never dropped for that. A point that is sent twice is stored once, so a server that
was killed in the middle costs nothing. When very much is waiting, ``put`` waits too: memory is bounded.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stile.kernel.errors import StileError, StorageFull, TooMany, Unavailable

Send = Callable[[dict[str, dict[str, list[Any]]]], None]
"""Sends series in columns ({key: {at, step, value}}) and returns when they are stored."""

POINTS_PER_CALL = 10_000
MOST_WAITING = 1_000_000
_TOGETHER_S = 0.1
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LARGEST = sys.float_info.max
_WRITERS: weakref.WeakSet[PointWriter] = weakref.WeakSet()
_AWAY = (Unavailable, StorageFull, TooMany)


class _Waiting:
    """Points of several series, in columns."""

    __slots__ = ("count", "series")

    def __init__(self) -> None:
        self.series: dict[str, tuple[array[int], array[int], array[float]]] = {}
        self.count = 0

    def parts(self) -> Iterator[dict[str, dict[str, list[Any]]]]:
        """The points in pieces small enough for one call."""
        part: dict[str, dict[str, list[Any]]] = {}
        room = POINTS_PER_CALL
        for key, (at, step, value) in self.series.items():
            start = 0
            while start < len(at):
                end = min(len(at), start + room)
                part[key] = {
                    "at": at[start:end].tolist(),
                    "step": step[start:end].tolist(),
                    "value": [_plain(number) for number in value[start:end]],
                }
                room -= end - start
                start = end
                if not room:
                    yield part
                    part, room = {}, POINTS_PER_CALL
        if part:
            yield part


class PointWriter:
    """Sends the points of one run from a thread of its own.

    Args:
        send: stores a piece; raises ``Unavailable`` when the server is away.
        most: points that may wait; ``put`` waits beyond that.
        spill: file that takes what could not be sent when the program has to end.
    """

    def __init__(self, send: Send, *, most: int = MOST_WAITING, spill: Path | None = None) -> None:
        self._send = send
        self._most = most
        self._spill = spill
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting = _Waiting()
        self._in_flight = 0
        self._closing = False
        self._give_up_at = math.inf
        self._refused: list[StileError] = []
        self._thread = self._started()
        _WRITERS.add(self)

    def put(self, key: str, value: float, step: int, at: int) -> None:
        """Take one point; ``at`` in ms since 1970 UTC.

        Raises:
            StileError: the server has refused points that were put earlier; says why.
        """
        with self._lock:  # the lock itself: entering a condition costs as much as all the rest
            waiting = self._waiting
            if self._refused or waiting.count + self._in_flight >= self._most:
                self._hold_back()
                waiting = self._waiting
            columns = waiting.series.get(key)
            if columns is None:
                columns = waiting.series[key] = (array("q"), array("q"), array("d"))
            at_column, step_column, value_column = columns
            number = float(value)
            step_column.append(step)  # raises before anything was added when it is no 64-bit number
            at_column.append(at)
            value_column.append(number)
            waiting.count += 1
            if waiting.count == 1:
                self._changed.notify_all()

    def _hold_back(self) -> None:
        """Tell what was refused; wait for room."""
        if self._refused:
            raise self._refused.pop(0)
        self._changed.wait_for(lambda: self._waiting.count + self._in_flight < self._most or self._closing)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything put so far is stored; False when that took longer.

        Raises:
            StileError: the server has refused points; says why.
        """
        with self._changed:
            done = self._changed.wait_for(lambda: not self._waiting.count and not self._in_flight, timeout_s)
            if self._refused:
                raise self._refused.pop(0)
        return done

    def close(self, timeout_s: float = 60.0) -> int:
        """Send what waits and end. What the server could not take in time goes to the spill file; how many that were.

        Raises:
            StileError: the server has refused points; says why.
        """
        with self._changed:
            self._closing = True
            self._give_up_at = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join(timeout_s + 60.0)
        with self._changed:
            left = self._waiting
            self._waiting = _Waiting()
            if self._refused:
                raise self._refused.pop(0)
        if left.count:
            self._keep(left)
        return left.count

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="stile-points", daemon=True)
        thread.start()
        return thread

    def after_fork(self) -> None:
        """In a forked child: it has no thread, and what waited belongs to its parent."""
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting, self._in_flight, self._closing = _Waiting(), 0, False
        self._thread = self._started()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting.count or self._closing)
                if not self._waiting.count:
                    return
                if not self._closing:
                    # a moment for more to come together; a close ends it
                    self._changed.wait_for(lambda: self._closing or self._waiting.count >= POINTS_PER_CALL, _TOGETHER_S)
                taken, self._waiting = self._waiting, _Waiting()
                self._in_flight = taken.count
            if not self._deliver(taken):
                return

    def _deliver(self, taken: _Waiting) -> bool:
        """Send; False when it was given up, and all that was not sent waits again."""
        parts = list(taken.parts())
        for number, part in enumerate(parts):
            if not self._patiently(part):
                self._put_back(parts[number:])
                return False
            with self._changed:
                self._in_flight -= _size(part)
                self._changed.notify_all()
        return True

    def _patiently(self, part: dict[str, dict[str, list[Any]]]) -> bool:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                self._send(part)
            except _AWAY:
                with self._changed:
                    if time.monotonic() >= self._give_up_at:
                        return False
                    self._changed.wait(min(pause, max(self._give_up_at - time.monotonic(), 0.0)))
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            except StileError as error:
                self._narrow(part, error)
                return True
            else:
                return True

    def _narrow(self, part: dict[str, dict[str, list[Any]]], error: StileError) -> None:
        """A refused piece: its series go one by one, so that one unusable name costs no other metric."""
        if len(part) == 1:
            with self._changed:
                self._refused.append(error)
            return
        for key, columns in part.items():
            self._patiently({key: columns})

    def _put_back(self, parts: list[dict[str, dict[str, list[Any]]]]) -> None:
        with self._changed:
            for part in parts:
                for key, columns in part.items():
                    kept = self._waiting.series.setdefault(key, (array("q"), array("q"), array("d")))
                    kept[0].extend(columns["at"])
                    kept[1].extend(columns["step"])
                    kept[2].extend(math.nan if number is None else number for number in columns["value"])
                    self._waiting.count += len(columns["at"])
            self._in_flight = 0
            self._changed.notify_all()

    def _keep(self, left: _Waiting) -> None:
        if self._spill is None:
            print(f"stile: {left.count} points could not be sent: the server is away.", file=sys.stderr)
            return
        self._spill.parent.mkdir(parents=True, exist_ok=True)
        with self._spill.open("ab") as file:
            for part in left.parts():
                file.write(msgspec.json.encode(part) + b"\n")
        print(
            f"stile: the server is away, so {left.count} points were kept in {self._spill}. "
            "Client().send_kept() sends them once it is back.",
            file=sys.stderr,
        )


def _after_fork() -> None:
    for writer in list(_WRITERS):
        writer.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _plain(number: float) -> float | None:
    """A value as it is sent: NaN as null, infinities as the largest number."""
    if math.isfinite(number):
        return number
    return None if math.isnan(number) else math.copysign(_LARGEST, number)


def _size(part: dict[str, dict[str, list[Any]]]) -> int:
    return sum(len(columns["at"]) for columns in part.values())
