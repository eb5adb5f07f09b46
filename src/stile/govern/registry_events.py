"""What the registry announces to the storeys above."""

from __future__ import annotations

import msgspec

from stile.kernel.events import Event


class ModelCreated(Event, frozen=True, kw_only=True):
    """There is a new registered model, without versions yet, as it was described then."""

    model: str
    by: str
    description: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class VersionTagSet(Event, frozen=True, kw_only=True):
    """A tag of a version was set, new or changed."""

    model: str
    version: int
    key: str
    value: str


class VersionTagDropped(Event, frozen=True, kw_only=True):
    """A tag of a version was taken away."""

    model: str
    version: int
    key: str


class VersionRegistered(Event, frozen=True, kw_only=True):
    """A model has a new version, as it was described then. ``digest`` is '' when its files are not kept here."""

    model: str
    version: int
    digest: str
    by: str
    source: str = ""
    run_id: str = ""
    description: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class AliasMoved(Event, frozen=True, kw_only=True):
    """An alias names another version. ``version`` 0: it was taken away; ``previous`` 0: it is new."""

    model: str
    alias: str
    version: int
    previous: int
    by: str
    decision: str = ""
