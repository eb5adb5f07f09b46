"""A server with a use case walked through the whole chain, shared by all tests of pages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import web_world

from stile.testing.server import running_server


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[web_world.World]:
    with running_server(tmp_path_factory.mktemp("world")) as running:
        yield web_world.build(running.url, running.services)
