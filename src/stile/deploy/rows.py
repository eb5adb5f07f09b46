"""From rows as a caller sent them to rows as the model takes them; every mismatch is named exactly.

The fast path is one list of lists of numbers in signature order: one array, one finiteness
check. Everything else (other order, text columns, nulls, wrong types) takes the careful path,
which finds the first offending cell and says where it is.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from stile.deploy.signature import Column, Signature
from stile.kernel.errors import Invalid, MissingExtra

MAX_ROWS = 10_000
MAX_EXTRA = 16
_MAX_TEXT = 10_000
_SHOWN = 5


class Sent(msgspec.Struct, kw_only=True):
    """Rows as decoded from a request.

    Attributes:
        columns: names in the order of the cells; None when the caller sent a bare matrix.
        rows: cells; ``checked`` says that each is known to be a number.
    """

    columns: list[str] | None
    rows: list[list[Any]]
    checked: bool = False


class Arranged(msgspec.Struct, kw_only=True):
    """Rows in the order of the signature.

    Attributes:
        model_input: a float64 array, or a DataFrame when the signature has text columns.
        cells: the same values for the record.
        extra: columns the model does not take, by name (segment and slice keys).
    """

    model_input: Any
    cells: list[list[Any]]
    extra: dict[str, list[Any]]


def arrange(signature: Signature, sent: Sent, *, missing_ok: bool) -> Arranged:
    """Rows for the model.

    Args:
        signature: what the model takes.
        sent: the decoded request.
        missing_ok: null numbers may reach the model as NaN.

    Raises:
        Invalid: names the column and row that do not fit.
    """
    rows = sent.rows
    if not rows:
        raise Invalid("There are no rows to answer. Send at least one.")
    if len(rows) > MAX_ROWS:
        raise Invalid(f"{len(rows)} rows in one request; at most {MAX_ROWS} are answered. Send them in parts.")
    width = len(signature.columns)
    if sent.columns is None or sent.columns == signature.names:
        _check_width(rows, width if sent.columns is None else len(sent.columns), named=sent.columns is not None)
        order, extra = None, {}
    else:
        order, spare = _order(signature, sent.columns)
        _check_width(rows, len(sent.columns), named=True)
        extra = {name: [row[position] for row in rows] for name, position in list(spare.items())[:MAX_EXTRA]}
    cells = rows if order is None else [[None if i is None else row[i] for i in order] for row in rows]
    complete = order is None or None not in order
    if signature.plain and sent.checked and complete:
        return Arranged(model_input=_matrix(signature, cells), cells=cells, extra=extra)
    values = [
        [_cell(column, value, position, missing_ok) for column, value in zip(signature.columns, row, strict=True)]
        for position, row in enumerate(cells)
    ]
    recorded = [[None if value != value else value for value in row] for row in values]  # noqa: PLR0124  NaN is missing
    return Arranged(model_input=_model_input(signature, values), cells=recorded, extra=extra)


def _order(signature: Signature, columns: list[str]) -> tuple[list[int | None], dict[str, int]]:
    where = {name: position for position, name in enumerate(columns)}
    if len(where) != len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        raise Invalid(f"The column {twice[0]!r} is sent twice.")
    missing = [column.name for column in signature.columns if column.required and column.name not in where]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise Invalid(
            f"The request lacks {len(missing)} of the {len(signature.columns)} columns the model takes: "
            f"{', '.join(repr(name) for name in missing[:_SHOWN])}{more}.",
            missing=missing[:100],
        )
    spare = {name: position for name, position in where.items() if name not in signature.index}
    return [where.get(name) for name in signature.names], spare


def _check_width(rows: list[list[Any]], width: int, *, named: bool) -> None:
    for position, row in enumerate(rows):
        if len(row) != width:
            expected = f"{width} columns are named" if named else f"the model takes {width}"
            raise Invalid(f"Row {position} has {len(row)} values, but {expected}.", row=position)


def _matrix(signature: Signature, cells: list[list[Any]]) -> Any:
    matrix = np.array(cells, dtype=np.float64)
    if not np.isfinite(matrix).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
        raise Invalid(f"Row {row}, column {signature.names[column]!r}: the number is not finite.", row=row)
    if signature.whole:
        part = matrix[:, signature.whole]
        if (part != np.rint(part)).any():
            row, place = (int(i) for i in np.argwhere(part != np.rint(part))[0])
            name = signature.names[signature.whole[place]]
            raise Invalid(f"Row {row}, column {name!r}: a whole number is expected, not {part[row, place]}.", row=row)
    return matrix


def _model_input(signature: Signature, values: list[list[Any]]) -> Any:
    if signature.numeric:
        return np.array(values, dtype=np.float64)
    try:
        import pandas as pd  # noqa: PLC0415  only models with text columns need a DataFrame
    except ImportError as error:
        raise MissingExtra("pandas", "train", "Serving a model with text columns") from error
    return pd.DataFrame(
        {column.name: [row[i] for row in values] for i, column in enumerate(signature.columns)}, columns=signature.names
    )


def _cell(column: Column, value: Any, row: int, missing_ok: bool) -> Any:
    where = f"Row {row}, column {column.name!r}"
    if value is None:
        if missing_ok or (column.kind == "string" and not column.required):
            return None if column.kind == "string" else float("nan")
        raise Invalid(f"{where}: the value is missing (null) and this model cannot answer without it.", row=row)
    if column.kind == "string":
        if not isinstance(value, str):
            raise Invalid(f"{where}: text is expected, not {_shown(value)}.", row=row)
        if len(value) > _MAX_TEXT:
            raise Invalid(f"{where}: the text is longer than {_MAX_TEXT} characters.", row=row)
        return value
    if column.kind == "boolean":
        if isinstance(value, bool) or value in (0, 1):
            return float(value)
        raise Invalid(f"{where}: true or false is expected, not {_shown(value)}.", row=row)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{where}: a number is expected, not {_shown(value)}.", row=row)
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not np.isfinite(number):
        raise Invalid(f"{where}: the number is not finite.", row=row)
    if column.kind == "integer" and number != int(number):
        raise Invalid(f"{where}: a whole number is expected, not {number}.", row=row)
    return number


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    kinds = {bool: "true or false", list: "a list", dict: "an object"}
    return kinds.get(type(value), repr(value)[:40])
