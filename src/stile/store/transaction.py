"""What a transaction gives besides its statements, in either engine: time, ids and events."""

from __future__ import annotations

from typing import cast

from stile.kernel.clock import Clock
from stile.kernel.events import Event, encode_event
from stile.kernel.ids import Ids
from stile.store import outbox
from stile.store.database import Tx


class Transaction:
    """The part of a ``Tx`` that both engines share.

    Attributes:
        emitted: an event was emitted.
        must_sync: a relaxed commit would not do.
    """

    __slots__ = ("_clock", "_ids", "_now", "emitted", "must_sync")

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._now: int | None = None
        self.emitted = False
        self.must_sync = False

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
        outbox.append(cast("Tx", self), event.name, encode_event(event))

    def insist_on_sync(self) -> None:
        self.must_sync = True
