"""Everything that runs by itself, registered in one place: workflows, subscriptions, periodic work."""

from __future__ import annotations

from collections.abc import Callable

from stile.kernel.events import Event
from stile.store.blobs import BlobStore
from stile.store.database import Database
from stile.work.background import Background
from stile.work.subscriptions import Subscriptions
from stile.work.topics import topics_of


def wire(*, db: Database, blobs: BlobStore, background: Background, announce: Callable[[str], None]) -> Subscriptions:
    """Register every workflow, subscription and periodic work of Stile; nothing runs yet.

    The caller starts the returned subscriptions and launches ``background`` once the server
    answers, and stops both before it closes the store.

    Args:
        db: the store everything works on.
        blobs: tables and evidence.
        background: where workflows run; not launched yet.
        announce: tells open pages that a topic has changed.
    """
    subscriptions = Subscriptions(db)
    subscriptions.watch("live-topics", lambda event, at: _tell(event, announce))
    return subscriptions


def _tell(event: Event, announce: Callable[[str], None]) -> None:
    for topic in topics_of(event):
        announce(topic)
