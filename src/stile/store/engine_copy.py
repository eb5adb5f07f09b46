"""All rows of a store from one engine to the other, as they were at one moment.

Both engines have the same tables, made by the same migrations, so a copy is every row of every table. It is how
a store in PostgreSQL is backed up (into the SQLite file that a backup holds), how it comes back, and how a store
that began in SQLite moves to PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg
from psycopg import sql

from stile.kernel.errors import Conflict, Exists, StorageFull
from stile.store.postgres import PostgresDatabase
from stile.store.postgres_connection import Connection, connect, in_our_words
from stile.store.sqlite import SqliteDatabase

_AT_ONCE = 2_000
_FACTS = ("ledger", "runs", "use_cases", "accounts", "registered_models")
"""Tables in which a store that has been used has rows."""


def to_sqlite(url: str, target: Path) -> None:
    """Copy the store at the PostgreSQL address ``url`` to the new SQLite file ``target``; its servers may go on.

    Raises:
        Conflict: the store was written by another version of Stile.
        Unavailable: PostgreSQL cannot be reached, or broke off.
        StorageFull: no room for the copy.
    """
    SqliteDatabase(target).close()
    with _postgres(url) as source, _sqlite(target) as copy:
        source.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        _check_same(source, copy)
        copy.execute("BEGIN")
        names = _tables(copy)
        for name in reversed(names):
            copy.execute(f"DELETE FROM {_quoted(name)}")
        for name in names:
            columns = _columns(copy, name)
            marks = ", ".join("?" * len(columns))
            insert = f"INSERT INTO {_quoted(name)} ({', '.join(map(_quoted, columns))}) VALUES ({marks})"
            for rows in _read_postgres(source, name, columns):
                copy.executemany(insert, rows)
        for name, column in _numbered(copy):
            copy.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            last = _last_number(source, name, column)
            copy.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))
        copy.execute("COMMIT")
        source.execute("COMMIT")
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()


def to_postgres(file: Path, url: str) -> None:
    """Copy the store in the SQLite file ``file`` to the empty PostgreSQL database at ``url``, all or nothing.

    Raises:
        Exists: there are rows already.
        Conflict: the file was written by another version of Stile.
        Invalid: a text holds a NUL character, which PostgreSQL cannot keep.
        Unavailable: PostgreSQL cannot be reached, or broke off.
    """
    PostgresDatabase(url).close()  # makes the tables
    with _sqlite(file) as source, _postgres(url) as target:
        _check_same(target, source)
        target.execute("BEGIN")
        used = [name for name in _FACTS if target.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()]
        if used:
            raise Exists(
                f"The PostgreSQL database holds a store already ({', '.join(used)} have rows). Use an empty database: "
                "createdb NAME."
            )
        names = _tables(source)
        for name in reversed(names):
            target.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
        for name in names:
            columns = _columns(source, name)
            _write_postgres(target, name, columns, source)
        for name, column in _numbered(source):
            last = _last_seen(source, name)
            target.execute(
                "SELECT setval(pg_get_serial_sequence($1, $2)::regclass, $3, $4::int = 1)",
                (name, column, last or 1, int(last > 0)),
            )
        target.execute("COMMIT")


@contextmanager
def _postgres(url: str) -> Iterator[Connection]:
    connection = connect(url, session="SET statement_timeout = 0")
    try:
        yield connection
    except psycopg.Error as error:
        raise in_our_words(error) from error
    finally:
        connection.close()  # what was not committed is rolled back


@contextmanager
def _sqlite(file: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        yield connection
    except apsw.FullError as error:
        raise StorageFull("There is no room for the copy of the rows. Free some space and try again.") from error
    finally:
        connection.close()


def _check_same(postgres: Connection, sqlite: apsw.Connection) -> None:
    there = set(postgres.execute("SELECT name, checksum FROM migrations").fetchall())
    here = set(sqlite.execute("SELECT name, checksum FROM migrations").fetchall())
    if there != here:
        other = ", ".join(sorted(str(name) for name, _ in there ^ here))
        raise Conflict(
            f"The two stores are of different versions of Stile ({other}). Open both with the same one first."
        )


def _tables(connection: apsw.Connection) -> list[str]:
    """Tables in the order they were made: what others refer to comes first. Migrations are each engine's own."""
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'migrations' "
        "ORDER BY rowid"
    )
    return [str(name) for (name,) in rows]


def _columns(connection: apsw.Connection, table: str) -> list[str]:
    return [str(name) for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def _numbered(connection: apsw.Connection) -> list[tuple[str, str]]:
    """(table, column) of tables whose rows number themselves, and never use a number twice."""
    found = []
    for name in _tables(connection):
        ((text,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchall()
        if "AUTOINCREMENT" in str(text):
            key = connection.execute("SELECT name FROM pragma_table_info(?) WHERE pk = 1", (name,)).fetchall()
            found.append((name, str(key[0][0])))
    return found


def _read_postgres(source: Connection, table: str, columns: list[str]) -> Iterator[list[tuple[Any, ...]]]:
    chosen = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("DECLARE stile_copy NO SCROLL CURSOR FOR SELECT {} FROM {}").format(chosen, sql.Identifier(table))
    source.execute(query)
    try:
        while rows := source.execute(f"FETCH {_AT_ONCE} FROM stile_copy", binary=True).fetchall():
            yield rows
    finally:
        source.execute("CLOSE stile_copy")


def _write_postgres(target: Connection, table: str, columns: list[str], source: apsw.Connection) -> None:
    chosen = sql.SQL(", ").join(map(sql.Identifier, columns))
    types = [
        str(kind)
        for (kind,) in target.execute(
            "SELECT c.data_type FROM unnest($1::text[]) WITH ORDINALITY AS w(name, place) "
            "JOIN information_schema.columns c ON c.column_name = w.name "
            "WHERE c.table_schema = current_schema() AND c.table_name = $2 ORDER BY w.place",
            (columns, table),
        )
    ]
    command = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(sql.Identifier(table), chosen)
    names = ", ".join(map(_quoted, columns))
    with target.cursor().copy(command) as copy:
        copy.set_types(types)
        for row in source.execute(f"SELECT {names} FROM {_quoted(table)}"):
            copy.write_row(row)


def _last_number(source: Connection, table: str, column: str) -> int:
    """The last number that was given to a row, also when that row is gone."""
    row = source.execute("SELECT pg_get_serial_sequence($1, $2)", (table, column)).fetchone()
    assert row is not None
    sequence = sql.Identifier(*str(row[0]).split("."))
    found = source.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(sequence)).fetchone()
    assert found is not None
    return int(found[0]) if found[1] else 0


def _last_seen(source: apsw.Connection, table: str) -> int:
    rows = source.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchall()
    return int(str(rows[0][0])) if rows else 0


def _quoted(name: str) -> str:
    """A name of our own schema as SQLite quotes it."""
    return '"' + name.replace('"', '""') + '"'
