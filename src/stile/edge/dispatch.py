"""The ASGI application: finds the route, who asks and whether they may, and answers errors in the route's protocol."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Message, Receive, Scope, Send

from stile.edge import streams
from stile.edge.call import Call
from stile.edge.errors import error_response
from stile.edge.guard import Guard
from stile.edge.route import ErrorRenderer, Route, check_table, plain_error
from stile.edge.services import Services
from stile.kernel.errors import Forbidden, Missing, StileError, Unauthenticated
from stile.kernel.permission import Permission, PrincipalKind, may

logger = logging.getLogger("stile")

_Params = dict[str, Any]


class RouteTable:
    """Finds routes: exact paths by look-up, the others by their first segments and then by pattern."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = check_table(routes)
        self._exact: dict[str, dict[str, Route]] = {}
        patterns: dict[str, tuple[re.Pattern[str], dict[str, Any], dict[str, Route]]] = {}
        for route in self.routes:
            if "{" not in route.path:
                self._exact.setdefault(route.path, {})[route.method] = route
                continue
            if route.path not in patterns:
                regex, _, converters = compile_path(route.path)
                patterns[route.path] = (regex, converters, {})
            patterns[route.path][2][route.method] = route
        self._buckets: dict[str, list[tuple[re.Pattern[str], dict[str, Any], dict[str, Route]]]] = {}
        for path, pattern in patterns.items():
            self._buckets.setdefault(_fixed_prefix(path), []).append(pattern)
        self._depths = sorted({prefix.count("/") for prefix in self._buckets}, reverse=True)

    def find(self, method: str, path: str) -> tuple[Route | None, _Params, list[str]]:
        """(route, path parameters, methods the path knows); the route is None when nothing fits."""
        known = self._exact.get(path)
        if known is not None:
            route = _pick(known, method)
            return route, {}, [] if route else sorted(known)
        segments = path.split("/")
        methods: list[str] = []
        for depth in self._depths:
            if depth >= len(segments):
                continue
            for regex, converters, by_method in self._buckets.get("/".join(segments[:depth]) + "/", ()):
                match = regex.fullmatch(path)
                if match is None:
                    continue
                try:
                    params = {name: converters[name].convert(value) for name, value in match.groupdict().items()}
                except ValueError:  # a number of thousands of digits names nothing
                    continue
                methods.extend(by_method)
                route = _pick(by_method, method)
                if route is not None:
                    return route, params, methods
        return None, {}, sorted(set(methods))


class Dispatcher:
    """One ASGI callable for all protocols.

    Args:
        routes: every route of the server.
        services: what handlers may use.
        on_startup, on_shutdown: called once each by the server.
        on_missing: answers for paths that no route knows.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        services: Services,
        *,
        on_startup: Callable[[], None],
        on_shutdown: Callable[[], None],
        on_missing: ErrorRenderer = plain_error,
    ) -> None:
        self.table = RouteTable(routes)
        self.services = services
        self._guard = Guard(services.settings)
        self._on_startup = on_startup
        self._on_shutdown = on_shutdown
        self._on_missing = on_missing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        route, params, known = self.table.find(method, path)
        scope["path_params"] = params
        request = Request(scope, receive)
        response = await self._respond(request, route, known)
        guard = self._guard
        started = False

        async def send_adorned(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = guard.adorned(message.get("headers", ()), path=path)
            await send(message)

        try:
            await response(scope, receive, send_adorned)
        except ClientDisconnect:
            return
        except StileError as error:
            if started:  # a stream that broke half-way can only be cut off
                logger.warning("%s %s broke off: %s", method, path, error)
                raise
            render = route.on_error if route else None
            late = render(error, request) if render else error_response(error)
            await late(scope, receive, send_adorned)
        finally:
            await streams.end(response)

    async def _respond(self, request: Request, route: Route | None, known: list[str]) -> Response:
        render = route.on_error if route is not None else plain_error
        settings = self.services.settings
        limit = settings.max_upload_bytes if route is not None and route.streams else settings.max_json_bytes
        try:
            refusal = self._guard.refusal(request.scope["method"], request.scope["headers"], limit=limit)
            if refusal is not None:
                return render(refusal, request)
            if route is None:
                return self._no_route(request, known)
            authenticator = self.services.authenticator
            principal = authenticator.at_once(request) or await authenticator.principal(request)
            use_case = request.path_params.get("use_case")
            verdict = may(principal, route.permission, use_case)
            if not verdict.allowed and not self._solo_allows(principal.kind, route.permission, use_case):
                if principal.kind is PrincipalKind.NOBODY:
                    return render(Unauthenticated("Sign in first, or send 'Authorization: Bearer <token>'."), request)
                message = f"{principal.name} may not do this: {verdict.reason}."
                return render(Forbidden(message, permission=route.permission), request)
            return await route.handler(
                Call(request, principal, self.services, relaxed=route.relaxed and settings.durability == "relaxed")
            )
        except StileError as error:
            if error.code in ("internal_error", "corrupt"):
                logger.error("%s %s: %s", request.method, request.url.path, error)
            return render(error, request)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            incident = self.services.ids.ordered("err")
            # the path as declared: what stands in a path may be a secret
            logger.exception("%s %s failed (%s)", request.method, route.path if route else "", incident)
            return render(
                StileError(
                    f"Something went wrong on our side. The server's log says more under {incident}.", id=incident
                ),
                request,
            )

    def _solo_allows(self, kind: PrincipalKind, permission: Permission, use_case: str | None) -> bool:
        """Whether the one thing denied is an approval by the local user, left to the check against the record."""
        return kind is PrincipalKind.LOCAL and permission is Permission.APPROVE and use_case is None

    def _no_route(self, request: Request, known: list[str]) -> Response:
        if known:
            neighbour = self.table.find(known[0], request.url.path)[0]
            render = neighbour.on_error if neighbour is not None else plain_error
            response = render(
                Missing(f"{request.url.path} does not know {request.method}. It knows {', '.join(known)}."), request
            )
            response.status_code = 405
            response.headers["Allow"] = ", ".join(known)
            return response
        return self._on_missing(Missing(f"There is nothing at {request.url.path}."), request)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self._on_startup()
                except StileError as error:
                    await send({"type": "lifespan.startup.failed", "message": error.message})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self._on_shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _pick(by_method: dict[str, Route], method: str) -> Route | None:
    return by_method.get("GET" if method == "HEAD" else method)


def _fixed_prefix(path: str) -> str:
    """The path up to and including the slash before its first parameter."""
    return path[: path.index("{")].rpartition("/")[0] + "/"
