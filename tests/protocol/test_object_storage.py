"""A server whose files live in a bucket: the unmodified client, the commands, and a bucket that goes away."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import mlflow
import pytest
from mlflow.tracking import MlflowClient
from mlflow.utils import server_info
from sklearn.linear_model import LogisticRegression

from stile.app import serve
from stile.cli.outcome import run_command
from stile.cli.root import stile
from stile.client import Client
from stile.kernel.canonical import digest_bytes
from stile.kernel.clock import SystemClock
from stile.kernel.errors import Unavailable
from stile.kernel.settings import Settings
from stile.store.blobs_opening import open_blobs
from stile.testing.s3 import LoopbackS3, loopback_s3
from stile.testing.server import RunningServer, running_server
from stile.work.backup import back_up, restore
from stile.work.collection import Wish, carry_out
from stile.work.inline import InlineBackground

FILES = "/api/2.0/mlflow-artifacts"
_NEEDS = ["scikit-learn"]
_CHILD = """
import os, signal, sys
from stile.app import serve
from stile.kernel.settings import Settings
from stile.train import artifacts
port, folder, place, how = sys.argv[1:]
if how == "dies":
    artifacts.bind = lambda tx, **_: os.kill(os.getpid(), signal.SIGKILL)
raise SystemExit(serve(Settings(port=int(port), data_dir=folder, artifacts=place)))
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[LoopbackS3]:
    with loopback_s3() as running:
        yield running


@pytest.fixture
def place(s3: LoopbackS3) -> str:
    return s3.fresh()


@pytest.fixture
def bucket_server(place: str, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "server", artifacts=place) as running:
        mlflow.set_tracking_uri(running.url)
        server_info._clear_server_info_cache()
        yield running
        while mlflow.active_run():
            mlflow.end_run()


@pytest.fixture
def client(bucket_server: RunningServer) -> MlflowClient:
    return MlflowClient(bucket_server.url)


def _settle(server: RunningServer) -> None:
    background = server.services.background
    assert isinstance(background, InlineBackground)
    background.tick("settling")


def _keys(s3: LoopbackS3, place: str, below: str = "blobs/") -> list[str]:
    return [key for key in s3.keys(place) if key.startswith(below)]


def test_models_live_in_the_bucket_and_are_loaded_from_it(
    s3: LoopbackS3, place: str, client: MlflowClient, tmp_path: Path
) -> None:
    x, y = [[float(n)] for n in range(20)], [int(n > 9) for n in range(20)]
    model = LogisticRegression().fit(x, y)
    mlflow.set_experiment("in the bucket")
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model, name="model", registered_model_name="kept", pip_requirements=_NEEDS, input_example=x[:2]
        )
    assert list(mlflow.sklearn.load_model(logged.model_uri).predict(x)) == list(model.predict(x))
    assert list(mlflow.pyfunc.load_model("models:/kept/1").predict(x)) == list(model.predict(x))
    assert "MLmodel" in [f.path for f in client.list_logged_model_artifacts(logged.model_id)]
    assert len(_keys(s3, place)) > 5
    assert list((tmp_path / "server").rglob("blobs")) == []


def test_autologged_run_is_listed_fetched_deleted_and_collected(
    s3: LoopbackS3, place: str, bucket_server: RunningServer, client: MlflowClient, tmp_path: Path
) -> None:
    mlflow.set_experiment("autolog")
    mlflow.sklearn.autolog(log_models=False)
    try:
        with mlflow.start_run() as run:
            LogisticRegression().fit([[0.0], [1.0]] * 10, [0, 1] * 10)
            mlflow.log_text("hello", "deep/note.txt")
    finally:
        mlflow.sklearn.autolog(disable=True)
    run_id = run.info.run_id
    names = {f.path for f in client.list_artifacts(run_id)}
    assert {"deep", "training_confusion_matrix.png"} <= names
    (tmp_path / "down").mkdir()
    down = Path(client.download_artifacts(run_id, "", str(tmp_path / "down")))
    assert (down / "deep" / "note.txt").read_text() == "hello"
    services = bucket_server.services
    mine = {digest_bytes(path.read_bytes()) for path in down.rglob("*") if path.is_file()}
    client.delete_run(run_id)
    assert all(services.blobs.has(digest) for digest in mine)
    done = carry_out(services.db, services.blobs, SystemClock(), Wish(contents_for_ms=0), by="olga")
    assert [one.run_id for one in done.purge.runs] == [run_id]
    assert done.contents == len(mine)
    assert not any(services.blobs.has(digest) for digest in mine)
    assert [key for key in s3.keys(place) if not key.startswith("blobs/")] == []


def test_downloads_go_to_the_bucket_and_past_the_server(
    place: str, bucket_server: RunningServer, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = httpx.get(f"{bucket_server.url}/api/3.0/mlflow/server-info").json()
    assert said["multipart_downloads_enabled"] is True
    run_id = client.create_run("0").info.run_id
    content = random.Random(1).randbytes(3 << 20)
    (tmp_path / "large.bin").write_bytes(content)
    client.log_artifact(run_id, str(tmp_path / "large.bin"))
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", "1000000")
    blobs = bucket_server.services.blobs
    read: list[str] = []
    chunks = blobs.chunks
    monkeypatch.setattr(blobs, "chunks", lambda digest, **more: read.append(digest) or chunks(digest, **more))
    target = tmp_path / "down"
    target.mkdir()
    assert Path(client.download_artifacts(run_id, "large.bin", str(target))).read_bytes() == content
    assert read == []
    url = httpx.get(f"{bucket_server.url}{FILES}/presigned/0/{run_id}/artifacts/large.bin").json()["url"]
    assert (
        urlsplit(url).path
        == f"/{place.split('/')[2]}/stile/blobs/{digest_bytes(content)[7:9]}/{digest_bytes(content)[9:]}"
    )
    asked = {"run_id": run_id, "path": "x"}
    put = httpx.post(f"{bucket_server.url}/api/2.0/mlflow/artifacts/presigned-upload-url", json=asked).json()
    assert put["presigned_url"].startswith(bucket_server.url), "what is put is measured and recorded by the server"


def test_downloads_pass_through_the_server_when_the_operator_says_so(place: str, tmp_path: Path) -> None:
    with running_server(tmp_path, artifacts=place, direct_downloads=False) as server:
        httpx.put(f"{server.url}{FILES}/artifacts/0/r/f", content=b"content")
        assert httpx.get(f"{server.url}/api/3.0/mlflow/server-info").json()["multipart_downloads_enabled"] is False
        url = httpx.get(f"{server.url}{FILES}/presigned/0/r/f").json()["url"]
        assert url.startswith(server.url)
        assert httpx.get(url).content == b"content"


def test_large_file_goes_to_the_bucket_in_parts(
    s3: LoopbackS3, place: str, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "1000000")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(6 << 20))
    content = random.Random(2).randbytes(20 << 20)
    (tmp_path / "large.bin").write_bytes(content)
    run_id = client.create_run("0").info.run_id
    client.log_artifact(run_id, str(tmp_path / "large.bin"))
    assert s3.keys(place) == [f"blobs/{digest_bytes(content)[7:9]}/{digest_bytes(content)[9:]}"]
    target = tmp_path / "down"
    target.mkdir()
    assert Path(client.download_artifacts(run_id, "large.bin", str(target))).read_bytes() == content


@pytest.mark.slow
def test_table_of_ones_own_is_judged_when_files_are_in_a_bucket(
    bucket_server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data, training, evaluation by the server and the gate, as a user walks them."""
    chance = random.Random(3)
    lines = ["income,debt,defaulted"]
    for _ in range(300):
        income, debt = chance.gauss(50, 12), chance.gauss(20, 8)
        lines.append(f"{income:.1f},{debt:.1f},{'yes' if debt - 0.5 * income + chance.gauss(0, 4) > -5 else 'no'}")
    table = tmp_path / "loans.csv"
    table.write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("STILE_URL", bucket_server.url)
    monkeypatch.setenv("STILE_TOKEN", "")
    made = [
        "init",
        "credit",
        "--data",
        str(table),
        "--target",
        "defaulted",
        "--into",
        str(tmp_path / "credit"),
        "--solo",
    ]
    assert run_command(stile, made) == 0
    monkeypatch.chdir(tmp_path / "credit")
    assert run_command(stile, ["run", "--json"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("kind", ["backup", "backup.tar"])
def test_backup_of_a_bucket_comes_back_in_a_bucket_or_a_folder(
    s3: LoopbackS3, place: str, tmp_path: Path, kind: str
) -> None:
    data, target = tmp_path / "data", tmp_path / kind
    contents = {f"f{number}": random.Random(number).randbytes(size) for number, size in enumerate((0, 5, 9 << 20))}
    with running_server(data, artifacts=place) as server:
        for name, content in contents.items():
            httpx.put(f"{server.url}{FILES}/artifacts/0/r/{name}", content=content)
        manifest = back_up(data, target, SystemClock(), lambda *_: None, blobs=server.services.blobs)
    assert manifest.missing == []
    again = s3.fresh()
    bucket = open_blobs(again, tmp_path)
    assert restore(target, tmp_path / "one", lambda *_: None, blobs=bucket) == manifest
    assert not (tmp_path / "one" / "blobs").exists()
    assert restore(target, tmp_path / "two", lambda *_: None) == manifest
    for folder, artifacts in (("one", again), ("two", "local")):
        with running_server(tmp_path / folder, artifacts=artifacts) as server:
            for name, content in contents.items():
                assert httpx.get(f"{server.url}{FILES}/artifacts/0/r/{name}").content == content


def test_backup_command_finds_the_bucket(s3: LoopbackS3, place: str, tmp_path: Path) -> None:
    with running_server(tmp_path / "data", artifacts=place) as server:
        httpx.put(f"{server.url}{FILES}/artifacts/0/r/f", content=b"content")
    made = ["backup", str(tmp_path / "b"), "--data", str(tmp_path / "data"), "--artifacts", place, "--json"]
    assert run_command(stile, made) == 0
    made = ["restore", str(tmp_path / "b"), "--data", str(tmp_path / "new"), "--artifacts", s3.fresh(), "--json"]
    assert run_command(stile, made) == 0


def test_what_moves_out_of_a_bucket_moves_in_elsewhere(bucket_server: RunningServer, tmp_path: Path) -> None:
    with Client(bucket_server.url) as client, client.start_run("first") as run:
        run.log_artifact(b"some content", "notes/a.txt")
    assert run_command(stile, ["export", str(tmp_path / "out"), "--url", bucket_server.url, "--json"]) == 0
    with running_server(tmp_path / "other") as other:
        assert (
            run_command(
                stile,
                [
                    "import",
                    "stile",
                    str(tmp_path / "out"),
                    "--url",
                    other.url,
                    "--state",
                    str(tmp_path / "state"),
                    "--json",
                ],
            )
            == 0
        )
        found = httpx.get(f"{other.url}/get-artifact", params={"run_uuid": run.run_id, "path": "notes/a.txt"})
        assert found.content == b"some content"


def test_nothing_is_half_recorded_when_the_bucket_goes_away(tmp_path: Path) -> None:
    with loopback_s3() as own, running_server(tmp_path, artifacts=own.fresh()) as server:
        base = f"{server.url}{FILES}/artifacts/0/r"
        assert httpx.put(f"{base}/before", content=b"here").status_code == 200
        large = random.Random(4).randbytes(2 << 20)
        assert httpx.put(f"{base}/large", content=large).status_code == 200
        _settle(server)
        own.stop()
        assert httpx.put(f"{base}/last", content=b"waits for the bucket").status_code == 200
        with pytest.raises(Unavailable):
            _settle(server)
        for name, content in (("small", b"x"), ("big", bytes(9 << 20))):
            answer = httpx.put(f"{base}/{name}", content=content, timeout=60)
            assert answer.status_code == 503
            said = answer.json()
            assert said["error_code"] == "TEMPORARILY_UNAVAILABLE"
            assert "s3://bucket-" in said["message"] and "try again" in said["message"]
            assert "127.0.0.1" not in said["message"]
        for name in ("before", "large"):
            assert httpx.get(f"{base}/{name}", timeout=60).status_code == 503
        listed = httpx.get(f"{server.url}{FILES}/artifacts", params={"path": "0/r"}).json()["files"]
        assert [file["path"] for file in listed] == ["before", "large", "last"]
        assert httpx.get(f"{base}/last").content == b"waits for the bucket"


@pytest.mark.parametrize("way", ["put", "parts"])
def test_nothing_is_seen_when_the_server_is_killed_between_bytes_and_row(
    s3: LoopbackS3, place: str, tmp_path: Path, way: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = _child(port, tmp_path, place, "dies")
    try:
        if way == "put":
            with pytest.raises(httpx.HTTPError):
                httpx.put(f"{url}{FILES}/artifacts/0/r/f", content=b"orphan")
        else:
            begun = httpx.post(f"{url}{FILES}/mpu/create/0/r", json={"path": "f", "num_parts": 1}).json()
            etag = httpx.put(begun["credentials"][0]["url"], content=b"orphan").headers["etag"]
            ended = {"path": "f", "upload_id": begun["upload_id"], "parts": [{"part_number": 1, "etag": etag}]}
            with pytest.raises(httpx.HTTPError):
                httpx.post(f"{url}{FILES}/mpu/complete/0/r", json=ended)
        assert process.wait(30) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    assert len(_keys(s3, place)) == (way == "parts"), "large bytes are there before their row is"
    with running_server(tmp_path, artifacts=place) as server:
        assert httpx.get(f"{server.url}{FILES}/artifacts/0/r/f").status_code == 404
        assert httpx.get(f"{server.url}{FILES}/artifacts", params={"path": "0/r"}).json()["files"] == []
        if way == "parts":
            assert httpx.post(f"{server.url}{FILES}/mpu/complete/0/r", json=ended).status_code == 200
        else:
            assert httpx.put(f"{server.url}{FILES}/artifacts/0/r/f", content=b"orphan").status_code == 200
        assert httpx.get(f"{server.url}{FILES}/artifacts/0/r/f").content == b"orphan"


def _child(port: int, folder: Path, place: str, how: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(port), str(folder), place, how],
        env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health")
            return process
        except httpx.HTTPError:
            assert process.poll() is None
            time.sleep(0.02)
    raise AssertionError("the server did not start")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    "wrong",
    [
        ("s3://not-there", "", "has no such bucket. Create it first."),
        ("s3://bucket", "http://127.0.0.1:9", "no connection"),
        ("s3://bucket", "http://minio.example:9000", "STILE_ARTIFACTS_PLAIN_HTTP"),
        ("floppy://a", "", "s3://bucket/prefix"),
    ],
)
def test_start_ends_with_one_line_when_the_bucket_cannot_be_used(
    wrong: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address, endpoint, says = wrong
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert serve(Settings(port=port, data_dir=str(tmp_path), artifacts=address)) == 3
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert said.startswith("stile: ")


def test_start_names_the_command_when_the_extra_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "stile.store.blobs_objects", None)
    assert serve(Settings(port=0, data_dir=str(tmp_path), artifacts="s3://bucket")) == 3
    said = capsys.readouterr().err
    assert "pip install 'stile-ml[objects]'" in said
    assert said.count("\n") == 1


def test_servers_on_several_machines_share_rows_and_files(
    s3: LoopbackS3, place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """An upload is begun at one server, its parts go to both, and it is completed and read at the other."""
    rows = request.getfixturevalue("cluster").fresh()
    with (
        running_server(tmp_path / "one", store=rows, artifacts=place) as one,
        running_server(tmp_path / "two", store=rows, artifacts=place) as two,
    ):
        begun = httpx.post(f"{one.url}{FILES}/mpu/create/0/r", json={"path": "f", "num_parts": 2}).json()
        etags = []
        for server, credential, content in zip((one, two), begun["credentials"], (b"at one, ", b"at two"), strict=True):
            address = credential["url"].replace(one.url, server.url)
            etags.append(httpx.put(address, content=content).headers["etag"])
        parts = [{"part_number": number, "etag": etag} for number, etag in enumerate(etags, 1)]
        ended = {"path": "f", "upload_id": begun["upload_id"], "parts": parts}
        assert httpx.post(f"{two.url}{FILES}/mpu/complete/0/r", json=ended).status_code == 200
        for server in (one, two):
            assert httpx.get(f"{server.url}{FILES}/artifacts/0/r/f").content == b"at one, at two"
    assert [key for key in s3.keys(place) if not key.startswith("blobs/")] == []
