"""Whether a search costs more when the store is larger: our server over 5,000, 50,000 and 500,000 runs, in turns."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import servers
from load import Connection
from tracking import API

SIZES = (5_000, 50_000, 500_000)
_ASKED = 300
_WARM = 10

QUERIES: dict[str, dict[str, Any]] = {
    "metric > x, order by metric, 100 rows": {"filter": "metrics.acc > 0.5", "order_by": ["metrics.acc DESC"]},
    "metric and param, 100 rows": {"filter": "metrics.acc > 0.5 AND params.model = 'm3'"},
    "tag, 100 rows": {"filter": "tags.team = 't3'"},
    "name": {"filter": "attributes.run_name = 'run-00077'"},
    "order by param, 100 rows": {"order_by": ["params.lr ASC"]},
    "newest 100": {},
    "newest 1000": {"max_results": 1000},
}


def measured(folder: Path) -> dict[str, dict[int, tuple[float, float]]]:
    """Query -> size of the store -> (median, 95th percentile) in ms, until the last byte of the answer."""
    found: dict[str, dict[int, tuple[float, float]]] = {title: {} for title in QUERIES}
    with ExitStack() as stack:
        connections = {}
        for size in SIZES:
            _seed(folder / str(size), size)
            server = stack.enter_context(servers.ours(folder / str(size)))
            connections[size] = stack.enter_context(closing(server.connect()))
        for title, query in QUERIES.items():
            body = {"experiment_ids": ["0"], "max_results": 100, **query}
            took: dict[int, list[float]] = {size: [] for size in SIZES}
            for turn in range(_WARM + _ASKED):
                for size, connection in connections.items():
                    duration = _timed(connection, body)
                    if turn >= _WARM:
                        took[size].append(duration)
            for size, durations in took.items():
                found[title][size] = (statistics.median(durations), statistics.quantiles(durations, n=20)[-1])
    return found


def _seed(home: Path, size: int) -> None:
    from stile.store.sqlite import SqliteDatabase
    from stile.testing.many_runs import seed

    (home / "data").mkdir(parents=True)
    database = SqliteDatabase(home / "data" / "stile.db")
    database.write(lambda tx: seed(tx, size))
    database.close()


def _timed(connection: Connection, body: dict[str, Any]) -> float:
    begun = time.perf_counter()
    connection.call("POST", API + "runs/search", body)
    return (time.perf_counter() - begun) * 1000
