"""What a durable workflow looks like to the storey that writes it; ``work`` runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Steps(Protocol):
    """Given to a running workflow: runs and records its steps."""

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """The recorded result (a JSON value) of the step called ``name``; runs ``work`` when there is none.

        A step runs at least once: after a kill in its middle it runs again, so it must be safe to repeat.
        """
        ...


Workflow = Callable[[Steps, dict[str, Any]], Any]
"""A workflow: its arguments are JSON values, and so is what it returns."""
