"""Every row store passes the same suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stile.store.sqlite import SqliteDatabase
from stile.testing.database_suite import DatabaseSuite


class TestSqlite(DatabaseSuite):
    @pytest.fixture
    def db(self, tmp_path: Path) -> Iterator[SqliteDatabase]:
        database = SqliteDatabase(tmp_path / "stile.db")
        yield database
        database.close()
