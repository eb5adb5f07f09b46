"""Events on their way up: each subscriber reads the outbox at its own pace and misses nothing.

Two kinds of handler. ``on`` runs inside the transaction that moves the subscriber's position, so
its effect happens exactly once, also across kill -9. ``after_commit`` runs outside of any
transaction, for effects the store cannot take back (starting a workflow, telling open pages);
it may run again after a kill.

Within one subscriber events come in order. A handler that fails is tried again with growing
pauses while the other subscribers go on; after ``TRIES`` the event is set aside as a dead letter
with its error, and the subscriber goes on. A store that is unavailable costs no try.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from stile.kernel.errors import Unavailable
from stile.kernel.events import Event
from stile.store import outbox
from stile.store.database import Database, Tx
from stile.store.outbox import Posted
from stile.work import records

E = TypeVar("E", bound=Event)

TRIES = 5
_BATCH = 200
_log = logging.getLogger("stile.work")


@dataclass(slots=True)
class _Subscriber:
    name: str
    in_transaction: bool
    handlers: dict[str, Callable[..., None]] = field(default_factory=dict)
    position: int = -1  # not read from the store yet
    stored: int = -1  # what the store knows of it; passed-over events are stored together
    failed_at: int = 0  # outbox position of the event being retried
    tries: int = 0
    not_before: float = 0.0


class Subscriptions:
    """Who wants to hear of which event; and the thread that tells them.

    Args:
        db: the store whose outbox is read.
        first_pause_s: pause after the first failure of a handler; doubles with each further one.
        idle_s: how often the outbox is looked at without being woken by a commit.
    """

    def __init__(self, db: Database, *, first_pause_s: float = 0.2, idle_s: float = 1.0) -> None:
        self._db = db
        self._first_pause_s = first_pause_s
        self._idle_s = idle_s
        self._subscribers: dict[str, _Subscriber] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._one_round = threading.RLock()
        self._thread: threading.Thread | None = None
        db.on_commit(self._wake.set)

    def on(self, subscriber: str, kind: type[E], handler: Callable[[Tx, E, int], None]) -> None:
        """Call ``handler(tx, event, posted_at_ms)`` for each event of ``kind``, exactly once, in order.

        A subscriber's name is stable: its position in the outbox is kept under it. A new one begins
        with the oldest event.

        Raises:
            ValueError: this subscriber has a handler for ``kind`` already, or is of the other sort.
        """
        self._add(subscriber, kind, handler, in_transaction=True)

    def after_commit(self, subscriber: str, kind: type[E], handler: Callable[[E, int], None]) -> None:
        """Call ``handler(event, posted_at_ms)`` outside of any transaction for each event of ``kind``, at least once.

        Raises:
            ValueError: this subscriber has a handler for ``kind`` already, or is of the other sort.
        """
        self._add(subscriber, kind, handler, in_transaction=False)

    def watch(self, subscriber: str, handler: Callable[[Event, int], None]) -> None:
        """Like ``after_commit``, for events of every kind."""
        self._add(subscriber, Event, handler, in_transaction=False)

    def start(self) -> None:
        """Begin to deliver, in a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="stile-events", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the handler that is running now; what is left is delivered after the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def drain(self, timeout_s: float = 20.0) -> None:
        """Return once every subscriber has dealt with every event, also those its handlers emitted. For tests.

        Raises:
            TimeoutError: it took longer than ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with self._one_round:
                pause = self._deliver()
                last = self._db.read(outbox.last_position)
                if all(subscriber.position >= last for subscriber in self._subscribers.values()):
                    return
            if time.monotonic() > deadline:
                behind = [s.name for s in self._subscribers.values() if s.position < last]
                raise TimeoutError(f"these subscribers have not caught up: {', '.join(behind)}")
            time.sleep(min(pause, 0.05))

    def _add(self, name: str, kind: type[Event], handler: Callable[..., None], *, in_transaction: bool) -> None:
        subscriber = self._subscribers.setdefault(name, _Subscriber(name, in_transaction))
        if subscriber.in_transaction != in_transaction:
            raise ValueError(f"subscriber {name!r} cannot have handlers both inside and after the transaction")
        if kind.__name__ in subscriber.handlers:
            raise ValueError(f"subscriber {name!r} already handles {kind.__name__}")
        subscriber.handlers[kind.__name__] = handler

    def _serve(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping.is_set():
                return
            try:
                with self._one_round:
                    pause = self._deliver()
            except Unavailable:
                pause = self._idle_s
            except Exception:
                _log.exception("Delivering events failed; it is tried again.")
                pause = self._idle_s

    def _deliver(self) -> float:
        """Hand out what there is; returns how many seconds to wait before looking again."""
        self._load_positions()
        last = self._db.read(outbox.last_position)
        more = True
        while more and not self._stopping.is_set():
            more = False
            for subscriber in self._subscribers.values():
                if subscriber.position < last:
                    more = self._advance(subscriber) or more
        self._store_positions()
        now = time.monotonic()
        waits = [s.not_before - now for s in self._subscribers.values() if s.tries]
        return max(0.01, min([self._idle_s, *waits]))

    def _load_positions(self) -> None:
        new = [s for s in self._subscribers.values() if s.position < 0]
        if new:
            found = self._db.read(lambda tx: [outbox.position_of(tx, s.name) for s in new])
            for subscriber, position in zip(new, found, strict=True):
                subscriber.position = subscriber.stored = position

    def _store_positions(self) -> None:
        """Write down, in one transaction, how far subscribers came over events that do not concern them."""
        ahead = [(s, s.position) for s in self._subscribers.values() if s.position > s.stored]
        if not ahead:
            return

        def store(tx: Tx) -> None:
            for subscriber, position in ahead:
                if outbox.position_of(tx, subscriber.name) < position:
                    outbox.move(tx, subscriber.name, position)

        self._db.write(store)
        for subscriber, position in ahead:
            subscriber.stored = position

    def _advance(self, subscriber: _Subscriber) -> bool:
        """Deal with one batch for one subscriber; True when there may be more at once."""
        if subscriber.tries and time.monotonic() < subscriber.not_before:
            return False
        batch = self._db.read(lambda tx: outbox.after(tx, subscriber.position, _BATCH))
        for posted in batch:
            if self._stopping.is_set():
                return False
            handler = subscriber.handlers.get(posted.name) or subscriber.handlers.get(Event.__name__)
            if handler is None or posted.event is None:
                continue
            if not self._hand_over(subscriber, posted, handler):
                return False
        if batch:
            subscriber.position = max(subscriber.position, batch[-1].position)
        return len(batch) == _BATCH

    def _hand_over(self, subscriber: _Subscriber, posted: Posted, handler: Callable[..., None]) -> bool:
        """Run one handler and move on; False when the event has to wait for another try."""
        try:
            if subscriber.in_transaction:
                self._db.write(lambda tx: _inside(tx, subscriber.name, posted, handler))
            else:
                handler(posted.event, posted.at)
                self._db.write(lambda tx: outbox.move(tx, subscriber.name, posted.position))
        except Unavailable:
            raise
        except Exception as error:  # whatever a handler raises must not stop the others
            if not self._give_up(subscriber, posted, error):
                return False
        subscriber.position = subscriber.stored = posted.position
        subscriber.tries = 0
        return True

    def _give_up(self, subscriber: _Subscriber, posted: Posted, error: Exception) -> bool:
        """Count a failure; True when the event was set aside as a dead letter."""
        subscriber.tries = subscriber.tries + 1 if subscriber.failed_at == posted.position else 1
        subscriber.failed_at = posted.position
        if subscriber.tries < TRIES:
            subscriber.not_before = time.monotonic() + self._first_pause_s * 2 ** (subscriber.tries - 1)
            return False
        text = f"{type(error).__name__}: {error}"
        tries = subscriber.tries
        _log.error("%s gave up on event %d (%s): %s", subscriber.name, posted.position, posted.name, text)

        def set_aside(tx: Tx) -> None:
            records.add_dead_letter(
                tx, subscriber=subscriber.name, position=posted.position, event=posted.name, error=text, tries=tries
            )
            outbox.move(tx, subscriber.name, posted.position)

        self._db.write(set_aside)
        return True


def _inside(tx: Tx, name: str, posted: Posted, handler: Callable[..., Any]) -> None:
    # The position is read again here: another process may have been faster.
    if outbox.position_of(tx, name) >= posted.position:
        return
    handler(tx, posted.event, posted.at)
    outbox.move(tx, name, posted.position)
