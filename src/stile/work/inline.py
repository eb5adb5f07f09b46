"""Background work without an engine: workflows run at once, in the caller's thread, and are kept in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from stile.kernel.errors import Invalid
from stile.kernel.workflow import Workflow
from stile.work.background import Status


class _RecordedSteps:
    def __init__(self, recorded: dict[str, bytes]) -> None:
        self._recorded = recorded

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        if name not in self._recorded:
            self._recorded[name] = msgspec.json.encode(work())
        return msgspec.json.decode(self._recorded[name])


class InlineBackground:
    """A ``Background`` for tests and for programs without a server.

    ``start`` returns when the workflow has ended. Periodic work runs when ``tick`` is called.
    Thread-safe; nothing survives the process.
    """

    def __init__(self) -> None:
        self._workflows: dict[str, Workflow] = {}
        self._periodic: dict[str, Callable[[], None]] = {}
        self._done: dict[str, Status] = {}
        self._steps: dict[str, dict[str, bytes]] = {}
        self._lock = threading.RLock()

    def register(self, name: str, workflow: Workflow) -> None:
        self._workflows[name] = workflow

    def start(self, name: str, arguments: dict[str, Any], *, key: str) -> str:
        workflow = self._workflows.get(name)
        if workflow is None:
            raise Invalid(f"There is no workflow {name!r}; known are: {', '.join(sorted(self._workflows)) or 'none'}.")
        with self._lock:
            if key in self._done:
                return key
            self._done[key] = Status(id=key, state="running")
        steps = _RecordedSteps(self._steps.setdefault(key, {}))
        try:
            result = workflow(steps, msgspec.json.decode(msgspec.json.encode(arguments)))
            outcome = Status(id=key, state="done", result=msgspec.json.decode(msgspec.json.encode(result)))
        except Exception as error:  # the workflow's failure is its result
            outcome = Status(id=key, state="failed", error=f"{type(error).__name__}: {error}")
        self._done[key] = outcome
        return key

    def every(self, name: str, seconds: float, work: Callable[[], None]) -> None:  # noqa: ARG002  the test decides when
        self._periodic[name] = work

    def tick(self, name: str) -> None:
        """Run the periodic work called ``name`` once, now."""
        self._periodic[name]()

    def status(self, id: str) -> Status:
        return self._done.get(id) or Status(id=id, state="unknown")

    def wait(self, id: str, timeout_s: float) -> Status:  # noqa: ARG002  everything has ended already
        return self.status(id)

    def launch(self) -> None:
        """Nothing to bring up."""

    def stop(self) -> None:
        """Nothing to bring down."""
