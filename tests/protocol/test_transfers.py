"""Files in parts and signed addresses: what the unmodified client does with them, and what an attacker tries."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from mlflow.tracking import MlflowClient
from mlflow.utils import server_info

from stile.edge.services import Services
from stile.govern import version_records
from stile.kernel.clock import SystemClock
from stile.testing.server import RunningServer, running_server
from stile.train import upload_records, uploads
from stile.work.collection import Wish, carry_out, survey

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts"
LARGE = 30 << 20


@pytest.fixture
def client(shared: RunningServer) -> MlflowClient:
    return MlflowClient(shared.url)


@pytest.fixture
def run_id(client: MlflowClient) -> str:
    return str(client.create_run("0").info.run_id)


@pytest.fixture
def http(shared: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.url, timeout=30) as found:
        yield found


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(1 << 20))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(7 << 20))


def _large(folder: Path, size: int = LARGE) -> Path:
    file = folder / "large.bin"
    file.write_bytes(random.Random(size).randbytes(size))
    return file


def _apart(server: RunningServer, upload: str = "") -> list[Path]:
    folder = Path(server.services.settings.data_dir) / "blobs" / "apart" / upload
    return [path for path in folder.rglob("*") if path.is_file()]


def _rows(services: Services) -> tuple[int, int]:
    def count(tx):
        return tx.scalar("SELECT COUNT(*) FROM uploads WHERE digest = ''"), tx.scalar(
            "SELECT COUNT(*) FROM upload_parts"
        )

    return services.db.read(count)


def _begin(http: httpx.Client, run_id: str, parts: int = 2, name: str = "x.bin") -> tuple[str, list[str]]:
    body = {"path": f"/home/ana/{name}", "num_parts": parts}
    answer = http.post(f"{FILES}/mpu/create/0/{run_id}/artifacts", json=body)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert [one["part_number"] for one in made["credentials"]] == list(range(1, parts + 1))
    return made["upload_id"], [one["url"] for one in made["credentials"]]


def _end(
    http: httpx.Client, run_id: str, upload: str, parts: list[tuple[int, str]], *, how: str = "complete",
    name: str = "x.bin",
) -> httpx.Response:  # fmt: skip
    body = {"path": f"/home/ana/{name}", "upload_id": upload}
    named = [{"part_number": number, "etag": etag, "url": "ignored"} for number, etag in parts]
    return http.post(f"{FILES}/mpu/{how}/0/{run_id}/artifacts", json=body | {"parts": named})


@pytest.mark.usefixtures("in_parts")
def test_large_file_goes_up_in_parts_and_comes_back(
    shared: RunningServer, client: MlflowClient, run_id: str, tmp_path: Path
) -> None:
    file = _large(tmp_path)
    client.log_artifact(run_id, str(file), "deep/er")
    assert [(f.path, f.file_size) for f in client.list_artifacts(run_id, "deep/er")] == [("deep/er/large.bin", LARGE)]
    down = Path(client.download_artifacts(run_id, "deep/er/large.bin", str(tmp_path)))
    assert down.read_bytes() == file.read_bytes()
    assert _apart(shared) == []
    assert _rows(shared.services) == (0, 0)


def test_parts_are_used_without_being_told_when_the_server_says_it_takes_them(
    shared: RunningServer, client: MlflowClient, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "1000000")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 << 20))  # the client's least
    server_info._clear_server_info_cache()
    begun = []
    begin = uploads.begin
    monkeypatch.setattr(uploads, "begin", lambda tx, **more: begun.append(more) or begin(tx, **more))
    file = _large(tmp_path, 6 << 20)
    client.log_artifact(run_id, str(file))
    assert [one["parts"] for one in begun] == [2]
    assert Path(client.download_artifacts(run_id, "large.bin", str(tmp_path / ".."))).read_bytes() == file.read_bytes()


@pytest.mark.usefixtures("in_parts")
def test_upload_is_given_up_when_a_part_fails(
    shared: RunningServer, client: MlflowClient, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stile.train.uploads.keep_part", _refusing)
    with pytest.raises(Exception, match="Failed to upload at least one part"):
        client.log_artifact(run_id, str(_large(tmp_path, 9 << 20)))
    assert client.list_artifacts(run_id) == []
    paths = shared.services.db.read(lambda tx: [path for (path,) in tx.all("SELECT path FROM uploads")])
    assert [path for path in paths if run_id in path] == []


def _refusing(*_: object, **__: object) -> None:
    from stile.kernel.errors import Missing

    raise Missing("no")


@pytest.mark.parametrize("size", [0, 1, 3 << 20])
def test_download_in_parts_gives_the_file_when_the_client_asks_for_it(
    size: int, client: MlflowClient, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", "1000000")
    file = _large(tmp_path, size)
    client.log_artifact(run_id, str(file))
    target = tmp_path / "down"
    target.mkdir()
    assert Path(client.download_artifacts(run_id, "large.bin", str(target))).read_bytes() == file.read_bytes()


def test_server_says_what_it_can(shared: RunningServer) -> None:
    said = httpx.get(f"{shared.url}/api/3.0/mlflow/server-info").json()
    assert said["multipart_uploads_enabled"] is True
    assert said["multipart_downloads_enabled"] is False, "one plain request is quicker from a local disk"
    assert said["presigned_upload_run_id_supported"] is said["presigned_upload_model_id_supported"] is True


def test_presigned_addresses_take_and_give_one_file(http: httpx.Client, run_id: str) -> None:
    asked = http.post(f"{API}/artifacts/presigned-upload-url", json={"run_id": run_id, "path": "a b/ü.txt"})
    url = asked.json()["presigned_url"]
    assert asked.json()["headers"] == {}
    assert httpx.put(url, content=b"first").status_code == 200
    assert httpx.put(url, content=b"second").status_code == 200
    assert http.get(f"{FILES}/artifacts/0/{run_id}/artifacts/a b/ü.txt").content == b"second"
    body = {"run_id": run_id, "path": "a b/ü.txt", "expiration": "60"}
    found = http.post(f"{API}/artifacts/presigned-download-url", json=body).json()
    assert found["file_size"] == 6
    assert httpx.get(found["presigned_url"]).content == b"second"
    also = http.get(f"{FILES}/presigned/0/{run_id}/artifacts/a b/ü.txt").json()
    assert (also["file_size"], also["headers"]) == (6, {})
    answer = httpx.get(also["url"], headers={"Range": "bytes=1-3"})
    assert (answer.status_code, answer.content, answer.headers["content-range"]) == (206, b"eco", "bytes 1-3/6")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert httpx.put(also["url"], content=b"x").status_code == 404
    assert httpx.get(url).status_code == 404


def test_presigned_upload_reaches_a_logged_model(client: MlflowClient, http: httpx.Client) -> None:
    model = client.create_logged_model("0")
    body = {"model_id": model.model_id, "path": "MLmodel"}
    url = http.post(f"{API}/artifacts/presigned-upload-url", json=body).json()["presigned_url"]
    assert httpx.put(url, content=b"flavors: {}").status_code == 200
    assert [f.path for f in client.list_logged_model_artifacts(model.model_id)] == ["MLmodel"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"run_id": "RUN", "model_id": "m-1", "path": "x"}, 400),
        ({"run_id": "RUN"}, 400),
        ({"run_id": "RUN", "path": "../x"}, 400),
        ({"run_id": "RUN", "path": "/etc/passwd"}, 400),
        ({"run_id": "RUN", "path": "x", "expiration": 0}, 400),
        ({"run_id": "RUN", "path": "x", "expiration": 604_801}, 400),
        ({"run_id": "RUN", "path": "x", "expiration": "soon"}, 400),
        ({"run_id": "0" * 32, "path": "x"}, 404),
        ({"model_id": "m-0", "path": "x"}, 404),
    ],
)
def test_presigned_address_is_refused_when_the_question_is_wrong(
    http: httpx.Client, run_id: str, body: dict[str, object], status: int
) -> None:
    asked = {key: run_id if value == "RUN" else value for key, value in body.items()}
    assert http.post(f"{API}/artifacts/presigned-upload-url", json=asked).status_code == status
    assert http.post(f"{API}/artifacts/presigned-download-url", json=asked).status_code in (400, 404)
    assert http.get(f"{FILES}/presigned/0/{run_id}/artifacts/nothing").status_code == 404
    assert http.get(f"{FILES}/presigned/0/%2e%2e/x").status_code == 400


def test_no_address_opens_anything_when_it_was_changed(http: httpx.Client, run_id: str) -> None:
    url = http.post(f"{API}/artifacts/presigned-upload-url", json={"run_id": run_id, "path": "x"}).json()[
        "presigned_url"
    ]
    base, _, token = url.rpartition("/")
    said, _, seal = token.partition(".")
    for forged in (said, f"{said}.", f".{seal}", f"{said[:-1]}.{seal}", f"{said}A.{seal}", f"{said}.{seal[:-2]}AA",
                   "a", "..", "%00", "x" * 5000, f"{said}.{seal}é"):  # fmt: skip
        for method in ("GET", "PUT"):
            answer = http.request(method, f"{base}/{forged}", content=b"owned" if method == "PUT" else None)
            assert answer.status_code in (400, 404), (forged, answer.status_code)
    assert http.get(f"{FILES}/artifacts/0/{run_id}/artifacts/x").status_code == 404


def test_address_ends_when_its_time_is_over(
    shared: RunningServer, http: httpx.Client, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stile.train import transfer_tokens

    url = http.post(f"{API}/artifacts/presigned-upload-url", json={"run_id": run_id, "path": "x"}).json()[
        "presigned_url"
    ]
    read = transfer_tokens.read
    monkeypatch.setattr(transfer_tokens, "read", lambda key, token, now_ms: read(key, token, now_ms=now_ms + 901_000))
    assert httpx.put(url, content=b"late").status_code == 400
    assert http.get(f"{FILES}/artifacts/0/{run_id}/artifacts/x").status_code == 404


def test_files_of_decided_versions_stay_when_an_address_was_made_before(
    http: httpx.Client, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = f"0/{run_id}/artifacts/m"
    http.put(f"{FILES}/artifacts/{folder}/MLmodel", content=b"original")
    made_before = http.post(
        f"{API}/artifacts/presigned-upload-url", json={"run_id": run_id, "path": "m/MLmodel"}
    ).json()
    body = {"path": "MLmodel", "num_parts": 1}
    begun = http.post(f"{FILES}/mpu/create/{folder}", json=body).json()
    etag = httpx.put(begun["credentials"][0]["url"], content=b"owned").headers["etag"]
    name = f"decided-{run_id}"
    http.post(f"{API}/registered-models/create", json={"name": name})
    http.post(f"{API}/model-versions/create", json={"name": name, "source": f"mlflow-artifacts:/{folder}"})
    monkeypatch.setattr(version_records, "decided", lambda tx, name, number: True)
    assert httpx.put(made_before["presigned_url"], content=b"owned").status_code == 403
    ended = {"path": "MLmodel", "upload_id": begun["upload_id"], "parts": [{"part_number": 1, "etag": etag}]}
    assert http.post(f"{FILES}/mpu/complete/{folder}", json=ended).status_code == 403
    assert http.post(f"{FILES}/mpu/create/{folder}", json=body).status_code == 403
    assert http.post(
        f"{API}/artifacts/presigned-upload-url", json={"run_id": run_id, "path": "m/MLmodel"}
    ).status_code == 403  # fmt: skip
    assert http.get(f"{FILES}/artifacts/{folder}/MLmodel").content == b"original"


def test_reserved_paths_take_no_upload(http: httpx.Client) -> None:
    answer = http.post(f"{FILES}/mpu/create/registry/1/1", json={"path": "MLmodel", "num_parts": 1})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("folder", "body"),
    [
        ("0/x", {"num_parts": 1}),
        ("0/x", {"path": "", "num_parts": 1}),
        ("0/x", {"path": "a/..", "num_parts": 1}),
        ("0/x", {"path": "a\\..", "num_parts": 1}),
        ("%2e%2e/x", {"path": "f", "num_parts": 1}),
        ("0/%5cx", {"path": "f", "num_parts": 1}),
        ("0/x", {"path": "f", "num_parts": 0}),
        ("0/x", {"path": "f", "num_parts": -5}),
        ("0/x", {"path": "f", "num_parts": 10_001}),
        ("0/x", {"path": "f", "num_parts": 2**70}),
        ("0/x", {"path": "f", "num_parts": "many"}),
        ("0/x", {"path": ["f"], "num_parts": 1}),
    ],
)
def test_upload_is_not_begun_when_the_question_is_wrong(
    shared: RunningServer, http: httpx.Client, folder: str, body: dict[str, object]
) -> None:
    before = _rows(shared.services)
    answer = http.post(f"{FILES}/mpu/create/{folder}", json=body)
    assert answer.status_code == 400, answer.text
    assert _rows(shared.services) == before


def test_windows_path_of_the_client_gives_the_name_only(http: httpx.Client, run_id: str) -> None:
    body = {"path": "C:\\Users\\ana\\model.bin", "num_parts": 1}
    made = http.post(f"{FILES}/mpu/create/0/{run_id}/artifacts", json=body).json()
    etag = httpx.put(made["credentials"][0]["url"], content=b"m").headers["etag"]
    ended = body | {"upload_id": made["upload_id"], "parts": [{"part_number": 1, "etag": etag}]}
    assert http.post(f"{FILES}/mpu/complete/0/{run_id}/artifacts", json=ended).status_code == 200
    assert http.get(f"{FILES}/artifacts/0/{run_id}/artifacts/model.bin").content == b"m"


def test_upload_is_completed_only_with_what_arrived(shared: RunningServer, http: httpx.Client, run_id: str) -> None:
    upload, urls = _begin(http, run_id, 2)
    one = httpx.put(urls[0], content=b"one").headers["etag"]
    assert _end(http, run_id, upload, [(1, one)]).status_code == 400, "the second has not arrived"
    two = httpx.put(urls[1], content=b"two").headers["etag"]
    for wrong in (
        [],
        [(1, one)],
        [(1, one), (1, one)],
        [(1, two), (2, one)],
        [(1, one), (3, two)],
        [(1, one), (2, "")],
    ):
        answer = _end(http, run_id, upload, wrong)
        assert answer.status_code == 400, (wrong, answer.text)
        assert http.get(f"{FILES}/artifacts/0/{run_id}/artifacts/x.bin").status_code == 404
    assert _end(http, run_id, upload, [(1, one), (2, two)], name="other.bin").status_code == 404
    assert _end(http, run_id, "0" * 32, [(1, one), (2, two)]).status_code == 404
    assert _end(http, run_id, upload, [(2, two), (1, one)]).status_code == 200
    assert _end(http, run_id, upload, [(1, one), (2, two)]).status_code == 200, "a repeated call succeeds"
    assert http.get(f"{FILES}/artifacts/0/{run_id}/artifacts/x.bin").content == b"onetwo"
    assert httpx.put(urls[0], content=b"late").status_code == 409
    assert _end(http, run_id, upload, [], how="abort").status_code == 200, "nothing is left to give up"
    assert http.get(f"{FILES}/artifacts/0/{run_id}/artifacts/x.bin").content == b"onetwo"
    assert _apart(shared, upload) == []


def test_part_may_be_sent_again(http: httpx.Client, run_id: str) -> None:
    upload, urls = _begin(http, run_id, 1)
    first = httpx.put(urls[0], content=b"torn").headers["etag"]
    again = httpx.put(urls[0], content=b"whole").headers["etag"]
    assert _end(http, run_id, upload, [(1, first)]).status_code == 400
    assert _end(http, run_id, upload, [(1, again)]).status_code == 200
    assert http.get(f"{FILES}/artifacts/0/{run_id}/artifacts/x.bin").content == b"whole"


def test_part_that_comes_after_the_end_leaves_nothing(
    shared: RunningServer, http: httpx.Client, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, urls = _begin(http, run_id, 1)
    assert _apart(shared, upload) == []
    keep = uploads.keep_part

    def too_late(tx, id, part, *, limit):
        upload_records.drop(tx, id)  # as if aborted while the bytes came in
        keep(tx, id, part, limit=limit)

    monkeypatch.setattr(uploads, "keep_part", too_late)
    assert httpx.put(urls[0], content=b"late").status_code == 404
    assert _apart(shared, upload) == []


def test_parts_together_keep_the_limit(tmp_path: Path) -> None:
    with running_server(tmp_path, max_upload_bytes=3_000_000) as server, httpx.Client(base_url=server.url) as http:
        upload, urls = _begin(http, "r", 3)
        etags = [httpx.put(url, content=bytes([1]) * 1_400_000).headers["etag"] for url in urls[:2]]
        assert httpx.put(urls[2], content=bytes(1_400_000)).status_code == 413
        assert httpx.put(urls[2], content=iter([bytes(700_000)] * 2)).status_code == 413
        assert httpx.put(urls[2], content=bytes(4_000_000)).status_code == 413
        etags.append(httpx.put(urls[2], content=bytes(200_000)).headers["etag"])
        assert _end(http, "r", upload, list(enumerate(etags, 1))).status_code == 200
        assert len(http.get(f"{FILES}/artifacts/0/r/artifacts/x.bin").content) == 3_000_000


def test_abandoned_upload_is_collected_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server(tmp_path) as server, httpx.Client(base_url=server.url) as http:
        _, urls = _begin(http, "r", 2)
        httpx.put(urls[0], content=b"half of something")
        services = server.services
        for _ in range(2):
            found = carry_out(services.db, services.blobs, SystemClock(), Wish(), by="olga")
            assert (found.uploads, _rows(services)) == (0, (1, 1)), "it may still be completed"
        assert len(_apart(server)) == 1
        services.db.write(lambda tx: tx.run("UPDATE uploads SET at = at - 86400001"))
        assert survey(services.db, services.blobs, SystemClock(), Wish()).uploads == 1
        assert carry_out(services.db, services.blobs, SystemClock(), Wish(), by="olga").uploads == 1
        assert (_apart(server), _rows(services)) == ([], (0, 0))
        assert httpx.put(urls[1], content=b"too late").status_code == 404
        assert _apart(server) == []


def test_too_many_uploads_under_way_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_MOST_COMING", 2)
    with running_server(tmp_path) as server, httpx.Client(base_url=server.url) as http:
        for _ in range(2):
            upload, _ = _begin(http, "r")
        assert http.post(f"{FILES}/mpu/create/0/r", json={"path": "f", "num_parts": 1}).status_code == 429
        _end(http, "r", upload, [], how="abort")
        _begin(http, "r")


def test_address_is_good_for_nothing_when_who_asked_for_it_may_no_longer(tmp_path: Path) -> None:
    from stile.kernel.permission import Role
    from stile.people import accounts, use_cases
    from stile.people.use_cases import Charter

    with running_server(tmp_path, require_token=True) as server:
        db = server.services.db

        def people(tx):
            charter = Charter(title="C", problem="p", decision="d")
            for name in ("ana", "eve"):
                accounts.create(tx, name=name, by="olga")
            use_cases.create(tx, name="credit", charter=charter, by="olga")
            for name in ("ana", "eve"):
                use_cases.set_roles(tx, name="credit", person=name, roles=[Role.DATA_SCIENTIST], by="olga")
            return [accounts.issue_token(tx, person=name, label="t").token for name in ("ana", "eve")]

        ana, eve = db.write(people)
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {ana}"}) as http:
            upload, urls = _begin(http, "r", 1)
            etag = httpx.put(urls[0], content=b"part").headers["etag"]
            assert http.put(f"{FILES}/artifacts/0/r/f", content=b"secret").status_code == 200
            address = http.get(f"{FILES}/presigned/0/r/f").json()["url"]
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {eve}"}) as http:
            assert _end(http, "r", upload, [(1, etag)]).status_code == 404, "it is another person's upload"
            assert _end(http, "r", upload, [], how="abort").status_code == 404
        with httpx.Client(base_url=server.url) as nobody:
            for path in ("create", "complete", "abort"):
                assert nobody.post(f"{FILES}/mpu/{path}/0/r", json={"path": "f"}).status_code == 401
            assert nobody.get(f"{FILES}/presigned/0/r/f").status_code == 401
        assert httpx.get(address).content == b"secret"
        db.write(lambda tx: accounts.set_disabled(tx, person="ana", disabled=True, by="olga"))
        assert httpx.get(address).status_code == 403
        assert httpx.put(urls[0], content=b"part").status_code == 403


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-3", 206, b"0123"), ("bytes=7-", 206, b"789"), ("bytes=-2", 206, b"89"), ("bytes=8-99", 206, b"89"),
        ("bytes=-99", 206, b"0123456789"), ("bytes=10-12", 416, b""), ("bytes=-0", 416, b""),
        ("bytes=5-2", 200, b"0123456789"), ("bytes=0-1,4-5", 200, b"0123456789"), ("bytes=-", 200, b"0123456789"),
        ("lines=0-1", 200, b"0123456789"), ("bytes=" + "9" * 30 + "-", 200, b"0123456789"),
    ],
)  # fmt: skip
def test_range_of_a_file_is_that_range(
    http: httpx.Client, run_id: str, asked: str, status: int, content: bytes
) -> None:
    path = f"{FILES}/artifacts/0/{run_id}/artifacts/digits"
    http.put(path, content=b"0123456789")
    answer = http.get(path, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers["accept-ranges"] == "bytes"


def test_public_url_is_where_addresses_lead(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, public_url="https://stile.example/ml/") as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.services.settings.port}") as http,
    ):
        _, urls = _begin(http, "r", 1)
    assert urlsplit(urls[0]).netloc == "stile.example"
    assert urls[0].startswith("https://stile.example/ml/api/v1/transfers/")
