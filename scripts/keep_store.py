"""Keep the store of a release as a text, so that later versions are tested to open it.

    python scripts/keep_store.py NAME DATA_DIR

NAME is the release (``0.1.0``), DATA_DIR the data folder of a stopped server of that release with
content worth finding again (``python demo/story.py --once --data DIR`` makes one in DIR/server).
Writes tests/upgrade/stores/NAME.sql.xz. A kept store is never changed; tests/upgrade reads it.
"""

from __future__ import annotations

import argparse
import lzma
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

STORES = Path(__file__).parents[1] / "tests" / "upgrade" / "stores"


def dump(file: Path) -> Iterator[str]:
    """The statements that make the database again; they use ``packed(text)``: zlib-compressed UTF-8."""
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    made = database.execute("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name")
    objects = [row for row in made if not row[0].startswith("sqlite_")]
    yield from (f"{sql};" for _, kind, sql in objects if kind == "table")
    for table in [*sorted(name for name, kind, _ in objects if kind == "table"), "sqlite_sequence"]:
        for row in database.execute(f'SELECT * FROM "{table}"'):
            yield f'INSERT INTO "{table}" VALUES ({", ".join(map(literal, row))});'
    yield from (f"{sql};" for _, kind, sql in objects if kind != "table")
    database.close()


def literal(value: object) -> str:
    """A value as SQLite reads it, bytes that hold text as that text."""
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return "9e999" if value == float("inf") else "-9e999" if value == float("-inf") else repr(value)
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        return f"CAST(X'{value.encode().hex()}' AS TEXT)" if "\0" in value else f"'{quoted}'"
    if not isinstance(value, bytes):
        return str(value)
    text = _text(value)
    if text is not None:
        return f"CAST({literal(text)} AS BLOB)"
    if value[:1] == b"\x78":
        try:
            text = _text(zlib.decompress(value))
        except zlib.error:
            text = None
        if text is not None and zlib.compress(text.encode()) == value:
            return f"packed({literal(text)})"
    return f"X'{value.hex()}'"


def _text(value: bytes) -> str | None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def main() -> None:
    """Write it."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("name")
    words.add_argument("data_dir", type=Path)
    given = words.parse_args()
    target = STORES / f"{given.name}.sql.xz"
    if target.exists():
        raise SystemExit(f"{target} exists; a kept store is never changed.")
    target.write_bytes(lzma.compress("\n".join(dump(given.data_dir / "stile.db")).encode(), preset=9))
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
