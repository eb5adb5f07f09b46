"""Opening the stores that earlier versions wrote: the text of one as SQLite, or in PostgreSQL."""

from __future__ import annotations

import lzma
import sqlite3
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

from stile.store import migrations
from stile.store.migrations import statements
from stile.store.postgres_connection import connect

STORES = sorted((Path(__file__).parent / "stores").glob("*.sql.xz"))

Rows = list[tuple[Any, ...]]


def as_sqlite(store: Path, file: Path) -> None:
    """Write a kept store to ``file``, as the version that made it would have left it."""
    database = sqlite3.connect(file)
    database.create_function("packed", 1, lambda text: zlib.compress(text.encode()), deterministic=True)
    database.executescript(f"BEGIN;\n{lzma.decompress(store.read_bytes()).decode()}\nCOMMIT;")
    database.execute("PRAGMA journal_mode=WAL").fetchall()
    database.close()


def tables(file: Path) -> dict[str, tuple[list[str], Rows]]:
    """Columns and rows of every table of a database file."""
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    named = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    found = {}
    for (name,) in named.fetchall():
        cursor = database.execute(f'SELECT * FROM "{name}"')
        found[name] = ([column[0] for column in cursor.description], cursor.fetchall())
    database.close()
    return found


def as_postgres(file: Path, url: str) -> None:
    """Put the content of a kept store that was written to ``file`` into an empty database of PostgreSQL.

    The tables are made by the migrations that the old version had applied: their files never change.
    """
    content = tables(file)
    folder = resources.files(migrations)
    with connect(url, session="SET session_replication_role = replica") as connection:
        connection.execute("BEGIN")
        connection.execute(
            "CREATE TABLE migrations (name TEXT PRIMARY KEY, checksum TEXT NOT NULL, at BIGINT NOT NULL)"
        )
        for name in sorted(row[0] for row in content["migrations"][1]):
            for statement in statements((folder / f"{name}.sql").read_text("utf-8"), "postgres"):
                connection.execute(statement)
        for table, (columns, rows) in content.items():
            connection.execute(f'DELETE FROM "{table}"')
            if rows:
                marks = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
                connection.cursor(binary=True).executemany(
                    f'INSERT INTO "{table}" ({", ".join(columns)}) VALUES ({marks})', rows
                )
        counted = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE is_identity = 'YES' AND table_schema = current_schema()"
        ).fetchall()
        for table, column in counted:
            connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), max(\"{column}\")) FROM \"{table}\""
            )
        connection.execute("COMMIT")
