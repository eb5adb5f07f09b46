"""The way in: name and password, a token in place of the password, or a one-time link."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from stile.edge.auth import SESSION_COOKIE
from stile.edge.call import Call
from stile.edge.errors import STATUS
from stile.edge.route import Route
from stile.edge.sessions import clear_session, set_session
from stile.kernel.errors import StileError
from stile.kernel.permission import Permission, Principal
from stile.people import accounts
from stile.store.database import Tx
from stile.web.forms import form
from stile.web.render import Frame, Page, error_page, frame_context, html, own_path, post, see_other


class SignInData(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking, and where to go afterwards."""

    principal: Principal
    next: str
    name: str = ""
    problem: str = ""
    link: str = ""


def _load(tx: Tx, call: Call) -> SignInData:  # noqa: ARG001  nothing is read
    return SignInData(principal=call.principal, next=own_path(call.query("next", "/")))


def _frame(data: SignInData) -> Frame:  # noqa: ARG001  the same for everybody
    return Frame(title="Sign in")


PAGE = Page("/sign-in", "sign_in.html", _load, _frame, permission=Permission.SIGN_IN)


async def _sign_in(call: Call) -> Response:
    fields = await form(call)
    name, onward = fields.get("name", ""), own_path(fields.get("next", "/"))
    peer = call.request.client.host if call.request.client else "local"
    try:
        principal = await call.services.authenticator.check_password(name, fields.get("password", ""), peer)
    except StileError as error:
        data = SignInData(principal=call.principal, next=onward, name=name, problem=error.message)
        context = frame_context(call, _frame(data), 0, 0) | {"data": data}
        return html(PAGE.template, context, call.request, status=STATUS.get(error.code, 400))
    secret = await call.write(lambda tx: accounts.open_session(tx, person=principal.name))
    response = see_other(onward)
    set_session(response, secret, call.services.settings)
    return response


async def _offer_link(call: Call) -> Response:
    """A page with a button: a link that is merely previewed is not used up."""
    data = SignInData(principal=call.principal, next="/", link=call.path("secret"))
    return html(PAGE.template, frame_context(call, _frame(data), 0, 0) | {"data": data}, call.request)


async def _use_link(call: Call) -> Response:
    _, session = await call.write(lambda tx: accounts.redeem_link(tx, call.path("secret")))
    response = see_other("/")
    set_session(response, session, call.services.settings)
    return response


async def _sign_out(call: Call) -> Response:
    secret = call.request.cookies.get(SESSION_COOKIE, "")
    if secret:
        await call.write(lambda tx: accounts.close_session(tx, secret))
        call.services.authenticator.forget()
    response = see_other("/sign-in")
    clear_session(response)
    return response


ROUTES = [
    *PAGE.routes,
    post("/sign-in", Permission.SIGN_IN, _sign_in),
    Route("GET", "/sign-in/{secret}", Permission.SIGN_IN, _offer_link, on_error=error_page),
    post("/sign-in/{secret}", Permission.SIGN_IN, _use_link),
    post("/sign-out", Permission.SIGN_IN, _sign_out),
]
