"""What happens on the board."""

from __future__ import annotations

from stile.kernel.events import Event


class CardMoved(Event, frozen=True, kw_only=True):
    """A card came to another column."""

    use_case: str
    card: str
    from_column: str
    to_column: str
    by: str


class CardChanged(Event, frozen=True, kw_only=True):
    """A card was made or its words, owner, label, flag or iteration changed."""

    use_case: str
    card: str
    by: str


class CommentAdded(Event, frozen=True, kw_only=True):
    """Somebody wrote below a card."""

    use_case: str
    card: str
    comment: str
    by: str
    mentions: list[str]


class InboxChanged(Event, frozen=True, kw_only=True):
    """A person marked something in the inbox as dealt with."""

    person: str


class ColumnsChanged(Event, frozen=True, kw_only=True):
    """The columns of a board were set."""

    use_case: str
    by: str


class IterationAdded(Event, frozen=True, kw_only=True):
    """An iteration was planned."""

    use_case: str
    iteration: str
    by: str
