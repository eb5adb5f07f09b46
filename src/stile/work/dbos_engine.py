"""Durable background work on DBOS Transact, in a SQLite file of its own or in the shared PostgreSQL.

The engine takes a second to import, so ``launch`` brings it up in a thread after the server
answers. What is started earlier is kept in the store (``work_starts``) and handed over then.
A workflow that was cut off by kill -9 resumes, on the next launch, at the first step without a
recorded result; with PostgreSQL any other server takes it over after some seconds. Arguments,
step results and errors are kept as JSON, never as pickles.

DBOS allows one engine per process; a second one waits until the first was stopped.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import msgspec

from stile.kernel.errors import Invalid, Unavailable
from stile.kernel.workflow import Workflow
from stile.store.database import Database
from stile.work import records
from stile.work.background import State, Status
from stile.work.servers import BEAT_EVERY_S, Servers

Phase = Literal["created", "launching", "up", "stopping", "stopped", "failed"]

_log = logging.getLogger("stile.work")
_one_per_process = threading.Lock()
_THREADS = 4  # workflows at the same time; the heavy steps share two or more cores with the server
_CONNECTIONS = 8  # to the engine's database; many servers share one PostgreSQL
_STATES: dict[str, State] = {
    "ENQUEUED": "waiting",
    "DELAYED": "waiting",
    "PENDING": "running",
    "SUCCESS": "done",
    "ERROR": "failed",
    "CANCELLED": "failed",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
}


class WorkflowFailed(Exception):
    """The recorded failure of a step or workflow, as text."""


class _Interrupted(BaseException):
    """The server stops: leave the workflow as it is, to be resumed. Not an ``Exception``: nobody shall record it."""


class DbosBackground:
    """The ``Background`` of a running server.

    Thread-safe. ``start`` waits for the disk; never call it inside a transaction.

    Args:
        db: keeps the starts that come before the engine is up.
        folder: where the engine's file ``work.db`` lives.
        store: ``Settings.store``; with a ``postgresql://`` address the engine keeps its tables there, in the
            schema ``dbos``, and shares them with the other servers.
    """

    def __init__(self, db: Database, folder: Path, store: str = "sqlite") -> None:
        self._db = db
        self._path = folder / "work.db"
        self._shared = "://" in store
        self._url = f"postgresql+psycopg://{store.partition('://')[2]}" if self._shared else f"sqlite:///{self._path}"
        # Alone, the name is fixed: a restarted server finds its own unfinished work at once.
        self._server = f"stile-{uuid4().hex}" if self._shared else "stile"
        self._servers = Servers(db, self._server, self._take_over)
        self._workflows: dict[str, Workflow] = {}
        self._periodic: list[tuple[str, float, Callable[[], None]]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.RLock()
        self._settled = threading.Event()
        self._stopping = threading.Event()
        self._running = 0
        self._quiet = threading.Condition()
        self._dbos: Any = None
        self._run: Any = None
        self.phase: Phase = "created"
        self.problem = ""

    def register(self, name: str, workflow: Workflow) -> None:
        if self.phase != "created":
            raise RuntimeError(f"workflow {name!r} must be registered before the engine is launched")
        if name in self._workflows:
            raise ValueError(f"workflow {name!r} is registered twice")
        self._workflows[name] = workflow

    def start(self, name: str, arguments: dict[str, Any], *, key: str) -> str:
        if name not in self._workflows:
            raise Invalid(f"There is no workflow {name!r}; known are: {', '.join(sorted(self._workflows)) or 'none'}.")
        with self._lock:
            if self.phase == "up":
                self._begin(name, arguments, key)
            else:
                self._db.write(lambda tx: records.add_start(tx, key=key, name=name, arguments=arguments))
        return key

    def every(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        with self._lock:
            self._periodic.append((name, seconds, work))
            if self.phase == "up":
                self._start_periodic(name, seconds, work)

    def status(self, id: str) -> Status:
        with self._lock:
            if self.phase == "up":
                return self._recorded(id)
        if self._db.read(lambda tx: records.is_waiting(tx, id)):
            return Status(id=id, state="waiting", error=self.problem)
        return Status(id=id, state="unknown", error=self.problem)

    def wait(self, id: str, timeout_s: float) -> Status:
        deadline = time.monotonic() + timeout_s
        pause = 0.01
        while True:
            status = self.status(id)
            left = deadline - time.monotonic()
            if status.state in ("done", "failed") or left <= 0:
                return status
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 0.25)

    def launch(self) -> None:
        """Bring the engine up in a thread of its own; returns at once. Call it after the server answers."""
        with self._lock:
            if self.phase != "created":
                return
            self.phase = "launching"
        thread = threading.Thread(target=self._launch, name="stile-work-launch", daemon=True)
        self._threads.append(thread)
        thread.start()

    def ready(self, timeout_s: float = 30.0) -> None:
        """Return once the engine is up.

        Raises:
            Unavailable: it did not come up; says why.
        """
        self._settled.wait(timeout_s)
        if self.phase != "up":
            raise Unavailable(f"Background work is not running: {self.problem or 'the engine is still starting'}.")

    def stop(self, timeout_s: float = 10.0) -> None:
        """End cleanly: periodic work and running steps finish (up to ``timeout_s``), the rest resumes next time."""
        with self._lock:
            was = self.phase
            if was in ("stopping", "stopped"):
                return
            self.phase = "stopping"
        self._stopping.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        with self._quiet:
            self._quiet.wait_for(lambda: self._running == 0, max(0.1, deadline - time.monotonic()))
        if self._dbos is not None:
            self._dbos.destroy(destroy_registry=True)
            self._dbos = None
            _one_per_process.release()
            if self._shared:
                self._leave()
        self.phase = "stopped"

    def _leave(self) -> None:
        try:
            self._servers.leave()
        except Unavailable:  # the others notice by themselves
            _log.warning("The store is away: other servers take over unfinished work a little later.")

    def _take_over(self, server: str) -> None:
        self._dbos._recover_pending_workflows([server])  # noqa: SLF001  DBOS offers it to its own cloud only

    def _launch(self) -> None:
        while not _one_per_process.acquire(timeout=0.1):
            if self._stopping.is_set():
                return
        try:
            self._bring_up()
        except Exception as error:  # the server goes on without background work, and says so
            self.problem = f"{type(error).__name__}: {error}"
            self.phase = "failed"
            _log.exception("The engine for background work did not start; started work is kept.")
            if self._dbos is None:
                _one_per_process.release()
        finally:
            self._settled.set()

    def _bring_up(self) -> None:
        if not self._shared:
            _prepare_file(self._path)
        _silence()
        from dbos import DBOS  # noqa: PLC0415  takes a second: only after the server answers

        DBOS(
            config={
                "name": "stile",
                "system_database_url": self._url,
                "sys_db_pool_size": _CONNECTIONS,
                # Fixed, so that what an older Stile began is resumed by a newer one.
                "application_version": "stile",
                "executor_id": self._server,
                "max_executor_threads": _THREADS,
                "enable_otlp": False,
                "log_level": "CRITICAL",
                "serializer": _JsonValues(),  # type: ignore[typeddict-item]
            }
        )
        self._dbos = DBOS

        def stile(name: str, arguments: dict[str, Any]) -> Any:
            return self._execute(name, arguments)

        self._run = DBOS.workflow(name="stile")(stile)
        DBOS.launch()
        with self._lock:
            if self.phase != "launching":
                return
            for start in self._db.read(records.starts):
                self._begin(start.name, start.arguments, start.key)
                self._db.write(lambda tx, key=start.key: records.drop_start(tx, key))  # type: ignore[misc]
            if self._shared:
                self._servers.look_round()
                self._periodic.append(("servers", BEAT_EVERY_S, self._servers.look_round))
            for name, seconds, work in self._periodic:
                self._start_periodic(name, seconds, work)
            self.phase = "up"

    def _begin(self, name: str, arguments: dict[str, Any], key: str) -> None:
        from dbos import SetWorkflowID  # noqa: PLC0415  loaded already

        if self._dbos.get_workflow_status(key) is None:
            with SetWorkflowID(key):
                self._dbos.start_workflow(self._run, name, arguments)

    def _execute(self, name: str, arguments: dict[str, Any]) -> Any:
        """The one workflow DBOS knows; it looks ours up by name."""
        workflow = self._workflows.get(name)
        if workflow is None:
            raise WorkflowFailed(f"this Stile has no workflow {name!r}")
        with self._quiet:
            self._running += 1
        try:
            return msgspec.to_builtins(workflow(self, arguments))
        except Exception as error:
            if self._stopping.is_set():
                raise _Interrupted from error
            raise
        finally:
            with self._quiet:
                self._running -= 1
                self._quiet.notify_all()

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """See ``kernel.workflow.Steps``; used by running workflows only."""

        def guarded() -> Any:
            if self._stopping.is_set():
                raise _Interrupted
            try:
                return msgspec.to_builtins(work())
            except Exception as error:
                if self._stopping.is_set():
                    raise _Interrupted from error
                raise

        return self._dbos.run_step({"name": name}, guarded)

    def _recorded(self, id: str) -> Status:
        found = self._dbos.get_workflow_status(id)
        if found is None:
            return Status(id=id, state="unknown")
        error = str(found.error) if found.error is not None else ""
        state = _STATES[found.status]
        if state == "failed" and not error:
            error = found.status.lower().replace("_", " ")
        return Status(id=id, state=state, result=found.output, error=error)

    def _start_periodic(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._repeat, args=(name, seconds, work), name=f"stile-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        said = ""
        while not self._stopping.wait(seconds):
            try:
                work()
                said = ""
            except Exception as error:  # periodic work goes on; the same complaint is logged once
                if str(error) != said and not self._stopping.is_set():
                    said = str(error)
                    _log.exception("Periodic work %s failed; it is tried again in %g s.", name, seconds)


class _JsonValues:
    """How DBOS writes values down: JSON, so that its file can be read by people and runs no code when loaded."""

    def serialize(self, data: Any) -> str:
        return msgspec.json.encode(data, enc_hook=_error_to_json).decode()

    def deserialize(self, serialized_data: str) -> Any:
        value = msgspec.json.decode(serialized_data)
        if isinstance(value, dict) and "!error" in value:
            return WorkflowFailed(f"{value['!error']}: {value['message']}")
        return value

    def name(self) -> str:
        return "stile-json"


def _error_to_json(value: Any) -> Any:
    if isinstance(value, WorkflowFailed):
        name, _, message = str(value).partition(": ")
        return {"!error": name, "message": message} if message else {"!error": "WorkflowFailed", "message": str(value)}
    if isinstance(value, BaseException):
        return {"!error": type(value).__name__, "message": str(value)}
    raise NotImplementedError(f"a {type(value).__name__} is not a JSON value; workflows take and return JSON values")


def _prepare_file(path: Path) -> None:
    """Switch the engine's file to a write-ahead log: DBOS itself leaves SQLite's slower default."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def _silence() -> None:
    """Keep DBOS off the terminal: it adds a console handler unless its logger has one already."""
    logger = logging.getLogger("dbos")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
