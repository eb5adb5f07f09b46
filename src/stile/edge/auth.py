"""Who is calling: a token, a session cookie, or the unauthenticated user of this machine.

    Authorization: Bearer <token>            clients, CI, gateways
    Authorization: Basic name:<token>        what MLFLOW_TRACKING_USERNAME/PASSWORD send
    Cookie: stile=<session>                  browsers, after signing in
    nothing, on loopback                     ``local-user``, unless the server asks for tokens

A credential that is presented and wrong is refused, never downgraded to ``local-user``.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import time

from starlette.requests import Request

from stile.kernel.errors import TooMany, Unauthenticated
from stile.kernel.permission import LOCAL_USER, NOBODY, Principal
from stile.kernel.settings import Settings
from stile.people import account_records, accounts
from stile.people.passwords import password_fits
from stile.people.tokens import hash_secret
from stile.store.database import Database

SESSION_COOKIE = "stile"
_CREDENTIALS = frozenset({b"authorization", b"cookie"})
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_CACHE_S = 2.0
_TOUCH_MS = 60_000
_MAX_CACHED = 10_000
_FREE_TRIES = {"name": 3, "peer": 20}  # many people share the address of a proxy


class Authenticator:
    """Finds the principal of a request; remembers answers for two seconds so that hot callers cost no look-up."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._local_may_enter = settings.on_loopback and not settings.require_token
        self._cache: dict[str, tuple[float, Principal]] = {}
        self._failures: dict[str, tuple[int, float]] = {}

    def at_once(self, request: Request) -> Principal | None:
        """The principal when it is plain without a look-up: this machine's user who shows no credential. Else None."""
        client = request.scope.get("client")
        if not self._local_may_enter or (client is not None and client[0] not in _LOOPBACK):
            return None
        for name, _ in request.scope["headers"]:
            if name in _CREDENTIALS:
                return None
        return LOCAL_USER

    async def principal(self, request: Request) -> Principal:
        """Who makes this request.

        Raises:
            Unauthenticated: a credential was presented that is not valid.
        """
        authorization = request.headers.get("authorization")
        if authorization:
            return await self._of_header(authorization)
        session = request.cookies.get(SESSION_COOKIE)
        if session:
            principal = await self._of_session(session)
            if principal is not None:
                return principal
        if self._local_may_enter and _from_this_machine(request):
            return LOCAL_USER
        return NOBODY

    def forget(self) -> None:
        """Drop what is remembered, after accounts, tokens or roles changed."""
        self._cache.clear()

    async def check_password(self, name: str, password: str, peer: str) -> Principal:
        """The principal of a name and password (or token in its place).

        Raises:
            Unauthenticated: they do not belong together.
            TooMany: too many wrong tries for this name or from this address; says how long to wait.
        """
        import asyncio  # noqa: PLC0415

        keys = (f"name:{name}", f"peer:{peer}")
        self._refuse_the_insistent(keys)
        principal = await self._db.aread(lambda tx: accounts.principal_of_token(tx, password))
        if principal is not None and principal.name == name:
            return principal
        self._refuse_the_insistent(keys)
        self._count(keys)  # before the slow check: tries sent at the same time count as well
        hashed = await self._db.aread(lambda tx: account_records.password_hash(tx, name))
        if await asyncio.to_thread(password_fits, hashed, password):
            for key in keys:
                self._failures.pop(key, None)
            return await self._db.aread(lambda tx: accounts.principal_of_password(tx, name))
        raise Unauthenticated("The name and the password do not belong together. Check both and try again.")

    async def _of_header(self, authorization: str) -> Principal:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return await self._of_token(value.strip())
        if scheme.lower() == "basic":
            try:
                _, _, token = base64.b64decode(value.strip(), validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise Unauthenticated("The Authorization header is not valid Basic authentication.") from None
            return await self._of_token(token)
        raise Unauthenticated(
            "The Authorization header must be 'Bearer <token>'. Make a token with: stile token create."
        )

    async def _of_token(self, token: str) -> Principal:
        key = hash_secret(token)
        cached = self._cached(key)
        if cached is not None:
            return cached
        principal = await self._db.aread(lambda tx: accounts.principal_of_token(tx, token))
        if principal is None:
            raise Unauthenticated(
                "The token is not valid: mistyped, expired or revoked. Make one with: stile token create."
            )
        return self._remember(key, principal)

    async def _of_session(self, secret: str) -> Principal | None:
        key = hash_secret(secret)
        cached = self._cached(key)
        if cached is not None:
            return cached
        found = await self._db.aread(lambda tx: (accounts.principal_of_session(tx, secret), tx.now_ms()))
        if found[0] is None:
            return None
        (principal, seen_at), now = found[0], found[1]
        if now - seen_at > _TOUCH_MS:
            await self._db.awrite(lambda tx: account_records.touch_session(tx, key))
        return self._remember(key, principal)

    def _cached(self, key: str) -> Principal | None:
        found = self._cache.get(key)
        return found[1] if found and found[0] > time.monotonic() else None

    def _remember(self, key: str, principal: Principal) -> Principal:
        if len(self._cache) > _MAX_CACHED:
            self._cache.clear()
        self._cache[key] = (time.monotonic() + _CACHE_S, principal)
        return principal

    def _count(self, keys: tuple[str, ...]) -> None:
        now = time.monotonic()
        if len(self._failures) > _MAX_CACHED:
            self._failures.clear()
        for key in keys:
            count, _ = self._failures.get(key, (0, 0.0))
            self._failures[key] = (count + 1, now)

    def _refuse_the_insistent(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            count, at = self._failures.get(key, (0, 0.0))
            over = count - _FREE_TRIES[key.partition(":")[0]]
            wait = at + min(2.0 ** min(over, 9), 300.0) - time.monotonic() if over >= 0 else 0.0
            if wait > 0:
                raise TooMany(
                    f"Too many wrong tries. Wait {wait:.0f} seconds and try again.", retry_after_s=round(wait)
                )


def _from_this_machine(request: Request) -> bool:
    if request.client is None:  # a Unix socket or an in-process call
        return True
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
