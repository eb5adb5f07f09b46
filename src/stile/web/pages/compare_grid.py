"""Comparisons as grids: a few runs stand side by side, many below one another.

Texts and rows are cut so that a page stays light however much is compared; the CSV has all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from stile.web.pages.compare_view import KeyRow, MetricCell, MetricRow, SliceCell, SliceRow, usual
from stile.web.pages.run_view import digits_beside, value_words
from stile.web.words import number, signed

_Row = TypeVar("_Row")

SIDE_BY_SIDE = 8
"""Up to so many runs are columns; with more, runs are rows."""

_MOST_CELLS = {"texts": 4000, "numbers": 2400}
_MOST_LINES = 250
_LETTERS = {False: 80, True: 22}
_TITLE_LETTERS = 200


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a row or column is about: a key, or a run with its page and the place of its colour (-1 for keys).

    ``url`` of a key orders the runs by it; ``sorted`` says how they are ordered by it now.
    """

    text: str
    url: str = ""
    place: int = -1
    baseline: bool = False
    note: str = ""
    sorted: str = ""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell.

    Attributes:
        text: what it says; '–' when there is nothing.
        more: in a lighter tone: a difference or an interval.
        mark: ``best``, ``odd`` (not what most have), ``better`` or ``worse`` (than the baseline).
        title: all of a text that was cut.
    """

    text: str
    more: str = ""
    mark: str = ""
    title: str = ""


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """A table of cells.

    Attributes:
        rows: each with its head and one cell for every head of ``columns``.
        numbers: whether cells are numbers.
        by_run: whether every row is a run.
        total: keys there are.
        differing: keys that are not the same everywhere.
        shown: keys in this grid.
    """

    columns: list[Head]
    rows: list[tuple[Head, list[Cell]]]
    numbers: bool
    by_run: bool
    total: int
    differing: int
    shown: int
    title: str = ""
    name: str = ""


_NOTHING = Cell(text="–")


def key_grid(rows: Sequence[KeyRow], runs: Sequence[Head], *, whole: bool, find: str) -> Grid:
    """Parameters, tags and the like."""
    chosen = [row for row in rows if (whole or row.differs) and _found(find, row)]
    many = len(runs) > SIDE_BY_SIDE

    def cells(row: KeyRow) -> list[Cell]:
        common = usual(row)
        return [_text(value, many=many, odd=value != common and common is not None) for value in row.values]

    lines = [(Head(text=row.key), cells(row)) for row in _capped(chosen, runs, "texts")]
    return _grid(lines, runs, numbers=False, total=len(rows), differing=sum(row.differs for row in rows))


def metric_grid(rows: Sequence[MetricRow], runs: Sequence[Head], *, whole: bool, find: str) -> Grid:
    """Newest values, the best marked, with the difference to the baseline."""
    chosen = [row for row in rows if (whole or row.differs) and find.lower() in row.key.lower()]
    words = {"up": "more is better", "down": "less is better", "": ""}
    lines = [
        (Head(text=row.key, note=words[row.way]), [_metric(cell) for cell in row.cells])
        for row in _capped(chosen, runs, "numbers")
    ]
    return _grid(lines, runs, numbers=True, total=len(rows), differing=sum(row.differs for row in rows))


def slice_grid(rows: Sequence[SliceRow], runs: Sequence[Head]) -> Grid:
    """A metric by slice, with intervals; only runs that have evidence."""
    measured = [at for at in range(len(runs)) if any(row.cells[at] is not None for row in rows)]
    lines = [(Head(text=row.name), [_slice(row.cells[at]) for at in measured]) for row in rows[:_MOST_LINES]]
    return _grid(lines, [runs[at] for at in measured], numbers=True, total=len(rows), differing=len(rows))


def _grid(
    lines: Sequence[tuple[Head, list[Cell]]], runs: Sequence[Head], *, numbers: bool, total: int, differing: int
) -> Grid:
    by_run = len(runs) > SIDE_BY_SIDE
    keys = [head for head, _ in lines]
    rows = [(run, [cells[at] for _, cells in lines]) for at, run in enumerate(runs)] if by_run else list(lines)
    return Grid(
        columns=keys if by_run else list(runs), rows=rows if lines else [], numbers=numbers, by_run=by_run, total=total,
        differing=differing, shown=len(lines),
    )  # fmt: skip


def _capped(rows: Sequence[_Row], runs: Sequence[Head], kind: str) -> Sequence[_Row]:
    return rows[: max(1, min(_MOST_LINES, _MOST_CELLS[kind] // max(1, len(runs))))]


def _found(find: str, row: KeyRow) -> bool:
    wanted = find.lower()
    return not wanted or wanted in row.key.lower() or any(value and wanted in value.lower() for value in row.values)


def _text(value: str | None, *, many: bool, odd: bool) -> Cell:
    if value is None:
        return Cell(text="–", mark="odd") if odd else _NOTHING
    mark, letters = "odd" if odd else "", _LETTERS[many]
    if len(value) <= letters:
        return Cell(text=value or "(empty)", mark=mark)
    # With many runs the whole text is one click away, on the page of the run: the page must stay light.
    return Cell(text=value[: letters - 1] + "…", mark=mark, title="" if many else value[:_TITLE_LETTERS])


def _metric(cell: MetricCell) -> Cell:
    if cell.value is None:
        return _NOTHING
    mark = "best" if cell.best else "" if cell.better is None else "better" if cell.better else "worse"
    more = "" if cell.difference is None or not cell.difference else _difference(cell.difference, cell.value)
    return Cell(text=value_words(cell.value), more=more, mark=mark)


def _difference(difference: float, value: float) -> str:
    if difference != difference:  # noqa: PLR0124  NaN is unequal to itself
        return ""
    return signed(difference, digits_beside(value))


def _slice(cell: SliceCell | None) -> Cell:
    if cell is None:
        return _NOTHING
    interval = "" if cell.low is None else f"[{number(cell.low)}, {number(cell.high)}]"
    mark = "" if not cell.apart or cell.better is None else "better" if cell.better else "worse"
    return Cell(text=number(cell.value), more=interval, mark=mark, title=f"{cell.n} rows")
