"""What was logged, read back: runs that match a filter, points of a metric, files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stile.client.session import Session, segment
from stile.client.tracking import API

_RUNS_PER_PAGE = 1000
_POINTS_PER_PAGE = 25_000


def search_runs(
    session: Session, experiment: str, filter: str, order_by: Iterable[str], limit: int
) -> list[dict[str, Any]]:
    """Runs as flat mappings; see ``Client.search_runs``."""
    found = session.get(f"{API}/experiments/get-by-name", experiment_name=experiment)
    asked = {
        "experiment_ids": [found["experiment"]["experiment_id"]], "filter": filter, "order_by": list(order_by),
    }  # fmt: skip
    runs: list[dict[str, Any]] = []
    token = ""
    while len(runs) < limit:
        size = min(_RUNS_PER_PAGE, limit - len(runs))
        page = session.post(f"{API}/runs/search", {**asked, "max_results": size, "page_token": token})
        runs += map(_flat, page.get("runs", []))
        token = page.get("next_page_token") or ""
        if not token:
            break
    return runs


def history(session: Session, run_id: str, metric: str) -> list[dict[str, Any]]:
    """All points of a metric; see ``Client.history``."""
    points: list[dict[str, Any]] = []
    token = ""
    while True:
        page = session.get(
            f"{API}/metrics/get-history", run_id=run_id, metric_key=metric, max_results=_POINTS_PER_PAGE,
            page_token=token,
        )  # fmt: skip
        points += (
            {"step": int(one.get("step", 0)), "value": float(one["value"]), "at": int(one["timestamp"])}
            for one in page.get("metrics", [])
        )
        token = page.get("next_page_token") or ""
        if not token:
            return sorted(points, key=lambda point: (point["step"], point["at"]))


def artifacts(session: Session, run_id: str, folder: str = "") -> Iterator[str]:
    """Paths of a run's files, in all folders below ``folder``."""
    answer = session.call("GET", f"{API}/artifacts/list", query={"run_id": run_id, "path": folder})
    for file in answer.get("files", []):
        if file.get("is_dir"):
            yield from artifacts(session, run_id, file["path"])
        else:
            yield str(file["path"])


def get_artifact(session: Session, run_id: str, path: str) -> bytes:
    """A file's content."""
    return session.download(f"/get-artifact?run_uuid={segment(run_id)}&path={segment(path)}")


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    record, data = run["info"], run.get("data", {})
    known: dict[str, Any] = {
        "run_id": record["run_id"], "name": record.get("run_name", ""), "status": record["status"],
        "start_time": record.get("start_time"), "end_time": record.get("end_time"),
    }  # fmt: skip
    known |= {f"metrics.{one['key']}": float(one["value"]) for one in data.get("metrics", [])}
    known |= {f"params.{one['key']}": one["value"] for one in data.get("params", [])}
    return known | {f"tags.{one['key']}": one["value"] for one in data.get("tags", [])}
