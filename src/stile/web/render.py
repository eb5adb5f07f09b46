"""From data to a page: one template environment, one frame, every page also as JSON."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stile import __version__
from stile.edge.call import Call, json_response
from stile.edge.errors import STATUS, error_response
from stile.edge.route import Handler, Route
from stile.kernel.errors import StileError
from stile.kernel.permission import Permission, Principal, PrincipalKind, may
from stile.store.database import Tx
from stile.web import words
from stile.web.static import asset

THEME_COOKIE = "stile_theme"
_THEMES = ("light", "dark")
_GZIP_FROM_BYTES = 1024
_YEAR_S = 31_536_000

Load = Callable[[Tx, Call], Any]


class Crumb(msgspec.Struct, frozen=True):
    """One step of the way to a page."""

    name: str
    url: str = ""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What a page says about itself.

    Attributes:
        title: for the browser's tab.
        here: the entry of the main navigation it belongs to.
        crumbs: the way to it.
        live: topics it listens to, separated by spaces.
    """

    title: str
    here: str = ""
    crumbs: list[Crumb] = []
    live: str = ""


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates; everything written into them is escaped unless it is Markup."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters |= {
        "number": words.number,
        "signed": words.signed,
        "duration": words.duration,
        "size": words.size,
        "digest": words.digest,
        "plural": words.plural,
        "role": words.role_word,
        "short": words.short,
        "words": words.in_words,
        "stamped": words.stamped,
        "exact": words.absolute,
    }
    env.globals |= {
        "asset": asset,
        "interval": words.interval,
        "may": may,
        "owner_words": words.OWNER_WORDS,
        "owner_of_role": words.OWNER_OF_ROLE,
        "version_of_stile": __version__,
    }
    return env


def theme_of(request: Request) -> str:
    """``light``, ``dark`` or ``system``: the address decides, else what was remembered."""
    asked = request.query_params.get("theme", "")
    remembered = request.cookies.get(THEME_COOKIE, "")
    if asked in (*_THEMES, "system"):
        return asked
    return remembered if remembered in _THEMES else "system"


def html(template: str, context: dict[str, Any], request: Request, *, status: int = 200) -> Response:
    """A rendered template, compressed when the browser takes it."""
    body = environment().get_template(template).render(context).encode()
    headers = {"Vary": "Accept-Encoding, Cookie"}
    if len(body) > _GZIP_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    response = Response(body, status, headers, media_type="text/html")
    asked = request.query_params.get("theme", "")
    if asked in (*_THEMES, "system"):
        response.set_cookie(THEME_COOKIE, asked, max_age=_YEAR_S, path="/", samesite="lax")
    return response


def frame_context(call: Call, frame: Frame, now_ms: int, waiting: int) -> dict[str, Any]:
    """What the frame around every page needs."""
    path, query = call.request.url.path, call.request.url.query
    return {
        "frame": frame,
        "principal": call.principal,
        "signed_in": call.principal.kind is PrincipalKind.PERSON,
        "theme": theme_of(call.request),
        "path": path,
        "here_url": path + (f"?{query}" if query else ""),
        "json_url": ("/inbox" if path == "/" else path) + ".json" + (f"?{query}" if query else ""),
        "server_url": call.services.settings.url,
        "now": now_ms,
        "waiting": waiting,
        "when": partial(words.time_tag, now_ms=now_ms),
        "allowed": partial(_allowed, call.principal),
        "said": call.query("said"),
    }


def _allowed(principal: Principal, permission: str, use_case: str | None = None, *, solo: bool = False) -> bool:
    return may(principal, Permission(permission), use_case, solo=solo).allowed


class Page:
    """A page: how its data is read, and the template that shows it. Answers as HTML and as JSON.

    Args:
        path: of the HTML; the JSON is at the same path with ``.json``.
        template: file in ``templates``.
        load: reads the data, on a snapshot; any value made of Structs and builtins.
        frame: says title, place and topics from that data.
        extras: makes what only the HTML shows (charts, wordings) from the data.
        permission: what looking takes.
        json_path: of the JSON, where ``path`` + ``.json`` does not do.
    """

    def __init__(
        self,
        path: str,
        template: str,
        load: Load,
        frame: Callable[[Any], Frame],
        *,
        extras: Callable[[Any, Call], dict[str, Any]] | None = None,
        permission: Permission = Permission.READ,
        json_path: str = "",
    ) -> None:
        self.path = path
        self.template = template
        self.load = load
        self.frame = frame
        self.extras = extras
        self.permission = permission
        self.json_path = json_path or f"{path}.json"

    @property
    def routes(self) -> list[Route]:
        """The two addresses of the page; the JSON first, because its path is the narrower pattern."""
        return [
            Route("GET", self.json_path, self.permission, self._json),
            Route("GET", self.path, self.permission, self.show, on_error=error_page),
        ]

    async def show(self, call: Call) -> Response:
        """The page as HTML."""
        from stile.web.pages.waiting import waiting_for  # noqa: PLC0415  the inbox itself is a page

        data, now_ms, waiting = await call.read(lambda tx: (self.load(tx, call), tx.now_ms(), waiting_for(tx, call)))
        return await asyncio.to_thread(self._render, call, data, now_ms, waiting)

    def _render(self, call: Call, data: Any, now_ms: int, waiting: int) -> Response:
        context = frame_context(call, self.frame(data), now_ms, waiting)
        context |= {"data": data} | (self.extras(data, call) if self.extras else {})
        return html(self.template, context, call.request)

    async def _json(self, call: Call) -> Response:
        return json_response(await call.read(lambda tx: self.load(tx, call)))


def post(path: str, permission: Permission, handler: Handler, *, streams: bool = False) -> Route:
    """A route for a plain form: errors come back as a page."""
    return Route("POST", path, permission, handler, streams=streams, on_error=error_page)


def see_other(url: str, said: str = "") -> Response:
    """Redirect after a form was dealt with, so that reloading does not send it again."""
    if said:
        from urllib.parse import quote  # noqa: PLC0415

        url += ("&" if "?" in url else "?") + "said=" + quote(said)
    return RedirectResponse(url, 303)


def own_path(text: str, default: str = "/") -> str:
    """A path on this server, for redirects: whatever leads elsewhere becomes the default."""
    fits = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if fits else default


def error_page(error: StileError, request: Request) -> Response:
    """An error as a page for people; the way in when nobody has signed in; JSON for those who ask for it."""
    if "text/html" not in request.headers.get("accept", ""):
        return error_response(error)
    if error.code == "unauthenticated" and request.method == "GET":
        from urllib.parse import quote  # noqa: PLC0415

        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/sign-in?next={quote(request.url.path + query, safe='')}", 303)
    status = STATUS.get(error.code, 500)
    context = {
        "error": error,
        "status": status,
        "incident": error.details.get("id", ""),
        "url": error.details.get("url", ""),
        "back": own_path(_path_of(request.headers.get("referer", ""))),
        "theme": theme_of(request),
        "path": request.url.path,
    }
    return html("error.html", context, request, status=status)


def _path_of(referer: str) -> str:
    from urllib.parse import urlsplit  # noqa: PLC0415

    try:
        parts = urlsplit(referer)
    except ValueError:
        return "/"
    return parts.path + (f"?{parts.query}" if parts.query else "") or "/"
