"""Speed of tracking, beside a genuine MLflow server on the same machine in the same run.

    python benchmarks/run.py [--seconds S] [--rounds N] [--runs N] [--report FILE]

The genuine server is taken from the virtual environment that STILE_BENCH_PEER names (one with
``pip install mlflow==3.17.2``); without it only our figures are measured. Both run with one
worker and SQLite on a store of their own, and are measured in turns (the order changes every
round), so that whatever else the machine does hits both. A figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import machine
import report
import searching
import servers
import tracking
from load import BenchError, press
from servers import Server


@dataclass
class Figure:
    """One row of the table: the samples of each server by name, and how to read them."""

    title: str
    unit: str
    more_is_better: bool
    samples: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, server: Server, value: float) -> None:
        """One more sample."""
        self.samples.setdefault(server.name, []).append(value)

    def median(self, name: str) -> float | None:
        """The figure of a server, None when it has none."""
        found = self.samples.get(name)
        return statistics.median(found) if found else None


def main() -> int:
    """Run it all."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers are stopped on the way out
    peer = os.environ.get("STILE_BENCH_PEER", "")
    begun = machine.facts()
    with tempfile.TemporaryDirectory(prefix="stile-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        sync = machine.sync_ms(folder)
        running = [stack.enter_context(servers.ours(folder / "ours"))]
        if peer:
            running.append(stack.enter_context(servers.genuine(Path(peer), folder / "genuine")))
        else:
            print("STILE_BENCH_PEER is not set: measuring without a genuine MLflow server.", file=sys.stderr)
        files = {server.name: folder / "genuine" / "mlflow.db" for server in running[1:]}
        facts = [*begun, ("Disk", f"{sync:.2f} ms to make 16 KiB durable")]
        figures: list[Figure] = []
        for group in (
            lambda: _resting(running),
            lambda: _rates(running, options.seconds, options.rounds),
            lambda: _searches(running, files, options.runs, options.rounds),
            lambda: _histories(running, options.rounds),
        ):
            figures += group()
            text = report.markdown(figures, [one.name for one in running], facts=facts, command=_command(peer))
            Path(options.report).write_text(text)
    print(f"\nwritten to {options.report}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one slice of load")
    parser.add_argument("--rounds", type=int, default=5, help="slices per server and test")
    parser.add_argument("--runs", type=int, default=50_000, help="runs in the store that is searched")
    parser.add_argument("--report", default="docs/benchmarks.md", help="where the table goes")
    return parser.parse_args()


def _command(peer: str) -> str:
    return " ".join(["STILE_BENCH_PEER=<venv>" if peer else "", "python", *sys.argv]).strip()


def _resting(running: list[Server]) -> list[Figure]:
    time.sleep(3)
    start = Figure("start to first answer", "s", False)
    memory = Figure("memory at rest", "MiB", False)
    for server in running:
        start.add(server, server.started_s)
        memory.add(server, server.memory_mib())
    return _shown([start, memory])


def _rates(running: list[Server], seconds: float, rounds: int) -> list[Figure]:
    figures = []
    homes = {server.name: tracking.experiment(server, "rates") for server in running}
    logged = {server.name: tracking.new_runs(server, homes[server.name], 64) for server in running}
    for test in tracking.RATES:
        figure = Figure(test.title, test.unit, True)
        for turn in range(rounds):
            for server in _in_turn(running, turn):
                connections = [server.connect() for _ in range(test.connections)]
                makes = [
                    test.prepare(connection, homes[server.name], run)
                    for connection, run in zip(connections, logged[server.name], strict=False)
                ]
                used = server.cpu_s()
                try:
                    shown = press(connections, makes, seconds)
                except (BenchError, OSError) as error:
                    figure.notes[server.name] = f"failed: {error}"
                    continue
                finally:
                    for connection in connections:
                        connection.close()
                figure.add(server, shown.rate * test.worth)
                used = (server.cpu_s() - used) / (shown.answers * test.worth) * 1e6
                figure.cpu_us.setdefault(server.name, []).append(used)
        figures += _shown([figure])
    return figures


def _histories(running: list[Server], rounds: int) -> list[Figure]:
    points = 100_000
    runs = {}
    for server in running:
        runs[server.name] = searching.long_series(server, tracking.experiment(server, "long"), points)
    figures = []
    for title, ask in searching.HISTORIES.items():
        figure = Figure(title, "ms", False)
        for turn in range(rounds):
            for server in _in_turn(running, turn):
                connection = server.connect()
                figure.add(server, _timed(lambda: ask(connection, runs[server.name])))  # noqa: B023  called at once
                connection.close()
        figures += _shown([figure])
    return figures


def _searches(running: list[Server], files: dict[str, Path], runs: int, rounds: int) -> list[Figure]:
    homes = {}
    for server in running:
        homes[server.name] = tracking.experiment(server, "search")
        if server.name in files:
            searching.fill_file(files[server.name], homes[server.name], runs)
        else:
            searching.fill_over_http(server, homes[server.name], runs)
    figures = []
    for title, query in searching.QUERIES.items():
        figure = Figure(f"search {runs:,} runs: {title}", "ms", False)
        for turn in range(rounds):
            for server in _in_turn(running, turn):
                if sum(figure.samples.get(server.name, ())) > 20_000:
                    continue  # one answer that takes so long says enough
                connection = server.connect()
                try:
                    figure.add(server, _timed(lambda: searching.search(connection, homes[server.name], query)))  # noqa: B023
                except (BenchError, OSError) as error:
                    figure.notes[server.name] = f"failed: {error}"
                connection.close()
        figures += _shown([figure])
    return figures


def _in_turn(running: list[Server], turn: int) -> list[Server]:
    first = turn % len(running)
    return running[first:] + running[:first]


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def _shown(figures: list[Figure]) -> list[Figure]:
    for figure in figures:
        cells = [f"{name} {report.number(figure.median(name))}" for name in figure.samples]
        print(f"{figure.title:55s} {figure.unit:9s} {'   '.join(cells)}", flush=True)
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
