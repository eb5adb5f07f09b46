"""The five functions through which everything else asks for background work.

A workflow is a function registered under a stable name; its steps are recorded, so that a
process that was killed resumes at the first step it has no result of. Steps run at least
once: each must be safe to repeat. Arguments and results are JSON values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from stile.kernel.workflow import Workflow

State = Literal["waiting", "running", "done", "failed", "unknown"]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How far a workflow has come."""

    id: str
    state: State
    result: Any = None
    error: str = ""


class Background(Protocol):
    """Durable work. Registering happens before ``launch``; starting may happen at any time.

    What is started before the engine is up is kept and begins once it is.
    """

    def register(self, name: str, workflow: Workflow) -> None:
        """Make a workflow known under a stable name."""
        ...

    def start(self, name: str, arguments: dict[str, Any], *, key: str) -> str:
        """Begin a workflow durably; returns its id, which is ``key``. A second start with the same key is ignored."""
        ...

    def every(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        """Call ``work`` repeatedly while the server runs, never twice at the same time."""
        ...

    def status(self, id: str) -> Status:
        """How far the workflow has come."""
        ...

    def wait(self, id: str, timeout_s: float) -> Status:
        """Block until the workflow has ended or the time is over."""
        ...
