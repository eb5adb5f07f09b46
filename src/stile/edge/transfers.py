"""Addresses of this server for one transfer each, for clients that carry no credential to where they are sent."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from stile.edge.call import Call
from stile.kernel.errors import Forbidden, Missing
from stile.kernel.permission import LOCAL_USER, Permission, Principal, may
from stile.people import account_records, accounts
from stile.store.database import Tx
from stile.train import transfer_tokens, upload_records
from stile.train.transfer_tokens import Claim

PATH = "/api/v1/transfers/"


async def addresses(call: Call, claims: Sequence[Claim]) -> list[str]:
    """One address of this server for each claim, good for whoever holds it."""
    key = await call.read(upload_records.signing_key)
    if key is None:
        fresh = secrets.token_bytes(transfer_tokens.KEY_BYTES)
        key = await call.write(lambda tx: upload_records.offer_signing_key(tx, fresh))
    base = call.services.settings.public_url.rstrip("/") or _asked_at(call)
    return [f"{base}{PATH}{transfer_tokens.sign(key, claim)}" for claim in claims]


def redeem(tx: Tx, call: Call, token: str) -> Claim:
    """What the holder of an address may do now.

    Raises:
        Missing: it is none of ours.
        Invalid: its time is over.
        Forbidden: who asked for it may no longer do this.
    """
    key = upload_records.signing_key(tx)
    if key is None:  # nothing was ever signed here
        raise Missing("There is no transfer at this address. Ask for a new one.")
    claim = transfer_tokens.read(key, token, now_ms=tx.now_ms())
    needed = Permission.READ if claim.act == "get" else Permission.TRACK
    principal = _principal(tx, call, claim.by)
    if principal is None or not may(principal, needed).allowed:
        raise Forbidden("Who asked for this address may no longer do this.")
    return claim


def _principal(tx: Tx, call: Call, name: str) -> Principal | None:
    if name == LOCAL_USER.name:
        settings = call.services.settings
        return LOCAL_USER if settings.on_loopback and not settings.require_token else None
    account = account_records.find(tx, name)
    return None if account is None or account.disabled else accounts.principal_of(tx, account)


def _asked_at(call: Call) -> str:
    """Where the caller reached this server; its Host header has been checked."""
    url = call.request.url
    return f"{url.scheme}://{url.netloc}"
