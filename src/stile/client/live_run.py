"""A run whose metrics are written in the background, with the machine's state and what it was made with."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from stile.client import capture, ending, tracking
from stile.client.capture import Captured
from stile.client.flat import flat, unusable
from stile.client.kept import KEPT, KeptFile, send_kept
from stile.client.session import Session, segment
from stile.client.system import SystemSampler
from stile.client.tracking import API, Run
from stile.client.writer import PointWriter, tell
from stile.kernel.errors import Conflict, Invalid, StileError, Unavailable

_OPEN: set[LiveRun] = set()


class LiveRun(Run):
    """A run that logs without waiting. Leaving it (or the program) sends everything first.

    Use ``Client.run``. A forked child may go on logging; only the process that began the run ends it.

    Attributes:
        patience_s: how long the end of the run, or of the program, and everything else that waits for an answer
            wait for a server that is away. What could not be sent then is kept in a file under ``.stile/unsent``.
    """

    patience_s = 60.0

    def __init__(self, session: Session, answer: Mapping[str, Any], *, most_waiting: int, kept: Path) -> None:
        super().__init__(session, answer)
        path = f"/api/v1/runs/{segment(self.run_id)}/points"
        self._apart = session.apart()  # never in the middle of something the loop was interrupted in
        self._kept = KeptFile(kept, self.run_id)
        self._writer = PointWriter(
            lambda series: _discard(self._apart.post(path, {"series": series})), most=most_waiting, kept=self._kept,
            begins=_end_with_the_process,
        )  # fmt: skip
        self._step = 0
        self._ended = threading.Event()
        self._side: list[threading.Thread] = []
        self._describing: list[threading.Thread] = []
        self._status = ""
        self._closed = False
        self._process = os.getpid()
        _OPEN.add(self)
        ending.watch(_open_runs)
        _end_with_the_process()

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record one point of each metric and return at once. Without ``step`` it counts up from 0 by itself.

        Values are numbers, or anything that is one number (of NumPy, a tensor). Nested mappings are
        written with slashes: ``{"train": {"loss": 0.1}}`` is ``train/loss``.

        Raises:
            Invalid: a value is no number, or the step no whole one.
            Conflict: the run has ended.
        """
        now = time.time_ns() // 1_000_000
        at_step = self._step if step is None else step
        try:
            for key, value in metrics.items():
                self._writer.put(key, value, at_step, now)
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            if not isinstance(metrics, Mapping):
                raise Invalid(f'{metrics!r:.60} is no mapping. Log metrics by name: {{"loss": 0.1}}') from error
            if not any(isinstance(value, Mapping) for value in metrics.values()):
                raise unusable(metrics, at_step) from error
            # what was put before is put again with the same time: the same point
            self._put_nested(metrics, at_step, now)
        self._step = at_step + 1

    def log_batch(self, points: Iterable[tuple[str, float, int]]) -> None:
        """Record many points ``(key, value, step)`` and return at once.

        Raises:
            Invalid: a value is no number, or a step no whole one.
            Conflict: the run has ended.
        """
        now = time.time_ns() // 1_000_000
        for key, value, step in points:
            try:
                self._writer.put(key, value, step, now)
            except (TypeError, ValueError, OverflowError) as error:
                raise unusable({key: value}, step) from error

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything logged so far is stored; False when that took longer.

        Raises:
            StileError: the server has refused points; says why.
        """
        return self._writer.flush(timeout_s)

    def end(self, status: str = "FINISHED") -> None:
        """Send everything, then close the run; the first end counts.

        What a server that is away (or does not let the caller in any more) could not take is kept in a file
        and told, so that no training fails in its last line.

        Raises:
            Invalid: no run ends like this; it goes on.
            StileError: the server has refused points; says why. The run is closed all the same.
        """
        tracking.check_end(status)
        if self._process != os.getpid():
            self._writer.close(self.patience_s)
            self._kept.close()
            return
        if self._ended.is_set():
            return
        until = time.monotonic() + self.patience_s
        self._status = status
        self._ended.set()
        for thread in self._side:
            thread.join(max(until - time.monotonic(), 0.0))
        try:
            self._writer.close(max(until - time.monotonic(), 0.0))
        except KeyboardInterrupt:
            until = 0.0  # somebody wants to leave
            raise
        finally:
            self._close(status, until, self._apart)
            self._apart.close()
            self._kept.close()
            _OPEN.discard(self)
            if not _OPEN:
                ending.unwatch()

    def killed(self, at_most_s: float) -> None:
        """End as KILLED because of a signal, within a bounded time; called by a thread that has nothing else to do."""
        until = time.monotonic() + at_most_s
        self._writer.told = _tell_at_once
        with contextlib.suppress(StileError):  # told by the writer
            # a server that is there has most of the time, one that is away does not use it up
            self._writer.close(at_most_s / 3, at_most_s=at_most_s * 0.7)
        if self._process != os.getpid():
            return
        for thread in self._describing:
            thread.join(at_most_s / 5)
        if not self._closed:
            # connections of its own: others may be held by what was interrupted
            fresh = self._session.apart(max(until - time.monotonic(), 0.5))
            self._close(self._status or "KILLED", until - 0.5, fresh)

    def park(self) -> None:
        """Wait a moment without holding any lock of this run."""
        self._writer.park(0.01)

    def watch_system(self, every_s: float, first_step: int = 0) -> None:
        """Log the machine's state until the run ends."""
        sampler = SystemSampler()

        def watch() -> None:
            step = first_step
            while not self._ended.wait(every_s):
                now = time.time_ns() // 1_000_000
                with contextlib.suppress(Conflict):  # the run has ended meanwhile
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
                try:
                    self._while_it_runs(lambda captured=captured: self.set_tags(captured.tags))  # type: ignore[misc]
                    for path, content in captured.files.items():
                        self._while_it_runs(lambda path=path, content=content: self.log_artifact(content, path))  # type: ignore[misc]
                except StileError as error:
                    tell(f"the run {self.run_id} could not be described: {error.message}")

        self._describing.append(self._beside(work))

    def leave(self) -> None:
        """Send everything because the program ends; the run is failed when that is because of an error."""
        last = getattr(sys, "last_value", None)
        try:
            self.end(tracking.status_after(last))
        except StileError as error:
            tell(f"run {self.run_id}: {error.message}")

    def _put_nested(self, metrics: Mapping[str, Any], step: int, now: int) -> None:
        found = flat(metrics, "/")
        try:
            for key, value in found.items():
                self._writer.put(key, value, step, now)
        except (TypeError, ValueError, OverflowError) as error:
            raise unusable(found, step) from error

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        self._patiently(lambda: super(LiveRun, self)._post(path, body))

    def _upload(self, path: str, content: bytes | Path) -> None:
        self._patiently(lambda: super(LiveRun, self)._upload(path, content))

    def _close(self, status: str, until: float, session: Session) -> None:
        """Close the run; what the server does not take in time is kept."""
        ended_at = max(time.time_ns() // 1_000_000, self._started_at)  # a clock may have been set back meanwhile
        body = {"run_id": self.run_id, "status": status, "end_time": ended_at}
        try:
            _persistently(lambda: session.post(f"{API}/runs/update", body), until)
        except (StileError, KeyboardInterrupt) as error:
            self._kept.end(status, ended_at)
            self._writer.told(
                f"the end of the run {self.run_id} ({status}) could not be told to the server and is kept in "
                f"{self._kept.path}: {str(error) or 'interrupted'}"
            )
            if not isinstance(error, StileError):
                raise
        finally:
            self._closed = True

    def _patiently(self, act: Callable[[], None]) -> None:
        """Do what may be done twice, and try again while the server is away."""
        _persistently(act, time.monotonic() + self.patience_s)

    def _while_it_runs(self, act: Callable[[], object]) -> None:
        """The same, for as long as the run goes on."""
        while True:
            try:
                act()
                return
            except Unavailable:
                if self._ended.is_set():
                    raise

    def _beside(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name="stile-beside", daemon=True)
        self._side.append(thread)
        thread.start()
        return thread


def begin(
    session: Session, experiment: str, name: str, tags: Mapping[str, Any], *, parent: Run | str, run_id: str,
    system_every_s: float, code: bool, environment: bool, most_waiting: int, kept: Path = KEPT,
) -> LiveRun:  # fmt: skip
    """Open a run that logs in the background, or go on with one; see ``Client.run`` and ``Client.resume``."""
    if run_id:
        send_kept(session, kept, run_id)
        opened = tracking.reopen_run(session, run_id)
    else:
        opened = tracking.open_run(session, experiment, name, tags, parent)
    run = LiveRun(session, opened, most_waiting=most_waiting, kept=kept)
    last = tracking.last_steps(opened)
    run._step = max((step for key, step in last.items() if not key.startswith("system/")), default=-1) + 1  # noqa: SLF001
    makers: list[Callable[[], Captured]] = []
    if code:
        folder = capture.started_in()
        makers.append(lambda: capture.code(folder))
    if environment:
        makers.append(capture.environment)
    if makers:
        run.describe(makers)
    if system_every_s > 0:
        run.watch_system(system_every_s, max(last.values(), default=-1) + 1 if run_id else 0)
    return run


def _persistently(act: Callable[[], object], until: float) -> None:
    """Try until it works or the time is up, as long as the server is away."""
    pause = 0.1
    while True:
        try:
            act()
            return
        except Unavailable:
            if time.monotonic() + pause > until:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def _discard(answer: object) -> None:
    """The answer says nothing."""


def _tell_at_once(message: str) -> None:
    """Say something without ``sys.stderr``, in the middle of which the main thread may have been interrupted."""
    os.write(2, f"stile: {message}\n".encode(errors="replace"))


def _open_runs() -> list[LiveRun]:
    return list(_OPEN)


def _leave_all() -> None:
    until = time.monotonic() + LiveRun.patience_s  # for all of them together
    for run in _open_runs():
        run.patience_s = min(run.patience_s, max(until - time.monotonic(), 1.0))
        run.leave()


_LEAVES_IN: set[int] = set()


def _end_with_the_process() -> None:
    """Children of ``multiprocessing`` end without what ``atexit`` keeps, but finalize."""
    if "multiprocessing.util" in sys.modules and os.getpid() not in _LEAVES_IN:
        from multiprocessing.util import Finalize

        _LEAVES_IN.add(os.getpid())
        Finalize(None, _leave_all, exitpriority=0)


atexit.register(_leave_all)
