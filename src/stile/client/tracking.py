"""Runs through the MLflow routes: what the ``mlflow`` client would send, without needing it."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from stile.client.flat import flat, settings, unusable, whole
from stile.client.session import Session, segment
from stile.kernel.errors import Exists, Invalid, Missing, StileError

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_METRICS_PER_CALL = 1000
_PARAMS_PER_CALL = 100
_ENDS = ("FINISHED", "FAILED", "KILLED")
_IN_ONE_PIECE = 8 << 20


class Run:
    """A run that is being written.

    As a context manager it ends FINISHED, FAILED when the block raised, KILLED when it was interrupted by Ctrl-C.

    Attributes:
        run_id, experiment_id: as in MLflow.
        name: what it is called.
        url: its page.
        artifact_uri: where its artifacts live, ``mlflow-artifacts:/...``.
    """

    def __init__(self, session: Session, answer: Mapping[str, Any]) -> None:
        record = answer["run"]["info"]
        self._session = session
        self._started_at = int(record.get("start_time") or 0)
        self.run_id: str = record["run_id"]
        self.experiment_id: str = str(record["experiment_id"])
        self.name: str = record.get("run_name", "")
        self.url = f"{session.url}/runs/{self.run_id}"
        self.artifact_uri: str = record["artifact_uri"]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end(status_after(value))
        except StileError as error:
            if value is None:
                raise
            print(f"stile: run {self.run_id}: {error.message}", file=sys.stderr)  # the block's own error goes first

    def log_param(self, key: str, value: Any) -> None:
        """Record one parameter."""
        self.log_params({key: value})

    def log_params(self, params: Any) -> None:
        """Record parameters; one that was recorded before may not change its value.

        Args:
            params: a mapping, an ``argparse.Namespace`` or a dataclass. What is nested is written with dots:
                ``{"model": {"depth": 3}}`` is ``model.depth``.
        """
        entries = [{"key": key, "value": value} for key, value in settings(params).items()]
        for part in _parts(entries, _PARAMS_PER_CALL):
            self._post(f"{API}/runs/log-batch", {"run_id": self.run_id, "params": part})

    def log_metric(self, key: str, value: float, step: int = 0) -> None:
        """Record one point of one metric."""
        self.log_batch([(key, value, step)])

    def log_metrics(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Record one point of several metrics; what is nested is written with slashes."""
        self.log_batch((key, value, step) for key, value in flat(metrics, "/").items())

    def log_batch(self, points: Iterable[tuple[str, float, int]]) -> None:
        """Record many points ``(key, value, step)``, a thousand to a request.

        Raises:
            Invalid: a value is no number, or a step no whole one.
        """
        now = time.time_ns() // 1_000_000
        entries = []
        for key, value, step in points:
            try:
                entries.append({"key": key, "value": _written(float(value)), "timestamp": now, "step": whole(step)})
            except (TypeError, ValueError, OverflowError) as error:
                raise unusable({key: value}, step) from error
        for part in _parts(entries, _METRICS_PER_CALL):
            self._post(f"{API}/runs/log-batch", {"run_id": self.run_id, "metrics": part})

    def set_tag(self, key: str, value: Any) -> None:
        """Set one tag."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; a tag set again takes the new value."""
        for part in _parts(_tags(tags), _PARAMS_PER_CALL):
            self._post(f"{API}/runs/log-batch", {"run_id": self.run_id, "tags": part})

    def log_artifact(self, source: Path | str | bytes, path: str = "") -> str:
        """Store a file, or bytes, as the run's artifact ``path`` (a file's own name by default); returns its address.

        Raises:
            Invalid: there is no such file, or bytes were given without a path.
        """
        if isinstance(source, bytes):
            if not path:
                raise Invalid("Bytes have no name of their own: give the artifact's path, too.")
            content: bytes | Path = source
        else:
            file = Path(source)
            if file.is_dir():
                raise Invalid(f"{file} is a folder. Store it with: log_folder({str(source)!r}, path)")
            if not file.is_file():
                raise Invalid(f"There is no file {file}. Bytes are given as bytes, text with log_text.")
            content, path = file, path or file.name
        self._upload(f"{ARTIFACTS}/{self._location()}/{quoted(path)}", content)
        return f"{self.artifact_uri}/{path}"

    def log_text(self, text: str, path: str) -> str:
        """Store text as a file; returns its address."""
        return self.log_artifact(text.encode(), path)

    def log_dict(self, content: Any, path: str) -> str:
        """Store a mapping, a list or anything of the kind as JSON; returns its address."""
        plain = msgspec.json.encode(content, enc_hook=_plain)
        return self.log_artifact(msgspec.json.format(plain, indent=2), path)

    def log_table(self, rows: Any, path: str) -> str:
        """Store a data frame, rows (mappings) or columns by name as CSV; returns its address."""
        from stile.client import media

        return self.log_artifact(media.table(rows), path)

    def log_image(self, image: Any, path: str) -> str:
        """Store a PIL image, or an array (height, width) or (height, width, 1, 3 or 4), as PNG; returns its address."""
        from stile.client import media

        return self.log_artifact(media.image(image), path)

    def log_folder(self, folder: Path | str, path: str) -> str:
        """Store every file below ``folder`` under the artifact path ``path``; returns its address."""
        root = Path(folder)
        files = sorted(file for file in root.rglob("*") if file.is_file())
        if not files:
            raise Invalid(f"{root} holds no file, so there is nothing to log.")
        for file in files:
            self.log_artifact(file, f"{path}/{file.relative_to(root).as_posix()}")
        return f"{self.artifact_uri}/{path}"

    def log_figure(self, figure: Any, name: str) -> str:
        """Archive a figure under ``graphs/``; the run's page shows it. Returns its address.

        Args:
            figure: a Vega-Lite spec or an Altair chart, a Matplotlib figure (kept as PNG), a Plotly figure (as HTML).
            name: what it is called, without a suffix.

        Raises:
            Invalid: it is none of these.
        """
        from stile.client import media

        suffix, content = media.figure(figure)
        return self.log_artifact(content, f"graphs/{name.removesuffix(suffix)}{suffix}")

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
        check_end(status)
        self._post(
            f"{API}/runs/update",
            {"run_id": self.run_id, "status": status, "end_time": time.time_ns() // 1_000_000},
        )

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        """Send what may be sent twice."""
        self._session.post(path, body)

    def _upload(self, path: str, content: bytes | Path) -> None:
        """Send a file; a large one in pieces, so that it need not fit into memory."""
        if isinstance(content, bytes) or content.stat().st_size <= _IN_ONE_PIECE:
            self._session.upload(path, content if isinstance(content, bytes) else content.read_bytes())
            return
        with content.open("rb") as file:
            self._session.upload(path, iter(lambda: file.read(1 << 20), b""))

    def _location(self) -> str:
        return self.artifact_uri.removeprefix("mlflow-artifacts:").lstrip("/")


def start_run(session: Session, experiment: str, name: str, tags: Mapping[str, Any], parent: Run | str = "") -> Run:
    """Open a run in the experiment of that name, which is created when it is new."""
    return Run(session, open_run(session, experiment, name, tags, parent))


def open_run(
    session: Session, experiment: str, name: str, tags: Mapping[str, Any], parent: Run | str = ""
) -> dict[str, Any]:
    """Open a run; the server's answer."""
    now = time.time_ns() // 1_000_000
    entries = _tags(tags)
    if name:
        entries.append({"key": "mlflow.runName", "value": name})
    if parent:
        parent_id = parent.run_id if isinstance(parent, Run) else parent
        entries.append({"key": "mlflow.parentRunId", "value": parent_id})
    body = {"experiment_id": experiment_id(session, experiment), "start_time": now, "run_name": name, "tags": entries}
    answer: dict[str, Any] = session.post(f"{API}/runs/create", body)
    return answer


def reopen_run(session: Session, run_id: str) -> dict[str, Any]:
    """Go on with a run that has ended, or was left; the server's answer."""
    answer: dict[str, Any] = session.get(f"{API}/runs/get", run_id=run_id)
    session.post(f"{API}/runs/update", {"run_id": run_id, "status": "RUNNING"})
    return answer


def last_steps(answer: Mapping[str, Any]) -> dict[str, int]:
    """The last step of each metric of a run."""
    return {one["key"]: int(one.get("step", 0)) for one in answer["run"].get("data", {}).get("metrics", [])}


def check_end(status: str) -> None:
    """Refuse what is no end of a run."""
    if status not in _ENDS:
        raise Invalid(f"A run does not end {status!r}. It is one of {', '.join(_ENDS)}.")


def status_after(error: BaseException | None) -> str:
    """How a run ends when the program leaves it with this error, or none."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"


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


def _tags(tags: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"key": key, "value": str(value)} for key, value in tags.items()]


def _plain(value: Any) -> Any:
    """What JSON has no word for: arrays and their numbers as lists and numbers, everything else as text."""
    return value.tolist() if callable(getattr(value, "tolist", None)) else str(value)


def _parts(entries: list[dict[str, Any]], size: int) -> Iterable[list[dict[str, Any]]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
