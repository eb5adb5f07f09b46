"""Which engine keeps the rows: SQLite in the data folder, or PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from stile.kernel.clock import Clock
from stile.kernel.errors import Invalid
from stile.kernel.ids import Ids
from stile.kernel.settings import without_secrets
from stile.store.database import Database

_POSTGRES = ("postgresql://", "postgres://")


def open_database(store: str, folder: Path, *, clock: Clock | None = None, ids: Ids | None = None) -> Database:
    """The row store named by ``Settings.store``, created and migrated when missing or older.

    Args:
        store: ``sqlite``, or a ``postgresql://`` address.
        folder: the data folder; holds the file of SQLite.
        clock: source of time.
        ids: source of identifiers.

    Raises:
        Invalid: ``store`` is neither, or PostgreSQL refuses the user or the database.
        MissingExtra: PostgreSQL is asked for and its driver is not installed.
        Unavailable: it cannot be opened or reached.
        Corrupt: it was written by a newer Stile, or is damaged.
    """
    if store == "sqlite":
        from stile.store.sqlite import SqliteDatabase  # noqa: PLC0415  one engine is loaded, not both

        return SqliteDatabase(folder / "stile.db", clock=clock, ids=ids)
    if store.startswith(_POSTGRES):
        from stile.store.postgres import PostgresDatabase  # noqa: PLC0415  an extra

        return PostgresDatabase(store, clock=clock, ids=ids)
    raise Invalid(
        f"The store {without_secrets(store)!r} is not known. Write sqlite, "
        "or postgresql://user:password@host:port/database."
    )
