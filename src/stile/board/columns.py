"""The columns of a board and who may put a card where.

A card of a model version shows where that version stands, so only what happens to the version
moves it. Other cards are moved by people, except into the columns that state a fact about a
version.
"""

from __future__ import annotations

import msgspec

from stile.kernel.errors import Conflict, Guarded, Invalid


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column.

    Attributes:
        name: stable name; events refer to it.
        title: what people read.
        wip_limit: most cards people may put here; None for no limit. Events go beyond it, and
            the board shows so.
    """

    name: str
    title: str
    wip_limit: int | None = None


IDEA, TRAINING, GATE, SHADOW, TEST, CHAMPION, INCIDENT, RETIRED = (
    "idea", "training", "gate", "shadow", "ab", "champion", "incident", "retired",
)  # fmt: skip

DEFAULT_COLUMNS = (
    Column(name=IDEA, title="Idea"),
    Column(name=TRAINING, title="Training", wip_limit=6),
    Column(name=GATE, title="Gate", wip_limit=3),
    Column(name=SHADOW, title="Shadow", wip_limit=3),
    Column(name=TEST, title="A/B", wip_limit=1),
    Column(name=CHAMPION, title="Champion", wip_limit=1),
    Column(name=INCIDENT, title="Incident", wip_limit=2),
    Column(name=RETIRED, title="Retired"),
)
"""What a use case begins with."""

FACTS = frozenset({GATE, SHADOW, TEST, CHAMPION})
"""Columns that say something about a version; only events put cards there."""


def check_columns(columns: list[Column]) -> None:
    """Whether these can be the columns of a board.

    Raises:
        Invalid: a column that events need is missing, a name comes twice, or a limit is below one.
    """
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"The column {twice[0]!r} comes twice. Give each column a name of its own.")
    missing = [column.name for column in DEFAULT_COLUMNS if column.name not in names]
    if missing:
        raise Invalid(
            f"The column {missing[0]!r} is missing. Columns may be renamed by title, but events need each name."
        )
    for column in columns:
        if column.wip_limit is not None and column.wip_limit < 1:
            raise Invalid(f"The limit of {column.title!r} must be at least 1; leave it out for no limit.")
        if not column.name or not column.title:
            raise Invalid("Every column needs a name and a title.")


def check_move(columns: list[Column], to: str, *, has_version: bool, cards_there: int) -> None:
    """Whether a person may move a card to the column ``to``.

    Raises:
        Invalid: there is no such column; the message lists those that exist.
        Guarded: only events move this card, or move cards there.
        Conflict: the column is full.
    """
    column = next((c for c in columns if c.name == to), None)
    if column is None:
        raise Invalid(f"There is no column {to!r}. Columns are: {', '.join(c.name for c in columns)}.")
    if has_version:
        raise Guarded(
            "This card shows where a model version stands, so only decisions and deployments move it. "
            "Propose the version, roll it back, or resolve its alert instead."
        )
    if to in FACTS:
        raise Guarded(f"Cards come to {column.title!r} by what happens to their version, not by hand.")
    if column.wip_limit is not None and cards_there >= column.wip_limit:
        raise Conflict(f"{column.title!r} holds {cards_there} of at most {column.wip_limit} cards. Finish one first.")
