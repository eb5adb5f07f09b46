"""Follows the deployment of a use case and swaps what answers, never leaving a gap.

Fetch, verify, load, warm up, compare, then replace one reference. Whatever fails before the
last step changes nothing: the gateway goes on with what it has, says so in its readiness and
reports it. Versions that are already in memory are used again, so a rollback is one assignment.
"""

from __future__ import annotations

import logging
import threading

from stile.deploy.deployment import Deployment
from stile.deploy.serving import Serving, load_serving
from stile.deploy.sources import DeploymentSource, GatewayReport, LastGood, fetch_all
from stile.kernel.errors import StileError
from stile.protocols.inference.engine import Engine
from stile.store.blobs import BlobStore

logger = logging.getLogger("stile.gateway")

_WAIT_SECONDS = 20.0
_RETRY_SECONDS = 2.0


class Follower:
    """A thread that keeps an engine at the newest deployment of a source.

    Attributes:
        problems: why the newest deployment is not (wholly) served; empty when it is.
        tried: revision that was tried last.
    """

    def __init__(
        self, engine: Engine, source: DeploymentSource, *, blobs: BlobStore, last_good: LastGood, gateway: str,
        wait_seconds: float = _WAIT_SECONDS,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._source = source
        self._blobs = blobs
        self._last_good = last_good
        self._gateway = gateway
        self._wait_seconds = wait_seconds
        self._stopping = threading.Event()
        self._previous: Serving | None = None
        self._thread = threading.Thread(target=self._work, name="stile-follow", daemon=True)
        self.tried = -1
        self.problems: list[str] = ["Nothing is loaded yet."]
        self.source_problem = ""

    def start(self) -> None:
        """Begin following."""
        self._thread.start()

    def stop(self) -> None:
        """End with the step under way; does not wait for a long poll."""
        self._stopping.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                deployment = self._source.wait(after=self.tried, seconds=self._wait_seconds)
                self.source_problem = ""
            except (StileError, OSError, ValueError) as error:
                if not self.source_problem:
                    logger.warning("The deployment cannot be read: %s", error)
                self.source_problem = str(error)
                if self._engine.serving is None and self.tried < 0:
                    self._begin_with_last_good()
                self._stopping.wait(_RETRY_SECONDS)
                continue
            if deployment is not None and not self._stopping.is_set():
                self._take(deployment)

    def _begin_with_last_good(self) -> None:
        kept = self._last_good.newest()
        if kept is None:
            self.problems = [f"Nothing was ever loaded here, and the deployment cannot be read: {self.source_problem}"]
            return
        if self._load(kept):
            logger.warning("Serving the last good deployment (revision %d) until the server is back.", kept.revision)
            self.tried = kept.revision

    def _take(self, deployment: Deployment) -> None:
        try:
            fetch_all(deployment, self._source, self._blobs)
        except (StileError, OSError) as error:
            self.problems = [f"The files of revision {deployment.revision} cannot be fetched: {error}"]
            logger.warning("%s", self.problems[0])
            self._stopping.wait(_RETRY_SECONDS)
            return  # tried again: ``tried`` has not moved
        loaded = self._load(deployment)
        self.tried = deployment.revision
        if loaded:
            self._last_good.keep(deployment)
        self._report(deployment.revision, loaded=loaded)

    def _load(self, deployment: Deployment) -> bool:
        current = self._engine.serving
        known = [
            served for serving in (current, self._previous) if serving for served in (serving.champion, *serving.others)
        ]
        try:
            serving, left_out = load_serving(deployment, self._blobs, known=known)
        except (StileError, OSError) as error:
            self.problems = [f"Revision {deployment.revision} cannot be served: {error}"]
            self._engine.metrics.add("stile_swaps_total", result="failed")
            logger.error("%s What answered before goes on.", self.problems[0])
            return False
        self._engine.swap(serving)
        self._previous = current
        self.problems = left_out
        self._engine.metrics.add("stile_swaps_total", result="done")
        logger.info("Serving revision %d: version %d.", deployment.revision, serving.champion.variant.version)
        return True

    def _report(self, revision: int, *, loaded: bool) -> None:
        now = self._engine.serving
        report = GatewayReport(
            gateway=self._gateway, state="serving" if loaded else "failed", revision=revision,
            serving=now.deployment.revision if now else 0, problems=self.problems,
        )  # fmt: skip
        try:
            self._source.report(report)
        except (StileError, OSError) as error:
            logger.warning("The server could not be told how revision %d went: %s", revision, error)
