"""A run whose metrics are written in the background, with the machine's state and what it was made with."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stile.client import capture, tracking
from stile.client.capture import Captured
from stile.client.session import Session, segment
from stile.client.system import SystemSampler
from stile.client.tracking import Run
from stile.client.writer import PointWriter
from stile.kernel.errors import StileError, Unavailable

KEPT = Path(".stile") / "unsent"
_OPEN: weakref.WeakSet[LiveRun] = weakref.WeakSet()


class LiveRun(Run):
    """A run that logs without waiting. Leaving it (or the program) sends everything first.

    Use ``Client.run``.

    Attributes:
        patience_s: how long the end of the run, or of the program, waits for a server that is away. What could
            not be sent then is kept in a file under ``.stile/unsent``.
    """

    patience_s = 60.0

    def __init__(self, session: Session, answer: Mapping[str, Any], *, most_waiting: int, kept: Path) -> None:
        super().__init__(session, answer)
        path = f"/api/v1/runs/{segment(self.run_id)}/points"
        self._writer = PointWriter(
            lambda series: _discard(session.post(path, {"series": series})),
            most=most_waiting,
            spill=kept / f"{self.run_id}.jsonl",
        )
        self._step = 0
        self._ended = threading.Event()
        self._side: list[threading.Thread] = []
        _OPEN.add(self)

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record one point of each metric and return at once. Without ``step`` it counts up from 0 by itself."""
        now = time.time_ns() // 1_000_000
        at_step = self._step if step is None else step
        self._step = at_step + 1
        for key, value in metrics.items():
            self._writer.put(key, value, at_step, now)

    def log_batch(self, points: Iterable[tuple[str, float, int]]) -> None:
        """Record many points ``(key, value, step)`` and return at once."""
        now = time.time_ns() // 1_000_000
        for key, value, step in points:
            self._writer.put(key, value, step, now)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything logged so far is stored; False when that took longer."""
        return self._writer.flush(timeout_s)

    def end(self, status: str = "FINISHED") -> None:
        """Send everything, then close the run.

        Raises:
            StileError: the server has refused points; says why. The run is closed all the same.
        """
        _OPEN.discard(self)
        self._ended.set()
        for thread in self._side:
            thread.join(self.patience_s)
        try:
            self._writer.close(self.patience_s)
        finally:
            self._close(status)

    def watch_system(self, every_s: float) -> None:
        """Log the machine's state until the run ends."""
        sampler = SystemSampler()

        def watch() -> None:
            step = 0
            while not self._ended.wait(every_s):
                now = time.time_ns() // 1_000_000
                with contextlib.suppress(StileError):  # a refusal is told to the training loop
                    for key, value in sampler.sample().items():
                        self._writer.put(key, value, step, now)
                step += 1

        self._beside(watch)

    def describe(self, makers: Iterable[Callable[[], Captured]]) -> None:
        """Keep tags and files about the run, without making it wait."""
        waiting = list(makers)

        def work() -> None:
            for maker in waiting:
                captured = maker()
                self._patiently(lambda captured=captured: self.set_tags(captured.tags))  # type: ignore[misc]
                for path, content in captured.files.items():
                    self._patiently(lambda path=path, content=content: self.log_artifact(content, path))  # type: ignore[misc]

        self._beside(work)

    def leave(self) -> None:
        """Send everything because the program ends; the run is failed when that is because of an error."""
        try:
            self.end("FAILED" if getattr(sys, "last_value", None) is not None else "FINISHED")
        except StileError as error:
            print(f"stile: run {self.run_id}: {error.message}", file=sys.stderr)

    def _close(self, status: str) -> None:
        """Close the run; while the server is away try for a minute."""
        give_up_at = time.monotonic() + self.patience_s
        pause = 0.1
        while True:
            try:
                super().end(status)
                return
            except Unavailable:
                if time.monotonic() + pause > give_up_at:
                    raise
                time.sleep(pause)
                pause = min(pause * 2, 5.0)

    def _beside(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="stile-beside", daemon=True)
        self._side.append(thread)
        thread.start()

    def _patiently(self, act: Callable[[], object]) -> None:
        """Try while the server is away, for as long as the run goes on and a moment longer."""
        pause = 0.1
        while True:
            try:
                act()
                return
            except Unavailable as error:
                if self._ended.wait(pause) and pause > 2.0:
                    print(f"stile: the run could not be described: {error.message}", file=sys.stderr)
                    return
                pause = min(pause * 2, 5.0)
            except StileError as error:
                print(f"stile: the run could not be described: {error.message}", file=sys.stderr)
                return


def begin(
    session: Session, experiment: str, name: str, tags: Mapping[str, str], *, system_every_s: float, code: bool,
    environment: bool, most_waiting: int, kept: Path = KEPT,
) -> LiveRun:  # fmt: skip
    """Open a run that logs in the background; see ``Client.run``."""
    opened = tracking.open_run(session, experiment, name, tags)
    run = LiveRun(session, opened, most_waiting=most_waiting, kept=kept)
    makers: list[Callable[[], Captured]] = []
    if code:
        folder = Path.cwd()
        makers.append(lambda: capture.code(folder))
    if environment:
        makers.append(capture.environment)
    if makers:
        run.describe(makers)
    if system_every_s > 0:
        run.watch_system(system_every_s)
    return run


def send_kept(session: Session, kept: Path = KEPT) -> int:
    """Send points that were kept in files because the server was away; how many."""
    count = 0
    for file in sorted(kept.glob("*.jsonl")):
        for line in file.read_bytes().splitlines():
            series = msgspec.json.decode(line)
            session.post(f"/api/v1/runs/{segment(file.stem)}/points", {"series": series})
            count += sum(len(columns["at"]) for columns in series.values())
        file.unlink()
    return count


def _discard(answer: object) -> None:
    """The answer says nothing."""


def _leave_all() -> None:
    for run in list(_OPEN):
        run.leave()


atexit.register(_leave_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_OPEN.clear)  # the run is its parent's to end
