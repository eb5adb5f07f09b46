"""Public identifiers: unique, sortable by time where it helps, safe in URLs and file names."""

from __future__ import annotations

import os
import threading
from typing import Protocol

from stile.kernel.clock import Clock, SystemClock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u


class Ids(Protocol):
    """Makes identifiers."""

    def hex32(self) -> str:
        """32 random hexadecimal digits, the form MLflow uses for runs and models."""
        ...

    def ordered(self, prefix: str) -> str:
        """``prefix_`` and 26 characters that sort by the time they were made."""
        ...


class RandomIds:
    """Identifiers from the operating system's random source.

    Thread-safe. Identifiers made by one process in the same millisecond still sort in order.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._last = 0

    def hex32(self) -> str:
        return os.urandom(16).hex()

    def ordered(self, prefix: str) -> str:
        with self._lock:
            value = (self._clock.now_ms() << 80) | int.from_bytes(os.urandom(10), "big")
            if value <= self._last:
                value = self._last + 1
            self._last = value
        return f"{prefix}_{_base32(value, 26)}"


class CountingIds:
    """Identifiers that count up from one; for tests."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def _next(self) -> int:
        with self._lock:
            self._count += 1
            return self._count

    def hex32(self) -> str:
        return f"{self._next():032x}"

    def ordered(self, prefix: str) -> str:
        return f"{prefix}_{_base32(self._next(), 26)}"


def _base32(value: int, width: int) -> str:
    digits = []
    for _ in range(width):
        value, rest = divmod(value, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))
