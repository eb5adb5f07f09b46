"""What every chart hands over: a finding in one sentence, the drawing, and the same numbers as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from stile.web.words import number


@dataclass(frozen=True, slots=True)
class Key:
    """One line of a legend: a class that is drawn, and its word."""

    mark: str  # new | old | ref | limit | mark
    word: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that can be read without seeing it.

    Attributes:
        finding: what it shows, as one sentence.
        drawing: the SVG.
        caption: what the table holds.
        columns: headings of the table.
        rows: its cells as text; the first is the row's name.
        keys: the legend; empty when the drawing needs none.
    """

    finding: str
    drawing: Markup
    caption: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    keys: tuple[Key, ...] = field(default=())


def figure(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash when it is not known."""
    return number(value, digits)
