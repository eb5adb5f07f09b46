"""What stands for a whole metric series in a table: its last, best, least or greatest value. Pure.

Written around a metric's name: ``max(metrics.auc)``; without anything around it, the last value is meant. The best
is the greatest or the least, as the metric's name tells (``metric_direction``).
"""

from __future__ import annotations

import re
from typing import Literal

from stile.kernel.errors import Invalid
from stile.train import filters
from stile.train.filters import Order, Vocabulary
from stile.train.metric_direction import direction

Summary = Literal["last", "best", "min", "max"]
Column = Literal["value", "low", "high"]

SUMMARIES: tuple[Summary, ...] = ("last", "best", "min", "max")

_AROUND = re.compile(r"\s*(?P<summary>last|best|min|max)\((?P<inner>.+)\)(?:\s+(?P<way>\S+))?\s*", re.DOTALL)
_SUMMARIES: dict[str, Summary] = {each: each for each in SUMMARIES}
_LONGEST = 1000


class SummaryOrder(Order, frozen=True, kw_only=True):
    """A sort key that is the least (``low``) or greatest (``high``) value of a metric, not its last."""

    column: Column


def split(text: str) -> tuple[Summary, str]:
    """What is asked for and of what: ``max(metrics.auc)`` is the greatest of ``metrics.auc``; else the last of all."""
    found = _AROUND.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or found["way"]:
        return "last", text
    return _SUMMARIES[found["summary"]], found["inner"]


def written(summary: Summary, left: str) -> str:
    """The text of a summary of a left side."""
    return left if summary == "last" else f"{summary}({left})"


def choices(key: str) -> tuple[Summary, ...]:
    """What a metric can be summed up by: the best only where its name tells what is good."""
    return ("last", "best", "min", "max") if direction(key) else ("last", "min", "max")


def column(summary: Summary, key: str) -> Column:
    """Which of the kept numbers that is.

    Raises:
        Invalid: nobody knows what is best for this metric.
    """
    if summary == "last":
        return "value"
    if summary != "best":
        return "low" if summary == "min" else "high"
    way = direction(key)
    if not way:
        raise Invalid(
            f"The name of the metric {key[:80]!r} does not tell whether more or less of it is better. "
            f"Ask for min(metrics.{key[:80]}) or max(metrics.{key[:80]})."
        )
    return "low" if way == "down" else "high"


def parse_order(text: str, words: Vocabulary) -> Order:
    """One ``order_by`` text as ``filters.parse_order`` reads it, or a summary such as ``max(metrics.auc) DESC``.

    Raises:
        Invalid: it cannot be read, the key is not known, or it is no metric that is summed up.
    """
    found = _AROUND.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return filters.parse_order(text, words)
    order = filters.parse_order(f"{found['inner']} {found['way'] or 'ASC'}", words)
    if order.entity != "metric":
        raise Invalid(f"Only a metric has a {found['summary']}; {found['inner'][:80]!r} has one value. Leave it out.")
    kept = column(_SUMMARIES[found["summary"]], order.key)
    if kept == "value":
        return order
    return SummaryOrder(entity=order.entity, key=order.key, ascending=order.ascending, column=kept)


def column_of(order: Order) -> Column:
    """Which of the kept numbers a sort key is about; the last value unless it says another."""
    return order.column if isinstance(order, SummaryOrder) else "value"


def same(first: Order, second: Order) -> bool:
    """Whether two sort keys sort by the same thing."""
    return (first.entity, first.key, column_of(first)) == (second.entity, second.key, column_of(second))


def order_text(order: Order, left: str) -> str:
    """The text of a sort key without its direction, as ``parse_order`` reads it; ``left`` is its metric's left side."""
    return written({"value": "last", "low": "min", "high": "max"}[column_of(order)], left)  # type: ignore[arg-type]
