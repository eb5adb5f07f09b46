"""What the data of a use case must look like, and the check of one live row against it.

A contract is one table's promise. Its file form is the Open Data Contract Standard
(see ``odcs.py``). This module needs no numpy: a gateway checks live requests with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from stile.data import patterns
from stile.kernel.canonical import digest_of

Kind = Literal["number", "integer", "string", "boolean", "date", "timestamp"]
Part = Literal["feature", "target", "key", "ignored"]
Rule = Literal[
    "missing_column", "extra_column", "wrong_type", "null_not_allowed", "out_of_range", "unknown_category",
    "pattern", "length", "duplicate_key", "too_few_rows",
]  # fmt: skip

TRUE_WORDS = frozenset({"true", "True", "TRUE", "1", "1.0", "yes"})
FALSE_WORDS = frozenset({"false", "False", "FALSE", "0", "0.0", "no"})
_HUGE = 1e300  # beyond lie infinities and whole numbers no float can hold
EXAMPLES = 3  # how many offending cells a violation shows


class ContractColumn(msgspec.Struct, frozen=True, kw_only=True):
    """The promise about one column.

    Attributes:
        name: as in the table's header.
        kind: type of its values.
        part: what it is for: a feature the model may see, the target, the key of the row, or ignored.
        required: no value may be missing.
        minimum, maximum: inclusive limits of numbers.
        allowed: the only values it may take, as text; empty for any.
        pattern: regular expression the whole text must match; empty for any.
        min_length, max_length: limits of the length of text.
        unique: no value may occur twice.
        says, unit: for people.
    """

    name: str
    kind: Kind
    part: Part = "feature"
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: list[str] = []
    pattern: str = ""
    min_length: int | None = None
    max_length: int | None = None
    unique: bool = False
    says: str = ""
    unit: str = ""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """The promise about one table.

    Attributes:
        name: of the table; usually the use case.
        version: the author's, as text (the server counts its own).
        extra_columns: whether columns that are not named here are accepted.
        min_rows: fewest rows of a dataset.
    """

    name: str
    columns: list[ContractColumn]
    version: str = "1.0.0"
    says: str = ""
    owner: str = ""
    extra_columns: bool = False
    min_rows: int = 1

    def column(self, name: str) -> ContractColumn | None:
        """The promise about the named column, or None."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def target(self) -> str:
        """The column that holds the outcome; empty when none is declared."""
        return next((column.name for column in self.columns if column.part == "target"), "")

    @property
    def key(self) -> str:
        """The column that names the row; empty when none is declared."""
        return next((column.name for column in self.columns if column.part == "key"), "")

    @property
    def features(self) -> list[str]:
        """The columns a model may see, in order."""
        return [column.name for column in self.columns if column.part == "feature"]

    @property
    def digest(self) -> str:
        """``sha256:...`` of what it promises, whatever the spelling of the file."""
        # through plain values, so that a limit of 0 and one of 0.0 are the same promise
        return digest_of(msgspec.convert(msgspec.to_builtins(self), Contract))


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One broken promise.

    Attributes:
        column: where; empty when it is about the whole table.
        rule: which kind of promise.
        message: what is wrong and what was promised, in one sentence.
        rows: how many rows break it (0 when it is about the column itself).
        examples: the first of them, e.g. ``row 5: abc``.
    """

    column: str
    rule: Rule
    message: str
    rows: int = 0
    examples: list[str] = []


def is_of_kind(kind: Kind, value: Any) -> bool:
    """Whether a value, typed or as text, can be read as ``kind``."""
    if kind == "string":
        return isinstance(value, str | int | float | bool)
    if kind == "boolean":
        return isinstance(value, bool) or str(value) in TRUE_WORDS | FALSE_WORDS
    if kind in ("date", "timestamp"):
        return _is_time(str(value), with_time=kind == "timestamp")
    if isinstance(value, bool):
        return False
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return number - number == 0 and (kind == "number" or number == int(number))


def range_text(column: ContractColumn) -> str:
    """The promised range in words: ``between 0 and 10``, ``at least 0``, ``at most 10``."""
    if column.minimum is not None and column.maximum is not None:
        return f"between {column.minimum:g} and {column.maximum:g}"
    if column.minimum is not None:
        return f"at least {column.minimum:g}"
    return f"at most {column.maximum:g}"


def in_range(column: ContractColumn, number: float) -> bool:
    """Whether a number keeps the promised limits."""
    return (column.minimum is None or number >= column.minimum) and (column.maximum is None or number <= column.maximum)


RowCheck = Callable[[Mapping[str, Any]], list[Violation]]


def row_check(contract: Contract) -> RowCheck:
    """A prepared check of single live requests: a mapping of column to value in, violations out.

    Only features are asked of a live request; the target and the key may be present or not.
    """
    columns = [(column, _cell_check(column)) for column in contract.columns]
    known = {column.name for column in contract.columns}

    def check(row: Mapping[str, Any]) -> list[Violation]:
        found: list[Violation] = []
        for column, broken in columns:
            value = row.get(column.name)
            if column.part != "feature":
                continue
            if column.name not in row:
                if column.required:
                    message = f"The value of {column.name} is missing from the request."
                    found.append(Violation(column=column.name, rule="missing_column", message=message, rows=1))
            elif (violation := broken(value)) is not None:
                found.append(violation)
        if not contract.extra_columns and len(row) > len(known.intersection(row)):
            for name in row:
                if name not in known:
                    message = f"{name} is not a column of the contract {contract.name}. Leave it out."
                    found.append(Violation(column=name, rule="extra_column", message=message, rows=1))
        return found

    return check


def check_row(contract: Contract, row: Mapping[str, Any]) -> list[Violation]:
    """``row_check`` for one request; prepare the check once when there are many."""
    return row_check(contract)(row)


def _cell_check(column: ContractColumn) -> Callable[[Any], Violation | None]:
    allowed = frozenset(column.allowed)
    pattern = patterns.compiled(column.pattern) if column.pattern else None
    numeric = column.kind in ("number", "integer")

    def says(rule: Rule, value: Any, promise: str) -> Violation:
        shown = str(value)[:60]
        return Violation(
            column=column.name,
            rule=rule,
            rows=1,
            examples=[shown],
            message=f"{column.name} is {shown!r}, but {promise}.",
        )

    def broken(value: Any) -> Violation | None:
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            return says("null_not_allowed", value, "a value is required") if column.required else None
        if not is_of_kind(column.kind, value):
            return says("wrong_type", value, f"must be of type {column.kind}")
        if numeric and not in_range(column, float(value)):
            return says("out_of_range", value, f"must be {range_text(column)}")
        text = shown_value(value)
        if allowed and text not in allowed:
            return says("unknown_category", value, f"must be one of: {', '.join(column.allowed[:20])}")
        if pattern is not None and not patterns.matches(pattern, text):
            return says("pattern", value, f"must match {column.pattern}")
        if not numeric and not length_fits(column, text):
            return says("length", value, length_text(column))
        return None

    if not numeric or allowed or pattern is not None:
        return broken
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    whole = column.kind == "integer"

    def number(value: Any) -> Violation | None:
        """The same for plain numbers, where a gateway spends its time."""
        usual = type(value) in (float, int) and low <= value <= high and -_HUGE < value < _HUGE
        return None if usual and not (whole and value != int(value)) else broken(value)

    return number


def shown_value(value: Any) -> str:
    """A value as tables and contracts write it: ``1`` for 1, 1.0 and True."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def length_fits(column: ContractColumn, text: str) -> bool:
    """Whether a text keeps the promised length."""
    return (column.min_length is None or len(text) >= column.min_length) and (
        column.max_length is None or len(text) <= column.max_length
    )


def length_text(column: ContractColumn) -> str:
    """The promised length in words."""
    return f"its length must be between {column.min_length or 0} and {column.max_length or 'any'}"


def _is_time(text: str, *, with_time: bool) -> bool:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return False
    return with_time or (at.hour, at.minute, at.second) == (0, 0, 0)
