"""Answers rows: one model call and one write to the log for everything that arrived in one tick of the event loop.

The serving set is one reference, read once per request: the answer, its version and its record
always agree, whatever is swapped meanwhile. Records are written before the answers are released.
Other versions score the same rows after the answer, from a bounded queue; what does not fit is
dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np

from stile.deploy.live_checks import LiveChecks
from stile.deploy.prediction import Prediction, columns_key, new_ids
from stile.deploy.prediction_log import PredictionLog
from stile.deploy.rows import Arranged
from stile.deploy.runtimes.base import Scores
from stile.deploy.serving import Served, Serving
from stile.kernel.errors import Invalid, StileError, StorageFull, Unavailable
from stile.protocols.inference.answer import Answer
from stile.protocols.inference.asked import Asked
from stile.protocols.inference.metrics import Metrics

logger = logging.getLogger("stile.gateway")

SLOW_MS = 2.0
"""A model that takes longer for one row runs in a thread, so that the event loop stays free."""

_MAX_WAITING = 2_000
_SHADOW_QUEUE = 256
_MAX_SLICE_TEXT = 200
_MAX_WHOLE = 2**63

_encode = msgspec.json.Encoder().encode


class _Job:
    """The rows of one request on their way."""

    __slots__ = ("arranged", "asked", "at", "begun", "future", "ids", "serving")

    def __init__(self, serving: Serving, asked: Asked, arranged: Arranged, begun: float) -> None:
        self.serving = serving
        self.asked = asked
        self.arranged = arranged
        self.begun = begun
        self.at = time.time_ns() // 1_000_000
        self.ids = new_ids(len(arranged.cells))
        self.future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()


class Engine:
    """The answering part of a gateway. Lives on one event loop; ``swap`` may be called from any thread.

    Args:
        log: where predictions are recorded before they are answered.
        metrics: what is counted.
    """

    def __init__(self, log: PredictionLog, metrics: Metrics) -> None:
        self._log = log
        self.metrics = metrics
        self.serving: Serving | None = None
        self._waiting: list[_Job] = []
        self._scheduled = False
        self._busy = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stile-score")
        self._beside: queue.Queue[tuple[_Job, Scores] | None] = queue.Queue(_SHADOW_QUEUE)
        self._checks: dict[int, LiveChecks] = {}
        self._side = threading.Thread(target=self._score_beside, name="stile-shadow", daemon=True)
        self._side.start()

    def swap(self, serving: Serving) -> None:
        """Answer with another set from now on; requests under way end with the one they began with."""
        for served in (serving.champion, *serving.others):
            self._log.columns(columns_key(served.signature.names), served.signature.names)
        self.serving = serving

    def current(self) -> Serving:
        """What answers now.

        Raises:
            Unavailable: nothing is loaded yet.
        """
        if self.serving is None:
            raise Unavailable("No model is loaded yet. Ask /v2/health/ready for what is missing.")
        return self.serving

    async def answer(self, serving: Serving, asked: Asked, begun: float) -> Answer:
        """The champion's answer, already logged.

        Raises:
            Invalid: the rows do not fit the model, or it could not score them.
            Unavailable: too much is waiting, or (strict) the log cannot be written.
        """
        if len(self._waiting) >= _MAX_WAITING:
            raise Unavailable("Too many requests are waiting. Try again in a moment.")
        job = _Job(serving, asked, serving.champion.arrange(asked.sent), begun)
        self._waiting.append(job)
        if not self._scheduled and not self._busy:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)
        return await job.future

    def close(self) -> None:
        """Finish what is queued beside the answers, then end."""
        self._beside.put(None)
        self._side.join(timeout=10)
        self._thread.shutdown(wait=True)

    def _flush(self) -> None:
        self._scheduled = False
        jobs, self._waiting = self._waiting, []
        if not jobs:
            return
        slow = self._log.strict or any(job.serving.champion.example_ms > SLOW_MS for job in jobs)
        if not slow:
            _release(self._score(jobs))
            return
        self._busy = True
        task = asyncio.get_running_loop().run_in_executor(self._thread, self._score, jobs)
        task.add_done_callback(self._flushed)

    def _flushed(self, task: asyncio.Future[list[tuple[_Job, Answer | BaseException]]]) -> None:
        self._busy = False
        _release(task.result())
        if self._waiting:
            self._flush()

    def _score(self, jobs: list[_Job]) -> list[tuple[_Job, Answer | BaseException]]:
        """Score and log; whatever goes wrong is somebody's answer and never an exception."""
        try:
            return self._score_all(jobs)
        except Exception as error:
            return [(job, error) for job in jobs]

    def _score_all(self, jobs: list[_Job]) -> list[tuple[_Job, Answer | BaseException]]:
        results: list[tuple[_Job, Answer | BaseException]] = []
        scored: list[tuple[_Job, Scores]] = []
        groups: dict[int, list[_Job]] = {}
        for job in jobs:
            groups.setdefault(id(job.serving), []).append(job)
        for group in groups.values():
            for job, outcome in _predict(group):
                if isinstance(outcome, Scores):
                    scored.append((job, outcome))
                else:
                    results.append((job, outcome))
        failure = self._record(scored)
        for job, scores in scored:
            if failure is not None:
                results.append((job, failure))
                continue
            variant = job.serving.champion.variant
            revision = job.serving.deployment.revision
            results.append((job, Answer(job.ids, scores.outputs, scores.scores, variant.version, revision)))
            self.metrics.add("stile_predictions_total", len(job.ids), version=str(variant.version))
            if job.serving.others:
                self._queue_beside(job, scores)
        return results

    def _record(self, scored: list[tuple[_Job, Scores]]) -> StileError | None:
        """Log the champion's answers; the error that must reach the callers, if any."""
        if not scored:
            return None
        bodies = [
            body for job, scores in scored for body in self._bodies(job, job.serving.champion, job.arranged, scores)
        ]
        try:
            self._log.append(bodies)
        except StorageFull as error:
            if self._log.strict:
                return Unavailable(f"{error.message} Nothing is answered that cannot be recorded.")
            self.metrics.add("stile_log_lost_total", len(bodies))
            logger.error("%d predictions were answered without a record: %s", len(bodies), error.message)
        return None

    def _bodies(self, job: _Job, served: Served, arranged: Arranged, scores: Scores) -> list[bytes]:
        variant, deployment = served.variant, job.serving.deployment
        names = served.signature.names
        key = columns_key_of(served)
        latency = int((time.perf_counter() - job.begun) * 1_000_000)
        checks = self._checks_of(job.serving, served) if variant.role == "champion" and deployment.contract else None
        where = served.signature.index.get(deployment.segment)
        beside = arranged.extra.get(deployment.segment)
        bodies = []
        for i, row in enumerate(arranged.cells):
            slices = {name: _short(values[i]) for name, values in arranged.extra.items() if name != deployment.segment}
            segment = row[where] if where is not None else beside[i] if beside is not None else ""
            broken = checks.broken(row) if checks else []
            for name in broken:
                column, _, rule = name.rpartition(":")
                self.metrics.add("stile_contract_violations_total", column=column, rule=rule)
            bodies.append(
                _encode(
                    Prediction(
                        id=job.ids[i], at=job.at, role=variant.role, version=variant.version, digest=variant.digest,
                        revision=deployment.revision, columns=key, inputs=row, output=scores.outputs[i],
                        score=scores.scores[i], latency_us=latency, unit=job.asked.units[i] if job.asked.units else "",
                        segment="" if segment is None else str(segment)[:_MAX_SLICE_TEXT].replace("\0", ""),
                        slices=slices, broken=broken,
                    )
                )
            )  # fmt: skip
        assert len(names) == len(arranged.cells[0])
        return bodies

    def _checks_of(self, serving: Serving, served: Served) -> LiveChecks:
        key = id(serving)
        if key not in self._checks:
            self._checks = {key: LiveChecks(serving.deployment.contract, served.signature.names)}
        return self._checks[key]

    def _queue_beside(self, job: _Job, scores: Scores) -> None:
        try:
            self._beside.put_nowait((job, scores))
        except queue.Full:
            self.metrics.add("stile_shadow_dropped_total", len(job.ids))

    def _score_beside(self) -> None:
        while (item := self._beside.get()) is not None:
            job, _ = item
            for other in job.serving.others:
                try:
                    same = other.same_inputs(job.serving.champion)
                    arranged = job.arranged if same else other.arrange(job.asked.sent)
                    job.begun = time.perf_counter()
                    scores = other.predict(arranged.model_input)
                    self._log.append(self._bodies(job, other, arranged, scores))
                except Exception as error:
                    self.metrics.add("stile_shadow_failed_total", len(job.ids), role=other.variant.role)
                    logger.debug("%s could not score: %s", other.variant.role, error)
                    continue
                self.metrics.add(
                    "stile_shadow_predictions_total",
                    len(job.ids),
                    role=other.variant.role,
                    version=str(other.variant.version),
                )


def columns_key_of(served: Served) -> str:
    """The key of a version's column names, computed once per loaded version."""
    key: str = served.__dict__.setdefault("_columns_key", "") or columns_key(served.signature.names)
    served.__dict__["_columns_key"] = key
    return key


def _predict(jobs: list[_Job]) -> list[tuple[_Job, Scores | BaseException]]:
    """One call for all; when it fails, one each, so that nobody fails for another's rows."""
    champion = jobs[0].serving.champion
    if len(jobs) > 1 and champion.signature.numeric:
        try:
            scores = champion.predict(np.concatenate([job.arranged.model_input for job in jobs]))
        except Exception:
            return [(job, _predict_one(job)) for job in jobs]
        results: list[tuple[_Job, Scores | BaseException]] = []
        begin = 0
        for job in jobs:
            end = begin + len(job.ids)
            results.append((job, Scores(scores.outputs[begin:end], scores.scores[begin:end])))
            begin = end
        return results
    return [(job, _predict_one(job)) for job in jobs]


def _predict_one(job: _Job) -> Scores | BaseException:
    try:
        return job.serving.champion.predict(job.arranged.model_input)
    except (ValueError, TypeError) as error:
        return Invalid(f"The model could not score these rows: {str(error)[:300]}")
    except Exception as error:
        return error


def _release(results: list[tuple[_Job, Answer | BaseException]]) -> None:
    for job, result in results:
        if job.future.done():  # the caller has gone
            continue
        if isinstance(result, BaseException):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)


def _short(value: Any) -> Any:
    """A value of a further column, as the record can hold it."""
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _MAX_WHOLE):
        return value
    return str(value)[:_MAX_SLICE_TEXT]
