"""A route: method, path, the permission it takes, and what answers. There is no route without a permission."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from stile.edge.errors import error_response
from stile.kernel.errors import StileError
from stile.kernel.permission import Permission

if TYPE_CHECKING:
    from stile.edge.call import Call

Handler = Callable[["Call"], Awaitable[Response]]
ErrorRenderer = Callable[[StileError, Request], Response]


def plain_error(error: StileError, request: Request) -> Response:  # noqa: ARG001  the JSON envelope is the same for all
    """The JSON envelope, the same for all."""
    return error_response(error)


@dataclass(frozen=True, slots=True)
class Route:
    """One row of an adapter's table.

    Args:
        method: ``GET``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE`` (GET also answers HEAD).
        path: Starlette path template. A parameter named ``use_case`` scopes the permission
            check to the caller's roles in that use case.
        permission: the kind of act this is.
        handler: answers the call, after the check.
        streams: the body is read by the handler piece by piece; the JSON size limit does not apply.
        summary: one line for the API description.
        on_error: turns an error (also a denied permission) into this protocol's answer.
        relaxed: its writes may be acknowledged before their sync where the server's durability
            says so; only what is tracked about runs can be declared so.
    """

    method: str
    path: str
    permission: Permission
    handler: Handler
    streams: bool = False
    summary: str = ""
    on_error: ErrorRenderer = plain_error
    relaxed: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.permission, Permission):
            raise TypeError(f"{self.method} {self.path} declares no permission")
        if self.relaxed and self.permission is not Permission.TRACK:
            raise TypeError(f"{self.method} {self.path} is no tracking and cannot be relaxed")


def check_table(routes: Iterable[Route]) -> list[Route]:
    """The routes, after making sure that none is declared twice.

    Raises:
        ValueError: two routes share method and path.
    """
    seen: dict[tuple[str, str], Route] = {}
    for route in routes:
        key = (route.method, route.path)
        if key in seen:
            raise ValueError(f"{route.method} {route.path} is declared twice")
        seen[key] = route
    return list(seen.values())
