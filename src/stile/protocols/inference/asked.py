"""A question as decoded from a request, whatever protocol it came in."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from stile.deploy.rows import MAX_ROWS, Sent
from stile.edge.json_body import refuse_costly
from stile.kernel.errors import Invalid

T = TypeVar("T")

UNIT = "unit"
"""Name under which a caller may send its own key of the entity a row is about."""
_MAX_UNIT = 200
_MOST_OBJECTS = 3 * MAX_ROWS  # a row, and a few lists around it
_MOST_VALUES = 4_000_000  # numbers: 400 columns of that many rows


class Asked(msgspec.Struct, kw_only=True):
    """Rows, and the caller's own keys for them.

    Attributes:
        sent: the rows.
        units: the caller's key per row; empty when none were sent.
        id: the caller's id of the request (V2).
        outputs: names of the outputs asked for (V2); empty for all.
    """

    sent: Sent
    units: list[str] = []
    id: str | None = None
    outputs: list[str] = []


def decode(body: bytes | msgspec.Raw, kind: type[T], what: str) -> T:
    """JSON into ``kind``; every way it can be wrong is the caller's error, in words.

    Raises:
        Invalid: it is not JSON, is nested too deeply, or does not fit.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"{what} does not fit: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{what} is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise Invalid(f"{what} is nested too deeply.") from error


def admit(body: bytes) -> None:
    """Refuse a body with far more rows and objects than may be answered, before they take memory.

    Raises:
        Invalid: it has.
    """
    refuse_costly(body, objects=_MOST_OBJECTS, values=_MOST_VALUES)


def rows_of(raw: bytes | msgspec.Raw, what: str) -> tuple[list[list[Any]], bool]:
    """Rows of cells, and whether every cell is known to be a number."""
    try:
        return msgspec.json.decode(raw, type=list[list[float]]), True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # not all numbers: the careful path says what is wrong with which cell
    rows = decode(raw, list[Any], what)
    for position, row in enumerate(rows):
        if not isinstance(row, list):
            raise Invalid(f"{what} must be a list of rows, each a list of values; row {position} is not a list.")
    return rows, False


def records_of(raw: bytes | msgspec.Raw, what: str) -> Sent:
    """Rows sent as objects, one per row."""
    checked = True
    records: list[dict[str, Any]]
    try:
        records = msgspec.json.decode(raw, type=list[dict[str, float]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        checked = False
        records = decode(raw, list[dict[str, Any]], what)
    columns = list(dict.fromkeys(name for record in records for name in record))
    for position, record in enumerate(records):
        if len(record) != len(columns):
            lacking = next(name for name in columns if name not in record)
            raise Invalid(f"Row {position} lacks the column {lacking!r}, which other rows have.", row=position)
    return Sent(columns=columns, rows=[[record[name] for name in columns] for record in records], checked=checked)


def columns_of(table: dict[str, Any], what: str) -> Sent:
    """Rows sent as one list of values per column."""
    if not table:
        raise Invalid(f"{what} names no columns.")
    for name, values in table.items():
        if not isinstance(values, list):
            raise Invalid(f"{what}: the column {name!r} must be a list with one value per row.")
    lengths = {len(values) for values in table.values()}
    if len(lengths) > 1:
        longest = max(lengths)
        short = next(name for name, values in table.items() if len(values) != longest)
        raise Invalid(f"{what}: the column {short!r} has {len(table[short])} values, another has {longest}.")
    return Sent(columns=list(table), rows=[list(row) for row in zip(*table.values(), strict=True)])


def units_of(value: Any, count: int) -> list[str]:
    """The caller's keys: one text for a single row, or a list with one per row.

    Raises:
        Invalid: they are of another form or number.
    """
    if value is None:
        return []
    keys = value if isinstance(value, list) else [value]
    if len(keys) != count:
        raise Invalid(f"{len(keys)} unit keys were sent for {count} rows. Send one per row.")
    if not all(isinstance(key, str | int) and not isinstance(key, bool) and len(str(key)) <= _MAX_UNIT for key in keys):
        raise Invalid(f"A unit key is a text of at most {_MAX_UNIT} characters, or a whole number.")
    texts = [str(key) for key in keys]
    if not all(text.isprintable() for text in texts):
        raise Invalid("A unit key has no control characters.")
    return texts


def take_units(sent: Sent) -> list[str]:
    """Remove the column called ``unit``, when the rows carry one, and return its values."""
    if sent.columns is None or UNIT not in sent.columns:
        return []
    place = sent.columns.index(UNIT)
    values = [row[place] if place < len(row) else None for row in sent.rows]
    sent.columns = [name for position, name in enumerate(sent.columns) if position != place]
    sent.rows = [[cell for position, cell in enumerate(row) if position != place] for row in sent.rows]
    return units_of(values, len(values))
