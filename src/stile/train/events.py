"""What tracking announces to the storeys above."""

from __future__ import annotations

from stile.kernel.events import Event


class RunFinished(Event, frozen=True, kw_only=True):
    """A run has ended, well or not."""

    run_id: str
    experiment_id: str
    status: str
