"""A real server in a thread of the test process: real sockets, real store, in a folder of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from stile.app import build, config
from stile.edge.dispatch import Dispatcher
from stile.edge.services import Services
from stile.kernel.permission import Role
from stile.kernel.settings import Settings
from stile.people import account_records, accounts
from stile.store.engines import open_database
from stile.work.inline import InlineBackground


@dataclass(frozen=True)
class RunningServer:
    """A server that answers at ``url``."""

    url: str
    application: Dispatcher

    @property
    def services(self) -> Services:
        """The running server's parts, for looking behind the scenes."""
        return self.application.services


@contextmanager
def running_server(data_dir: Path, *, durable: bool = False, **settings: Any) -> Iterator[RunningServer]:
    """Start a server on a free loopback port and stop it at the end of the block.

    Args:
        data_dir: where it keeps its data.
        durable: run workflows on the real engine, which takes a second to come up; otherwise in memory.
        settings: fields of ``Settings`` to set besides address and folder. With ``require_token`` an operator
            ``keeper`` is made first, without whom a server does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chosen = Settings(host="127.0.0.1", port=port, data_dir=str(data_dir), **settings)
    if chosen.require_token:
        _make_operator(chosen)
    application = build(chosen, background=None if durable else InlineBackground())
    server = uvicorn.Server(config(application, chosen))
    thread = threading.Thread(target=server.run, name="stile-test-server", daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the test server did not start")
        time.sleep(0.005)
    try:
        yield RunningServer(url=chosen.url, application=application)
    finally:
        application.services.live.close()
        server.should_exit = True
        thread.join(20)


def _make_operator(settings: Settings) -> None:
    folder = Path(settings.data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    db = open_database(settings.store, folder)
    try:
        if not db.read(account_records.all_accounts):
            db.write(lambda tx: accounts.create(tx, name="keeper", system_roles=[Role.OPERATOR], by="setup"))
    finally:
        db.close()
