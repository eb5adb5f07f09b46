"""Live updates: one stream per open page that carries topic names only; the page then asks for what changed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator


class Live:
    """Fans topic names out to open event streams.

    ``announce`` may be called from any thread; listeners live on the event loop they were opened on.
    A slow listener misses nothing that matters: topics are merged while it waits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Event, set[str]]] = {}
        self._next = 0
        self._closing = False

    def announce(self, topic: str) -> None:
        """Tell every open page that ``topic`` has changed."""
        with self._lock:
            for loop, wake, topics in self._listeners.values():
                topics.add(topic)
                if not loop.is_closed():
                    loop.call_soon_threadsafe(wake.set)

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self._closing = True
        self.announce("closing")

    async def topics(self, *, heartbeat_s: float = 15.0) -> AsyncGenerator[set[str]]:
        """Sets of changed topics as they come; an empty set every ``heartbeat_s`` seconds of silence."""
        wake = asyncio.Event()
        pending: set[str] = set()
        with self._lock:
            key = self._next
            self._next += 1
            self._listeners[key] = (asyncio.get_running_loop(), wake, pending)
        try:
            while not self._closing:
                try:
                    await asyncio.wait_for(wake.wait(), heartbeat_s)
                except TimeoutError:
                    yield set()
                    continue
                wake.clear()
                with self._lock:
                    changed = set(pending)
                    pending.clear()
                if not self._closing:
                    yield changed
        finally:
            with self._lock:
                self._listeners.pop(key, None)
