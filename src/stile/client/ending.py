"""SIGTERM and SIGHUP: whoever ends the program so gets its runs ended too, as KILLED, and nothing of them lost.

Schedulers end programs with SIGTERM and a closed terminal with SIGHUP; both end a Python program at once unless it
handles them. While a run is live and nobody else handles them, we do: send what waits (what cannot be sent
in time is kept in a file), end the runs, and then let the signal do what it always did. A handler that
was there before is left alone; one that is set later replaces ours, and may call it, which ends the program. The
work is done by a thread, so that a program in the middle of a long call into a library ends in time, too.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Protocol

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
AT_MOST_S = 5.0
"""What ending may take. Container runtimes and schedulers wait 10 to 30 s before they kill."""


class Endable(Protocol):
    """A run, as far as this module is concerned."""

    def killed(self, at_most_s: float) -> None:
        """Send, or keep, what waits and end as KILLED, in so many seconds."""

    def park(self) -> None:
        """Wait a moment without holding any lock."""


class _Watch:
    """The one that watches for signals in this process."""

    def __init__(self) -> None:
        self.runs: Callable[[], Iterable[Endable]] = tuple
        self.ending = threading.Lock()
        self.ended = False
        self.writes = -1
        self.reads = -1

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler, in the main thread."""
        del frame
        _thread.start_new_thread(self.end, (number,))
        while not self.ended:
            for run in self.runs():  # the locks that were held here are free meanwhile
                run.park()
            time.sleep(0.01)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def end(self, number: int) -> None:
        """End all runs, then the process, by the signal."""
        if not self.ending.acquire(blocking=False):
            return
        until = time.monotonic() + AT_MOST_S
        try:
            for run in self.runs():
                with contextlib.suppress(Exception):  # the process ends in any case
                    run.killed(max(until - time.monotonic(), 0.1))
        finally:
            self.ended = True
            time.sleep(0.5)  # the main thread dies of the signal now, unless it is in a long call
            _die(number)

    def listen(self) -> None:
        """Be told of signals even while the main thread is in a long call."""
        if os.name != "posix":  # pipes cannot be told there
            return
        reads, writes = os.pipe()
        os.set_blocking(writes, False)
        before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
        if before != -1:  # an event loop is told; the handler is enough then
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
            os.close(reads)
            os.close(writes)
            return
        self.reads, self.writes = reads, writes
        threading.Thread(target=self.hear, args=(reads,), name="stile-signals", daemon=True).start()

    def hear(self, reads: int) -> None:
        """Wait for signals."""
        while heard := os.read(reads, 1):
            number = heard[0]
            if number in _SIGNALS and signal.getsignal(number) == self.handle:
                self.end(number)

    def after_fork(self) -> None:
        """In a forked child: signals do what they did before; what is live is its parent's."""
        for number in _SIGNALS:
            if signal.getsignal(number) == self.handle:
                signal.signal(number, signal.SIG_DFL)
        if self.writes != -1:
            if (before := signal.set_wakeup_fd(-1)) not in (-1, self.writes):
                signal.set_wakeup_fd(before)
            os.close(self.reads)
            os.close(self.writes)
        self.__init__()  # type: ignore[misc]


_WATCH = _Watch()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_WATCH.after_fork)


def watch(runs: Callable[[], Iterable[Endable]]) -> None:
    """End the live runs when a signal ends the program. Does nothing outside the main thread, or where it is handled.

    Args:
        runs: those that are live when the signal comes.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    _WATCH.runs = runs
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _WATCH.handle)
            if _WATCH.writes == -1:
                _WATCH.listen()


def unwatch() -> None:
    """No run is live any more: signals do what they did before."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) == _WATCH.handle:
            signal.signal(number, signal.SIG_DFL)


def _die(number: int) -> None:
    """Die of the signal, as if it had never been handled. Python lets only the main thread ask for that."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).signal(number, 0)
        os.kill(os.getpid(), number)
        time.sleep(1)
    os._exit(128 + number)
