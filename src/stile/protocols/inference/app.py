"""The gateway's ASGI application: a small table of paths, and every error in the words of its protocol."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

import stile
from stile.edge.errors import STATUS
from stile.kernel.errors import Invalid, Missing, StileError, TooLarge, Unauthenticated, Unavailable
from stile.kernel.ids import RandomIds
from stile.protocols.inference.answer import Answer
from stile.protocols.inference.engine import Engine
from stile.protocols.inference.follower import Follower
from stile.protocols.inference.invocations import decode_invocation, encode_invocation
from stile.protocols.inference.v2 import datatype_of_classes, decode_inference, encode_inference, metadata

logger = logging.getLogger("stile.gateway")

MAX_BODY_BYTES = 16 << 20
_DRAIN_BYTES = 512 << 20
_DRAIN_SECONDS = 10.0

Reply = tuple[int, bytes, list[tuple[bytes, bytes]]]
Reader = Callable[[], Awaitable[bytes]]
_JSON = (b"content-type", b"application/json")


class UnknownType(Invalid):
    """The body is of a content type that is not taken."""

    code = "unsupported_media_type"


class WrongMethod(Invalid):
    """The path does not know the method."""

    code = "method_not_allowed"


class GatewayApp:
    """One ASGI callable for one use case.

    Args:
        use_case: also the model's name in V2 paths.
        engine: answers.
        follower: knows whether the newest deployment is served.
        gauges: further numbers for `/metrics`.
        caller_token: when set, scoring needs ``Authorization: Bearer <it>``.
    """

    def __init__(
        self,
        use_case: str,
        engine: Engine,
        follower: Follower,
        *,
        gauges: Callable[[], dict[str, float]],
        caller_token: str = "",
    ) -> None:
        self._name = use_case
        self._engine = engine
        self._follower = follower
        self._gauges = gauges
        self._caller_token = caller_token.encode()
        self._ids = RandomIds()
        model = f"/v2/models/{use_case}"
        self._get: dict[str, Callable[[], Reply]] = {
            "/health": lambda: _json(200, {"status": "ok"}),
            "/ping": lambda: (200, b"\n", [_JSON]),
            "/version": lambda: (200, stile.__version__.encode(), [(b"content-type", b"text/plain; charset=utf-8")]),
            "/metrics": self._metrics,
            "/v2": lambda: _json(200, {"name": "stile", "version": stile.__version__, "extensions": []}),
            "/v2/health/live": lambda: _json(200, {"live": True}),
            "/v2/health/ready": self._ready,
            model: self._metadata,
            f"{model}/ready": self._model_ready,
        }
        self._model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        path: str = scope["path"]
        v2 = path != "/invocations"
        read_all = False

        async def read() -> bytes:
            nonlocal read_all
            body = await _body(receive)
            read_all = True
            return body

        endpoint = _endpoint(path)
        try:
            reply = await self._reply(scope, path.removesuffix("/") or "/", read, begun)
        except StileError as error:
            status = _STATUS.get(error.code, 500)
            reply = (status, *_error_body(error.code, error.message, status, v2=v2))
            if status == 405:
                reply[2].append((b"allow", str(error.details.get("allow", "")).encode()))
        except _Gone:
            return
        except Exception:
            incident = self._ids.ordered("err")
            logger.exception("%s %s failed (%s)", scope["method"], path, incident)
            reply = (500, *_error_body("internal_error", f"Something went wrong on our side ({incident}).", 500, v2=v2))
        status, body, headers = reply
        self._engine.metrics.add("stile_requests_total", endpoint=endpoint, code=str(status))
        if endpoint in ("infer", "invocations") and status == 200:
            self._engine.metrics.took(time.perf_counter() - begun)
        headers = [*headers, (b"content-length", str(len(body)).encode()), (b"x-content-type-options", b"nosniff")]
        if not read_all and scope["method"] in ("POST", "PUT", "PATCH"):
            await _drain(receive)
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _reply(self, scope: Scope, path: str, read: Reader, begun: float) -> Reply:
        method = scope["method"]
        if path == "/invocations":
            _only(method, "POST")
            return await self._invoke(scope, read, begun)
        if path.startswith("/v2/models/"):
            path = self._unversioned(path)
            if path == f"{self._model}/infer":
                _only(method, "POST")
                return await self._infer(scope, read, begun)
        plain = self._get.get(path)
        if plain is None:
            raise Missing(f"There is nothing at {path[:200]}.")
        _only(method, "GET", "HEAD")
        return plain()

    def _unversioned(self, path: str) -> str:
        """The path without model name and version checked: only the champion answers, under its own version."""
        parts = path.split("/")
        if parts[3] != self._name:
            raise Missing(f"There is no model {parts[3][:100]!r} here. This gateway serves {self._name}.")
        if len(parts) > 5 and parts[4] == "versions":
            version = self._engine.current().champion.variant.version
            if parts[5] != str(version):
                raise Missing(f"Version {parts[5][:20]} of {self._name} does not answer here; version {version} does.")
            return "/".join([*parts[:4], *parts[6:]])
        return path

    async def _infer(self, scope: Scope, read: Reader, begun: float) -> Reply:
        headers = self._admitted(scope)
        serving = self._engine.current()
        asked = decode_inference(
            await read(), serving.champion.signature, headers.get(b"x-stile-unit", b"").decode("latin-1")
        )
        answer = await self._engine.answer(serving, asked, begun)
        return 200, encode_inference(answer, model=self._name, asked=asked), [_JSON, *_identity(answer)]

    async def _invoke(self, scope: Scope, read: Reader, begun: float) -> Reply:
        headers = self._admitted(scope)
        serving = self._engine.current()
        asked = decode_invocation(
            await read(), serving.champion.signature, headers.get(b"x-stile-unit", b"").decode("latin-1")
        )
        answer = await self._engine.answer(serving, asked, begun)
        return 200, encode_invocation(answer), [_JSON, *_identity(answer)]

    def _admitted(self, scope: Scope) -> dict[bytes, bytes]:
        """The headers of a scoring request, after its token, content type and size were checked."""
        headers = dict(scope["headers"])
        if self._caller_token:
            shown = headers.get(b"authorization", b"")
            if not hmac.compare_digest(shown, b"Bearer " + self._caller_token):
                raise Unauthenticated(
                    "This gateway answers callers with its token only: 'Authorization: Bearer <token>'."
                )
        kind, _, rest = headers.get(b"content-type", b"application/json").decode("latin-1").partition(";")
        if kind.strip().lower() != "application/json":
            raise UnknownType(f"The content type {kind.strip()[:60]!r} is not taken. Send application/json.")
        charset = rest.strip().lower().removeprefix("charset=").strip('"')
        if charset and charset not in ("utf-8", "utf8"):
            raise UnknownType("Only UTF-8 is taken.")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnknownType("Compressed bodies are not taken. Send the JSON as it is.")
        if b"inference-header-content-length" in headers:
            raise UnknownType("Binary tensors are not taken. Send the tensors as JSON.")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            raise TooLarge(f"The body is larger than the limit of {MAX_BODY_BYTES} bytes.")
        return headers

    def _state(self) -> dict[str, Any]:
        serving, follower = self._engine.serving, self._follower
        state: dict[str, Any] = {"ready": serving is not None, "model": self._name}
        if serving is not None:
            state["revision"] = serving.deployment.revision
            state["variants"] = [
                {"role": one.variant.role, "version": one.variant.version, "digest": one.variant.digest}
                for one in (serving.champion, *serving.others)
            ]
        if follower.problems:
            state["problems"] = follower.problems
        if follower.source_problem:
            state["source"] = follower.source_problem
        return state

    def _ready(self) -> Reply:
        state = self._state()
        return _json(200 if state["ready"] else 503, state)

    def _model_ready(self) -> Reply:
        state = self._state()
        return _json(200 if state["ready"] else 503, {"name": self._name, **state})

    def _metadata(self) -> Reply:
        champion = self._engine.current().champion
        return _json(
            200,
            metadata(
                self._name,
                champion.variant.version,
                champion.signature,
                datatype_of_classes(champion.classes),
                champion.platform,
            ),
        )

    def _metrics(self) -> Reply:
        text = self._engine.metrics.text(self._gauges())
        return 200, text.encode(), [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]


class _Gone(Exception):
    """The caller closed the connection while it was sending."""


_STATUS = {**STATUS, UnknownType.code: 415, WrongMethod.code: 405, Unavailable.code: 503}


async def _body(receive: Receive) -> bytes:
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        content += message.get("body", b"")
        if len(content) > MAX_BODY_BYTES:
            raise TooLarge(f"The body is larger than the limit of {MAX_BODY_BYTES} bytes.")
        if not message.get("more_body"):
            return bytes(content)


async def _drain(receive: Receive) -> None:
    """Take what the caller is still sending, for a while: one who is cut off while sending never reads the answer."""
    taken = 0
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while taken < _DRAIN_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _endpoint(path: str) -> str:
    """The label a path is counted under; few, whatever callers ask for."""
    last = path.rstrip("/").rsplit("/", 1)[-1]
    return (
        last if last in ("invocations", "infer", "ready", "live", "metrics", "health", "ping", "version") else "other"
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _only(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise WrongMethod(f"{method} is not known here; use {allowed[0]}.", allow=", ".join(allowed))


def _json(status: int, value: Any) -> Reply:
    return status, msgspec.json.encode(value), [_JSON]


def _identity(answer: Answer) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-stile-prediction-id", answer.ids[0].encode()),
        (b"x-stile-model-version", str(answer.version).encode()),
        (b"x-stile-deployment-revision", str(answer.revision).encode()),
    ]


def _error_body(code: str, message: str, status: int, *, v2: bool) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    if v2:
        return msgspec.json.encode({"error": message}), [_JSON]
    words = {400: "BAD_REQUEST", 404: "RESOURCE_DOES_NOT_EXIST", 401: "UNAUTHENTICATED", 503: "TEMPORARILY_UNAVAILABLE"}
    named = words.get(status, "INTERNAL_ERROR" if status == 500 else code.upper())
    return msgspec.json.encode({"error_code": named, "message": message}), [_JSON]
