"""What an expression computes with: numbers that remember their evidence, things with members, and the unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

MAX_TEXT = 100_000
MAX_ITEMS = 100_000
_MAX_BITS = 1024


class Unknown(msgspec.Struct, frozen=True):
    """A value nobody has measured (well enough).

    Attributes:
        reason: why it is not known, as the end of a sentence after "unknown:".
        remedy: what would make it known, as a sentence; empty when nothing can.
        more: how many more labelled rows of the counted kind are needed, when that is the trouble.
        counted: what ``more`` counts, e.g. ``malignant`` or ``rows``.
        where: the slice they must come from, e.g. ``site=C``.
    """

    reason: str
    remedy: str = ""
    more: int | None = None
    counted: str = ""
    where: str = ""


class Quantity(msgspec.Struct, frozen=True):
    """A measured number with what stands behind it.

    Attributes:
        value: the number.
        n, positives: rows and positive outcomes it was computed from.
        low, high: ends of its interval.
        of: what it belongs to when that is found out only now, e.g. the worst column.
        at_least: set when parts of it could not be measured, so that the true value may be higher; says why.
    """

    value: int | float
    n: int | None = None
    positives: int | None = None
    low: float | None = None
    high: float | None = None
    of: str = ""
    at_least: Unknown | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A thing with members, e.g. a slice or a scenario. ``look`` answers ``Unknown`` for what it does not have."""

    label: str
    look: Callable[[str], Any]
    names: Sequence[str] = ()


class OutOfSteps(Exception):
    """The step budget of one evaluation is used up."""


def mapping_record(label: str, values: Mapping[str, Any], remedy: str = "") -> Record:
    """A record over a plain mapping."""

    def look(name: str) -> Any:
        if name in values:
            return clean(values[name], f"{label}.{name}", remedy)
        return Unknown(f"{label}.{name} is not recorded", remedy)

    return Record(label, look, tuple(values))


def clean(value: Any, what: str, remedy: str = "") -> Any:
    """``value`` as the language sees it: None, NaN and infinities become unknown."""
    if value is None:
        return Unknown(f"{what} has no value", remedy)
    if isinstance(value, float) and not math.isfinite(value):
        return Unknown(f"{what} is not a number", remedy)
    return value


def number_of(value: Any) -> int | float | None:
    """The number behind a value, or None when it is not one (true and false are not numbers)."""
    if isinstance(value, Quantity):
        return value.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return None


def kind_of(value: Any) -> str:
    """The kind of a value in a word, for messages."""
    if isinstance(value, bool):
        return "a yes/no value"
    if number_of(value) is not None:
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, Record):
        return value.label
    return "a yes/no value"


def arithmetic(op: str, left: Any, right: Any) -> Any:
    """``left op right``: numbers, or ``+`` of two texts or two lists. Trouble is ``Unknown``."""
    for side in (left, right):
        if isinstance(side, Unknown):
            return side
    a, b = number_of(left), number_of(right)
    if a is None or b is None:
        return _joined(op, left, right)
    try:
        result = _computed(op, a, b)
    except ZeroDivisionError:
        return Unknown("it divides by zero")
    except OverflowError:
        return Unknown("the number becomes too large")
    if isinstance(result, float) and not math.isfinite(result):
        return Unknown("the number becomes too large")
    if isinstance(result, int) and result.bit_length() > _MAX_BITS:
        return Unknown("the number becomes too large")
    return _carried(result, left, right)


def negated(value: Any) -> Any:
    """``-value``; the interval turns round with it."""
    if isinstance(value, Unknown):
        return value
    if isinstance(value, Quantity):
        return arithmetic("-", 0, value)
    number = number_of(value)
    return Unknown(f"{kind_of(value)} has no negative") if number is None else -number


def _computed(op: str, a: int | float, b: int | float) -> int | float:
    if op == "+":
        return a + b
    if op == "-":
        return a - b
    if op == "*":
        return a * b
    if op == "/":
        return a / b
    if b == 0:
        raise ZeroDivisionError
    if isinstance(a, int) and isinstance(b, int):
        rest = abs(a) % abs(b)
        return -rest if a < 0 else rest
    return math.fmod(a, b)


def _joined(op: str, left: Any, right: Any) -> Any:
    if op == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right if len(left) + len(right) <= MAX_TEXT else Unknown("the text becomes too long")
    if op == "+" and isinstance(left, list) and isinstance(right, list):
        return left + right if len(left) + len(right) <= MAX_ITEMS else Unknown("the list becomes too long")
    return Unknown(f"{kind_of(left)} {op} {kind_of(right)} has no meaning")


def _carried(result: int | float, left: Any, right: Any) -> Any:
    behind = [side for side in (left, right) if isinstance(side, Quantity)]
    if not behind:
        return result
    smallest = min(behind, key=lambda quantity: math.inf if quantity.n is None else quantity.n)
    unsure = next((quantity.at_least for quantity in behind if quantity.at_least), None)
    return Quantity(value=result, n=smallest.n, positives=smallest.positives, of=behind[0].of, at_least=unsure)


def show(value: Any, decimals: int = 3) -> str:
    """A value in few characters."""
    if isinstance(value, Quantity):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value.is_integer() and 2 <= abs(value) < 1e15:
            return str(int(value))
        if abs(value) >= 1000:
            return f"{value:.0f}"
        if value and abs(value) < 0.001 and decimals <= 3:
            return f"{value:.1g}"
        return f"{value:.{decimals}f}"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 80 else f'"{value[:77]}..."'
    if isinstance(value, list | tuple):
        shown = ", ".join(show(item) for item in value[:5])
        return f"[{shown}{', ...' if len(value) > 5 else ''}]"
    if isinstance(value, Record):
        return value.label
    if isinstance(value, Unknown):
        return "unknown"
    return f"{len(value)} entries" if isinstance(value, dict) else str(value)
