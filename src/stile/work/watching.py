"""Keeps watch over live traffic: has windows cut when they are due, measured, and restated by late outcomes."""

from __future__ import annotations

from stile.kernel.canonical import digest_of
from stile.monitor import live_rows, window_records, windows
from stile.monitor.closing_workflow import close_workflow, restate_workflow
from stile.monitor.events import WindowCut
from stile.store.database import Database
from stile.work.background import Background


class Watch:
    """Decides when windows are cut, measured and restated; the work itself is done by durable workflows."""

    def __init__(self, db: Database, background: Background) -> None:
        self._db = db
        self._background = background
        self._restated_up_to: tuple[int, int] | None = None
        background.register(windows.CLOSE_WORKFLOW, close_workflow(db))
        background.register(windows.RESTATE_WORKFLOW, restate_workflow(db))

    def measure(self, event: WindowCut) -> None:
        """Begin to measure a window that was cut."""
        self._begin(event.window)

    def cut(self, use_case: str) -> None:
        """Cut the next window of a use case if it is due."""
        if self._db.read(lambda tx: windows.is_due(tx, use_case)):
            self._db.write(lambda tx: windows.cut_due(tx, use_case))

    def look_round(self) -> None:
        """What no event tells: windows that are due by time, that late outcomes change, that got stuck."""
        for use_case in self._db.read(live_rows.with_traffic):
            self.cut(use_case)
        self._restate()
        self._rescue()

    def _begin(self, window: str) -> None:
        self._background.start(windows.CLOSE_WORKFLOW, {"window": window}, key=window)

    def _restate(self) -> None:
        marker = self._db.read(windows.restate_marker)
        if marker == self._restated_up_to:
            return
        for use_case, known in self._db.read(windows.to_restate).items():
            # The key names what is known now: asked for twice, it is done once; with more outcomes, again.
            key = f"restate:{use_case}:" + digest_of(known).removeprefix("sha256:")[:32]
            self._background.start(windows.RESTATE_WORKFLOW, {"windows": [id for id, _ in known]}, key=key)
        self._restated_up_to = marker

    def _rescue(self) -> None:
        """A window must not stay half closed for ever: nothing after it would be judged."""
        for window in self._db.read(window_records.unfinished):
            status = self._background.status(window.id)
            if status.state == "unknown":
                self._begin(window.id)
            elif status.state == "failed":
                self._give_up(window.id, f"It could not be measured ({status.error}).")

    def _give_up(self, window: str, problem: str) -> None:
        self._db.write(lambda tx: windows.fail(tx, id=window, problem=problem))
