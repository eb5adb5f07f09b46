"""What of a file can be shown, decided by its name and its first bytes, and how its beginning reads. Pure.

Nothing of a file ever becomes part of a page as markup. Pictures and HTML are shown by the browser
from an address of their own that forbids every script; what is large or unknown is only downloaded.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Literal

import msgspec

Kind = Literal["text", "json", "table", "diff", "image", "html", "graph", "none"]

HEAD_BYTES = 128 << 10
"""How much of a text is shown."""

LARGEST_SHOWN = 10 << 20
"""Pictures and HTML beyond this are only downloaded."""

IMAGE_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "svg": "image/svg+xml",
}  # fmt: skip
GRAPH_ENDINGS = (".vl.json", ".vega.json", ".vega-lite.json")
_MOST_ROWS, _MOST_COLUMNS, _MOST_CELL = 50, 30, 120
_LARGEST_JSON = 1 << 20
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|nan|NaN|inf|-inf")
_SEPARATORS = {"csv": ",", "tsv": "\t"}


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a file.

    Attributes:
        kind: how it is shown.
        text: of texts, JSON (set out again) and diffs.
        columns, rows: of tables.
        numbers: for each column, whether it holds numbers only.
        note: what is not shown, in words; empty when it is whole.
    """

    kind: Kind
    text: str = ""
    columns: list[str] = []
    numbers: list[bool] = []
    rows: list[list[str]] = []
    note: str = ""


def kind_of(path: str, size: int) -> Kind:
    """How a file of this name and size is shown; ``text`` still has to turn out to be one."""
    name = path.rpartition("/")[2].lower()
    ending = name.rpartition(".")[2] if "." in name else ""
    if ending in IMAGE_TYPES:
        return "image" if size <= LARGEST_SHOWN else "none"
    if ending in ("html", "htm"):
        return "html" if size <= LARGEST_SHOWN else "none"
    if name.endswith(GRAPH_ENDINGS):
        return "graph"
    if ending in _SEPARATORS:
        return "table"
    if ending in ("json", "geojson", "ipynb") and size <= _LARGEST_JSON:
        return "json"
    return "diff" if ending in ("patch", "diff") else "text"


def preview(path: str, size: int, head: bytes) -> Preview:
    """The beginning of a file as it is shown.

    Args:
        path: its name decides what it is taken for.
        size: bytes of the whole file.
        head: its beginning; all of it for JSON.
    """
    kind = kind_of(path, size)
    if kind in ("image", "html", "graph"):
        return Preview(kind=kind)
    text = _text(head, whole=len(head) >= size)
    if kind == "none" or text is None:
        return Preview(kind="none", note="This is not a kind of file that can be shown here. Download it to open it.")
    cut = "" if len(head) >= size else f"Only the first {len(head) // 1024} kB are shown; download it to see all."
    if kind == "table":
        return _table(text, _SEPARATORS[path.lower().rpartition(".")[2]], cut)
    if kind == "json":
        return Preview(kind="json", text=_set_out(text), note=cut)
    return Preview(kind=kind, text=text, note=cut)


def _text(head: bytes, *, whole: bool) -> str | None:
    """The bytes as text, or None when they are none; a letter cut in two at the end is left out."""
    if b"\0" in head:
        return None
    for cut in range(1 if whole else 4):
        try:
            return head[: len(head) - cut].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
    return None


def _set_out(text: str) -> str:
    try:
        return msgspec.json.format(text.encode(), indent=2).decode()
    except (msgspec.DecodeError, RecursionError):
        return text


def _table(text: str, separator: str, cut: str) -> Preview:
    if cut:
        text = text.rpartition("\n")[0] or text
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    found: list[list[str]] = []
    try:
        for row in reader:
            if row:
                found.append([cell[:_MOST_CELL] for cell in row[:_MOST_COLUMNS]])
            if len(found) > _MOST_ROWS:
                break
    except csv.Error:
        return Preview(kind="text", text=text, note=cut)
    if not found:
        return Preview(kind="text", text=text, note=cut)
    columns = found[0]
    rows = [(row + [""] * len(columns))[: len(columns)] for row in found[1 : _MOST_ROWS + 1]]
    more = next(reader, None) is not None or bool(cut) or len(found) > _MOST_ROWS
    note = f"The first {len(rows)} rows are shown; download it to see all." if more else ""
    numbers = [_all_numbers([row[at] for row in rows]) for at in range(len(columns))]
    return Preview(kind="table", columns=columns, numbers=numbers, rows=rows, note=note)


def _all_numbers(cells: list[str]) -> bool:
    known = [cell for cell in cells if cell.strip()]
    return bool(known) and all(_NUMBER.fullmatch(cell.strip()) for cell in known)
