# ruff: noqa: E501  long attack strings stay in one piece
"""MLflow's API under attack: paths, sources, locations, page tokens, active content."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stile.testing.server import RunningServer, running_server

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
CANARY = b"the canary that must never be read"
WAYS_OUT = [
    "../canary", "..%2fcanary", "%2e%2e/canary", "%252e%252e%252fcanary", "..%5ccanary", "..\\canary", "a/../../canary", "./canary",
    "a//canary", "%2fetc%2fpasswd", "//etc/passwd", "C:/windows/win.ini", "C:%5cwin.ini", "c:canary", "canary%00.txt", "canary%0a",
    "%e2%80%a5/canary%00", "a/..", "a/.", "..", ".", "~%00", "file:%00", "a%2f..%2f..%2fcanary", "%7f", "a/%2e%2e/b",
]  # fmt: skip
SOURCES = [
    "/etc", "/etc/passwd", "file:///etc", "file:/etc/passwd", "file://localhost/etc", "FILE:///etc", " /etc", "./x", "..", "~/.ssh", "C:\\x",
    "mlflow-artifacts:/../../etc", "mlflow-artifacts:/%2e%2e/etc", "mlflow-artifacts:///etc", "mlflow-artifacts://evil.example/etc",
    "mlflow-artifacts:/a/../../etc", "mlflow-artifacts:/a#/../../etc/..", "mlflow-artifacts:/", "models:/", "models:/m-../../etc", "models:/x/..",
    "models:/case@champion", "runs:/", "runs:/../../etc", "sqlite:///x.db", "\\\\evil\\share", "data:text/plain,x", "javascript:alert(1)", "\x00",
    "ssh://evil.example/x", "jar:file:///etc!/x", "mlflow-artifacts:/a\n/b", "local:///etc", "models:/case/" + "9" * 5000,
    "models:/case/\u0663",
]  # fmt: skip
LOCATIONS = ["mlflow-artifacts:/../../etc", "mlflow-artifacts:/registry/1/1", "mlflow-artifacts:/a?x=/../../etc", "mlflow-artifacts:/a#/../..", "a\nb",
             "mlflow-artifacts:/registry", "x" * 3000, "mlflow-artifacts:/%2e%2e/x"]  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Path]]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "canary").write_bytes(CANARY)
    with running_server(folder / "server") as running:
        (folder / "server" / "canary").write_bytes(CANARY)
        (folder / "server" / "blobs" / "canary").write_bytes(CANARY)
        yield running, folder


@pytest.fixture(scope="module")
def client(hostile: tuple[RunningServer, Path]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hostile[0].url, timeout=30) as made:
        yield made


@pytest.fixture(scope="module")
def run(client: httpx.Client) -> dict[str, str]:
    body = {"experiment_id": "0", "start_time": 1}
    return dict(client.post(f"{API}/runs/create", json=body).json()["run"]["info"])


def _refused(answer: httpx.Response, folder: Path, *, statuses: tuple[int, ...] = (400, 404)) -> None:
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert CANARY not in answer.content
    assert str(folder) not in answer.text and "Traceback" not in answer.text and "site-packages" not in answer.text
    assert len((answer.json().get("error") or answer.json())["message"]) > 10


def _sent(server: RunningServer, method: str, target: str) -> httpx.Response:
    """The answer to a request whose target is sent exactly as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", server.services.settings.port, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        content = b"owned" if method == "PUT" else b""
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content)
        answer = connection.getresponse()
        return httpx.Response(answer.status, content=answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("path", WAYS_OUT)
def test_artifact_path_that_leads_out_is_refused_in_every_route(
    path: str, client: httpx.Client, run: dict[str, str], hostile: tuple[RunningServer, Path]
) -> None:
    server, folder = hostile
    before = {p for p in folder.rglob("*") if "incoming" not in p.parts}
    for method in ("GET", "PUT", "DELETE"):
        _refused(_sent(server, method, f"{FILES}/{path}"), folder)
    for address, name in (("/get-artifact", "run_uuid"), (f"{API}/artifacts/list", "run_id")):
        _refused(_sent(server, "GET", f"{address}?{name}={run['run_id']}&path={path}"), folder)
    listed = _sent(server, "GET", f"{FILES}?path={path}")
    if listed.status_code != 200 or listed.json() != {"files": []}:  # slashes at its ends are not counted there
        _refused(listed, folder)
    after = {p for p in folder.rglob("*") if "incoming" not in p.parts}
    assert {p for p in after - before if not p.is_relative_to(folder / "server" / "blobs")} == set()
    assert CANARY == (folder / "canary").read_bytes() == (folder / "server" / "canary").read_bytes()


def test_artifact_path_with_parameters_names_a_row_and_no_file(
    client: httpx.Client, run: dict[str, str], hostile: tuple[RunningServer, Path]
) -> None:
    base = f"{FILES}/0/{run['run_id']}/artifacts"
    for name in ("a;b", "..;", "..%c0%afcanary", "a%3Fx=1", "a%23b", "x.html"):
        assert client.put(f"{base}/{name}", content=b"kept").status_code == 200
        assert client.get(f"{base}/{name}").content == b"kept"
    assert [p for p in hostile[1].rglob("*") if p.name in ("a;b", "..;", "a?x=1", "x.html")] == []


@pytest.mark.parametrize("source", SOURCES)
def test_model_source_that_is_no_artifact_is_refused(
    source: str, client: httpx.Client, run: dict[str, str], hostile: tuple[RunningServer, Path]
) -> None:
    client.post(f"{API}/registered-models/create", json={"name": "case"})
    for extra in ({}, {"run_id": run["run_id"]}):
        answer = client.post(f"{API}/model-versions/create", json={"name": "case", "source": source, **extra})
        _refused(answer, hostile[1])
    assert client.get(f"{API}/model-versions/search").json().get("model_versions", []) == []


@pytest.mark.parametrize("location", LOCATIONS)
def test_location_that_leads_into_the_servers_own_part_is_refused(
    location: str, client: httpx.Client, hostile: tuple[RunningServer, Path]
) -> None:
    answer = client.post(
        f"{API}/experiments/create", json={"name": f"e{hash(location)}", "artifact_location": location}
    )
    _refused(answer, hostile[1])


@pytest.mark.parametrize(
    "location",
    ["/etc", "file:///etc", "file://localhost/etc", "sqlite:///x", "models:/x/1", "s3://bucket/x?y", "/etc\n"],
)
def test_location_of_the_client_is_never_opened_here(
    location: str, client: httpx.Client, hostile: tuple[RunningServer, Path]
) -> None:
    made = client.post(f"{API}/experiments/create", json={"name": f"own {location!r}", "artifact_location": location})
    if made.status_code == 400:
        return
    info = client.post(f"{API}/runs/create", json={"experiment_id": made.json()["experiment_id"]}).json()["run"]["info"]
    _refused(client.get("/get-artifact", params={"run_uuid": info["run_id"], "path": "passwd"}), hostile[1])
    _refused(client.get(f"{API}/artifacts/list", params={"run_id": info["run_id"], "path": ""}), hostile[1])
    source = {"name": "case", "source": f"runs:/{info['run_id']}/passwd"}
    answer = client.post(f"{API}/model-versions/create", json=source)
    if answer.status_code == 200:
        version = answer.json()["model_version"]["version"]
        file = {"name": "case", "version": version, "path": "passwd"}
        _refused(client.get("/model-versions/get-artifact", params=file), hostile[1])
        client.request("DELETE", f"{API}/model-versions/delete", json={"name": "case", "version": version})


def _tokens() -> list[str]:
    forms = [
        "[]",
        "{}",
        "[1]",
        "null",
        str(10**24),
        '{"offset":-1}',
        "[1,2,3,4,5,6]",
        '["a",null]',
        "\ud7ff",
        "[" * 5000,
        "NaN",
        "[1e400]",
    ]
    return [
        "x",
        "=",
        "a" * 50_000,
        "-1",
        "\x00",
        "ü",
        "' OR 1=1",
        *(base64.urlsafe_b64encode(f.encode()).decode() for f in forms),
    ]


@pytest.mark.parametrize("token", _tokens(), ids=lambda token: repr(token[:16]))
def test_forged_page_token_is_refused(
    token: str, client: httpx.Client, run: dict[str, str], hostile: tuple[RunningServer, Path]
) -> None:
    body = {"experiment_ids": ["0"], "page_token": token, "max_results": 1}
    for path in ("runs/search", "experiments/search", "logged-models/search"):
        _refused(client.post(f"{API}/{path}", json=body), hostile[1], statuses=(400,))
    if len(token) < 5000 and "\x00" not in token:
        for path in ("registered-models/search", "model-versions/search", "experiments/search"):
            _refused(
                client.get(f"{API}/{path}", params={"page_token": token, "max_results": 1}), hostile[1], statuses=(400,)
            )


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000_000, "metrics.a > " * 50_000, "metrics.`" + "a" * 5000, "'" * 9999, "tags.a LIKE '" + "%a" * 4000 + "'", "(" * 9999,
     "params.a RLIKE '(a+)+$'", "metrics.a = 1; DROP TABLE runs", "attributes.run_id = '\x00'", "params.a IN (" + "'x'," * 5000 + "'y')", "\ud7ff > 1",
     "tags.`a`` = '1' OR 1=1 --", "metrics.a > 1e999999", "metrics.a > " + "9" * 5000],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_filter_of_an_attacker_is_refused_or_harmless(
    text: str, client: httpx.Client, run: dict[str, str], hostile: tuple[RunningServer, Path]
) -> None:
    for path in ("runs/search", "experiments/search", "logged-models/search"):
        answer = client.post(f"{API}/{path}", json={"experiment_ids": ["0"], "filter": text})
        assert answer.status_code in (200, 400), answer.text[:300]
        if answer.status_code == 400:
            assert len(answer.json()["message"]) < 2000, "it does not echo the whole filter"
    assert client.get(f"{API}/runs/get", params={"run_id": run["run_id"]}).status_code == 200


def test_numbers_no_store_can_hold_are_refused(client: httpx.Client, run: dict[str, str]) -> None:
    for field, value in (
        ("timestamp", 10**30),
        ("step", -(10**30)),
        ("timestamp", "9" * 400),
        ("value", 10**400),
        ("value", "x"),
    ):
        body = {"run_id": run["run_id"], "key": "m", "value": 1.0, "timestamp": 1, "step": 0, field: value}
        content = json.dumps(body)
        for path, text in (
            ("runs/log-metric", content),
            ("runs/log-batch", f'{{"run_id":"{run["run_id"]}","metrics":[{content}]}}'),
        ):
            answer = client.post(f"{API}/{path}", content=text)
            assert answer.status_code == 400, (field, value, answer.text)
    for body in ({"experiment_id": "0", "start_time": 10**30}, {"experiment_id": "9" * 40}, {"experiment_id": 10**40}):
        assert client.post(f"{API}/runs/create", content=json.dumps(body)).status_code in (400, 404)


@pytest.mark.parametrize(
    "name",
    ["x.html", "x.svg", "x.xml", "x.js", "x.pdf", "x.htm%E2%80%AE", "x.HTML", "a%22b.html", "no-extension", "x.mhtml"],
)
def test_active_content_is_a_download_and_never_shown(name: str, client: httpx.Client, run: dict[str, str]) -> None:
    inner = f"0/{run['run_id']}/artifacts/{name}"
    assert client.put(f"{FILES}/{inner}", content=b"<script>alert(1)</script>").status_code == 200
    target = f"/get-artifact?run_uuid={run['run_id']}&path={name}"
    for address in (f"{FILES}/{inner}", target, target.replace("/get-artifact", "/ajax-api/2.0/mlflow/get-artifact")):
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert '"' not in answer.headers["content-disposition"].removeprefix("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
    digest = client.put("/api/v1/blobs", content=b"<svg onload=alert(1)>").json()["digest"]
    blob = client.get(f"/api/v1/blobs/{digest}")
    assert (blob.headers["content-type"], blob.headers["content-disposition"]) == (
        "application/octet-stream",
        "attachment",
    )


def test_files_of_a_registered_version_are_written_by_no_path(client: httpx.Client, run: dict[str, str]) -> None:
    folder = f"0/{run['run_id']}/artifacts/m"
    client.put(f"{FILES}/{folder}/MLmodel", content=b"original")
    client.post(f"{API}/registered-models/create", json={"name": "pinned"})
    client.post(f"{API}/model-versions/create", json={"name": "pinned", "source": f"mlflow-artifacts:/{folder}"})
    uri = client.get(f"{API}/model-versions/get-download-uri", params={"name": "pinned", "version": "1"}).json()[
        "artifact_uri"
    ]
    view = uri.removeprefix("mlflow-artifacts:/")
    for method in ("PUT", "DELETE"):
        for path in (f"{view}/MLmodel", f"{view}/more", view, view.rpartition("/")[0], "registry"):
            assert client.request(method, f"{FILES}/{path}", content=b"owned").status_code == 403, path
    client.put(f"{FILES}/{folder}/MLmodel", content=b"changed later")
    assert client.get(f"{FILES}/{view}/MLmodel").content == b"original"
