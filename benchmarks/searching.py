"""Searches over many runs, and long histories: how the stores are filled, and what is asked."""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from load import Connection
from servers import Server
from tracking import API, new_run, now_ms

_METRICS = ("acc", "loss", "auc", "f1", "seconds")

QUERIES: dict[str, dict[str, Any]] = {
    "metric > x, order by metric, 100 rows": {
        "filter": "metrics.acc > 0.5", "order_by": ["metrics.acc DESC"], "max_results": 100,
    },
    "metric and param, order by start, 100 rows": {
        "filter": "metrics.acc > 0.9 and params.model = 'm3'", "order_by": ["attributes.start_time DESC"],
        "max_results": 100,
    },
    "newest 100": {"order_by": ["attributes.start_time DESC"], "max_results": 100},
    "newest 1000": {"max_results": 1000},
}  # fmt: skip


class Content(NamedTuple):
    """What run number ``k`` holds; the same on every server."""

    start: int
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]


def content(number: int) -> Content:
    """Run number ``number``."""
    chance = random.Random(number)
    return Content(
        start=1_700_000_000_000 + number * 1000,
        metrics={key: chance.random() for key in _METRICS},
        params={"model": f"m{number % 7}", "lr": f"{chance.random():.4f}", "depth": str(number % 12)},
        tags={"team": f"t{number % 5}"},
    )


def fill_over_http(server: Server, experiment_id: str, runs: int) -> None:
    """Make the runs through the API: one create and one log-batch each, sixteen connections at once."""

    def part(numbers: range) -> None:
        connection = server.connect()
        for number in numbers:
            held = content(number)
            body = {"experiment_id": experiment_id, "start_time": held.start, "user_id": "bench"}
            made = json.loads(connection.call("POST", API + "runs/create", body))["run"]["info"]["run_id"]
            metrics = [{"key": k, "value": v, "timestamp": held.start, "step": 1} for k, v in held.metrics.items()]
            params, tags = ([{"key": k, "value": v} for k, v in items.items()] for items in (held.params, held.tags))
            batch = {"run_id": made, "metrics": metrics, "params": params, "tags": tags}
            connection.call("POST", API + "runs/log-batch", batch)
        connection.close()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(part, (range(first, runs, 16) for first in range(16))))


def fill_file(file: Path, experiment_id: str, runs: int) -> None:
    """Write the same runs into a genuine server's SQLite file: over its API that would take most of an hour."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in ("runs", "metrics", "latest", "params", "tags")}
    for number in range(runs):
        held, run = content(number), uuid.uuid4().hex
        rows["runs"].append((run, f"run-{number}", "UNKNOWN", "", "", "bench", "RUNNING", held.start, "", "active",
                             f"mlflow-artifacts:/{experiment_id}/{run}/artifacts", int(experiment_id)))  # fmt: skip
        for key, value in held.metrics.items():
            rows["metrics"].append((key, value, held.start, run, 1, 0))
            rows["latest"].append((key, value, held.start, 1, 0, run))
        rows["params"] += [(key, value, run) for key, value in held.params.items()]
        tags = held.tags | {"mlflow.user": "bench", "mlflow.runName": f"run-{number}"}
        rows["tags"] += [(key, value, run) for key, value in tags.items()]
    statements = {
        "runs": "runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, "
        "source_version, lifecycle_stage, artifact_uri, experiment_id)",
        "metrics": "metrics (key, value, timestamp, run_uuid, step, is_nan)",
        "latest": "latest_metrics (key, value, timestamp, step, is_nan, run_uuid)",
        "params": "params (key, value, run_uuid)",
        "tags": "tags (key, value, run_uuid)",
    }
    database = sqlite3.connect(file, timeout=60)
    with database:
        for name, into in statements.items():
            marks = ", ".join("?" * len(rows[name][0]))
            database.executemany(f"INSERT INTO {into} VALUES ({marks})", rows[name])
    database.close()


def search(connection: Connection, experiment_id: str, query: dict[str, Any]) -> int:
    """Ask once, until the last byte of the answer; how many bytes came."""
    body = {"experiment_ids": [experiment_id], **query}
    return len(connection.call("POST", API + "runs/search", body))


def long_series(server: Server, experiment_id: str, points: int) -> str:
    """A run with one metric of that many points, logged a thousand a call."""
    connection = server.connect()
    run = new_run(connection, experiment_id)
    at = now_ms()
    for start in range(0, points, 1000):
        metrics = [
            {"key": "loss", "value": 1 / (index + 1), "timestamp": at + index, "step": index}
            for index in range(start, min(start + 1000, points))
        ]
        connection.call("POST", API + "runs/log-batch", {"run_id": run, "metrics": metrics})
    connection.close()
    return run


def whole_history(connection: Connection, run: str) -> int:
    """All points in one answer; how many."""
    return connection.call("GET", f"{API}metrics/get-history?run_id={run}&metric_key=loss").count(b'"step"')


def paged_history(connection: Connection, run: str) -> int:
    """All points in pages of 25,000; how many."""
    token, count = "", 0
    while True:
        more = f"&page_token={token}" if token else ""
        answer = connection.call(
            "GET", f"{API}metrics/get-history?run_id={run}&metric_key=loss&max_results=25000{more}"
        )
        count += answer.count(b'"step"')
        token = json.loads(answer).get("next_page_token", "")
        if not token:
            return count


def drawn_history(connection: Connection, run: str) -> int:
    """320 points for a chart; how many came."""
    path = f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={run}&metric_key=loss&max_results=320"
    return connection.call("GET", path).count(b'"step"')


HISTORIES: dict[str, Callable[[Connection, str], int]] = {
    "history of 100,000 points, one answer": whole_history,
    "history of 100,000 points, pages of 25,000": paged_history,
    "history of 100,000 points, 320 for a chart": drawn_history,
}
