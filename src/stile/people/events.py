"""What happens to use cases and teams."""

from __future__ import annotations

from stile.kernel.events import Event


class UseCaseCreated(Event, frozen=True, kw_only=True):
    """A use case was chartered."""

    use_case: str
    by: str


class MembersChanged(Event, frozen=True, kw_only=True):
    """The roles of one person in a use case were set."""

    use_case: str
    person: str
    roles: list[str]
    by: str
