"""Fixtures shared by all tests: a fresh store, fresh blobs, a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stile.store.blobs import LocalBlobs
from stile.store.sqlite import SqliteDatabase
from stile.testing.server import RunningServer, running_server


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "stile.db")
    yield database
    database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "server") as running:
        yield running
