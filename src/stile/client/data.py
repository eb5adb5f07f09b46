"""The data and evidence half of a use case: contracts, dataset versions, evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stile.client.scope import Scope
from stile.client.session import Session, segment
from stile.kernel.errors import StileError, Unavailable

Progress = Callable[[float, str], None]
"""Called with the done ratio (0..1) and the name of the step that is running."""


class DataVerbs(Scope):
    """Contracts, dataset versions and evaluations of one use case."""

    def publish_contract(self, yaml: str) -> dict[str, Any]:
        """Publish an ODCS contract; the same text again is the same version."""
        return self._post("contracts", {"yaml": yaml})

    def contracts(self) -> list[dict[str, Any]]:
        """Published contracts, newest last."""
        return self._list("contracts")

    def register_dataset(self, name: str, role: str, table: bytes | str, source: str = "") -> dict[str, Any]:
        """Check a CSV table against the contract and keep it as a dataset version.

        Args:
            name: what the table is called.
            role: ``train``, ``test`` or ``live``.
            table: the CSV bytes, or the digest of a blob that holds them.
            source: where it came from, in words.

        Raises:
            ContractBroken: the table breaks its contract; nothing was kept. ``details["violations"]`` lists how.
        """
        digest = table if isinstance(table, str) else put_blob(self._session, table)
        return self._post("datasets", {"name": name, "role": role, "table": digest, "source": source})

    def datasets(self) -> list[dict[str, Any]]:
        """Dataset versions of the use case."""
        return self._list("datasets")

    def profile(self, digest: str) -> dict[str, Any]:
        """A reference profile by its digest."""
        return self._get(f"profiles/{segment(digest)}")

    def start_evaluation(self, request: Mapping[str, Any]) -> str:
        """Ask for evidence about a version (body as in the API reference); returns the evaluation's id."""
        answer = self._post("evaluations", dict(request))
        return str(answer["evaluation"])

    def evaluate(
        self, request: Mapping[str, Any], *, progress: Progress | None = None, wait_s: float = 600.0
    ) -> dict[str, Any]:
        """Ask for evidence and wait until it is there; returns the evidence document, its digest under ``digest``."""
        return wait_for_evidence(self._session, self.start_evaluation(request), progress=progress, wait_s=wait_s)

    def evidence(self) -> list[dict[str, Any]]:
        """What evidence there is about the use case's versions."""
        return self._list("evidence")


def put_blob(session: Session, content: bytes | Path) -> str:
    """Store bytes, or a file in pieces; returns their digest."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            answer = session.upload("/api/v1/blobs", iter(lambda: file.read(1 << 20), b""))
    else:
        answer = session.upload("/api/v1/blobs", content)
    return str(answer["digest"])


def evaluation(session: Session, evaluation_id: str) -> dict[str, Any]:
    """How far an evaluation has come: state, progress 0..1, step, evidence digest, error."""
    answer: dict[str, Any] = session.get(f"/api/v1/evaluations/{segment(evaluation_id)}")
    return answer


def evidence(session: Session, digest: str) -> dict[str, Any]:
    """An evidence document, its digest added under ``digest``."""
    document: dict[str, Any] = session.get(f"/api/v1/evidence/{segment(digest)}")
    return {**document, "digest": digest}


def wait_for_evidence(
    session: Session, evaluation_id: str, *, progress: Progress | None = None, wait_s: float = 600.0
) -> dict[str, Any]:
    """Wait for an evaluation; a server that restarts in between is waited for too, since evaluations resume.

    Raises:
        StileError: the evaluation failed, in its own words.
        Unavailable: it is not done after ``wait_s`` seconds.
    """
    until = time.monotonic() + wait_s
    pause = 0.05
    while time.monotonic() < until:
        try:
            state = evaluation(session, evaluation_id)
        except Unavailable:
            if time.monotonic() + 1 >= until:
                raise
            time.sleep(0.5)
            continue
        if progress is not None:
            progress(float(state.get("progress") or 0.0), str(state.get("step") or ""))
        if state.get("evidence"):
            return evidence(session, str(state["evidence"]))
        if state.get("error") or state.get("state") in ("failed", "cancelled"):
            raise StileError(f"The evaluation did not finish: {state.get('error') or state.get('state')}")
        time.sleep(pause)
        pause = min(0.5, pause * 1.3)
    raise Unavailable(f"The evaluation {evaluation_id} is still running after {wait_s:.0f} s. Look again later.")
