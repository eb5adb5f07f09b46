"""The session cookie: set at sign-in, cleared at sign-out, never readable by scripts."""

from __future__ import annotations

from starlette.responses import Response

from stile.edge.auth import SESSION_COOKIE
from stile.kernel.settings import Settings
from stile.people.accounts import SESSION_ENDS_MS


def set_session(response: Response, secret: str, settings: Settings) -> None:
    """Let the browser present ``secret`` from now on."""
    response.set_cookie(
        SESSION_COOKIE,
        secret,
        max_age=SESSION_ENDS_MS // 1000,
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.url.startswith("https:"),
    )


def clear_session(response: Response) -> None:
    """Make the browser forget."""
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="lax")
