"""Tracking tests: what is sent, and how a figure is made of the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from load import Connection, Make
from servers import Server

API = "/api/2.0/mlflow/"
POINTS_PER_BATCH = 1000


@dataclass(frozen=True)
class RateTest:
    """A test of answers per second.

    Args:
        title: the row's name.
        prepare: (a connection that builds requests, the experiment, a run to log to) -> what makes the requests.
        connections: how many at once.
        worth: units one answer stands for (points of a batch).
        unit: what is counted.
    """

    title: str
    prepare: Callable[[Connection, str, str], Make]
    connections: int = 1
    worth: int = 1
    unit: str = "calls/s"


def experiment(server: Server, name: str) -> str:
    """A new experiment's id."""
    connection = server.connect()
    answer = json.loads(connection.call("POST", API + "experiments/create", {"name": name}))
    connection.close()
    return str(answer["experiment_id"])


def new_run(connection: Connection, experiment_id: str) -> str:
    """A new run's id."""
    body = {"experiment_id": experiment_id, "start_time": now_ms(), "user_id": "bench"}
    return str(json.loads(connection.call("POST", API + "runs/create", body))["run"]["info"]["run_id"])


def new_runs(server: Server, experiment_id: str, count: int) -> list[str]:
    """Some new runs."""
    connection = server.connect()
    made = [new_run(connection, experiment_id) for _ in range(count)]
    connection.close()
    return made


def log_metric(connection: Connection, _: str, run: str) -> Make:
    """One point of one series per call."""
    step = now_ms() % 10**9  # later slices log to the same run

    def make() -> bytes:
        nonlocal step
        step += 1
        body = f'{{"run_id":"{run}","key":"loss","value":{1 / step},"timestamp":{now_ms()},"step":{step}}}'
        return connection.request("POST", API + "runs/log-metric", body.encode())

    return make


def log_batch(connection: Connection, _: str, run: str) -> Make:
    """A thousand points per call: ten series, a hundred steps each.

    Bodies are made of a template by one replacement, to cost the generator little.
    """
    points = ",".join(
        f'{{"key":"series{key}","value":{(key + 1) / (index + 7)},'
        f'"timestamp":1700@@@@@@{index:03d},"step":1@@@@@@{index:03d}}}'
        for key in range(10)
        for index in range(POINTS_PER_BATCH // 10)
    )
    template = connection.request("POST", API + "runs/log-batch", f'{{"run_id":"{run}","metrics":[{points}]}}'.encode())
    number = now_ms() % 10**6  # later slices log to the same run

    def make() -> bytes:
        nonlocal number
        number += 1
        return template.replace(b"@@@@@@", b"%06d" % (number % 10**6))

    return make


def create_run(connection: Connection, experiment_id: str, _: str) -> Make:
    """A new run per call."""

    def make() -> bytes:
        body = f'{{"experiment_id":"{experiment_id}","start_time":{now_ms()},"user_id":"bench"}}'
        return connection.request("POST", API + "runs/create", body.encode())

    return make


RATES = [
    RateTest("log-metric, 1 connection", log_metric),
    RateTest("log-metric, 8 connections", log_metric, 8),
    RateTest("log-metric, 64 connections", log_metric, 64),
    RateTest("create run, 1 connection", create_run),
    RateTest("create run, 8 connections", create_run, 8),
    RateTest("create run, 64 connections", create_run, 64),
    RateTest("log-batch of 1000 points, 1 connection", log_batch, 1, POINTS_PER_BATCH, "points/s"),
    RateTest("log-batch of 1000 points, 8 connections", log_batch, 8, POINTS_PER_BATCH, "points/s"),
]


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
