"""A table of runs in words: heads with their sort links, cells, and every number's difference from the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from statistics import median
from typing import Literal

import msgspec

from stile.train import filter_text
from stile.train.filter_text import key_text
from stile.train.filters import parse_filter
from stile.train.metric_direction import better, direction
from stile.train.run_facets import Facet
from stile.train.run_search import WORDS
from stile.train.run_table import TableRow
from stile.web import words
from stile.web.pages.runs_asked import Asked, Column, address, sorted_by

_SHOWN_LETTERS = 32
_EXAMPLE = 'metrics.auc > 0.9 and params.model = "tree"'
_EXAMPLE_LETTERS = 24
_FACET_TITLES = {
    ("attribute", "status"): "state", ("attribute", "user_id"): "user", ("dataset", "name"): "dataset",
    ("tag", "estimator_name"): "model type", ("tag", "mlflow.source.name"): "source",
    ("tag", "mlflow.source.git.branch"): "branch", ("tag", "mlflow.autologging"): "library",
}  # fmt: skip

Judged = Literal["better", "worse", "neutral", ""]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A column's head: ``url`` sorts by it, ``sorted`` says how it is sorted now, ``wide`` is left out on a phone."""

    title: str
    kind: str
    url: str
    sorted: str
    wide: bool
    says: str
    summary: str = ""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One value as it is shown.

    Attributes:
        title: the whole value, where less is shown.
        delta: the difference from the baseline with its sign; empty without one.
        judged: whether that is for the better.
        same: a text that is the baseline's too.
    """

    kind: str
    text: str = ""
    title: str = ""
    at: int | None = None
    delta: str = ""
    judged: Judged = ""
    same: bool = False
    wide: bool = True


class FacetLink(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a facet, how many runs have it, and the address that asks for it (or no longer does)."""

    value: str
    count: str
    url: str
    chosen: bool


class FacetMenu(msgspec.Struct, frozen=True, kw_only=True):
    """A facet as a menu."""

    title: str
    chosen: str
    links: list[FacetLink]


def heads(path: str, state: Asked, columns: Sequence[Column]) -> list[Head]:
    """The heads of a table. A first click on a metric sorts the best to the top."""
    by, ascending = sorted_by(state.sort)
    narrow = _narrow(columns, by)
    found = []
    for each in columns:
        sorted_now = "" if each.sort != by or not each.sort else "ascending" if ascending else "descending"
        rising = not ascending if sorted_now else _rises_first(each)
        url = address(path, state, sort=f"{each.sort} {'ASC' if rising else 'DESC'}") if each.sort else ""
        way = direction(each.key) if each.kind == "metric" else ""
        says = {"up": "more is better", "down": "less is better", "": ""}[way]
        found.append(
            Head(
                title=each.title, kind=each.kind, url=url, sorted=sorted_now, wide=each.text not in narrow, says=says,
                summary="" if each.summary == "last" else each.summary,
            )
        )  # fmt: skip
    return found


def _rises_first(column: Column) -> bool:
    """Whether a first click sorts upwards: texts and what should be low; other numbers and times begin greatest."""
    return direction(column.key) == "down" if column.kind == "metric" else column.kind != "time"


def whole_columns(rows: Sequence[TableRow], columns: Sequence[Column]) -> frozenset[str]:
    """The metrics that count something: every value of these runs is a whole number, and one is beyond 1."""
    found = []
    for each in columns:
        known = [value for row in rows if (value := row.metrics.get(each.value_key)) is not None]
        if each.kind == "metric" and known and all(math.isfinite(value) and value == int(value) for value in known):
            found += [each.text] if max(map(abs, known)) > 1 else []
    return frozenset(found)


def cells(
    row: TableRow,
    columns: Sequence[Column],
    baseline: TableRow | None,
    sort: str = "",
    *,
    whole: frozenset[str] = frozenset(),
) -> list[Cell]:
    """The cells of one run; differences are left out in the baseline's own row.

    Args:
        row: the run.
        columns: what is shown of it.
        baseline: the run it is compared with, None for none.
        sort: how the table is sorted.
        whole: the columns that hold whole numbers.
    """
    compared = None if baseline is None or baseline.run_id == row.run_id else baseline
    narrow = _narrow(columns, sorted_by(sort)[0])
    return [
        msgspec.structs.replace(_cell(row, each, compared, whole=each.text in whole), wide=each.text not in narrow)
        for each in columns
    ]


def example(rows: Sequence[TableRow], columns: Sequence[Column]) -> str:
    """A search that these runs could be asked: a metric they have, and a parameter with a value of one of them."""
    parts: list[str] = []
    for each in columns:
        values = [value for row in rows if (value := value_of(row, each)) not in (None, "")]
        if each.kind == "metric" and values and not parts:
            sign = "<" if direction(each.key) == "down" else ">"
            numbers = [value for value in values if isinstance(value, float) and math.isfinite(value)]
            parts += [f"{key_text('metric', each.key)} {sign} {median(numbers):.3g}"] if numbers else []
        elif each.entity == "param" and len(parts) == 1:
            short = (str(value) for value in values if len(str(value)) <= _EXAMPLE_LETTERS and "'" not in str(value))
            parts += [f"{each.text} = '{value}'" for value in islice(short, 1)]
    return " and ".join(parts) or _EXAMPLE


def value_of(row: TableRow, column: Column) -> str | float | None:
    """The plain value of a run in a column: a number for metrics and times, a text otherwise; None when absent."""
    if column.kind == "metric":
        return row.metrics.get(column.value_key)
    if column.kind == "took":
        return row.took_ms
    if column.entity == "param":
        return row.params.get(column.key)
    if column.entity == "tag":
        return row.tags.get(column.key)
    return getattr(row, {"run_name": "name"}.get(column.key, column.key), None)


def difference(row: TableRow, column: Column, baseline: TableRow) -> float | None:
    """A metric of a run minus the baseline's; None where one of them has no number."""
    mine, theirs = row.metrics.get(column.value_key), baseline.metrics.get(column.value_key)
    if mine is None or theirs is None:
        return None
    found = mine - theirs
    return found if math.isfinite(found) else None


def _cell(row: TableRow, column: Column, baseline: TableRow | None, *, whole: bool) -> Cell:
    value = value_of(row, column)
    if column.kind == "metric":
        delta = None if baseline is None else difference(row, column, baseline)
        number = value if isinstance(value, float) else None
        exact = "" if number is None else repr(number)
        text = words.short_whole(number, 3) if whole and number is not None else words.number(number)
        if delta is None:
            return Cell(kind="metric", text=text, title=exact)
        judged = better(column.key, delta)
        return Cell(
            kind="metric", text=text, title=exact, delta=_signed(delta, number or 0.0, whole=whole),
            judged="neutral" if judged is None else "better" if judged else "worse",
        )  # fmt: skip
    if column.kind == "time":
        return Cell(kind="time", at=value if isinstance(value, int) else None)
    if column.kind == "took":
        return Cell(kind="took", text=words.duration(value if isinstance(value, int) else None))
    if value is None:
        return Cell(kind="text", text="–")
    if column.kind == "state":
        return Cell(kind="state", text=str(value))
    text = str(value)
    same = baseline is not None and value_of(baseline, column) == value
    return Cell(
        kind="text", text=text if len(text) <= _SHOWN_LETTERS else text[: _SHOWN_LETTERS - 1] + "…",
        title=text[:500] if len(text) > _SHOWN_LETTERS else "", same=same,
    )  # fmt: skip


def _signed(delta: float, value: float, *, whole: bool) -> str:
    """A difference with its sign and as many digits as the value has, more when it would read as nothing."""
    if delta == 0:
        return "±0"
    return words.signed(int(delta) if whole else delta, 1 if abs(value) >= 1000 else 3)


def _narrow(columns: Sequence[Column], by: str) -> set[str]:
    """The two columns a phone shows beside the name: what it is sorted by (or the first), and when it started."""
    times = [each.text for each in columns if each.kind == "time"]
    others = [each.text for each in columns if each.kind != "time"]
    chosen = [each.text for each in columns if each.sort == by and each.kind != "time" and by]
    first = chosen[:1] or others[:1]
    return {*first, *(times[-1:] or [each for each in others if each not in first][:1])}


def menus(path: str, state: Asked, facets: Sequence[Facet]) -> list[FacetMenu]:
    """Facets as menus of links; the chosen value's link takes it out of the filter again."""
    clauses = parse_filter(state.filter, WORDS)
    found = []
    for facet in facets:
        links = []
        for each in facet.values:
            chosen = each.value == facet.chosen
            asks = (
                filter_text.filter_text(filter_text.without(clauses, facet.entity, facet.key))
                if chosen
                else filter_text.with_value(clauses, facet.entity, facet.key, each.value)
            )
            count = f">{each.count}" if each.more and each.count >= 1000 else f"{each.count}{'+' if each.more else ''}"
            shown = each.value.lower() if facet.key == "status" and facet.entity == "attribute" else each.value
            links.append(FacetLink(value=shown, count=count, url=address(path, state, filter=asks), chosen=chosen))
        title = _FACET_TITLES.get((facet.entity, facet.key), facet.key)
        known = (facet.chosen or "").lower() if facet.key == "status" and facet.entity == "attribute" else facet.chosen
        found.append(FacetMenu(title=title, chosen=known or "", links=links))
    return found


def iso(at_ms: int) -> str:
    """A time for programs: ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
