"""Sends what waits for webhooks: to judged addresses only, with a deadline, a bound on the answer, and no redirects.

Each round sends the messages that are due, to several receivers at the same time and to one receiver one after
the other; a receiver that fails is left alone for the rest of the round. A message is written down as sent
after the receiver has taken it, so one that was cut off is sent again under the same delivery id.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stile.kernel.errors import Invalid
from stile.store.database import Database
from stile.work import webhook_address, webhook_records, webhooks
from stile.work.webhook_address import Unresolved
from stile.work.webhook_records import Due
from stile.work.webhook_values import EVENTS, Outcome, check, headers, message, outcome_of

EVERY_S = 1.0
_BATCH = 50
_AT_ONCE = 8
_DEADLINE_S = 10.0
_CLAIM_MS = 120_000
_ANSWER_BYTES = 16 << 10
_NONCE = 12


class Webhooks:
    """Judges addresses, keeps secrets, sends messages.

    Thread-safe. Secrets are sealed with a key of this installation that lies beside the rows, not among them.

    Args:
        db: where webhooks and messages are kept.
        key_file: holds the key; made when it is first needed.
        key: used instead of the file, when it is not empty.
        loopback: receivers on this machine are allowed, also without TLS.
    """

    def __init__(self, db: Database, key_file: Path, *, key: str = "", loopback: bool = False) -> None:
        self._db = db
        self._key_file = key_file
        self._given_key = hashlib.sha256(key.encode()).digest() if key else b""
        self._loopback = loopback
        self._tls: ssl.SSLContext | None = None

    async def judge(self, url: str) -> None:
        """Make sure that messages may be sent to ``url``.

        Raises:
            Invalid: they may not; says why.
        """
        await webhook_address.resolve(webhook_address.read(url, loopback=self._loopback), loopback=self._loopback)

    def seal(self, webhook_id: str, secret: str) -> bytes | None:
        """A secret as it is kept; None for an empty one.

        Raises:
            Invalid: it is too long.
        """
        check(name="x", description="", events=list(EVENTS), status="ACTIVE", secret=secret)
        if not secret:
            return None
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._key()).encrypt(nonce, secret.encode(), webhook_id.encode())

    async def test(self, webhook_id: str, event: str = "") -> Outcome:
        """Send an example message to a webhook now, whatever its status, and keep what came of it as a test.

        Raises:
            Missing: there is no such webhook.
            Invalid: there is no such event.
        """
        found = await self._db.aread(lambda tx: webhooks.get(tx, webhook_id))
        sealed = await self._db.aread(lambda tx: webhooks.sealed_secret(tx, webhook_id))
        event = event or found.events[0]
        if event not in EVENTS:
            raise Invalid(f"The event {event[:80]!r} is not sent by this server. It sends: {', '.join(EVENTS)}.")
        body = message(event, EVENTS[event], int(time.time() * 1000))
        delivery_id = str(uuid4())
        async with self._client() as client:
            outcome = await self._send(
                client, url=found.url, webhook_id=webhook_id, delivery_id=delivery_id, body=body, sealed=sealed
            )
        await self._db.awrite(
            lambda tx: webhooks.note_test(
                tx, webhook_id, delivery_id=delivery_id, event=event, body=body, outcome=outcome
            )
        )
        return outcome

    def deliver(self) -> None:
        """Send everything that is due now. Blocks; periodic work calls it."""
        while self._db.read(webhook_records.anything_due):
            due = self._db.write(lambda tx: webhook_records.claim(tx, limit=_BATCH, for_ms=_CLAIM_MS))
            if not due:
                return
            sent = asyncio.run(self._round(due))
            if len(due) < _BATCH or not sent:
                return

    async def _round(self, due: Sequence[Due]) -> int:
        by_webhook: dict[int, list[Due]] = {}
        for one in due:
            by_webhook.setdefault(one.webhook, []).append(one)
        at_once = asyncio.Semaphore(_AT_ONCE)
        async with self._client() as client:
            sent = await asyncio.gather(*(self._in_order(client, several, at_once) for several in by_webhook.values()))
        return sum(sent)

    async def _in_order(self, client: httpx.AsyncClient, several: Sequence[Due], at_once: asyncio.Semaphore) -> int:
        async with at_once:
            for number, due in enumerate(several):
                outcome = await self._send(
                    client, url=due.url, webhook_id=due.webhook_id, delivery_id=due.delivery_id,
                    body=due.body, sealed=due.secret,
                )  # fmt: skip
                await self._db.awrite(lambda tx, due=due, outcome=outcome: webhooks.settle(tx, due, outcome))  # type: ignore[misc]
                if not outcome.delivered:
                    for rest in several[number + 1 :]:
                        await self._db.awrite(lambda tx, row=rest.row: webhook_records.release(tx, row))  # type: ignore[misc]
                    return number
            return len(several)

    async def _send(
        self,
        client: httpx.AsyncClient,
        *,
        url: str,
        webhook_id: str,
        delivery_id: str,
        body: str,
        sealed: bytes | None,
    ) -> Outcome:
        try:
            place = webhook_address.read(url, loopback=self._loopback)
            secret = self._opened(webhook_id, sealed)
            async with asyncio.timeout(_DEADLINE_S):
                addresses = await webhook_address.resolve(place, loopback=self._loopback)
                given = headers(delivery_id=delivery_id, at_s=int(time.time()), body=body, secret=secret)
                given["Host"] = place.authority
                return await self._ask(client, [place.at(one) for one in addresses], place.host, given, body)
        except Unresolved as error:
            return Outcome(error=error.message)
        except Invalid as error:
            return Outcome(error=error.message, final=True)
        except TimeoutError:
            return Outcome(error=f"It did not answer within {_DEADLINE_S:.0f} seconds.")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            return Outcome(error=f"It could not be reached ({type(error).__name__}: {str(error)[:200]}).")

    async def _ask(
        self, client: httpx.AsyncClient, urls: Sequence[str], host: str, given: Mapping[str, str], body: str
    ) -> Outcome:
        for number, url in enumerate(urls):
            try:
                # the certificate must be the name's, though the connection goes to the address that was judged
                async with client.stream(
                    "POST", url, headers=given, content=body.encode(), extensions={"sni_hostname": host}
                ) as answer:
                    return outcome_of(answer.status_code, await _beginning(answer))
            except httpx.ConnectError:
                if number + 1 == len(urls):
                    raise
        raise Unresolved("The name has no address.")

    def _client(self) -> httpx.AsyncClient:
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        return httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=_DEADLINE_S)

    def _opened(self, webhook_id: str, sealed: bytes | None) -> str:
        if sealed is None:
            return ""
        try:
            opened = AESGCM(self._key()).decrypt(sealed[:_NONCE], sealed[_NONCE:], webhook_id.encode())
        except InvalidTag:
            raise Invalid(
                "The webhook's secret was sealed with another key than this server has. Set the secret again."
            ) from None
        return opened.decode()

    def _key(self) -> bytes:
        if self._given_key:
            return self._given_key
        try:
            return bytes.fromhex(self._key_file.read_text())
        except FileNotFoundError:
            self._key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = os.urandom(32)
        try:
            descriptor = os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return self._key()
        with os.fdopen(descriptor, "w") as file:
            file.write(key.hex())
            file.flush()
            os.fsync(descriptor)
        return key


async def _beginning(answer: httpx.Response) -> str:
    """The beginning of an answer's body as text."""
    content = bytearray()
    async for chunk in answer.aiter_raw():
        content += chunk
        if len(content) >= _ANSWER_BYTES:
            break
    return bytes(content[:_ANSWER_BYTES]).decode("utf-8", "replace").replace("\0", "")
