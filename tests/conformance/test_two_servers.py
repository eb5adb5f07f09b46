"""Two server processes on one PostgreSQL: one order of decisions, one queue of work, pages and caches that keep up."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit" / "govern"))

from govern_world import USE_CASE, fresh, propose, register, say

from stile.govern import decision_records, decisions, registry
from stile.store import ledger
from stile.store.database import Database, Tx
from stile.train import traces
from stile.train.spans import Span
from stile.train.trace_values import TraceDraft
from stile.work import server_records

pytestmark = pytest.mark.parametrize("engine", ["postgres"], indirect=True)


class Server:
    """A ``stile up`` process."""

    def __init__(self, store: str, data: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("stile")), "up", "--port", str(port), "--data", str(data)],
            env=os.environ | {"STILE_STORE": store},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "is ready" in line, (line, self.process.stderr.read() if self.process.stderr else "")

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def stop(self) -> str:
        self.process.terminate()
        _, said = self.process.communicate(timeout=30)
        return said


@pytest.fixture
def world(tmp_path: Path, store_url: str) -> Iterator[Database]:
    db = fresh(tmp_path, store_url)
    yield db
    db.close()


@pytest.fixture
def servers(store_url: str, tmp_path: Path, world: Database) -> Iterator[list[Server]]:
    """Two servers that start at the same moment and share the data folder."""
    started = [Server(store_url, tmp_path / "data") for _ in range(2)]
    try:
        for server in started:
            server.wait()
        yield started
    finally:
        for server in started:
            server.process.kill()
            server.process.communicate()


def test_one_champion_when_both_servers_apply_at_once(world: Database, servers: list[Server]) -> None:
    world.write(register)
    asked = propose(world, 1)
    say(world, asked.id, "paula", "product_manager")
    say(world, asked.id, "dora", "domain_expert")
    plan = world.write(lambda tx: decisions.plan(tx, use_case=USE_CASE, by="mel"))
    path = f"/api/v1/use-cases/{USE_CASE}/apply"
    wanted = {"plan": plan.digest, "reason": "now"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: servers[n % 2].ask("POST", path, wanted), range(8)))
    # The first carries the plan out; the others are told what was decided.
    assert {status for status, _ in answers} == {200}, answers
    assert len({answer["decision"] for _, answer in answers}) == 1
    assert world.read(lambda tx: registry.aliases(tx, USE_CASE)) == {"champion": 1}
    assert len(world.read(lambda tx: decision_records.listing(tx, USE_CASE))) == 1
    assert world.read(ledger.verify) == []
    for server in servers:
        status, answer = server.ask("GET", "/api/v1/ledger/verify")
        assert (status, answer["findings"]) == (200, [])


def test_a_page_hears_of_a_commit_when_the_other_server_made_it(servers: list[Server]) -> None:
    heard = threading.Event()

    def listen() -> None:
        request = urllib.request.Request(f"{servers[0].url}/api/v1/events")
        with urllib.request.urlopen(request, timeout=20) as stream:
            for line in stream:
                if b"decision" in line or b"use-case" in line or b"board" in line:
                    heard.set()
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    time.sleep(0.3)
    status, _ = servers[1].ask("POST", "/api/v1/use-cases", {"name": "second-case", "title": "Second"})
    assert status == 201
    assert heard.wait(10)


def test_work_is_shared_and_servers_leave_cleanly_when_told_to_stop(world: Database, servers: list[Server]) -> None:
    deadline = time.monotonic() + 30
    while len(world.read(lambda tx: server_records.others(tx, ""))) < 2:
        assert time.monotonic() < deadline, "the servers do not know of each other"
        time.sleep(0.05)
    said = [server.stop() for server in servers]
    assert [server.process.returncode for server in servers] == [0, 0]
    assert said == ["", ""]
    assert set(world.read(lambda tx: server_records.others(tx, "")).values()) <= {server_records.STOPPED}


def test_a_trace_is_whole_when_its_spans_come_through_both_servers(open_db: Callable[[], Database]) -> None:
    """What a trace is as a whole and its spans come in any order, from several processes of one application."""
    both = [open_db(), open_db()]
    for number in range(12):
        trace = f"{number + 1:032x}"
        begun = 1_700_000_000_000_000_000
        spans = [
            Span(
                trace_id=trace, span_id=f"{place + 1:016x}", parent_id="" if place == 0 else f"{1:016x}",
                name=f"step {place}", type="TOOL", status="OK", started=begun + place * 1_000_000,
                ended=begun + (90 if place == 0 else place + 1) * 1_000_000, body="{}",
            )
            for place in range(8)
        ]  # fmt: skip
        draft = TraceDraft(
            trace_id=f"tr-{trace}", experiment_id="0", state="OK", at=begun // 1_000_000, took=90,
            metadata={"mlflow.trace.sizeStats": '{"num_spans": 8}'},
        )  # fmt: skip
        acts: list[Callable[[Tx], object]] = [
            partial(traces.put_spans, experiment_id="0", given=[span], by="ana") for span in spans
        ]
        acts.append(partial(traces.start, draft=draft, by="ana"))
        random.Random(number).shuffle(acts)
        with ThreadPoolExecutor(len(acts)) as pool:
            list(pool.map(lambda one: both[one[0] % 2].write(one[1]), enumerate(acts)))
        (found,) = both[0].read(partial(traces.whole, trace_ids=[f"tr-{trace}"]))
        assert [span.name for span in found.spans] == [f"step {place}" for place in range(8)]
        assert found.complete
        assert (found.info.state, found.info.at, found.info.took) == ("OK", begun // 1_000_000, 90)
        assert found.info.tags["mlflow.trace.spansLocation"] == "TRACKING_STORE"
