"""Where everything is wired together, and nowhere else.

``build`` makes the ASGI application from settings; ``serve`` runs it until it is told to stop.
The order of start-up keeps the first answer fast: open the store, answer, and only then bring
up the durable workflows.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import uvicorn

from stile import __version__
from stile.edge.auth import Authenticator
from stile.edge.dispatch import Dispatcher
from stile.edge.http_protocol import HttpProtocol
from stile.edge.live import Live
from stile.edge.route import Route
from stile.edge.services import Services
from stile.kernel.clock import Clock, SystemClock
from stile.kernel.errors import Invalid, StileError, Unavailable
from stile.kernel.ids import Ids, RandomIds
from stile.kernel.permission import Role
from stile.kernel.settings import Settings
from stile.people import account_records
from stile.protocols.mlflow import routes as mlflow_routes
from stile.protocols.rest import (
    adoption,
    board,
    data,
    deploy,
    evaluations,
    govern,
    health,
    keeping,
    monitor,
    people,
    predictions,
    tracking,
    transfers,
    views,
)
from stile.protocols.rest import store as store_routes
from stile.protocols.rest import webhooks as webhook_routes
from stile.protocols.rest import work as work_routes
from stile.protocols.rest.openapi import openapi_routes
from stile.store import checkpoints
from stile.store.blobs_arriving import ArrivingBlobs, Settling
from stile.store.blobs_opening import LOCAL, open_blobs
from stile.store.database import Database
from stile.store.engines import open_database
from stile.web import routes as web
from stile.web.render import error_page
from stile.work.dbos_engine import DbosBackground
from stile.work.inline import InlineBackground
from stile.work.start import wire
from stile.work.webhook_delivery import Webhooks

Engine = DbosBackground | InlineBackground
_CHECKPOINT_EVERY_S = 30.0
_SETTLE_EVERY_S = 3.0
_SWITCH_S = 0.0001
_LAUNCH_AFTER_S = 0.2  # the first answers go out before the engine for background work is imported


def routes() -> list[Route]:
    """Every route of the server, by protocol."""
    return [
        *health.ROUTES,
        *monitor.ROUTES,
        *board.ROUTES,
        *adoption.ROUTES,
        *tracking.ROUTES,
        *views.ROUTES,
        *keeping.ROUTES,
        *data.ROUTES,
        *deploy.ROUTES,
        *predictions.ROUTES,
        *evaluations.ROUTES,
        *govern.ROUTES,
        *people.ROUTES,
        *store_routes.ROUTES,
        *transfers.ROUTES,
        *work_routes.ROUTES,
        *webhook_routes.ROUTES,
        *mlflow_routes.ROUTES,
        *web.ROUTES,
        *openapi_routes(routes),
    ]


def build(
    settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None, background: Engine | None = None
) -> Dispatcher:
    """The application over the data in ``settings.data_dir``.

    Args:
        settings: address, folder, limits.
        clock: source of time.
        ids: source of identifiers.
        background: what runs durable work; the DBOS engine unless a test brings its own.

    Raises:
        Unavailable: another server uses the same folder, or it cannot be written.
        Invalid: nobody has an account, and the address can be reached from elsewhere or a token is required.
    """
    clock = clock or SystemClock()
    ids = ids or RandomIds(clock)
    folder = Path(settings.data_dir)
    lock = _claim(folder, shared=settings.store != "sqlite")
    try:
        db = open_database(settings.store, folder, clock=clock, ids=ids)
    except StileError:
        lock.close()
        raise
    try:
        _refuse_open_door(settings, db)
        blobs = ArrivingBlobs(open_blobs(settings.artifacts, folder, plain_http=settings.artifacts_plain_http), db.read)
    except StileError:
        db.close()
        lock.close()
        raise
    live = Live()
    background = background or DbosBackground(db, folder, settings.store)
    webhooks = Webhooks(
        db, folder / "keys" / "webhooks.key", key=settings.webhook_key, loopback=settings.webhook_loopback
    )
    subscriptions = wire(db=db, blobs=blobs, background=background, announce=live.announce, webhooks=webhooks)
    services = Services(
        settings=settings,
        db=db,
        blobs=blobs,
        background=background,
        live=live,
        authenticator=Authenticator(db, settings),
        ids=ids,
        webhooks=webhooks,
    )

    def checkpoint() -> None:
        checkpoints.take(db, folder / "keys" / "ledger.key", folder / "checkpoints.txt")

    def settle() -> None:
        Settling(db, blobs).settle()

    def start() -> None:
        background.every("ledger-checkpoint", _CHECKPOINT_EVERY_S, checkpoint)
        background.every("settling", _SETTLE_EVERY_S, settle)
        subscriptions.start()
        asyncio.get_running_loop().call_later(_LAUNCH_AFTER_S, background.launch)

    def stop() -> None:
        live.close()
        subscriptions.stop()
        background.stop()
        db.close()
        lock.close()

    return Dispatcher(routes(), services, on_startup=start, on_shutdown=stop, on_missing=error_page)


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or Ctrl-C; returns the exit code of the process."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        door = _listen(settings)
        application = build(settings)
    except StileError as error:
        print(f"stile: {error.message}", file=sys.stderr)
        return 3
    _tune()
    server = _Server(config(application, settings), settings)
    server.run(sockets=[door])
    return 0 if server.started else 3


def _listen(settings: Settings) -> socket.socket:
    """Take the address before anything is opened.

    Raises:
        Unavailable: it is taken, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise Unavailable(
            f"{settings.url} cannot be listened on ({os.strerror(error.errno) if error.errno else error}). "
            "Stop what uses the port, or choose another with --port."
        ) from error


def _tune() -> None:
    """Set the interpreter up for a server: quick hand-over between its threads, few collections of garbage.

    The event loop and the writer hand work to and fro; with the default of 5 ms the one waits for
    the other that long. What start-up has made stays for good and need not be looked through.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def config(application: Dispatcher, settings: Settings) -> uvicorn.Config:
    """How uvicorn runs the application: one process, no access log, answers flushed at once."""
    return uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        http=HttpProtocol,
        loop="uvloop",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=64 << 10,
        proxy_headers=False,
    )


class _Server(uvicorn.Server):
    """uvicorn that says one line when it is ready, and ends event streams when it is told to stop."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and Ctrl-C, and count that as a clean end: uvicorn would raise the signal once more."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            rows = "" if self._settings.store == "sqlite" else f", rows in {self._settings.store_shown}"
            rows += "" if self._settings.artifacts == LOCAL else f", files in {self._settings.artifacts}"
            print(
                f"Stile {__version__} is ready at {self._settings.url} (data in {self._settings.data_dir}{rows}). "
                "Ctrl-C stops it.",
                flush=True,
            )

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        application = self.config.app
        if isinstance(application, Dispatcher):
            application.services.live.close()
        await super().shutdown(sockets)  # type: ignore[arg-type]


def _claim(folder: Path, *, shared: bool) -> IO[str]:
    """Take the data folder for this process; the lock goes away with the process, however it ends.

    Servers on PostgreSQL may share one (``shared``): blobs are written once under their digest.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise Unavailable(
            f"The data folder {folder} cannot be used ({error.strerror}). Choose another with --data."
        ) from error
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise Unavailable(
            f"Another Stile server (process {holder or 'unknown'}) uses {folder}. "
            "Stop it, or choose another folder with --data."
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _refuse_open_door(settings: Settings, db: Database) -> None:
    if settings.on_loopback and not settings.require_token:
        return
    operators = [a for a in db.read(account_records.all_accounts) if Role.OPERATOR in a.system_roles and not a.disabled]
    if not operators:
        why = (
            "Every caller shall present a token"
            if settings.on_loopback
            else f"{settings.host} can be reached from other machines"
        )
        raise Invalid(
            f"{why}, but there is no operator account yet who could let others in. Start on loopback and without "
            "--require-token first, then: stile user add NAME --system-role operator, and start again."
        )
