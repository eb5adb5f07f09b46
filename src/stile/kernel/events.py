"""Facts that travel upwards: past-tense nouns, recorded in the outbox with what caused them.

A storey announces what happened; storeys above subscribe. Each storey defines its own
events in its ``events.py`` as ``class VersionRegistered(Event, kw_only=True, frozen=True)``.
The registry below turns a stored (name, JSON) pair back into the value.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stile.kernel.errors import Corrupt

_registry: dict[str, type[Event]] = {}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events. The class name is the stored name and must stay stable."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        taken = _registry.get(cls.__name__)
        if taken is not None and taken.__module__ != cls.__module__:
            raise TypeError(f"two events are named {cls.__name__}: in {taken.__module__} and {cls.__module__}")
        _registry[cls.__name__] = cls

    @property
    def name(self) -> str:
        """The stored name of this event."""
        return type(self).__name__


def encode_event(event: Event) -> bytes:
    """JSON of the event's fields."""
    return msgspec.json.encode(event)


def decode_event(name: str, body: bytes) -> Event | None:
    """The event stored as (name, body); None when its class is not known to this process.

    Raises:
        Corrupt: the body does not fit the class.
    """
    cls = _registry.get(name)
    if cls is None:
        return None
    try:
        return msgspec.json.decode(body, type=cls)
    except msgspec.DecodeError as error:
        raise Corrupt(f"A stored {name} event cannot be read: {error}.") from error
