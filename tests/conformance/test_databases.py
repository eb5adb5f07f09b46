"""Every row store passes the same suite."""

from __future__ import annotations

import pytest

from stile.testing.database_suite import DatabaseSuite


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
class TestSqlite(DatabaseSuite):
    """The embedded engine."""


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
class TestPostgres(DatabaseSuite):
    """The engine for many servers."""
