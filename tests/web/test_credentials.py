# ruff: noqa: E501  long attack strings stay in one piece
"""Passwords, sessions, one-time links and tokens, as an attacker would try them."""

from __future__ import annotations

import hashlib
import logging
import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import httpx
import pytest

from stile.kernel.permission import PrincipalKind
from stile.people import account_records, accounts
from stile.people.passwords import hash_password
from stile.testing.server import RunningServer, running_server

PASSWORD = "a long enough secret"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("credentials"), require_token=True) as running:
        yield running


@cache
def _hashed() -> str:
    return hash_password(PASSWORD)


@pytest.fixture
def person(shared: RunningServer, request: pytest.FixtureRequest) -> str:
    """An account of its own for each test."""
    name = "p" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20]
    shared.services.db.write(lambda tx: accounts.create(tx, name=name, password_hash=_hashed(), by="setup"))
    shared.services.authenticator._failures.clear()  # the address is the same for all tests
    return name


def _sign_in(shared: RunningServer, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return httpx.post(
        shared.url + "/sign-in", data={"name": name, "password": password}, headers={"Accept": "text/html", **headers},
        timeout=30,
    )  # fmt: skip


def _me(shared: RunningServer, cookie: str) -> int:
    return httpx.get(shared.url + "/api/v1/me", headers={"Cookie": f"stile={cookie}"}).status_code


def test_session_cookie_is_hidden_from_scripts_and_other_sites(shared: RunningServer, person: str) -> None:
    answer = _sign_in(shared, person)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/" in cookie
    assert _me(shared, answer.cookies["stile"]) == 200


def test_session_cookie_is_sent_over_tls_only_when_the_public_address_is(tmp_path) -> None:
    with running_server(tmp_path, public_url="https://stile.example") as running:
        running.services.db.write(lambda tx: accounts.create(tx, name="ada", password_hash=_hashed(), by="setup"))
        with socket.create_connection(("127.0.0.1", running.services.settings.port), timeout=10) as peer:
            body = f"name=ada&password={PASSWORD.replace(' ', '+')}"
            peer.sendall(
                "POST /sign-in HTTP/1.1\r\nHost: stile.example\r\nConnection: close\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            answer = peer.makefile().read().lower()
        assert "303 see other" in answer
        assert "; secure" in answer


def test_sessions_end_when_the_password_changes(shared: RunningServer, person: str) -> None:
    cookie = _sign_in(shared, person).cookies["stile"]
    assert _me(shared, cookie) == 200
    changed = hash_password("quite another secret")
    shared.services.db.write(lambda tx: account_records.set_password(tx, person, changed, by=""))
    shared.services.authenticator.forget()
    assert _me(shared, cookie) == 401
    assert _sign_in(shared, person).status_code == 401
    assert _sign_in(shared, person, "quite another secret").status_code == 303


def test_every_credential_ends_when_the_account_is_disabled(shared: RunningServer, person: str) -> None:
    cookie = _sign_in(shared, person).cookies["stile"]
    token = shared.services.db.write(lambda tx: accounts.issue_token(tx, person=person, label="t")).token
    link = shared.services.db.write(lambda tx: accounts.issue_link(tx, person=person))
    shared.services.db.write(lambda tx: account_records.set_disabled(tx, person, disabled=True))
    shared.services.authenticator.forget()
    assert _me(shared, cookie) == 401
    assert httpx.get(shared.url + "/api/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert httpx.post(f"{shared.url}/sign-in/{link}", headers=FORM).status_code == 401
    assert _sign_in(shared, person).status_code == 401
    assert _sign_in(shared, person, token).status_code == 401


def test_revoked_token_is_refused_at_once(shared: RunningServer, person: str) -> None:
    made = shared.services.db.write(lambda tx: accounts.issue_token(tx, person=person, label="t"))
    headers = {"Authorization": f"Bearer {made.token}"}
    assert httpx.get(shared.url + "/api/v1/me", headers=headers).status_code == 200
    assert httpx.delete(f"{shared.url}/api/v1/people/{person}/tokens/{made.id}", headers=headers).status_code == 204
    assert httpx.get(shared.url + "/api/v1/me", headers=headers).status_code == 401


def test_signing_out_ends_the_session_on_the_server(shared: RunningServer, person: str) -> None:
    cookie = _sign_in(shared, person).cookies["stile"]
    assert httpx.post(shared.url + "/sign-out", headers={"Cookie": f"stile={cookie}"}).status_code == 303
    assert _me(shared, cookie) == 401


def test_session_of_the_attacker_is_not_taken_over_at_sign_in(shared: RunningServer, person: str) -> None:
    answer = _sign_in(shared, person, Cookie="stile=chosen-by-somebody-else")
    assert answer.cookies["stile"] != "chosen-by-somebody-else"
    assert _me(shared, "chosen-by-somebody-else") == 401


def test_link_lets_in_once_and_only_when_the_button_is_pressed(shared: RunningServer, person: str) -> None:
    secret = shared.services.db.write(lambda tx: accounts.issue_link(tx, person=person))
    address = f"{shared.url}/sign-in/{secret}"
    assert httpx.get(address, headers={"Accept": "text/html"}).status_code == 200  # a preview uses nothing up
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx.post(address, headers=FORM, timeout=20), range(8)))
    assert sorted(answer.status_code for answer in answers) == [303] + [401] * 7
    winner = next(answer for answer in answers if answer.status_code == 303)
    assert _me(shared, winner.cookies["stile"]) == 200
    assert httpx.post(address, headers=FORM).status_code == 401


def test_guessing_is_slowed_down_when_tries_come_one_after_the_other(shared: RunningServer, person: str) -> None:
    answers = [_sign_in(shared, person, "wrong guess number x") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    tried = shared.services.authenticator._failures
    assert tried[f"name:{person}"][0] == 3
    tried[f"name:{person}"] = (9, time.monotonic())  # as after some more, without waiting for them
    late = _sign_in(shared, person)
    assert late.status_code == 429, "the right password waits as well, so that it tells nothing"
    assert "Wait" in late.text


def test_guessing_is_slowed_down_when_tries_come_all_at_once(shared: RunningServer, person: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: _sign_in(shared, person, f"wrong guess number {n}"), range(16)))
    tried = sum(answer.status_code == 401 for answer in answers)
    assert tried <= 6, f"{tried} guesses were checked"
    assert {answer.status_code for answer in answers} == {401, 429}


def test_unknown_name_is_answered_like_a_wrong_password(shared: RunningServer, person: str) -> None:
    known, unknown = (
        _sign_in(shared, person, "wrong guess 123"),
        _sign_in(shared, "nobody-of-this-name", "wrong guess 123"),
    )
    assert (known.status_code, unknown.status_code) == (401, 401)
    assert known.text.replace(person, "NAME") == unknown.text.replace("nobody-of-this-name", "NAME")


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer x", "Bearer stile_p_0000_00000000", "Basic", "Basic !!", "Basic /w==", "Basic Og==",
     "Digest a=b", "\xff\xfe",
     "Bearer " + "x" * 7000, "bearer null", "Basic bG9jYWwtdXNlcjo="],
)  # fmt: skip
def test_wrong_credential_is_refused_in_words(header: str, server: RunningServer) -> None:
    """On loopback without a token one is local-user; a broken token must not fall back to that."""
    answer = httpx.get(server.url + "/api/v1/me", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["code"] == "unauthenticated" and len(error["message"]) > 20
    assert header[7:] not in error["message"] or len(header) < 10


def test_short_password_is_refused(server: RunningServer) -> None:
    for password in ("", "x", "elevenchars"):
        answer = httpx.post(server.url + "/api/v1/people", json={"name": "eve", "password": password})
        assert answer.status_code == 400, password


def test_secrets_are_neither_logged_nor_kept_nor_told(
    shared: RunningServer, person: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = shared.services.db.write(lambda tx: accounts.issue_token(tx, person=person, label="t"))
    link = shared.services.db.write(lambda tx: accounts.issue_link(tx, person=person))
    session = _sign_in(shared, person).cookies["stile"]
    secrets = [made.token, link, session, PASSWORD, "a wrong password"]
    headers = {"Authorization": f"Bearer {made.token}"}
    answers = [
        httpx.get(shared.url + "/api/v1/me", headers=headers),
        httpx.get(f"{shared.url}/api/v1/people/{person}/tokens", headers=headers),
        httpx.get(shared.url + "/api/v1/people", headers=headers),
        httpx.get(shared.url + "/people", headers=headers | {"Accept": "text/html"}),
        httpx.get(shared.url + "/nowhere", headers=headers),
        httpx.post(shared.url + "/api/v1/use-cases", content=b"{", headers=headers),
        httpx.get(shared.url + "/api/v1/me", headers={"Authorization": f"Bearer {made.token}x"}),
        httpx.get(shared.url + "/api/v1/me", headers={"Authorization": f"Token {made.token}"}),
        httpx.get(shared.url + "/api/v1/me", auth=(person, made.token + "x")),
        _sign_in(shared, person, "a wrong password"),
        httpx.post(f"{shared.url}/sign-in/{link}", headers=FORM),
        httpx.post(f"{shared.url}/sign-in/{link}", headers=FORM),
    ]
    for answer in answers:
        for secret in secrets:
            assert secret not in answer.text
    logged = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "httpcore")))
    for secret in secrets:
        assert secret not in logged
    with sqlite3.connect(f"file:{shared.services.db.path}?mode=ro", uri=True) as stored:  # type: ignore[attr-defined]
        dump = "\n".join(stored.iterdump())
    for secret in (*secrets[:3], PASSWORD):
        assert secret not in dump


def test_incident_in_the_log_names_the_route_not_the_secret_in_its_address(
    shared: RunningServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(tx: object, secret: str) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(accounts, "redeem_link", broken)
    answer = httpx.post(f"{shared.url}/sign-in/a-very-secret-link", headers=FORM)
    assert answer.status_code == 500
    assert "broken on purpose" in caplog.text and "/sign-in/{secret}" in caplog.text
    assert all("a-very-secret-link" not in r.getMessage() for r in caplog.records if r.name == "stile")
    assert "broken on purpose" not in answer.text and "Traceback" not in answer.text
    assert re.search(r"err_\w+", answer.text), "it names the incident to look for"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://[::1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "x"},
    ],
)  # fmt: skip
def test_form_sent_by_another_site_with_the_cookie_is_refused(
    headers: dict[str, str], shared: RunningServer, person: str
) -> None:
    session = shared.services.db.write(lambda tx: accounts.open_session(tx, person=person))
    for path in ("/sign-out", "/models/x/apply", "/api/v1/use-cases", "/api/2.0/mlflow/experiments/create", "/sign-in"):
        answer = httpx.post(
            shared.url + path, headers=FORM | headers | {"Cookie": f"stile={session}"}, content="plan=x"
        )
        assert answer.status_code == 403, path
    assert _me(shared, session) == 200, "the session was not ended by the forged sign-out"


def test_form_of_the_own_page_is_taken(shared: RunningServer, person: str) -> None:
    own = {"Origin": shared.url, "Sec-Fetch-Site": "same-origin"}
    assert _sign_in(shared, person, **own).status_code == 303


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data", ""])
def test_form_address_takes_nothing_but_forms(kind: str, shared: RunningServer, person: str) -> None:
    body = f"name={person}&password={PASSWORD}"
    assert httpx.post(shared.url + "/sign-in", content=body, headers={"Content-Type": kind}).status_code == 400


@pytest.mark.parametrize(
    "onward",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/\r\nX: 1",
    ],
)
def test_sign_in_leads_nowhere_else(onward: str, shared: RunningServer, person: str) -> None:
    answer = httpx.post(shared.url + "/sign-in", data={"name": person, "password": PASSWORD, "next": onward})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_service_account_signs_in_on_no_page(shared: RunningServer) -> None:
    token = shared.services.db.write(
        lambda tx: (
            accounts.create(tx, name="pipeline", kind=PrincipalKind.SERVICE, by="setup"),
            accounts.issue_token(tx, person="pipeline", label="t").token,
        )[1]
    )
    assert _sign_in(shared, "pipeline", token).status_code in (401, 403)
