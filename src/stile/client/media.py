"""Figures, tables and pictures as files that the run's page shows, from whatever library they come. No I/O."""

from __future__ import annotations

import csv
import io
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from stile.kernel.errors import Invalid


def figure(given: Any) -> tuple[str, bytes]:
    """A figure as (file suffix, content).

    A Vega-Lite spec or an Altair chart is drawn by the page; a Matplotlib figure becomes a PNG, a Plotly
    figure HTML.

    Raises:
        Invalid: it is none of these.
    """
    if not isinstance(given, Mapping):
        if hasattr(given, "savefig"):
            content = io.BytesIO()
            given.savefig(content, format="png", bbox_inches="tight")
            return ".png", content.getvalue()
        if hasattr(given, "to_html") and hasattr(given, "add_trace"):
            return ".html", str(given.to_html(include_plotlyjs=True)).encode()
        if hasattr(given, "to_dict"):
            given = given.to_dict()
    if not isinstance(given, Mapping):
        raise Invalid(
            f"{type(given).__name__} is no figure. Give a Matplotlib, Plotly or Altair figure, or a Vega-Lite spec."
        )
    if "vega-lite" not in str(given.get("$schema", "")):
        raise Invalid('A figure is a Vega-Lite spec: its "$schema" must name vega-lite.')
    return ".vl.json", msgspec.json.encode(dict(given))


def table(given: Any) -> bytes:
    """A table as CSV: a data frame, rows as mappings, or columns by name.

    Raises:
        Invalid: it is none of these, or its columns differ in length.
    """
    if callable(write := getattr(given, "write_csv", None)):  # polars
        return str(write()).encode()
    if callable(write := getattr(given, "to_csv", None)):  # pandas
        return str(write(index=False)).encode()
    if isinstance(given, Mapping):
        names = list(given)
        columns = [list(column) for column in given.values()]
        if len({len(column) for column in columns}) > 1:
            raise Invalid("The columns of the table differ in length: " + ", ".join(
                f"{name} has {len(column)}" for name, column in zip(names, columns, strict=True)) + ".")  # fmt: skip
        rows: Iterable[Iterable[Any]] = zip(*columns, strict=True)
    else:
        listed: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [0]
        if not all(isinstance(row, Mapping) for row in listed):
            raise Invalid("A table is a data frame, a list of mappings (rows), or a mapping of lists (columns).")
        names = list(dict.fromkeys(name for row in listed for name in row))
        rows = ([row.get(name, "") for name in names] for row in listed)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue().encode()


def image(given: Any) -> bytes:
    """A picture as PNG: a PIL image, or an array of shape (height, width), (height, width, 1, 3 or 4).

    An array of whole numbers holds 0 to 255, one of fractions 0 to 1; what is outside is cut.

    Raises:
        Invalid: it is neither.
    """
    if hasattr(given, "save") and hasattr(given, "tobytes") and not hasattr(given, "dtype"):
        content = io.BytesIO()
        given.save(content, format="PNG")
        return content.getvalue()
    if callable(getattr(given, "detach", None)):  # a tensor
        given = given.detach().cpu().numpy()
    shape = tuple(getattr(given, "shape", ()))
    channels = {2: 1}.get(len(shape), shape[-1] if len(shape) == 3 else 0)
    if channels not in (1, 3, 4) or 0 in shape:
        raise Invalid(
            f"{type(given).__name__}{f' of shape {shape}' if shape else ''} is no picture. Give a PIL image or an "
            "array of shape (height, width) or (height, width, 1, 3 or 4)."
        )
    if given.dtype.kind in "fb":
        given = (given * 255.0).round()
    pixels = given.clip(0, 255).astype("uint8")
    return _png(shape[1], shape[0], channels, pixels.tobytes())


def _png(width: int, height: int, channels: int, pixels: bytes) -> bytes:
    """Source: PNG specification, third edition (W3C), chunks IHDR, IDAT and IEND; every line without a filter."""
    line = width * channels
    lines = b"".join(b"\0" + pixels[start : start + line] for start in range(0, height * line, line))
    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
