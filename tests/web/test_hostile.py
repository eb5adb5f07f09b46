# ruff: noqa: E501  long attack strings stay in one piece
"""Hostile requests over real sockets: nothing a client sends makes a server error, a leak, or much memory."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stile.app import routes
from stile.edge.route import Route
from stile.testing.server import RunningServer, running_server

PARTS = [
    "..%2f..%2f..%2fetc%2fpasswd", "%252e%252e%252fetc", "..;", "..%5c..%5cwin.ini", "%00", "C:%5cx", "%ff%fe", "9" * 20, "9" * 5000,
    "-1", "%3Csvg%20onload=alert(1)%3E", "'%20OR%201=1--", "%23f", "%3fq=1", "x" * 3000, "%E2%80%AE", "%0d%0aX:1", "0",
]  # fmt: skip
QUERIES = [
    "limit=99999999999999999999&after=-9&max_results=99999999999999999999", "version=99999999999999999999&name=x&path=a",
    "page_token=%ff%00&name=x&run_id=1&metric_key=a&run_ids=1&path=../x&filter=%27&sort=%27", "order_by=a&" * 400,
    "filter=" + "x" * 60_000, "start_step=9999999999999999999999&end_step=1&run_ids=1&metric_key=k", "experiment_id=" + "9" * 30,
]  # fmt: skip
BODIES = [
    b"", b"[]", b"1", b'"x"', b"null", b"NaN", b'{"name":NaN}', b"[" * 100_000, b'{"name":' * 100_000, b"\xff\xfe{}",
    b'{"name":"\xff"}', b'{"name":"\\ud800","title":"\\udfff","run_id":"\\ud800","key":"\\ud800"}', b'{"name":1,"name":"x"}',
    b'{"version":1e400}', b'{"version":' + b"9" * 400 + b"}", b"{", b'{"name":[1], garbage', b'{"name": {}, "tags": [',
    b'{"version":99999999999999999999,"until":99999999999999999999,"days":99999999999999999999,"minutes":9999999999999999999}',
]  # fmt: skip
LEAKS = re.compile(r"Traceback|site-packages|/tmp/|\.py\b|root:x:0|apsw|sqlite|SQLITE")
XSS = "<script>alert(1)</script><img src=x onerror=alert(2)>'\""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("hostile")) as running:
        httpx.post(running.url + "/api/v1/use-cases", json={"name": "case"})
        yield running


@pytest.fixture(scope="module")
def client(shared: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.url, timeout=60) as made:
        yield made


def _own(*methods: str) -> list[Route]:
    """Every route of these methods once: the twins under /ajax-api/ and the fallbacks share their handlers."""
    return [
        r
        for r in routes()
        if r.method in methods and "ajax-api" not in r.path and "{rest" not in r.path and "events" not in r.path
    ]


def _problem(answer: httpx.Response) -> str:
    """What is wrong with an answer to a hostile request; empty when nothing is."""
    if answer.status_code >= 500:
        return f"{answer.status_code} {answer.text[:200]}"
    leak = LEAKS.search(answer.text) if answer.status_code >= 400 else None
    return f"{answer.status_code} tells {leak[0]!r}: {answer.text[:200]}" if leak else ""


def _fill(route: Route, part: str) -> str:
    return re.sub(r"{[^}]*}", lambda _: part, route.path)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part[:20])
def test_no_address_breaks_the_server_or_leads_out(part: str, client: httpx.Client) -> None:
    found = {}
    for route in _own("GET", "POST", "PUT", "PATCH", "DELETE"):
        if "{" in route.path:
            answer = client.request(
                route.method, _fill(route, part), content=None if route.method == "GET" else b"{}",
                headers={"Accept": "text/html"},
            )  # fmt: skip
            if problem := _problem(answer).replace("/etc/passwd", ""):
                found[f"{route.method} {route.path}"] = problem
    assert found == {}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:20])
def test_no_query_breaks_the_server(query: str, client: httpx.Client) -> None:
    found = {}
    for route in _own("GET"):
        path = _fill(route, "1").replace("/use-cases/1", "/use-cases/case")
        if problem := _problem(client.get(f"{path}?{query}")):
            found[route.path] = problem
    assert found == {}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:24]))
def test_no_body_breaks_the_server(body: bytes, client: httpx.Client) -> None:
    found = {}
    for route in _own("POST", "PUT", "PATCH", "DELETE"):
        path = _fill(route, "1").replace("/use-cases/1", "/use-cases/case")
        form = not route.path.startswith("/api/")
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        if problem := _problem(client.request(route.method, path, content=body, headers={"Content-Type": kind})):
            found[f"{route.method} {route.path}"] = problem
    assert found == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Origin", "http://[evil"), ("Origin", "\xff\xfe"), ("Host", "\xff\xfe"), ("Host", "evil.example"), ("Host", "[evil"),
        ("Host", "127.0.0.1@evil.example"), ("Host", "10.evil.example"), ("Host", ""), ("Referer", "http://[evil"),
        ("Cookie", "stile=\xff;;=;stile_theme=\"><b>"), ("Accept", "\xff"), ("If-None-Match", "\xff"), ("Content-Type", "\xff"),
        ("Range", "bytes=0-99999999999999"), ("Accept-Encoding", "gzip;q=x"), ("X-Forwarded-For", "1.2.3.4"),
    ],
)  # fmt: skip
def test_no_header_breaks_the_server(name: str, value: str, client: httpx.Client) -> None:
    for method, path in (("POST", "/api/v1/use-cases"), ("POST", "/models/x/apply"), ("POST", "/api/2.0/mlflow/runs/create"),
                         ("GET", "/nowhere"), ("GET", "/portfolio")):  # fmt: skip
        headers = [("Accept", "text/html"), (name, value.encode("latin-1"))]
        answer = client.request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
        assert _problem(answer) == "", path
        if name == "Host":
            assert answer.status_code == 400


def _raw(shared: RunningServer, message: bytes) -> bytes:
    host, port = shared.url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(message.replace(b"HOST", f"{host}:{port}".encode()))
        peer.settimeout(1.5)
        try:
            while chunk := peer.recv(65536):
                answer += chunk
        except TimeoutError:
            pass
    return answer


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 5, 5", b"Content-Length: +5", b"Content-Length: -1",
        b"Content-Length: 0x5", b"Content-Length: " + b"9" * 400, b"Transfer-Encoding: \tchunked\r\nContent-Length: 4",
        b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked", b"Content-Length: 5\r\n Transfer-Encoding: chunked",
        b"Host: other.example",
    ],
)  # fmt: skip
def test_request_hidden_behind_another_is_not_answered(head: bytes, shared: RunningServer) -> None:
    answer = _raw(
        shared, b"POST /api/v1/use-cases HTTP/1.1\r\nHost: HOST\r\n" + head + b"\r\n\r\n0\r\n\r\n"
        b"GET /api/v1/about HTTP/1.1\r\nHost: HOST\r\n\r\n",
    )  # fmt: skip
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    assert b"HTTP/1.1 2" not in answer
    assert b"HTTP/1.1 5" not in answer


@pytest.mark.parametrize(
    "message",
    [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
     b"GET /\x00 HTTP/1.1\r\nHost: HOST\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n",
     b"TRACE / HTTP/1.1\r\nHost: HOST\r\n\r\n", b"CONNECT evil.example:80 HTTP/1.1\r\nHost: HOST\r\n\r\n"],
)  # fmt: skip
def test_odd_message_is_refused_and_the_server_goes_on(message: bytes, shared: RunningServer) -> None:
    answer = _raw(shared, message)
    assert b"HTTP/1.1 5" not in answer and b"HTTP/1.1 2" not in answer
    assert httpx.get(shared.url + "/health").text == "OK"


def test_cross_origin_reading_is_never_allowed(client: httpx.Client) -> None:
    for origin in ("http://localhost:9999", "http://evil.example", "null"):
        for path in ("/api/v1/use-cases", "/api/2.0/mlflow/experiments/search?max_results=1", "/"):
            answer = client.get(path, headers={"Origin": origin})
            assert not [name for name in answer.headers if name.startswith("access-control")]
            preflight = client.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
            assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_answers_carry_their_safety_headers(client: httpx.Client) -> None:
    for path in ("/", "/portfolio", "/sign-in", "/nowhere"):
        answer = client.get(path, headers={"Accept": "text/html"})
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/api/v1/use-cases", "/api/2.0/mlflow/server-info", "/api/v1/nothing"):
        assert client.get(path).headers["cache-control"] == "no-store"


_YAML = {
    "aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "itself": "policy: &p\n  require: *p\n",
    "python": "policy: !!python/object/apply:os.system ['touch /tmp/owned']\n",
    "deep": "policy: " + "[" * 5000,
    "deeper": "{a: " * 20_000,
    "large": "policy: x\n# " + "x" * (2 << 20),
    "merge": "<<: [&a {b: 1}, *a]\npolicy: p\n",
    "many": "\n".join(f"k{n}: 1" for n in range(60_000)),
    "number": "policy: " + "9" * 10_000,
    "binary": "policy: !!binary xx==\n",
    "time": "policy: 2024-99-99\n",
    "twice": "policy: a\npolicy: b\n",
    "null": "",
    "nul": "policy: a\x00b\n",
    "rule": "policy: p\nrequire:\n  - {id: a, says: s, rule: '" + "(" * 5000 + "'}\n",
    "long": "policy: p\nrequire:\n  - {id: a, says: s, rule: '" + "1 + " * 50_000 + "1 > 0'}\n",
    "regex": "policy: p\nrequire:\n  - {id: a, says: s, rule: '\"" + "a" * 40 + "\".matches(\"(a+)+$\")'}\n",
    "eval": "policy: p\nrequire:\n  - {id: a, says: s, rule: '__import__(\"os\").system(\"id\") == 0'}\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(_YAML))
def test_yaml_of_an_attacker_is_refused_quickly_and_in_words(kind: str, client: httpx.Client) -> None:
    for path, key in (("policies", "yaml"), ("contracts", "yaml"), ("gate", "policy_yaml")):
        began = time.monotonic()
        answer = client.post(f"/api/v1/use-cases/case/{path}", json={key: _YAML[kind]})
        assert answer.status_code in (400, 413), (path, answer.status_code, answer.text[:200])
        assert len(answer.json()["error"]["message"]) < 3000
        assert time.monotonic() - began < 20  # a second alone; this machine may be busy
    assert not Path("/tmp/owned").exists()


def test_rule_reaches_no_attribute_of_the_program(client: httpx.Client) -> None:
    rule = "use_case.__class__.__mro__ == 0"
    text = f"policy: p\nrequire:\n  - {{id: a, says: s, rule: '{rule}'}}\n"
    answer = client.post("/api/v1/use-cases/case/gate", json={"policy_yaml": text})
    assert answer.status_code in (200, 400)
    assert "object" not in answer.text and "<class" not in answer.text


def test_contract_pattern_cannot_stall_a_check(client: httpx.Client) -> None:
    """A pattern with nested repeats, checked against a value made for it."""
    contract = {
        "apiVersion": "v3.0.2", "kind": "DataContract", "id": "c", "version": "1", "status": "active",
        "schema": [{"name": "t", "properties": [
            {"name": "a", "logicalType": "string", "logicalTypeOptions": {"pattern": "^(a+)+$"}},
        ]}],
    }  # fmt: skip
    client.post("/api/v1/use-cases", json={"name": "patterns"})
    answer = client.post("/api/v1/use-cases/patterns/contracts", json={"yaml": json.dumps(contract)})
    assert answer.status_code < 500
    table = client.put("/api/v1/blobs", content=b"a\n" + b"a" * 60 + b"!\n").json()["digest"]
    began = time.monotonic()
    body = {"name": "t", "role": "test", "table": table}
    assert client.post("/api/v1/use-cases/patterns/datasets", json=body).status_code < 500
    assert time.monotonic() - began < 15
    assert client.get("/health").text == "OK"


@pytest.mark.parametrize(
    "table",
    [b"", b"\n", b"a", b"a,a\n1,2\n", b"\xff\xfe\x00", b"a\n" + b'"' * 9999, b"a,b\n1\n", b"PAR1" + b"\x00" * 50 + b"PAR1", b"a\n" + b"1," * 9999,
     b"\x1f\x8b\x08\x00" + b"\x00" * 50, gzip.compress(b"a\n" + b"1\n" * 100, mtime=0), b"a" * 100_000,
     b"a\n=cmd|'/C calc'!A0\n"],
    ids=lambda table: repr(table[:12]),
)  # fmt: skip
def test_table_of_an_attacker_breaks_nothing(table: bytes, client: httpx.Client) -> None:
    digest = client.put("/api/v1/blobs", content=table).json()["digest"]
    answer = client.post("/api/v1/use-cases/case/datasets", json={"name": "t", "role": "test", "table": digest})
    assert _problem(answer) == ""


@pytest.mark.parametrize(
    "digest", ["../../etc/passwd", "sha256:../../../etc/passwd", "sha256:" + "A" * 64, "sha256:" + "0" * 63 + "\n", ""]
)
def test_digest_is_never_a_path(digest: str, client: httpx.Client) -> None:
    body = {"name": "t", "role": "test", "table": digest}
    answer = client.post("/api/v1/use-cases/case/datasets", json=body)
    assert answer.status_code in (400, 404), answer.text
    assert _problem(answer) == ""


def test_flat_body_of_many_brackets_does_not_hold_up_others(client: httpx.Client, shared: RunningServer) -> None:
    body = b"[" + b"[]," * (2 << 20) + b"[]]"
    began = time.monotonic()
    assert client.post("/api/v1/use-cases", content=body).status_code == 400
    assert time.monotonic() - began < 15


_SERVER = """
import sys
from stile.app import serve
from stile.kernel.settings import Settings
serve(Settings(port=int(sys.argv[1]), data_dir=sys.argv[2]))
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """(address, process) of a server in a process of its own, whose memory can be measured."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("alone")
    process = subprocess.Popen([sys.executable, "-c", _SERVER, str(port), str(folder)], stdout=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    try:
        assert process.stdout is not None and b"ready" in process.stdout.readline()
        time.sleep(1)  # the engine for background work comes up
        for path in ("/", "/api/v1/use-cases", "/api/2.0/mlflow/experiments/search?max_results=5"):
            httpx.get(url + path, timeout=60)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout:
            process.stdout.close()


_KINDS = {"/sign-in": "application/x-www-form-urlencoded", "/v1/traces": "application/x-protobuf"}
_EVERYWHERE = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]


def _peak_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def _stream(megabytes: int, piece: bytes = b"x" * (1 << 20)) -> Iterator[bytes]:
    for _ in range(megabytes):
        yield piece


@pytest.mark.parametrize(
    ("method", "path", "content", "expected"),
    [
        ("POST", "/api/v1/use-cases", lambda: _stream(64), {413}),
        ("POST", "/api/2.0/mlflow/runs/log-batch", lambda: _stream(64, b'{"a":' * 200_000), {413}),
        ("POST", "/sign-in", lambda: _stream(64), {413}),
        ("POST", "/api/v1/use-cases", lambda: b'{"name": "' + b"x" * (7 << 20) + b'"}', {400}),
        ("POST", "/api/2.0/mlflow/experiments/create", lambda: gzip.compress(b"[" * (200 << 20), 1), {400}),
        ("PUT", "/api/v1/blobs", lambda: _stream(128), {201}),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/a/artifacts/big.bin", lambda: _stream(128), {200}),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/0/a/artifacts/big.bin", lambda: None, {200}),
        ("POST", "/api/2.0/mlflow/runs/search", lambda: json.dumps({"experiment_ids": ["0"], "filter": "metrics.a > 1 AND " * 60_000}).encode(), {400}),
        ("POST", "/api/2.0/mlflow/runs/search", lambda: json.dumps({"experiment_ids": ["0"], "order_by": [f"metrics.m{n}" for n in range(3000)]}).encode(), {400}),
        ("POST", "/v1/traces", lambda: _stream(64), {413}),
        ("POST", "/v1/traces", lambda: gzip.compress(b"\x0a" * (200 << 20), 1), {413}),
        ("POST", "/v1/traces", lambda: b"\x0a\x80\x80\x40" * 500_000, {400, 413}),
        ("POST", "/api/3.0/mlflow/traces", lambda: _stream(64), {413}),
        ("POST", "/api/3.0/mlflow/traces/search", lambda: json.dumps({"locations": _EVERYWHERE, "filter": "tags.a = 'b' AND " * 60_000}).encode(), {400}),
        ("POST", "/api/2.0/mlflow/webhooks", lambda: _stream(64), {413}),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/0/a/artifacts/x", lambda: json.dumps({"path": "x", "num_parts": 10**9}).encode(), {400}),
        ("POST", "/v1/traces", lambda: b'{"resourceSpans":[' + b"{}," * 2_700_000 + b"{}]}", {400}),
        ("POST", "/v1/traces", lambda: b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[' + b'{"a":{}},' * 900_000 + b"{}]}]}]}]}", {400}),
        ("POST", "/v1/traces", lambda: b'{"resourceSpans":[' + b"{}," * 190_000 + b"{}]}", {400}),
        ("POST", "/api/2.0/mlflow/runs/log-batch", lambda: b'{"metrics":[' + b"{}," * 2_700_000 + b"{}]}", {400}),
        ("POST", "/api/2.0/mlflow/runs/log-batch", lambda: b'"{' + b'\\"metrics\\":[' + b"{}," * 2_600_000 + b'{}]}"', {400}),
        ("POST", "/api/2.0/mlflow/runs/search", lambda: json.dumps({"experiment_ids": [str(n) for n in range(700_000)]}).encode(), {400}),
        ("POST", "/api/2.0/mlflow/logged-models/search", lambda: json.dumps({"experiment_ids": [str(n) for n in range(40_000)]}).encode(), {400}),
        ("POST", "/api/v1/import/runs", lambda: b'{"experiment_id":"0","runs":[' + b"{}," * 2_700_000 + b"{}]}", {400}),
        ("POST", "/api/v1/import/known-runs", lambda: b'{"run_ids":[' + b'"ab",' * 1_600_000 + b'"ab"]}', {400}),
    ],
    ids=["chunked-json", "chunked-batch", "chunked-form", "one-name", "gzip-bomb", "blob", "artifact", "download", "filter", "order-by", "chunked-spans",
         "span-bomb", "broken-spans", "chunked-trace", "trace-filter", "chunked-webhook", "parts", "empty-resources", "empty-attributes", "many-resources", "empty-metrics", "json-in-json", "experiments",
         "models-of-experiments", "empty-runs", "short-texts"],
)  # fmt: skip
def test_memory_stays_bounded(
    method: str, path: str, content: object, expected: set[int], alone: tuple[str, int]
) -> None:
    url, pid = alone
    body = content()  # type: ignore[operator]
    headers = {"Content-Type": _KINDS.get(path, "application/json")}
    if isinstance(body, bytes) and body.startswith(b"{"):
        headers["Content-Type"] = "application/json"
    if path == "/v1/traces":
        headers["X-Mlflow-Experiment-Id"] = "0"
        if isinstance(body, bytes) and body[:2] == b"\x1f\x8b":
            headers["Content-Encoding"] = "gzip"
    before, began = _peak_mb(pid), time.monotonic()
    try:
        with httpx.stream(method, url + path, content=body, headers=headers, timeout=60) as answer:
            status = answer.status_code
            for _ in answer.iter_raw():
                pass
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        status = 413  # cut off while still sending
    assert status in expected
    assert time.monotonic() - began < 20
    assert _peak_mb(pid) - before < 32
    assert httpx.get(url + "/health", timeout=20).text == "OK"
