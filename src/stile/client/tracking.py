"""Runs through the MLflow routes: what the ``mlflow`` client would send, without needing it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from stile.client.session import Session, segment
from stile.kernel.errors import Exists, Invalid, Missing

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_METRICS_PER_CALL = 1000
_PARAMS_PER_CALL = 100


class Run:
    """A run that is being written. As a context manager it ends FINISHED, or FAILED when the block raised.

    Attributes:
        run_id, experiment_id: as in MLflow.
        artifact_uri: where its artifacts live, ``mlflow-artifacts:/...``.
    """

    def __init__(self, session: Session, answer: Mapping[str, Any]) -> None:
        record = answer["run"]["info"]
        self._session = session
        self.run_id: str = record["run_id"]
        self.experiment_id: str = str(record["experiment_id"])
        self.artifact_uri: str = record["artifact_uri"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end("FAILED" if kind is not None else "FINISHED")

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters; one that was recorded before may not change its value."""
        entries = [{"key": key, "value": str(value)} for key, value in params.items()]
        for part in _parts(entries, _PARAMS_PER_CALL):
            self._session.post(f"{API}/runs/log-batch", {"run_id": self.run_id, "params": part})

    def log_metric(self, key: str, value: float, step: int = 0) -> None:
        """Record one point of one metric."""
        self.log_batch([(key, value, step)])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record one point of several metrics."""
        self.log_batch((key, value, step) for key, value in metrics.items())

    def log_batch(self, points: Iterable[tuple[str, float, int]]) -> None:
        """Record many points ``(key, value, step)``, a thousand to a request."""
        now = time.time_ns() // 1_000_000
        entries = [
            {"key": key, "value": _written(float(value)), "timestamp": now, "step": int(step)}
            for key, value, step in points
        ]
        for part in _parts(entries, _METRICS_PER_CALL):
            self._session.post(f"{API}/runs/log-batch", {"run_id": self.run_id, "metrics": part})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; a tag set again takes the new value."""
        entries = [{"key": key, "value": str(value)} for key, value in tags.items()]
        for part in _parts(entries, _PARAMS_PER_CALL):
            self._session.post(f"{API}/runs/log-batch", {"run_id": self.run_id, "tags": part})

    def log_artifact(self, source: Path | str | bytes, path: str) -> str:
        """Store a file, or bytes, as the run's artifact ``path``; returns its ``mlflow-artifacts:`` address."""
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        self._session.upload(f"{ARTIFACTS}/{self._location()}/{quoted(path)}", content)
        return f"{self.artifact_uri}/{path}"

    def log_folder(self, folder: Path | str, path: str) -> str:
        """Store every file below ``folder`` under the artifact path ``path``; returns its address."""
        root = Path(folder)
        files = sorted(file for file in root.rglob("*") if file.is_file())
        if not files:
            raise Invalid(f"{root} holds no file, so there is nothing to log.")
        for file in files:
            self.log_artifact(file, f"{path}/{file.relative_to(root).as_posix()}")
        return f"{self.artifact_uri}/{path}"

    def log_figure(self, name: str, spec: Mapping[str, Any]) -> str:
        """Archive a graph as a Vega-Lite spec under ``graphs/``; the run's page draws it.

        Raises:
            Invalid: ``spec`` names no Vega-Lite schema, so no page could draw it.
        """
        if "vega-lite" not in str(spec.get("$schema", "")):
            raise Invalid('A figure is a Vega-Lite spec: its "$schema" must name vega-lite.')
        return self.log_artifact(msgspec.json.encode(dict(spec)), f"graphs/{name}.vl.json")

    def register(self, model: str, folder: Path | str, description: str = "") -> dict[str, Any]:
        """Store a model folder (the one with ``MLmodel``) and make it the next version of ``model``."""
        if not (Path(folder) / "MLmodel").is_file():
            raise Invalid(f"{folder} is no model folder: it holds no file named MLmodel.")
        source = self.log_folder(folder, "model")
        with contextlib.suppress(Exists):  # an existing model is what we want
            self._session.post(f"{API}/registered-models/create", {"name": model})
        answer = self._session.post(
            f"{API}/model-versions/create",
            {"name": model, "source": source, "run_id": self.run_id, "description": description},
        )
        version: dict[str, Any] = answer["model_version"]
        return version

    def end(self, status: str = "FINISHED") -> None:
        """Close the run with ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self._session.post(
            f"{API}/runs/update",
            {"run_id": self.run_id, "status": status, "end_time": time.time_ns() // 1_000_000},
        )

    def _location(self) -> str:
        return self.artifact_uri.removeprefix("mlflow-artifacts:").lstrip("/")


def start_run(session: Session, experiment: str, name: str, tags: Mapping[str, str]) -> Run:
    """Open a run in the experiment of that name, which is created when it is new."""
    return Run(session, open_run(session, experiment, name, tags))


def open_run(session: Session, experiment: str, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Open a run; the server's answer."""
    now = time.time_ns() // 1_000_000
    entries = [{"key": key, "value": str(value)} for key, value in tags.items()]
    if name:
        entries.append({"key": "mlflow.runName", "value": name})
    body = {"experiment_id": experiment_id(session, experiment), "start_time": now, "run_name": name, "tags": entries}
    answer: dict[str, Any] = session.post(f"{API}/runs/create", body)
    return answer


def experiment_id(session: Session, name: str) -> str:
    """The id of the experiment called ``name``, created when it does not exist."""
    try:
        found = session.get(f"{API}/experiments/get-by-name", experiment_name=name)
        return str(found["experiment"]["experiment_id"])
    except Missing:
        pass
    try:
        return str(session.post(f"{API}/experiments/create", {"name": name})["experiment_id"])
    except Exists:  # somebody was faster
        found = session.get(f"{API}/experiments/get-by-name", experiment_name=name)
        return str(found["experiment"]["experiment_id"])


def quoted(path: str) -> str:
    """A logical path as URL segments."""
    return "/".join(segment(part) for part in path.split("/"))


def _written(value: float) -> float | str:
    """A value as JSON can carry it: NaN and infinities as MLflow spells them."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _parts(entries: list[dict[str, Any]], size: int) -> Iterable[list[dict[str, Any]]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
