"""Every row store passes the same suite."""

from __future__ import annotations

import threading

import pytest

from stile.kernel.errors import Unavailable
from stile.store import group_writes
from stile.store.database import Database
from stile.testing.database_suite import DatabaseSuite


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
class TestSqlite(DatabaseSuite):
    """The embedded engine."""


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
class TestPostgres(DatabaseSuite):
    """The engine for many servers."""


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_no_write_waits_for_ever_when_the_store_closes_meanwhile(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while the store closes is served or refused."""
    put = group_writes.Groups.put

    def late(groups: group_writes.Groups, write: group_writes.Write) -> None:
        db.close()
        put(groups, write)

    def ask() -> None:
        with pytest.raises(Unavailable):
            db.write(lambda tx: tx.scalar("SELECT 1"))
        refused.set()

    monkeypatch.setattr(group_writes.Groups, "put", late)
    refused = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    assert refused.wait(10)
