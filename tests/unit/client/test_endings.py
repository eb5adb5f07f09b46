"""However a program ends, what it has logged is stored or kept, once, and its run says how it ended."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stile.client import Client
from stile.client.kept import send_kept
from stile.testing.server import RunningServer

BEGIN = """
import multiprocessing, os, signal, struct, sys, threading, time
from stile.client import Client
client = Client({url!r}, token="")
def begin(**more):
    return client.run("ends", code=False, environment=False, system_every_s=0, **more)
run = begin()
marks = os.open("acknowledged", os.O_RDWR | os.O_CREAT)
print(run.run_id, flush=True)
"""
FOREVER = """
for step in range(10**9):
    run.log({"loss": float(step)})
    os.pwrite(marks, struct.pack("q", step), 0)
    if step == 3000: print("ready", flush=True)
    if step > 3000 and step % 20 == 0: time.sleep(0.001)
"""


class Program:
    """A program with a live run."""

    def __init__(self, url: str, folder: Path, *lines: str) -> None:
        self.folder = folder
        code = BEGIN.format(url=url) + "\n".join(lines)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.run_id = self.process.stdout.readline().strip()

    def ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def ended(self, within_s: float = 20.0) -> tuple[int, str]:
        """Its exit code and what it said."""
        _, said = self.process.communicate(timeout=within_s)
        return self.process.returncode, said

    def acknowledged(self) -> int:
        """The last step that was surely taken."""
        last: int = struct.unpack("q", (self.folder / "acknowledged").read_bytes())[0]
        return last


def outcome(server: RunningServer, run_id: str, key: str = "loss") -> tuple[str, list[int]]:
    """A run's status, and the steps of a metric as they are stored."""
    with Client(server.url, token="") as client:
        run: dict[str, Any] = client.session.get("/api/2.0/mlflow/runs/get", run_id=run_id)["run"]
        points: list[dict[str, Any]] = []
        token = ""
        while True:
            page = client.session.get(
                "/api/2.0/mlflow/metrics/get-history", run_id=run_id, metric_key=key, max_results=25_000,
                page_token=token,
            )  # fmt: skip
            points += page.get("metrics", [])
            token = page.get("next_page_token") or ""
            if not token:
                return run["info"]["status"], sorted(int(point["step"]) for point in points)


def assert_whole(program: Program, steps: list[int]) -> None:
    """All that was taken is there once; one more may have been on its way when the signal came."""
    last = program.acknowledged()
    assert steps in (list(range(last + 1)), list(range(last + 2)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_lost_and_the_run_is_killed_when_a_signal_ends_the_program(
    server: RunningServer, tmp_path: Path, number: signal.Signals
) -> None:
    program = Program(server.url, tmp_path, FOREVER)
    program.ready()
    program.process.send_signal(number)
    assert program.ended() == (-number, "")
    status, steps = outcome(server, program.run_id)
    assert status == "KILLED"
    assert_whole(program, steps)


def test_a_signal_ends_the_program_in_time_when_it_is_in_a_long_call(server: RunningServer, tmp_path: Path) -> None:
    program = Program(
        server.url, tmp_path, "import hashlib", 'run.log({"loss": 1.0})', 'print("ready", flush=True)',
        'hashlib.pbkdf2_hmac("sha256", b"p", b"s", 10**9)',
    )  # fmt: skip
    program.ready()
    time.sleep(0.2)
    program.process.terminate()
    assert program.ended(10) == (-signal.SIGTERM, "")
    assert outcome(server, program.run_id) == ("KILLED", [0])


@pytest.mark.parametrize(
    ("handler", "code", "status"),
    [
        (
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); run.end(); run = begin(); print(run.run_id)",
            7, "FINISHED",
        ),
        ("before = signal.signal(signal.SIGTERM, lambda *a: (open('saved', 'w').close(), before(*a)))", -15, "KILLED"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.setitimer(signal.ITIMER_REAL, 0.3)", -14, None),
    ],
    ids=["before", "after", "ignored"],
)  # fmt: skip
def test_the_programs_own_handler_is_respected(
    server: RunningServer, tmp_path: Path, handler: str, code: int, status: str | None
) -> None:
    program = Program(server.url, tmp_path, handler, FOREVER)
    if code == 7:
        assert program.process.stdout is not None
        program.run_id = program.process.stdout.readline().strip()
    program.ready()
    program.process.terminate()
    assert program.ended()[0] == code
    if status is None:  # whoever ignores SIGTERM goes on: it was the alarm that ended it, which nobody handles
        return
    found, steps = outcome(server, program.run_id)
    assert found == status
    assert_whole(program, steps)
    assert (tmp_path / "saved").exists() == (handler.startswith("before"))


def test_points_and_end_are_kept_when_the_server_is_away_at_the_signal(server: RunningServer, tmp_path: Path) -> None:
    program = Program(
        server.url, tmp_path,
        "from stile.client.credentials import Credentials",
        f"gone = Credentials(url='http://127.0.0.1:{_unused_port()}')",
        "run.flush(); run._apart.close(); run._apart.__init__(gone, 30); run._session.__init__(gone, 30)",
        "os.mkdir('elsewhere'); os.chdir('elsewhere')",  # programs do
        FOREVER,
    )  # fmt: skip
    program.ready()
    begun = time.monotonic()
    program.process.terminate()
    code, said = program.ended()
    assert code == -signal.SIGTERM
    assert time.monotonic() - begun < 7
    assert "are kept in" in said
    assert "(KILLED) could not be told to the server" in said
    assert outcome(server, program.run_id) == ("RUNNING", [])
    with Client(server.url, token="") as client:
        assert send_kept(client.session, tmp_path / ".stile" / "unsent") in (
            program.acknowledged() + 1, program.acknowledged() + 2,
        )  # fmt: skip
    status, steps = outcome(server, program.run_id)
    assert status == "KILLED"
    assert_whole(program, steps)


@pytest.mark.parametrize(
    ("last", "status"),
    [
        ("raise KeyboardInterrupt", "KILLED"),
        ("sys.exit()", "FINISHED"),
        ("sys.exit(3)", "FAILED"),
        ("raise ValueError('mine')", "FAILED"),
        ("run.end('KILLED')", "KILLED"),
        ("threading.Thread(target=sys.exit, args=(3,)).start()", "FINISHED"),
    ],
)
def test_a_run_says_how_its_block_was_left(server: RunningServer, tmp_path: Path, last: str, status: str) -> None:
    program = Program(server.url, tmp_path, "with run:", "  run.log({'loss': 1.0})", "  " + last)
    _, said = program.ended()
    assert ("mine" in said) == ("mine" in last)
    assert outcome(server, program.run_id) == (status, [0])


def test_ctrl_c_kills_a_run_that_was_left_open(server: RunningServer, tmp_path: Path) -> None:
    program = Program(server.url, tmp_path, FOREVER)
    program.ready()
    program.process.send_signal(signal.SIGINT)
    assert program.ended()[0] == -signal.SIGINT
    status, steps = outcome(server, program.run_id)
    assert status == "KILLED"
    assert_whole(program, steps)


AWAY = """
run.flush()
def gone(*_, **__): raise Unavailable("gone")
from stile.kernel.errors import Unavailable
run._apart.post = gone
run.log({"loss": 1.0})
print("ready", flush=True)
run.end()
"""


def test_an_impatient_user_loses_nothing_when_the_server_is_away_at_the_end(
    server: RunningServer, tmp_path: Path
) -> None:
    program = Program(server.url, tmp_path, AWAY)
    program.ready()
    time.sleep(0.5)
    program.process.send_signal(signal.SIGINT)
    assert program.ended(5)[0] == -signal.SIGINT
    with Client(server.url, token="") as client:
        assert send_kept(client.session, tmp_path / ".stile" / "unsent") == 1
    assert outcome(server, program.run_id) == ("FINISHED", [0])


FORKED = """
def work(first):
    for step in range(first, first + 500):
        run.log({"loss": 1.0}, step=step)
if not (child := os.fork()):
    work(2000)
    with run: pass
    sys.exit(0)
os.waitpid(child, 0)
context = multiprocessing.get_context("fork")
children = [context.Process(target=work, args=(500 * number,)) for number in range(1, 4)]
for child in children: child.start()
work(0)
victim = context.Process(target=time.sleep, args=(60,))
victim.start()
time.sleep(0.1)
victim.terminate()
victim.join()
for child in children: child.join()
print("ready", victim.exitcode, flush=True)
work(2500)
"""


def test_forked_children_log_to_their_parents_run_and_do_not_end_it(server: RunningServer, tmp_path: Path) -> None:
    program = Program(server.url, tmp_path, FORKED)
    assert program.process.stdout is not None
    assert program.process.stdout.readline() == f"ready {-signal.SIGTERM}\n"
    assert program.ended() == (0, "")
    assert outcome(server, program.run_id) == ("FINISHED", list(range(3000)))


SWEEP = """
def trial(number):
    mine = begin(parent=run, name=f"trial {number}")
    for step in range(1000):
        mine.log({"loss": 1.0})
    open(f"run-{number}", "w").write(mine.run_id)
    time.sleep(60 if number == 2 else 0)
context = multiprocessing.get_context("METHOD")
if __name__ == "__main__":
    children = [context.Process(target=trial, args=(number,)) for number in range(3)]
    for child in children: child.start()
    while not os.path.exists("run-2") or not open("run-2").read(): time.sleep(0.01)
    children[2].terminate()
    for child in children: child.join()
"""


def test_runs_of_worker_processes_are_whole_when_they_were_left_open(server: RunningServer, tmp_path: Path) -> None:
    program = Program(server.url, tmp_path, SWEEP.replace("METHOD", "fork"))
    assert program.ended() == (0, "")
    ended = [outcome(server, (tmp_path / f"run-{number}").read_text()) for number in range(3)]
    assert [status for status, _ in ended] == ["FINISHED", "FINISHED", "KILLED"]
    assert all(steps == list(range(1000)) for _, steps in ended)
    assert outcome(server, program.run_id) == ("FINISHED", [])


THREADS = """
taken, refused = {}, []
def work(number):
    try:
        for step in range(10**9):
            run.log({f"loss-{number}": 1.0}, step=step)
            taken[number] = step
    except Exception as error:
        refused.append(type(error).__name__ + ": " + error.message[:22])
threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
for thread in threads: thread.start()
time.sleep(0.2)
run.end()
for thread in threads: thread.join()
print(*refused, taken[0], taken[1], sep="\\n")
"""


def test_what_threads_logged_before_the_end_is_stored_and_what_comes_after_is_refused(
    server: RunningServer, tmp_path: Path
) -> None:
    program = Program(server.url, tmp_path, THREADS)
    out, _ = program.process.communicate(timeout=20)
    *refused, first, second = out.splitlines()
    assert refused == ["Conflict: The run has ended here"] * 2
    for number, last in enumerate((first, second)):
        status, steps = outcome(server, program.run_id, f"loss-{number}")
        assert (status, steps) == ("FINISHED", list(range(int(last) + 1)))


def test_a_run_goes_on_where_it_was_killed(server: RunningServer, tmp_path: Path) -> None:
    program = Program(server.url, tmp_path, FOREVER)
    program.ready()
    program.process.terminate()
    program.ended()
    _, steps = outcome(server, program.run_id)
    with Client(server.url, token="") as client:
        quiet = {"code": False, "environment": False}
        with client.resume(program.run_id, system_every_s=0, **quiet) as run:  # type: ignore[arg-type]
            assert outcome(server, program.run_id)[0] == "RUNNING"
            run.log({"loss": 0.0})
    assert outcome(server, program.run_id) == ("FINISHED", [*steps, steps[-1] + 1])


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_signals_do_what_they_did_before_when_no_run_is_live(server: RunningServer) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Client(server.url, token="") as client:
        quiet = {"code": False, "environment": False}
        with client.run("ends", system_every_s=0, **quiet) as run:  # type: ignore[arg-type]
            assert (signal.getsignal(signal.SIGTERM) != before) == (before == signal.SIG_DFL)
            if not (child := os.fork()):
                os._exit(0 if signal.getsignal(signal.SIGTERM) == before else 1)
            assert os.waitpid(child, 0)[1] == 0
            run.log({"loss": 1.0})
        assert signal.getsignal(signal.SIGTERM) == before
