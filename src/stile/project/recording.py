"""What is kept with every run that ``stile run`` trains, to do it again: code, command, data, packages."""

from __future__ import annotations

from pathlib import Path

from stile.client import capture
from stile.client.capture import Captured
from stile.client.session import Session
from stile.client.tracking import API, ARTIFACTS, quoted

USE_CASE_TAG = "stile.use-case"
DATASET_TAG = "stile.dataset."
"""With the part's name after it: the digest of the dataset version."""


def record(
    session: Session, run_ids: list[str], folder: Path, command: list[str], *, use_case: str, datasets: dict[str, str]
) -> None:
    """Keep code, command, environment and dataset versions with the runs.

    Args:
        session: the server.
        run_ids: the runs that one command has made.
        folder: where the command ran.
        command: its words.
        use_case: whose datasets they are.
        datasets: digest of the dataset version by part (``train``, ``test``).
    """
    parts = [capture.code(folder, command), capture.environment()]
    tags = {USE_CASE_TAG: use_case} | {DATASET_TAG + part: digest for part, digest in datasets.items()}
    for run_id in run_ids:
        for captured in parts:
            _keep(session, run_id, captured)
        _keep(session, run_id, Captured(tags, {}))


def _keep(session: Session, run_id: str, captured: Captured) -> None:
    entries = [{"key": key, "value": value} for key, value in captured.tags.items()]
    session.post(f"{API}/runs/log-batch", {"run_id": run_id, "tags": entries})
    if captured.files:
        uri = session.get(f"{API}/runs/get", run_id=run_id)["run"]["info"]["artifact_uri"]
        root = uri.removeprefix("mlflow-artifacts:").lstrip("/")
        for path, content in captured.files.items():
            session.upload(f"{ARTIFACTS}/{root}/{quoted(path)}", content)
