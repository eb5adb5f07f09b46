"""One call: the request, who makes it, and the services that can answer it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from stile.edge.json_body import decode_json
from stile.edge.services import Services
from stile.kernel.errors import Forbidden, Invalid, TooLarge
from stile.kernel.permission import Permission, Principal, may
from stile.store.database import Tx

T = TypeVar("T")

_LARGE = 256 << 10
_WATCH_AFTER_S = 0.2
"""Only reads that take longer are stopped when their caller hangs up: others are done before it matters."""


class Call:
    """What a handler gets.

    Attributes:
        request: the Starlette request (headers, query, cookies).
        principal: who is asking; already allowed to do this route's permission.
        services: database, blobs, settings, background work, live updates.
        relaxed: writes may be acknowledged before they are synced.
    """

    __slots__ = ("_has_body", "_is_gone", "_watcher", "principal", "relaxed", "request", "services")

    def __init__(self, request: Request, principal: Principal, services: Services, *, relaxed: bool = False) -> None:
        self.request = request
        self.principal = principal
        self.services = services
        self.relaxed = relaxed
        self._has_body = request.method in ("GET", "HEAD")  # read, or there is none
        self._is_gone = False
        self._watcher: asyncio.Task[None] | None = None

    def path(self, name: str) -> str:
        """A path parameter."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A query parameter, or the default."""
        return self.request.query_params.get(name, default)

    def query_int(self, name: str, default: int, *, low: int = 0, high: int = 2**53) -> int:
        """A whole number from the query, inside its bounds.

        Raises:
            Invalid: it is not a number, or outside.
        """
        text = self.request.query_params.get(name)
        if text is None or text == "":
            return default
        try:
            value = int(text)
        except ValueError:
            raise Invalid(f"{name} must be a whole number, not {text[:40]!r}.") from None
        if not low <= value <= high:
            raise Invalid(f"{name} must be between {low} and {high}.")
        return value

    async def body(self, limit: int | None = None) -> bytes:
        """The whole body, refused beyond the JSON limit (or ``limit``)."""
        limit = self.services.settings.max_json_bytes if limit is None else limit
        content = bytearray()
        async for chunk in self.request.stream():
            content += chunk
            if len(content) > limit:
                raise TooLarge(f"The body is larger than the limit of {limit} bytes.", limit=limit)
        self._has_body = True
        return bytes(content)

    async def json(self, kind: type[T]) -> T:
        """The body decoded into ``kind`` (a msgspec Struct or builtin type).

        Raises:
            Invalid: it is not JSON, nested too deeply, or does not fit; says which field.
        """
        body = await self.body()
        return decode_json(body, kind) if len(body) < _LARGE else await asyncio.to_thread(decode_json, body, kind)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece, for routes that stream."""
        async for chunk in self.request.stream():
            if chunk:
                yield chunk

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` on a snapshot of the store; it is stopped when the caller hangs up.

        Raises:
            TooSlow: a statement took longer than a read's may.
            ClientDisconnect: nobody waits any more.
        """
        task = asyncio.current_task()
        if task is None or not self._has_body:
            return await self.services.db.aread(work)
        timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._watch, task)
        try:
            return await self.services.db.aread(work)
        except asyncio.CancelledError:
            if not self._is_gone:
                raise
            task.uncancel()
            raise ClientDisconnect from None
        finally:
            timer.cancel()
            if self._watcher is not None:
                self._watcher.cancel()
                self._watcher = None

    def _watch(self, task: asyncio.Task[Any]) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._cancel_when_gone(task))

    async def _cancel_when_gone(self, task: asyncio.Task[Any]) -> None:
        while (await self.request.receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        task.cancel()

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in a durable transaction."""
        return await self.services.db.awrite(work, relaxed=self.relaxed)

    def require(self, permission: Permission, use_case: str, *, solo: bool = False) -> None:
        """A further check, for handlers that learn the use case only from the body or a record.

        Raises:
            Forbidden: the caller may not.
        """
        verdict = may(self.principal, permission, use_case, solo=solo)
        if not verdict.allowed:
            raise Forbidden(f"{self.principal.name} may not do this: {verdict.reason}.")


def json_response(value: Any, status: int = 200) -> Response:
    """``value`` (builtins or Structs) as a JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
