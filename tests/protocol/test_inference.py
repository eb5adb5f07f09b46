"""A real gateway process over real sockets: hostile bodies, swaps under load, kill -9 of gateway and server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from stile.deploy import predictions
from stile.people import use_cases
from stile.people.use_cases import Charter
from stile.testing.models import point, register_folder, write_skops_folder
from stile.testing.server import RunningServer

CASE = "early-detection"
COLUMNS = ["a", "b", "c", "d"]
MODEL = f"/v2/models/{CASE}"
_SERVE = """
import sys
from pathlib import Path
from stile.deploy.sources import parse_folders
from stile.protocols.inference.gateway import serve
server, state, strict, *folders = sys.argv[1:]
serve("early-detection", server=server, state=Path(state), port=0, strict=strict == "strict",
      folders=parse_folders(folders), on_ready=lambda url: print(url, flush=True))
"""


class Gateway:
    """A gateway process of this test."""

    def __init__(self, state: Path, *, server: str = "", strict: bool = False, folders: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, server, str(state), "strict" if strict else "", *folders],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.stderr.read() if self.process.stderr else ""

    def ready(self, *, revision: int = 0, version: int = 0, seconds: float = 90) -> dict[str, Any]:
        """Waits until it answers (with this revision or champion version) and returns its readiness."""
        ends = time.monotonic() + seconds
        state: dict[str, Any] = {}
        while time.monotonic() < ends:
            state = httpx.get(f"{self.url}/v2/health/ready", timeout=30).json()
            champion = next((v["version"] for v in state.get("variants", []) if v["role"] == "champion"), 0)
            if state["ready"] and state["revision"] >= revision and version in (0, champion):
                return state
            time.sleep(0.1)
        raise AssertionError(f"the gateway did not become ready: {state}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self._close()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
        self._close()

    def _close(self) -> None:
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders: a logistic regression as 1, boosted trees as 2."""
    root = tmp_path_factory.mktemp("models")
    random_rows = np.random.default_rng(3)
    rows = random_rows.normal(size=(120, 4))
    labels = (rows[:, 0] > 0).astype(int)
    example = rows[:3].tolist()
    return {
        "lr": write_skops_folder(root / "1", LogisticRegression().fit(rows, labels), COLUMNS, example),
        "hgb": write_skops_folder(
            root / "2", HistGradientBoostingClassifier(max_iter=3).fit(rows, labels), COLUMNS, example
        ),
    }


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways that end with the test."""
    started: list[Gateway] = []

    def start(name: str = "state", **options: Any) -> Gateway:
        started.append(Gateway(tmp_path / name, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="module")
def serving(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One gateway for the tests that only ask."""
    one = Gateway(tmp_path_factory.mktemp("serving"), folders=(f"champion={folders['lr']}", f"shadow={folders['hgb']}"))
    one.ready()
    yield one.url
    one.stop()


def tensor(data: Any, shape: list[int], datatype: str = "FP64", name: str = "input") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def test_health_metadata_and_metrics_tell_what_is_served(serving: str) -> None:
    assert httpx.get(f"{serving}/v2/health/live").json() == {"live": True}
    assert httpx.get(f"{serving}/v2/health/ready").json()["ready"] is True
    assert httpx.get(f"{serving}/ping").status_code == 200 and httpx.get(f"{serving}/health").status_code == 200
    described = httpx.get(f"{serving}{MODEL}").json()
    assert described["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 4]}]
    assert described["versions"] == ["1"] and described["outputs"][0]["datatype"] == "INT64"
    assert httpx.get(f"{serving}{MODEL}/versions/1").json() == described
    assert httpx.get(f"{serving}{MODEL}/ready").json()["ready"] is True
    assert "stile_deployment_revision 1" in httpx.get(f"{serving}/metrics").text


def test_every_form_of_one_row_gets_the_same_answer(serving: str) -> None:
    row = [0.5, -0.2, 1.0, 2]
    named = dict(zip(COLUMNS, row, strict=True))
    backwards = dict(reversed(named.items()))
    bodies: list[dict[str, Any]] = [
        {"dataframe_split": {"columns": COLUMNS, "data": [row]}},
        {"dataframe_split": {"columns": [*COLUMNS[::-1], "site"], "data": [[*row[::-1], "VA"]]}},
        {"dataframe_split": {"data": [row]}},
        {"dataframe_records": [backwards]},
        {"instances": [row]},
        {"instances": [named]},
        {"inputs": [row]},
        {"inputs": {name: [value] for name, value in named.items()}},
    ]
    scores = set()
    for body in bodies:
        answer = httpx.post(f"{serving}/invocations", json=body)
        assert answer.status_code == 200, (body, answer.text)
        said = answer.json()
        assert answer.headers["x-stile-prediction-id"] == said["prediction_ids"][0]
        assert answer.headers["x-stile-model-version"] == "1" == said["model_version"]
        assert answer.headers["x-stile-deployment-revision"] == "1"
        scores.add((said["predictions"][0], said["scores"][0]))
    tensors = [
        [tensor(row, [1, 4])],
        [tensor([row], [1, 4])],
        [tensor([value], [1], name=name) for name, value in named.items()],
        [tensor([[value]], [1, 1], name=name) for name, value in backwards.items()],
        [tensor(row, [1, 4]), tensor(["VA"], [1], "BYTES", "site"), tensor(["p-7"], [1], "BYTES", "unit")],
    ]
    for inputs in tensors:
        answer = httpx.post(f"{serving}{MODEL}/infer", json={"id": "grün-1", "inputs": inputs})
        assert answer.status_code == 200, (inputs, answer.text)
        said = answer.json()
        assert said["id"] == "grün-1" and said["model_version"] == "1"
        outputs = {one["name"]: one["data"] for one in said["outputs"]}
        assert outputs["prediction_id"] == [said["parameters"]["prediction_id"]]
        scores.add((outputs["output"][0], outputs["score"][0]))
    assert len(scores) == 1


def test_odd_values_beside_the_inputs_are_recorded_and_never_break_the_answer(serving: str) -> None:
    row: dict[str, Any] = dict.fromkeys(COLUMNS, 10**25)
    for odd in (10**400, [1, {"a": None}], "x" * 5_000, None, True):
        answer = httpx.post(f"{serving}/invocations", json={"dataframe_records": [row | {"note": odd}]})
        assert answer.status_code == 200, answer.text


def test_each_row_has_an_id_of_its_own_and_outputs_can_be_chosen(serving: str) -> None:
    body = {"inputs": [tensor([0.0] * 12, [3, 4])], "outputs": [{"name": "score"}]}
    said = httpx.post(f"{serving}{MODEL}/infer", json=body).json()
    assert [one["name"] for one in said["outputs"]] == ["score"] and said["outputs"][0]["shape"] == [3]
    assert len(set(said["parameters"]["prediction_ids"].split(","))) == 3


HOSTILE_V2: list[Any] = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"inputs": 3}', b'{"inputs": []}', b"[" * 200_000,
    b'{"inputs":' + b"[" * 200_000, b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":' + b"[" * 100_000,
    b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[NaN,1,1,1]}]}',
    b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[1e999,1,1,1]}]}',
    {"inputs": [tensor([1.0] * 4, [1, 3])]}, {"inputs": [tensor([1.0] * 3, [1, 3])]},
    {"inputs": [tensor([1.0] * 4, [-1, 4])]}, {"inputs": [tensor([1.0] * 4, [0, 4])]},
    {"inputs": [tensor([1.0] * 4, [2**62, 4])]}, {"inputs": [tensor([1.0] * 4, [1, 4, 1])]},
    {"inputs": [tensor([1.0] * 4, [])]}, {"inputs": [tensor([1.0] * 4, [1, 4], "FP65")]},
    {"inputs": [tensor(["1"] * 4, [1, 4])]}, {"inputs": [tensor(["1"] * 4, [1, 4], "BYTES")]},
    {"inputs": [tensor([None] * 4, [1, 4])]}, {"inputs": [tensor([True] * 4, [1, 4])]},
    {"inputs": [tensor([1.5] * 4, [1, 4], "INT64")]}, {"inputs": [tensor([300] * 4, [1, 4], "UINT8")]},
    {"inputs": [tensor([[1.0, 2.0], [3.0]], [1, 4])]}, {"inputs": [tensor([1.0] * 4, [1, 4])] * 2},
    {"inputs": [tensor([1.0], [1], name="a")]},
    {"inputs": [tensor([1.0, 2.0], [2], name="a"), tensor([1.0], [1], name="b")]},
    {"inputs": [tensor([1.0] * 4, [1, 4])], "outputs": [{"name": "no such"}]},
    {"inputs": [tensor([1.0] * 4, [1, 4])], "id": 7},
    {"inputs": [tensor([1.0] * 4, [1, 4])], "parameters": {"unit": ["a", "b"]}},
]  # fmt: skip
HOSTILE_MLFLOW: list[Any] = [
    b"", b"{", b"[]", b"{}", b"\xff", b'{"instances":' + b"[" * 200_000, {"instances": 3}, {"instances": []},
    {"instances": [1.0, 2.0]}, {"instances": [[1.0]]}, {"instances": [[1.0] * 4, [1.0]]}, {"instances": [["x"] * 4]},
    {"instances": [[None] * 4]}, {"instances": [[[1.0]] * 4]}, {"instances": [[True] * 4]}, {"instances": {"a": 1}},
    {"instances": [[1.0] * 4], "inputs": [[1.0] * 4]}, {"inputs": {"a": [1.0]}}, {"inputs": {"a": 1.0}}, {"inputs": {}},
    {"inputs": {"a": [1.0], "b": [1.0, 2.0], "c": [1.0], "d": [1.0]}}, {"dataframe_split": {"columns": COLUMNS}},
    {"dataframe_split": {"columns": ["a", "a", "b", "c"], "data": [[1.0] * 4]}}, {"dataframe_split": [[1.0] * 4]},
    {"dataframe_split": {"columns": COLUMNS, "data": [[1.0] * 5]}}, {"dataframe_records": [{"a": 1.0}]},
    {"dataframe_records": [dict.fromkeys(COLUMNS, 1.0), {"a": 1.0}]}, {"dataframe_records": {"a": 1.0}},
    {"instances": [[1.0] * 4], "params": {"temperature": 1}}, {"instances": [[1e308 * 10] * 4]},
    {"instances": [[0.0] * 4] * 10_001},
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(HOSTILE_V2)))
def test_v2_answers_a_hostile_body_with_400_and_a_reason(serving: str, place: int) -> None:
    _expect_400(f"{serving}{MODEL}/infer", HOSTILE_V2[place], "error")


@pytest.mark.parametrize("place", range(len(HOSTILE_MLFLOW)))
def test_invocations_answers_a_hostile_body_with_400_and_a_reason(serving: str, place: int) -> None:
    _expect_400(f"{serving}/invocations", HOSTILE_MLFLOW[place], "message")


def _expect_400(url: str, body: Any, field: str) -> None:
    import json

    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.post(url, content=content, headers={"content-type": "application/json"}, timeout=30)
    assert answer.status_code == 400, answer.text
    assert len(answer.json()[field]) > 10 and "Traceback" not in answer.text


def test_wrong_type_size_path_method_and_version_are_told_apart(serving: str) -> None:
    row = {"instances": [[0.0] * 4]}
    assert httpx.post(f"{serving}/invocations", content=b"a,b", headers={"content-type": "text/csv"}).status_code == 415
    big = httpx.post(f"{serving}/invocations", content=b" " * (17 << 20), headers={"content-type": "application/json"})
    assert big.status_code == 413
    assert httpx.get(f"{serving}/invocations").status_code == 405
    assert httpx.get(f"{serving}/invocations").headers["allow"] == "POST"
    assert httpx.post(f"{serving}/v2/models/other/infer", json=row).status_code == 404
    assert httpx.post(f"{serving}{MODEL}/versions/2/infer", json=row).status_code == 404
    assert httpx.get(f"{serving}/nothing").status_code == 404
    assert httpx.post(f"{serving}/invocations", json=row).status_code == 200


async def _ask(url: str, seconds: float, clients: int, seen: list[tuple[str, str]], failures: list[str]) -> None:
    """Ask without pause; remembers (prediction id, version) of every answer and every failure."""
    ends = time.monotonic() + seconds

    async def one(client: httpx.AsyncClient, number: int) -> None:
        dice = random.Random(number)
        while time.monotonic() < ends:
            rows = [[dice.gauss(0, 1) for _ in COLUMNS] for _ in range(dice.choice((1, 1, 3)))]
            try:
                answer = await client.post(f"{url}/invocations", json={"instances": rows})
            except httpx.HTTPError as error:
                failures.append(type(error).__name__)
                return
            if answer.status_code != 200:
                failures.append(f"{answer.status_code} {answer.text[:200]}")
                continue
            said = answer.json()
            seen.extend((id, said["model_version"]) for id in said["prediction_ids"])

    async with httpx.AsyncClient(timeout=30) as client:
        await asyncio.gather(*(one(client, number) for number in range(clients)))


def _govern(server: RunningServer, folders: dict[str, Path]) -> tuple[int, int]:
    """A use case with both models registered; the logistic regression is champion, the trees challenge."""
    services = server.services

    def work(tx: Any) -> tuple[int, int]:
        use_cases.create(tx, name=CASE, charter=Charter(), by="ada")
        first = register_folder(tx, services.blobs, CASE, folders["lr"])
        second = register_folder(tx, services.blobs, CASE, folders["hgb"])
        point(tx, CASE, "champion", first)
        point(tx, CASE, "challenger", second)
        return first, second

    return services.db.write(work)


def _stored(server: RunningServer, role: str | None = "champion") -> list[predictions.StoredPrediction]:
    return server.services.db.read(lambda tx: predictions.window_rows(tx, CASE, role=role))


def _wait(check: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.1)


@pytest.mark.slow
def test_every_acknowledged_prediction_is_stored_once_when_the_gateway_is_killed(
    server: RunningServer, folders: dict[str, Path], gateway: Callable[..., Gateway]
) -> None:
    _govern(server, folders)
    seen: list[tuple[str, str]] = []
    for seconds in (0.9, 1.6):
        one = gateway(server=server.url)
        one.ready()

        async def load(one: Gateway = one, seconds: float = seconds) -> None:
            asking = asyncio.create_task(_ask(one.url, 20, 4, seen, []))
            await asyncio.sleep(seconds)
            os.kill(one.process.pid, signal.SIGKILL)
            await asking

        asyncio.run(load())
        one.kill()
    last = gateway(server=server.url)
    last.ready()
    wanted = {id for id, _ in seen}
    assert len(wanted) == len(seen) > 50
    _wait(lambda: wanted <= {row.id for row in _stored(server)})
    stored = [row.id for row in _stored(server)]
    assert len(stored) == len(set(stored))
    beside = _stored(server, "challenger")
    assert beside and {row.version for row in beside} == {2} and {row.id for row in beside} <= set(stored)


@pytest.mark.slow
def test_no_request_fails_when_the_champion_changes_under_load(
    server: RunningServer, folders: dict[str, Path], gateway: Callable[..., Gateway]
) -> None:
    first, second = _govern(server, folders)
    one = gateway(server=server.url)
    one.ready()
    seen: list[tuple[str, str]] = []
    failures: list[str] = []

    async def load() -> None:
        asking = asyncio.create_task(_ask(one.url, 6, 4, seen, failures))
        for champion in (second, first, second):
            await asyncio.sleep(1.5)
            await asyncio.to_thread(server.services.db.write, lambda tx, v=champion: point(tx, CASE, "champion", v))
        await asking

    asyncio.run(load())
    assert failures == []
    one.ready(version=second)
    versions = [int(version) for _, version in seen]
    assert {first, second} == set(versions)
    wanted = dict(seen)
    _wait(lambda: set(wanted) <= {row.id for row in _stored(server)})
    for row in _stored(server):
        if row.id in wanted:
            assert str(row.version) == wanted[row.id]  # the record names the version that answered
    reports = httpx.get(f"{server.url}/api/v1/use-cases/{CASE}/gateways").json()["gateways"]
    assert [report["state"] for report in reports] == ["serving"]


@pytest.mark.slow
def test_a_version_that_cannot_be_served_changes_nothing_and_is_reported(
    server: RunningServer, folders: dict[str, Path], gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    first, _ = _govern(server, folders)
    one = gateway(server=server.url)
    one.ready()
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "MLmodel").write_text(
        "flavors:\n  sklearn:\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n"
    )
    (pickled / "model.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    bad = server.services.db.write(lambda tx: register_folder(tx, server.services.blobs, CASE, pickled))
    server.services.db.write(lambda tx: point(tx, CASE, "champion", bad))
    _wait(lambda: bool(httpx.get(f"{one.url}/v2/health/ready").json().get("problems")))
    state = one.ready()
    assert state["variants"][0]["version"] == first and "cloudpickle" in state["problems"][0]
    said = httpx.post(f"{one.url}/invocations", json={"instances": [[0.0] * 4]}).json()
    assert said["model_version"] == str(first)
    _wait(lambda: "failed" in httpx.get(f"{server.url}/api/v1/use-cases/{CASE}/gateways").text)


@pytest.mark.slow
def test_gateway_starts_on_what_was_last_good_and_delivers_later_when_the_server_is_away(
    tmp_path: Path, folders: dict[str, Path], gateway: Callable[..., Gateway]
) -> None:
    from stile.testing.server import running_server

    with running_server(tmp_path / "server") as server:
        _govern(server, folders)
        port = int(server.url.rsplit(":", 1)[1])
        first = gateway(server=server.url)
        first.ready()
        first.stop()
    again = gateway(server=f"http://127.0.0.1:{port}", strict=True)
    again.ready()
    answer = httpx.post(f"{again.url}/invocations", json={"instances": [[0.0] * 4]}, headers={"x-stile-unit": "p-1"})
    assert answer.status_code == 200
    [id] = answer.json()["prediction_ids"]
    _wait(lambda: "stile_server_reachable 0" in httpx.get(f"{again.url}/metrics").text)
    again.stop()
    with running_server(tmp_path / "server") as server:
        last = gateway(server=server.url)
        last.ready()
        _wait(lambda: [row.id for row in _stored(server)] == [id])
        assert _stored(server)[0].unit == "p-1"


def test_address_others_can_reach_is_refused_without_a_token_for_callers(tmp_path: Path) -> None:
    from stile.kernel.errors import Invalid
    from stile.protocols.inference.gateway import serve

    with pytest.raises(Invalid, match="caller-token"):
        serve(CASE, server="http://127.0.0.1:1", host="0.0.0.0", state=tmp_path)
