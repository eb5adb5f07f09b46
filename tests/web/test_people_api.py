"""Accounts, tokens, roles and permissions over real HTTP."""

from __future__ import annotations

import socket

import httpx
import pytest

from stile.testing.server import RunningServer


@pytest.fixture
def api(server: RunningServer) -> httpx.Client:
    with httpx.Client(base_url=server.url) as client:
        yield client


def test_health_answers_when_nobody_signs_in(api: httpx.Client) -> None:
    assert api.get("/health").text == "OK"


def test_a_token_stands_for_its_person_when_presented(api: httpx.Client) -> None:
    assert api.post("/api/v1/people", json={"name": "ada"}).status_code == 201
    token = api.post("/api/v1/people/ada/tokens", json={"label": "laptop"}).json()["token"]
    me = api.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert (me["name"], me["kind"]) == ("ada", "person")
    basic = api.get("/api/v1/me", auth=("ada", token)).json()
    assert basic["name"] == "ada"


def test_a_wrong_token_is_refused_when_loopback_would_let_nobody_in(api: httpx.Client) -> None:
    answer = api.get("/api/v1/me", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"


def test_roles_decide_when_a_person_acts_in_a_use_case(api: httpx.Client) -> None:
    api.post("/api/v1/people", json={"name": "ada"})
    token = api.post("/api/v1/people/ada/tokens", json={}).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert api.post("/api/v1/use-cases", json={"name": "credit"}).status_code == 201
    assert api.patch("/api/v1/use-cases/credit", json={"tier": "high"}, headers=headers).status_code == 403
    roles = api.put("/api/v1/use-cases/credit/members/ada", json={"roles": ["product_manager"]})
    assert roles.json()["members"][0]["role"] == "product_manager"
    changed = api.patch("/api/v1/use-cases/credit", json={"tier": "high"}, headers=headers)
    assert changed.json()["tier"] == "high"
    assert api.post("/api/v1/people", json={"name": "eve"}, headers=headers).status_code == 403


def test_a_bad_charter_names_the_field_when_it_does_not_fit(api: httpx.Client) -> None:
    api.post("/api/v1/use-cases", json={"name": "credit"})
    answer = api.patch("/api/v1/use-cases/credit", json={"tier": "huge"})
    assert answer.status_code == 400
    assert "tier" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_a_request_is_refused_when_it_comes_from_elsewhere(
    api: httpx.Client, headers: dict[str, str], status: int
) -> None:
    assert api.post("/api/v1/use-cases", content=b"{}", headers=headers).status_code == status


def test_an_oversized_body_is_refused_when_it_is_only_announced(server: RunningServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        peer.sendall(f"POST /api/v1/use-cases HTTP/1.1\r\nHost: {host}\r\nContent-Length: {1 << 40}\r\n\r\n".encode())
        assert peer.recv(100).startswith(b"HTTP/1.1 413")


def test_a_message_is_refused_when_it_declares_its_length_twice(server: RunningServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        peer.sendall(
            f"POST /api/v1/use-cases HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n"
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        answer = b""
        while chunk := peer.recv(1000):
            answer += chunk
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 400")


def test_the_ledger_records_governed_acts_when_people_change(api: httpx.Client) -> None:
    api.post("/api/v1/people", json={"name": "ada"})
    api.post("/api/v1/use-cases", json={"name": "credit"})
    kinds = [entry["kind"] for entry in api.get("/api/v1/ledger").json()["entries"]]
    assert kinds == ["account_created", "use_case_created"]
    assert api.get("/api/v1/ledger/verify").json()["ok"] is True


def test_a_blob_comes_back_when_asked_by_its_digest(api: httpx.Client) -> None:
    digest = api.put("/api/v1/blobs", content=b"hello").json()["digest"]
    assert api.get(f"/api/v1/blobs/{digest}").content == b"hello"
    assert api.get("/api/v1/blobs/sha256:" + "0" * 64).status_code == 404
    assert api.get("/api/v1/blobs/..%2f..%2fetc").status_code in (400, 404)


def test_deeply_nested_json_is_refused_when_sent(api: httpx.Client) -> None:
    answer = api.post("/api/v1/use-cases", content=b"[" * 100_000 + b"]" * 100_000)
    assert answer.status_code == 400


def test_a_person_is_out_when_the_password_changes_or_the_account_is_disabled(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, follow_redirects=False) as api, httpx.Client(base_url=server.url) as browser:
        api.post("/api/v1/people", json={"name": "ada", "password": "correct horse battery"}).raise_for_status()
        token = api.post("/api/v1/people/ada/tokens", json={}).json()["token"]
        own = {"Authorization": f"Bearer {token}"}

        def sign_in(password: str) -> str:
            browser.cookies.clear()
            browser.post("/sign-in", data={"name": "ada", "password": password})
            return str(browser.get("/api/v1/me").json()["name"])

        assert sign_in("correct horse battery") == "ada"
        changed = api.put("/api/v1/people/ada/password", json={"password": "staple battery horse"}, headers=own)
        assert changed.status_code == 204
        assert browser.get("/api/v1/me").json()["name"] == "local-user"
        assert sign_in("correct horse battery") == "local-user"
        assert sign_in("staple battery horse") == "ada"
        assert api.put("/api/v1/people/ada/password", json={"password": "short"}, headers=own).status_code == 400
        assert api.patch("/api/v1/people/ada", json={"disabled": True}).json()["disabled"] is True
        assert browser.get("/api/v1/me").json()["name"] == "local-user"
        assert api.get("/api/v1/me", headers=own).status_code == 401
        assert api.patch("/api/v1/people/ada", json={"disabled": False}).json()["disabled"] is False
        assert api.get("/api/v1/me", headers=own).json()["name"] == "ada"
