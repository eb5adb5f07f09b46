"""Fixtures shared by all tests: a fresh store, fresh blobs, a real server, on SQLite or PostgreSQL.

Tests run on SQLite. A module runs on both engines with

    pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)

and everything runs on PostgreSQL with ``STILE_TEST_ENGINE=postgres``.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stile.store.blobs import LocalBlobs
from stile.store.database import Database
from stile.store.sqlite import SqliteDatabase
from stile.testing import postgres
from stile.testing.server import RunningServer, running_server

_NO_POSTGRES = "no PostgreSQL on this machine"
_SCRIPT = Path(__file__).parents[1] / "scripts" / "postgres"


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """A throw-away PostgreSQL, shared by the whole run."""
    if postgres.binaries() is None:
        subprocess.run([str(_SCRIPT)], check=False)
    if postgres.binaries() is None:
        pytest.skip(_NO_POSTGRES)
    with postgres.throwaway_cluster() as running:
        yield running


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The engine this test runs on."""
    chosen: str = getattr(request, "param", os.environ.get("STILE_TEST_ENGINE", "sqlite"))
    return chosen


@pytest.fixture
def store_url(engine: str, request: pytest.FixtureRequest) -> str:
    """What ``Settings.store`` is for this test: a fresh database in the second case."""
    url: str = "sqlite" if engine == "sqlite" else request.getfixturevalue("cluster").fresh()
    return url


@pytest.fixture
def open_db(store_url: str, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Opens the test's database, as often as asked; all are closed at the end."""
    opened: list[Database] = []

    def open_one() -> Database:
        if store_url == "sqlite":
            opened.append(SqliteDatabase(tmp_path / "stile.db"))
        else:
            from stile.store.postgres import PostgresDatabase

            opened.append(PostgresDatabase(store_url))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def db(open_db: Callable[[], Database]) -> Database:
    return open_db()


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def server(tmp_path: Path, store_url: str) -> Iterator[RunningServer]:
    with running_server(tmp_path / "server", store=store_url) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A skipped engine must not go unnoticed."""
    missing = [report for report in terminalreporter.stats.get("skipped", []) if _NO_POSTGRES in str(report.longrepr)]
    if missing:
        terminalreporter.write_line(
            f"!!! No PostgreSQL on this machine: {len(missing)} TESTS OF IT WERE SKIPPED. "
            "Install Debian's 'postgresql' to run them. !!!",
            red=True,
            bold=True,
        )
