"""Tables as CSV files: any number of rows, written while they are read, and safe to open in a spreadsheet.

A spreadsheet runs a cell that begins with ``= + - @`` as a formula. Text of users is therefore
written with a leading ``'`` when it begins like one; numbers, also those that came as text, are not.
Source: RFC 4180 (lines end with CRLF, quotes are doubled); OWASP, "CSV Injection".
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

Cell = str | float | bool | None

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_QUOTED = re.compile(r'[",\r\n]|^\s|\s$')
_NOT_IN_A_NAME = re.compile(r"[^\w.-]+", re.ASCII)


def cell(value: Cell) -> str:
    """One value as a cell: numbers in full, nothing for None, text that cannot turn into a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value)
    if text.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def lines(rows: Iterable[Sequence[Cell]]) -> bytes:
    """Rows as lines of a CSV file, in UTF-8."""
    return "".join(",".join(map(cell, row)) + "\r\n" for row in rows).encode("utf-8", "replace")


def answer(name: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Response:
    """A table that fits in memory, as a file to download.

    Args:
        name: of the file, without ``.csv``; characters that are not letters or digits become ``-``.
        columns: heads, in the order of the cells.
        rows: one sequence of cells per row.
    """
    return Response(lines([columns]) + lines(rows), headers=_headers(name), media_type="text/csv")


async def stream(name: str, columns: Sequence[str], pages: AsyncIterator[Sequence[Sequence[Cell]]]) -> Response:
    """A table of any length, sent page by page. The first page is read before the answer begins.

    Raises:
        StileError: whatever reading the first page raises, so that it is answered as an error and not as a file.
    """
    first = await anext(pages, ())

    async def body() -> AsyncIterator[bytes]:
        yield lines([columns]) + lines(first)
        async for page in pages:
            yield lines(page)

    return StreamingResponse(body(), headers=_headers(name), media_type="text/csv")


def _headers(name: str) -> dict[str, str]:
    plain = _NOT_IN_A_NAME.sub("-", name).strip("-.")[:80] or "table"
    full = quote(f"{name[:200]}.csv".replace("/", "-"), safe="", errors="replace")
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}.csv\"; filename*=UTF-8''{full}",
        "Cache-Control": "no-store",
    }
