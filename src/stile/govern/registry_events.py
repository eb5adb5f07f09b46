"""What the registry announces to the storeys above."""

from __future__ import annotations

from stile.kernel.events import Event


class VersionRegistered(Event, frozen=True, kw_only=True):
    """A model has a new version. ``digest`` is '' when its files are not kept here."""

    model: str
    version: int
    digest: str
    by: str


class AliasMoved(Event, frozen=True, kw_only=True):
    """An alias names another version. ``version`` 0: it was taken away; ``previous`` 0: it is new."""

    model: str
    alias: str
    version: int
    previous: int
    by: str
    decision: str = ""
