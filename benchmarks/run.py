"""Speed of tracking, beside a genuine MLflow server on the same machine in the same run.

    python benchmarks/run.py [--seconds S] [--rounds N] [--runs N] [--report FILE]

The genuine server is taken from the virtual environment that STILE_BENCH_PEER names (one with
``pip install mlflow==3.17.2``), once with its default workers and once with ``--workers 1``, which
is faster; FastTrackML from STILE_BENCH_FASTTRACKML (``pip install fasttrackml==0.6.0``). Without them
only our figures are measured. All are on SQLite, each on a store of its own, and are measured in turns (the
order changes every round), so that whatever else the machine does hits all. A figure is the median
of the rounds. Searches, histories and files are asked of one server of each kind.
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

import bare
import clients
import files
import machine
import report
import scale
import searching
import servers
import tracking
from load import BenchError, press
from servers import Server

FLOOR, BARE = report.FLOOR, report.BARE
_MODELS = 5
"""Models put one after the other in each turn: a model is logged at the end of a run, to a server at work."""


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
    mlflow, fml = (os.environ.get(name, "") for name in ("STILE_BENCH_PEER", "STILE_BENCH_FASTTRACKML"))
    begun = machine.facts()
    with tempfile.TemporaryDirectory(prefix="stile-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        facts = [*begun, ("Disk", f"{machine.sync_ms(folder):.2f} ms to make 16 KiB durable")]
        ours = stack.enter_context(servers.ours(folder / "ours"))
        one_each, every = [ours], [ours, stack.enter_context(servers.ours(folder / "relaxed", relaxed=True))]
        if mlflow:
            single = stack.enter_context(servers.genuine(Path(mlflow), folder / "single"))
            default = stack.enter_context(servers.genuine(Path(mlflow), folder / "default", workers=None))
            one_each.append(single)
            every += [single, default]
        else:
            print("STILE_BENCH_PEER is not set: measuring without a genuine MLflow server.", file=sys.stderr)
        if fml:
            other = stack.enter_context(servers.fasttrackml(Path(fml), folder / "fml"))
            one_each.append(other)
            every.append(other)
        figures: list[Figure] = []
        for group in (
            lambda: _resting(every),
            lambda: _rates(every, options.seconds, options.rounds),
            lambda: _bare(folder, options.seconds, options.rounds),
            lambda: _clients(every, options.seconds, options.rounds),
            lambda: _files([one for one in one_each if one.name != "FastTrackML"], options.rounds),
            lambda: _histories(one_each, options.rounds),
            lambda: _searches(one_each, folder / "single" / "mlflow.db", options.runs, options.rounds),
        ):
            figures += group()
            text = report.markdown(figures, [one.name for one in every], facts=facts, command=_command())
            Path(options.report).write_text(text)
        text += report.growth(scale.measured(folder / "scale"))
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


def _command() -> str:
    peers = [f"{name}=<venv>" for name in ("STILE_BENCH_PEER", "STILE_BENCH_FASTTRACKML") if os.environ.get(name)]
    return " ".join([*peers, "python", *sys.argv])


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
                try:
                    figure.add(server, _timed(lambda: ask(connection, runs[server.name])))  # noqa: B023  called at once
                except BenchError as error:
                    figure.notes[server.name] = "not there" if "404" in str(error) else f"failed: {error}"
                connection.close()
        figures += _shown([figure])
    return figures


def _bare(folder: Path, seconds: float, rounds: int) -> list[Figure]:
    """The limit of SQLite on this disk, beside what our server makes of it."""
    small = Figure(f"{BARE}: durable commits of one row, no server", "commits/s", True)
    large = Figure(f"{BARE}: 1000 packed points a commit, no server", "points/s", True)
    for _ in range(rounds):
        small.samples.setdefault("Stile", []).append(bare.commits_per_second(folder, seconds))
        large.samples.setdefault("Stile", []).append(bare.points_per_second(folder, seconds))
    return _shown([small, large])


def _clients(running: list[Server], seconds: float, rounds: int) -> list[Figure]:
    made: dict[str, Figure] = {}
    with clients.instant_server() as instant:
        targets = [(server.name, server.url, clients.run_for(server)) for server in running]
        targets.append((FLOOR, instant, "0" * 32))
        for turn in range(rounds):
            for name, url, run in targets[turn % len(targets) :] + targets[: turn % len(targets)]:
                for title, rate in clients.mlflow_calls(url, run, seconds).items():
                    unit = "points/s" if "1000" in title else "calls/s"
                    figure = made.setdefault(title, Figure(title, unit, True))
                    figure.samples.setdefault(name, []).append(rate)
    looped = Figure("our client: points from one training loop", "points/s", True)
    durable = Figure("our client: the same until all are durable", "points/s", True)
    for _ in range(rounds):
        for server in running[:2]:
            fast, whole = clients.own_client(server)
            looped.add(server, fast)
            durable.add(server, whole)
    return _shown([*made.values(), looped, durable])


def _files(running: list[Server], rounds: int) -> list[Figure]:
    put, get = Figure("put the 7 files of a model", "ms", False), Figure("get the 7 files of a model", "ms", False)
    empty = Figure("for comparison: 7 answers without work (/health)", "ms", False)
    put_large, get_large = Figure("put a file of 64 MiB", "ms", False), Figure("get a file of 64 MiB", "ms", False)
    content = os.urandom(files.LARGE)
    runs = {}
    for server in running:
        home = tracking.experiment(server, "files")
        runs[server.name] = f"{home}/{tracking.new_runs(server, home, 1)[0]}/artifacts"
    for turn in range(rounds * 4):
        for server in _in_turn(running, turn):
            connection = server.connect()
            for number in range(_MODELS):
                folder, model = f"{runs[server.name]}/model-{turn}-{number}", files.new_model()
                put.add(server, _timed(lambda: files.put_model(connection, folder, model)))  # noqa: B023  called at once
                get.add(server, _timed(lambda: files.get_model(connection, folder)))  # noqa: B023
                empty.add(server, _timed(lambda: files.get_health(connection)))  # noqa: B023
            if turn < rounds:
                put_large.add(server, _timed(lambda: files.put_large(connection, folder, content)))  # noqa: B023
                get_large.add(server, _timed(lambda: files.get(connection, f"{folder}/large.bin")))  # noqa: B023
            connection.close()
    return _shown([put, get, empty, put_large, get_large])


def _searches(running: list[Server], file: Path, runs: int, rounds: int) -> list[Figure]:
    homes = {}
    for server in running:
        homes[server.name] = tracking.experiment(server, "search")
        if server.name.startswith("MLflow"):
            searching.fill_file(file, homes[server.name], runs)
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
