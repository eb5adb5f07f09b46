"""Webhooks through the unmodified mlflow client, delivered to a real receiver."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookStatus
from mlflow.exceptions import MlflowException

from stile.kernel.permission import Role
from stile.people import accounts
from stile.testing.server import RunningServer, running_server
from stile.work import webhooks as verbs
from stile.work.start import SEND_WEBHOOKS

SECRET = "a secret of this test"


class Receiver:
    """An HTTP server that writes down what it gets, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.drip_s = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((dict(self.headers), body))
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                if outer.drip_s:
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    time.sleep(outer.drip_s)
                    return
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"seen")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook?x=1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    store = "sqlite" if request.param == "sqlite" else request.getfixturevalue("cluster").fresh()
    with running_server(tmp_path_factory.mktemp("server"), store=store, webhook_loopback=True) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[MlflowClient]:
    made = MlflowClient(server.url, server.url)
    yield made
    for webhook in made.list_webhooks():
        made.delete_webhook(webhook.webhook_id)


def _waiting(server: RunningServer) -> int:
    return int(server.services.db.read(lambda tx: tx.scalar("SELECT COUNT(*) FROM webhook_deliveries")))


def _settle(server: RunningServer, messages: int) -> None:
    """Wait until so many messages are in line, then send what is due."""
    deadline = time.monotonic() + 10
    while _waiting(server) < messages:
        assert time.monotonic() < deadline, "the events did not become messages"
        time.sleep(0.01)
    server.services.background.tick(SEND_WEBHOOKS)  # type: ignore[attr-defined]


def _later(server: RunningServer) -> None:
    """As if the pause before the next try was over."""
    server.services.db.write(lambda tx: tx.run("UPDATE webhook_deliveries SET next_at = 0"))
    server.services.background.tick(SEND_WEBHOOKS)  # type: ignore[attr-defined]


def _deliveries(server: RunningServer, webhook_id: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{server.url}/api/v1/webhooks/{webhook_id}/deliveries")
    return list(answer.json()["deliveries"])


EVERYTHING = [
    "registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted",
    "model_version_alias.created", "model_version_alias.deleted",
]  # fmt: skip


def test_everything_in_a_models_life_is_told_once_and_signed(
    server: RunningServer, client: MlflowClient, receiver: Receiver, request: pytest.FixtureRequest
) -> None:
    webhook = client.create_webhook("all-of-it", receiver.url, EVERYTHING, description="tells", secret=SECRET)
    model = request.node.name
    client.create_registered_model(model, tags={"team": "vision"}, description="reads")
    version = client.create_model_version(model, "s3://bucket/model", tags={"a": "b"}, description="first").version
    client.set_model_version_tag(model, version, "k", "v")
    client.delete_model_version_tag(model, version, "k")
    client.set_registered_model_alias(model, "candidate", version)
    client.delete_registered_model_alias(model, "candidate")
    _settle(server, 6)
    server.services.background.tick(SEND_WEBHOOKS)  # type: ignore[attr-defined]
    told = {f"{m['entity']}.{m['action']}": m["data"] for m in receiver.messages}
    assert [f"{m['entity']}.{m['action']}" for m in receiver.messages] == EVERYTHING
    assert told["registered_model.created"] == {"name": model, "tags": {"team": "vision"}, "description": "reads"}
    assert told["model_version.created"] == {
        "name": model, "version": "1", "source": "s3://bucket/model", "run_id": None, "tags": {"a": "b"},
        "description": "first",
    }  # fmt: skip
    assert told["model_version_tag.set"] == {"name": model, "version": "1", "key": "k", "value": "v"}
    assert told["model_version_tag.deleted"] == {"name": model, "version": "1", "key": "k"}
    assert told["model_version_alias.created"] == {"name": model, "alias": "candidate", "version": "1"}
    assert told["model_version_alias.deleted"] == {"name": model, "alias": "candidate"}
    for headers, body in receiver.got:
        signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.{body.decode()}"
        expected = base64.b64encode(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()).decode()
        assert headers["X-MLflow-Signature"] == f"v1,{expected}"
        assert abs(int(headers["X-MLflow-Timestamp"]) - time.time()) < 60
    assert len({headers["X-MLflow-Delivery-Id"] for headers, _ in receiver.got}) == 6
    sent = _deliveries(server, webhook.webhook_id)
    assert [(one["event"], one["state"], one["answer"], one["tries"]) for one in reversed(sent)] == [
        (event, "delivered", 200, 1) for event in EVERYTHING
    ]


def test_webhooks_are_made_listed_changed_and_deleted(
    server: RunningServer, client: MlflowClient, receiver: Receiver
) -> None:
    made = [client.create_webhook(f"w{number}", receiver.url, EVERYTHING[:1]) for number in range(3)]
    first = client.list_webhooks(max_results=2)
    assert [one.name for one in first] == ["w0", "w1"]
    assert [one.name for one in client.list_webhooks(max_results=2, page_token=first.token)] == ["w2"]
    changed = client.update_webhook(
        made[0].webhook_id, name="other", description="d", events=EVERYTHING[1:3], status="DISABLED", secret="new"
    )
    assert (changed.name, changed.description, changed.status) == ("other", "d", WebhookStatus.DISABLED)
    assert [str(event) for event in client.get_webhook(made[0].webhook_id).events] == EVERYTHING[1:3]
    client.delete_webhook(made[0].webhook_id)
    noted = server.services.db.read(
        lambda tx: tx.all("SELECT kind FROM ledger WHERE subject = ? ORDER BY position", (made[0].webhook_id,))
    )
    assert [kind for (kind,) in noted] == ["webhook.registered", "webhook.changed", "webhook.deleted"]
    with pytest.raises(MlflowException) as raised:
        client.get_webhook(made[0].webhook_id)
    assert raised.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_test_message_is_sent_at_once(server: RunningServer, client: MlflowClient, receiver: Receiver) -> None:
    webhook = client.create_webhook("tested", receiver.url, EVERYTHING[:2], secret=SECRET)
    result = client.test_webhook(webhook.webhook_id)
    assert (result.success, result.response_status, result.response_body) == (True, 200, "seen")
    assert receiver.messages[0]["data"]["name"] == "example_model"
    receiver.status = 500
    result = client.test_webhook(webhook.webhook_id, "model_version.created")
    assert (result.success, result.response_status) == (False, 500)
    receiver.status, receiver.headers = 302, {"Location": f"{server.url}/api/v1/about"}
    result = client.test_webhook(webhook.webhook_id)
    assert (result.success, result.response_status) == (False, 302)
    assert "redirect" in result.error_message
    assert len(receiver.got) == 3


def test_a_receiver_that_is_down_gets_it_later_under_the_same_id(
    server: RunningServer, client: MlflowClient, receiver: Receiver, request: pytest.FixtureRequest
) -> None:
    webhook = client.create_webhook("down", receiver.url, EVERYTHING[:1])
    receiver.status = 503
    before = _waiting(server)
    client.create_registered_model(f"{request.node.name}-1")
    client.create_registered_model(f"{request.node.name}-2")
    _settle(server, before + 2)
    assert len(receiver.got) == 1  # the second waits behind the first
    receiver.status = 200
    _later(server)
    ids = [headers["X-MLflow-Delivery-Id"] for headers, _ in receiver.got]
    assert ids[0] == ids[1] != ids[2]
    sent = _deliveries(server, webhook.webhook_id)
    assert [(one["state"], one["tries"]) for one in sent] == [("delivered", 1), ("delivered", 2)]


def test_what_is_refused_or_fails_too_often_is_given_up(
    server: RunningServer, client: MlflowClient, receiver: Receiver, request: pytest.FixtureRequest
) -> None:
    webhook = client.create_webhook("refuses", receiver.url, EVERYTHING[:1])
    receiver.status = 404
    before = _waiting(server)
    client.create_registered_model(f"{request.node.name}-1")
    _settle(server, before + 1)
    _later(server)
    assert (len(receiver.got), _deliveries(server, webhook.webhook_id)[0]["state"]) == (1, "failed")
    receiver.status = 500
    client.create_registered_model(f"{request.node.name}-2")
    _settle(server, before + 2)
    for _ in range(10):
        _later(server)
    newest = _deliveries(server, webhook.webhook_id)[0]
    assert (newest["state"], newest["tries"], newest["answer"]) == ("failed", 8, 500)
    assert "500" in newest["error"]


def test_a_slow_receiver_blocks_nobody_else(
    server: RunningServer, client: MlflowClient, receiver: Receiver, request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("stile.work.webhook_delivery._DEADLINE_S", 0.5)
    slow = Receiver()
    slow.drip_s = 3
    try:
        late = client.create_webhook("slow", slow.url, EVERYTHING[:1])
        client.create_webhook("quick", receiver.url, EVERYTHING[:1])
        before = _waiting(server)
        begin = time.monotonic()
        client.create_registered_model(request.node.name)
        assert time.monotonic() - begin < 2  # no request waits for a receiver
        _settle(server, before + 2)
        assert time.monotonic() - begin < 2.5
        assert len(receiver.got) == 1
        assert "did not answer" in _deliveries(server, late.webhook_id)[0]["error"]
    finally:
        slow.close()


def test_nothing_is_sent_to_a_disabled_one_or_about_other_events(
    server: RunningServer, client: MlflowClient, receiver: Receiver, request: pytest.FixtureRequest
) -> None:
    client.create_webhook("off", receiver.url, EVERYTHING, status="DISABLED")
    client.create_webhook("other", receiver.url, ["model_version_alias.created"])
    on = client.create_webhook("on", receiver.url, ["registered_model.created"])
    before = _waiting(server)
    client.create_registered_model(request.node.name)
    _settle(server, before + 1)
    assert len(receiver.got) == 1
    assert len(_deliveries(server, on.webhook_id)) == 1


def test_decisions_are_told_through_our_own_interface(
    server: RunningServer, client: MlflowClient, receiver: Receiver
) -> None:
    body = {"name": "gov", "url": receiver.url, "events": ["decision.taken", "model_version.created"], "secret": SECRET}
    made = httpx.post(f"{server.url}/api/v1/webhooks", json=body)
    assert made.status_code == 201
    webhook = made.json()["webhook"]
    assert (webhook["signed"], "secret" in webhook) == (True, False)
    assert [str(event) for event in client.get_webhook(webhook["webhook_id"]).events] == ["model_version.created"]
    client.update_webhook(webhook["webhook_id"], events=["registered_model.created"])
    found = httpx.get(f"{server.url}/api/v1/webhooks/{webhook['webhook_id']}").json()["webhook"]
    assert found["events"] == ["registered_model.created", "decision.taken"]
    before = _waiting(server)
    server.services.db.write(
        lambda tx: verbs.announce(tx, "decision.taken", {"kind": "promoted", "version": 2}, tx.now_ms())
    )
    _settle(server, before + 1)
    assert receiver.messages[-1]["data"] == {"kind": "promoted", "version": 2}
    only = httpx.post(f"{server.url}/api/v1/webhooks", json=body | {"name": "only", "events": ["promotion.proposed"]})
    assert "only" not in [one.name for one in client.list_webhooks()]
    assert httpx.post(f"{server.url}/api/v1/webhooks/{only.json()['webhook']['webhook_id']}/test", json={}).json() == {
        "delivered": True, "answer": 200, "error": "",
    }  # fmt: skip
    httpx.delete(f"{server.url}/api/v1/webhooks/{only.json()['webhook']['webhook_id']}")


def test_the_secret_is_nowhere_to_be_read(server: RunningServer, client: MlflowClient, receiver: Receiver) -> None:
    webhook = client.create_webhook("secret", receiver.url, EVERYTHING[:1], secret=SECRET)
    for address in ("/api/2.0/mlflow/webhooks", f"/api/2.0/mlflow/webhooks/{webhook.webhook_id}", "/api/v1/webhooks"):
        assert SECRET not in httpx.get(server.url + address).text
    stored = server.services.db.read(lambda tx: bytes(tx.scalar("SELECT secret FROM webhooks WHERE name = 'secret'")))
    assert SECRET.encode() not in stored
    client.update_webhook(webhook.webhook_id, secret="")
    assert httpx.get(f"{server.url}/api/v1/webhooks/{webhook.webhook_id}").json()["webhook"]["signed"] is False


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://10.0.0.1/"}, {"url": "https://169.254.169.254/latest"}, {"url": "https://[fd00::1]/"},
        {"url": "nonsense"},
        {"url": "http://93.184.216.34/"}, {"url": "https://u:p@127.0.0.1/"}, {"events": []},
        {"events": ["prompt.created"]},
        {"events": ["nothing.happened"]}, {"name": ""}, {"name": "-x"}, {"name": "a" * 64}, {"name": "a b"},
        {"status": "ASLEEP"},
        {"description": "x" * 2000}, {"secret": "x" * 2000}, {"url": "https://name.invalid/"},
    ],
)  # fmt: skip
def test_a_webhook_that_cannot_be_is_refused(change: dict[str, Any], server: RunningServer) -> None:
    body = {"name": "refused", "url": "http://127.0.0.1:9/", "events": EVERYTHING[:1]} | change
    events = [dict(zip(("entity", "action"), event.upper().split("."), strict=True)) for event in body["events"]]
    for path, sent in (("/api/v1/webhooks", body), ("/api/2.0/mlflow/webhooks", body | {"events": events})):
        answer = httpx.post(server.url + path, json=sent, timeout=20)
        assert answer.status_code == 400, (path, answer.text)
        assert len(answer.text) > 60
    listed = httpx.get(f"{server.url}/api/v1/webhooks").json()["webhooks"]
    assert [one["name"] for one in listed if one["name"] == body["name"]] == []


@pytest.fixture
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], httpx.Client]]:
    """Makes clients of a server that asks for tokens and allows no loopback receivers."""
    with running_server(tmp_path_factory.mktemp("strict"), require_token=True) as running:
        opened = []

        def client_of(role: str) -> httpx.Client:
            def make(tx: Any) -> str:
                roles = [Role.OPERATOR] if role == "operator" else []
                accounts.create(tx, name=f"a-{role}", system_roles=roles, by="test")
                return accounts.issue_token(tx, person=f"a-{role}", label="test").token

            token = running.services.db.write(make)
            opened.append(httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {token}"}))
            return opened[-1]

        yield client_of
        for each in opened:
            each.close()


def test_only_operators_and_only_public_receivers(strict: Callable[[str], httpx.Client]) -> None:
    body = {"name": "x", "url": "http://127.0.0.1:9/", "events": EVERYTHING[:1]}
    somebody, operator = strict("viewer"), strict("operator")
    assert somebody.get("/api/2.0/mlflow/webhooks").status_code == 403
    assert somebody.post("/api/v1/webhooks", json=body).status_code == 403
    for url in ("http://127.0.0.1:9/", "https://127.0.0.1:9/", "https://localhost/", "https://[::1]/"):
        answer = operator.post("/api/v1/webhooks", json=body | {"url": url})
        assert (answer.status_code, "webhook" in answer.text.lower()) == (400, True)
    assert operator.get("/api/v1/webhooks").json()["webhooks"] == []
