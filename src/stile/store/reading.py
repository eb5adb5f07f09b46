"""One read that runs: how long each of its statements may take, and whether somebody still waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from stile.kernel.errors import TooSlow

_AGAIN_S = 0.1
LIMIT_S = 30.0
"""How long one statement of a read may take."""


class Reading:
    """The state that the reader's thread and the one who waits share.

    Args:
        limit_s: how long each statement may take, in seconds.
    """

    __slots__ = ("_interrupt", "_limit_s", "_one", "_until", "left")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._until = 0.0
        self._one = threading.Lock()
        self._interrupt: Callable[[], None] | None = None
        self.left = False

    def begin_statement(self) -> None:
        """A statement begins now."""
        self._until = time.monotonic() + self._limit_s

    def is_over(self) -> bool:
        """Whether the statement should stop: it took too long, or nobody waits any more."""
        return self.left or time.monotonic() > self._until

    def running(self, interrupt: Callable[[], None] | None) -> bool:
        """Say what stops the work on its connection (None: it is done); False when nobody waits for it any more."""
        with self._one:
            self._interrupt = interrupt
            return not self.left

    def leave(self) -> None:
        """Nobody waits any more: stop.

        An interrupt that arrives between two statements stops nothing, so it is sent until the work is
        done; meanwhile the connection is not given to another read.
        """
        self.left = True
        while self._interrupted():
            time.sleep(_AGAIN_S)

    def _interrupted(self) -> bool:
        with self._one:
            if self._interrupt is None:
                return False
            self._interrupt()
            return True


def too_slow(limit_s: float) -> TooSlow:
    """What the caller of a read that took too long is told."""
    return TooSlow(
        f"This took longer than {limit_s:g} s and was stopped. Narrow the question: fewer experiments, a smaller "
        "page, or a filter that few answers satisfy, such as a value of a parameter, tag or metric, or the beginning "
        "of a name.",
        limit_s=limit_s,
    )
