"""Sending: to the address that was judged, to the name's certificate, and again when it was cut off."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stile.kernel.errors import Invalid
from stile.store.database import Database
from stile.work import webhook_address, webhook_records, webhooks
from stile.work.webhook_delivery import Webhooks
from stile.work.webhook_values import Delivery, Outcome, headers, message

EVENT = "registered_model.created"


def _certificate(name: str, folder: Path) -> Path:
    """A certificate of this name that vouches for itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


@pytest.fixture
def receive() -> Iterator[Callable[..., tuple[int, list[dict[str, str]]]]]:
    """Starts receivers; each gives its port and the headers of what it got."""
    running: list[HTTPServer] = []

    def start(certificate: Path | None = None) -> tuple[int, list[dict[str, str]]]:
        got: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                got.append(dict(self.headers))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.server_address[1]), got

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def _resolves(monkeypatch: pytest.MonkeyPatch, **names: str) -> None:
    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        address = names.get(host.replace(".", "_"), host)
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def _register(db: Database, url: str, *, secret: bytes | None = None) -> None:
    db.write(
        lambda tx: webhooks.create(
            tx, webhook_id="w1", name="one", url=url, events=[EVENT], by="ada", secret=secret
        )
    )  # fmt: skip


def _tell(db: Database, data: str = "m") -> None:
    db.write(lambda tx: webhooks.announce(tx, EVENT, {"name": data}, tx.now_ms()))


def _newest(db: Database) -> Delivery:
    return db.read(lambda tx: webhooks.deliveries(tx, "w1"))[0]


def test_a_name_that_leads_inside_later_is_not_followed(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receive: Callable[..., Any]
) -> None:
    port, got = receive()
    sender = Webhooks(db, tmp_path / "key")
    _resolves(monkeypatch, rebind_example="93.184.216.34")
    place = webhook_address.read(f"https://rebind.example:{port}/", loopback=False)
    assert webhook_address.judged(place, ["93.184.216.34"], loopback=False)
    _register(db, f"https://rebind.example:{port}/")
    _tell(db)
    _resolves(monkeypatch, rebind_example="127.0.0.1")
    sender.deliver()
    assert got == []
    sent = _newest(db)
    assert (sent.state, sent.answer) == ("failed", None)
    assert "this machine" in sent.error


def test_the_certificate_must_be_the_names(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receive: Callable[..., Any]
) -> None:
    certificate = _certificate("right.example", tmp_path)
    port, got = receive(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    _resolves(monkeypatch, right_example="127.0.0.1", wrong_example="127.0.0.1")
    sender = Webhooks(db, tmp_path / "key", loopback=True)
    _register(db, f"https://wrong.example:{port}/")
    _tell(db)
    sender.deliver()
    assert (got, _newest(db).state) == ([], "waiting")
    assert "could not be reached" in _newest(db).error
    db.write(lambda tx: webhooks.update(tx, "w1", url=f"https://right.example:{port}/", by="ada"))
    db.write(lambda tx: tx.run("UPDATE webhook_deliveries SET next_at = 0"))
    sender.deliver()
    assert _newest(db).state == "delivered"
    assert [one["Host"] for one in got] == [f"right.example:{port}"]


def test_a_message_that_was_cut_off_is_sent_again_under_the_same_id(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receive: Callable[..., Any]
) -> None:
    port, got = receive()
    sender = Webhooks(db, tmp_path / "key", loopback=True)
    _register(db, f"http://127.0.0.1:{port}/")
    _tell(db)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(webhooks, "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            sender.deliver()
    sender.deliver()
    assert len(got) == 1  # the claim holds: another server does not send it at the same time
    db.write(lambda tx: tx.run("UPDATE webhook_deliveries SET claimed_until = 0"))
    sender.deliver()
    assert len({one["X-MLflow-Delivery-Id"] for one in got}) == 1
    assert (len(got), _newest(db).state) == (2, "delivered")


def test_nobody_else_sends_what_is_claimed(db: Database) -> None:
    _register(db, "https://receiver.example/")
    for number in range(3):
        _tell(db, str(number))
    first = db.write(lambda tx: webhook_records.claim(tx, limit=2, for_ms=60_000))
    second = db.write(lambda tx: webhook_records.claim(tx, limit=5, for_ms=60_000))
    assert (len(first), len(second)) == (2, 1)
    assert db.read(webhook_records.anything_due) is False


def test_a_secret_sealed_elsewhere_is_noticed(db: Database, tmp_path: Path, receive: Callable[..., Any]) -> None:
    port, got = receive()
    there = Webhooks(db, tmp_path / "there" / "key", loopback=True)
    here = Webhooks(db, tmp_path / "here" / "key", loopback=True)
    sealed = there.seal("w1", "secret")
    _register(db, f"http://127.0.0.1:{port}/", secret=sealed)
    _tell(db)
    here.deliver()
    assert (got, _newest(db).state) == ([], "failed")
    assert "another key" in _newest(db).error
    assert (tmp_path / "here" / "key").stat().st_mode & 0o777 == 0o600
    shared = [Webhooks(db, tmp_path / name, key="one for all", loopback=True) for name in ("a", "b")]
    db.write(lambda tx: webhooks.set_secret(tx, "w1", shared[0].seal("w1", "secret")))
    _tell(db)
    shared[1].deliver()
    assert "X-MLflow-Signature" in got[0]


def test_old_messages_are_forgotten_and_waiting_ones_are_not(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_KEPT", 3)
    _register(db, "https://receiver.example/")
    for number in range(5):
        _tell(db, str(number))
    [due, *_] = db.write(lambda tx: webhook_records.claim(tx, limit=1, for_ms=0))
    db.write(lambda tx: webhooks.settle(tx, due, Outcome(answer=200)))
    _tell(db, "5")
    states = [one.state for one in db.read(lambda tx: webhooks.deliveries(tx, "w1"))]
    assert states == ["waiting"] * 5


def test_there_are_so_many_webhooks_at_most(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST", 1)
    _register(db, "https://receiver.example/")
    with pytest.raises(Invalid, match="already"):
        db.write(
            lambda tx: webhooks.create(tx, webhook_id="w2", name="b", url="https://x.example/", events=[EVENT], by="a")
        )


def test_the_signature_is_that_of_mlflow() -> None:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = message(EVENT, {"name": "ü"}, 1_700_000_000_000)
    made = headers(delivery_id="d1", at_s=1_700_000_000, body=body, secret="s")
    assert made["X-MLflow-Signature"] == _generate_hmac_signature("s", "d1", "1700000000", body)
    assert json.loads(body)["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert "X-MLflow-Signature" not in headers(delivery_id="d1", at_s=1, body=body, secret="")
