"""A table as a value: named columns of numbers or text, read from CSV or Parquet, named by its content.

Numbers are float64 with NaN for missing; text is an object array of ``str`` with None for
missing. The canonical form of a row is the JSON array of its values ordered by column name,
hashed together with those names, so the order of columns in a file does not matter, while the
order of rows counts for the table's digest and not for the rows'.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from stile.kernel.errors import Invalid, MissingExtra, TooLarge

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]
Column = npt.NDArray[Any]

MISSING_NUMBERS = frozenset({"", "nan", "NaN", "NA", "N/A", "null", "NULL"})
"""Cells that mean "missing" in a column of numbers; in a column of text only the empty cell does."""

_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
_CODE = re.compile(r"[+-]?0\d|[+-]?\d{16,}\Z")  # digits that are a name: 00123, or too long to be held exactly

_NEEDS_A_LOOK = re.compile(r"_|^\s*[+-]?(?:0\d|\d{16})", re.MULTILINE)  # what float() takes but is no plain number


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest table that is read.

    Args:
        rows, columns: counts.
        cells: rows times columns; what memory is spent on.
        content_bytes: size of the file.
    """

    rows: int = 5_000_000
    columns: int = 2_000
    cells: int = 100_000_000
    content_bytes: int = 1 << 30


LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of equal length by name, in file order. Arrays are read-only."""

    columns: dict[str, Column]
    rows: int

    @property
    def names(self) -> list[str]:
        """Column names in file order."""
        return list(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def is_numeric(self, name: str) -> bool:
        """Whether the column holds numbers."""
        return self.columns[name].dtype != np.object_

    def numbers(self, name: str) -> Numbers:
        """A column of numbers; text that spells numbers is read as such.

        Raises:
            Invalid: there is no such column, or it holds other text.
        """
        column = self._column(name)
        if column.dtype != np.object_:
            return column
        numbers = numbers_of(column)
        wrong = np.flatnonzero(np.isnan(numbers) & ~self.missing(name))
        if wrong.size:
            row = int(wrong[0])
            message = f"The column {name!r} must hold numbers, but row {row + 1} has {str(column[row])[:40]!r}."
            raise Invalid(message, column=name, row=row + 1)
        return numbers

    def texts(self, name: str) -> Texts:
        """A column as text, numbers in their shortest form (``1``, ``0.5``); None where missing.

        Raises:
            Invalid: there is no such column.
        """
        column = self._column(name)
        return column if column.dtype == np.object_ else texts_of(column)

    def missing(self, name: str) -> Flags:
        """Where the column has no value."""
        column = self._column(name)
        if column.dtype == np.object_:
            return np.fromiter((v is None for v in column), dtype=np.bool_, count=self.rows)
        return np.isnan(column)

    def pick(self, names: Sequence[str]) -> Table:
        """Only these columns, in this order."""
        return Table({name: self._column(name) for name in names}, self.rows)

    def take(self, rows: Indices) -> Table:
        """Only these rows, in this order."""
        return Table({name: _locked(column[rows]) for name, column in self.columns.items()}, len(rows))

    def with_column(self, name: str, column: Column) -> Table:
        """The table and one more (or replaced) column."""
        return table_of({**self.columns, name: column})

    def row_digests(self, names: Iterable[str] | None = None) -> list[str]:
        """``sha256:...`` of every row in canonical form, over ``names`` or all columns."""
        return ["sha256:" + digest.hex() for digest in self._row_hashes(names)]

    @property
    def digest(self) -> str:
        """``sha256:...`` of the content: column names, kinds and rows in order."""
        whole = hashlib.sha256(_header(self.columns))
        for digest in self._row_hashes(None):
            whole.update(digest)
        return "sha256:" + whole.hexdigest()

    def _row_hashes(self, names: Iterable[str] | None) -> Iterable[bytes]:
        ordered = sorted(self.columns if names is None else names)
        start = hashlib.sha256(msgspec.json.encode(ordered) + b"\n")
        encode = msgspec.json.Encoder().encode
        cells = [_plain(self._column(name)) for name in ordered]
        for row in zip(*cells, strict=True) if cells else ():
            one = start.copy()
            one.update(encode(row))
            yield one.digest()

    def _column(self, name: str) -> Column:
        try:
            return self.columns[name]
        except KeyError:
            raise Invalid(
                f"There is no column {name!r}. The table has: {', '.join(self.names[:20])}.", column=name
            ) from None


def table_of(columns: Mapping[str, Sequence[Any] | Column]) -> Table:
    """A table from sequences: numbers (and booleans) become float64, anything else text.

    Raises:
        Invalid: lengths differ, or a number is infinite.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise Invalid(f"The columns differ in length: {lengths}.")
    arrays = {str(name): _array(str(name), values) for name, values in columns.items()}
    return Table(arrays, next(iter(lengths.values()), 0))


def parse_table(content: bytes, *, limits: Limits = LIMITS) -> Table:
    """A table from the bytes of a Parquet or CSV file, told apart by their first bytes."""
    if content[:4] == b"PAR1":
        return parse_parquet(content, limits=limits)
    return parse_csv(content, limits=limits)


def parse_csv(content: bytes, *, limits: Limits = LIMITS) -> Table:
    """A table from CSV: UTF-8, comma separated, first line names the columns.

    A column is numeric when every filled cell is a plain number; names made of digits (leading
    zeros, more than 15 digits) stay text, so that ``00123`` is not ``123``.

    Raises:
        Invalid: not CSV; the message names the row (1 is the first below the header) and the column.
        TooLarge: a limit was passed.
    """
    _check_bytes(content, limits)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"The table is not UTF-8 text (byte {error.start}). Save it as CSV in UTF-8.") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        header = next(reader, [])
        _check_header(header, limits)
        for row in reader:
            if not row and len(header) > 1:
                continue  # an empty line
            cells = row or [""]
            if len(cells) != len(header):
                raise Invalid(
                    f"Row {len(rows) + 1} has {len(cells)} cells, but the header names {len(header)} columns.",
                    row=len(rows) + 1,
                )
            rows.append(cells)
            _check_size(len(rows), len(header), limits)
    except csv.Error as error:
        raise Invalid(f"The table is not valid CSV near line {reader.line_num}: {error}.") from error
    cells_by_column = zip(*rows, strict=True) if rows else [() for _ in header]
    columns = {name: _parsed(name, cells) for name, cells in zip(header, cells_by_column, strict=True)}
    return Table(columns, len(rows))


def parse_parquet(content: bytes, *, limits: Limits = LIMITS) -> Table:
    """A table from Parquet.

    Raises:
        MissingExtra: polars is not installed.
        Invalid: not Parquet, or a column of a nested type.
    """
    try:
        import polars  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  (optional)
    except ImportError:
        raise MissingExtra("polars", "data", "Reading Parquet") from None
    _check_bytes(content, limits)
    try:
        frame = polars.read_parquet(io.BytesIO(content))
    except Exception as error:
        raise Invalid(f"The table is not readable as Parquet: {error}.") from error
    _check_header(list(frame.columns), limits)
    _check_size(frame.height, len(frame.columns), limits)
    return table_of({name: frame[name].to_list() for name in frame.columns})


def to_csv(table: Table) -> bytes:
    """The table as CSV that ``parse_csv`` reads back to the same content."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.names)
    cells = [["" if v is None else v for v in table.texts(name)] for name in table.names]
    writer.writerows(zip(*cells, strict=True))
    return out.getvalue().encode()


def text_of(value: Any) -> str | None:
    """One value as text the way tables show it: ``1`` for 1.0 and True, None for missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool | np.bool_):
        return "1" if value else "0"
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    text = str(value)
    return text or None


def texts_of(values: Iterable[Any]) -> Texts:
    """``text_of`` for every value."""
    items = [text_of(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values)]
    return _object_array(items)


def numbers_of(texts: Iterable[str | None]) -> Numbers:
    """Texts as numbers, NaN for what is missing or does not spell one."""
    cells = [(text or "").strip() for text in texts]
    numbers = [float(cell) if _PLAIN_NUMBER.match(cell) else np.nan for cell in cells]
    return np.array(numbers, dtype=np.float64)


def _array(name: str, values: Sequence[Any] | Column) -> Column:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
    else:
        items = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if not all(item is None or isinstance(item, int | float | np.number | np.bool_) for item in items):
            return _locked(_object_array([text_of(item) for item in items]))
        try:
            numbers = np.array([np.nan if item is None else float(item) for item in items], dtype=np.float64)
        except OverflowError:
            raise Invalid(f"The column {name!r} holds a number beyond what can be kept.", column=name) from None
    if np.isinf(numbers).any():
        row = int(np.flatnonzero(np.isinf(numbers))[0]) + 1
        raise Invalid(f"Row {row}, column {name!r}: an infinite number cannot be kept.", row=row, column=name)
    return _locked(numbers + 0.0)  # turns -0.0 into 0.0: one value, one form


def _parsed(name: str, cells: Sequence[str]) -> Column:
    plain = _plainly_parsed(cells)
    if plain is not None:
        return _locked(plain)
    numeric = False
    for row, raw in enumerate(cells):
        cell = raw.strip()
        if cell in MISSING_NUMBERS:
            continue
        if cell.lower().lstrip("+-") in ("inf", "infinity") and numeric:
            message = (
                f"Row {row + 1}, column {name!r}: {cell!r} is not a usable number. Leave the cell empty if unknown."
            )
            raise Invalid(message, row=row + 1, column=name)
        if not _PLAIN_NUMBER.match(cell) or _CODE.match(cell):
            return _locked(_object_array([text or None for text in cells]))
        numeric = True
    values = [np.nan if (cell := raw.strip()) in MISSING_NUMBERS else float(cell) for raw in cells]
    return _array(name, np.array(values, dtype=np.float64))


def _plainly_parsed(cells: Sequence[str]) -> Numbers | None:
    """The column when nothing about it needs a closer look, by functions that run in C; else None."""
    joined = "\n".join(cells)
    if _NEEDS_A_LOOK.search(joined) or not joined.isascii():
        return None
    try:
        values = np.array([float(cell) if cell not in MISSING_NUMBERS else np.nan for cell in cells], dtype=np.float64)
    except ValueError:
        return None
    return None if np.isinf(values).any() else values + 0.0


def _object_array(items: list[Any]) -> Texts:
    array = np.empty(len(items), dtype=np.object_)
    array[:] = items
    return array


def _locked(array: Column) -> Column:
    array.flags.writeable = False
    return array


def _plain(column: Column) -> list[Any]:
    values: list[Any] = column.tolist()
    return values if column.dtype == np.object_ else [None if math.isnan(v) else v for v in values]


def _header(columns: dict[str, Column]) -> bytes:
    kinds = {name: "text" if column.dtype == np.object_ else "number" for name, column in columns.items()}
    return msgspec.json.encode(kinds, order="deterministic")


def _check_bytes(content: bytes, limits: Limits) -> None:
    if len(content) > limits.content_bytes:
        raise TooLarge(f"The table is larger than {limits.content_bytes} bytes.", limit=limits.content_bytes)


def _check_header(header: list[str], limits: Limits) -> None:
    if not header or not any(name.strip() for name in header):
        raise Invalid("The table is empty: its first line must name the columns.")
    if len(header) > limits.columns:
        raise TooLarge(f"The table has {len(header)} columns; at most {limits.columns} are read.", limit=limits.columns)
    for place, name in enumerate(header, 1):
        if not name.strip():
            raise Invalid(f"Column {place} has no name. Every column needs one in the first line.", column=place)
        if header.index(name) != place - 1:
            raise Invalid(f"Two columns are named {name!r}. Rename one of them.", column=name)


def _check_size(rows: int, columns: int, limits: Limits) -> None:
    if rows > limits.rows or rows * columns > limits.cells:
        raise TooLarge(f"The table has more than {limits.rows} rows or {limits.cells} cells.", limit=limits.rows)
