"""Use cases, members, accounts, tokens, and who one is."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.json_body import decode_json
from stile.edge.route import Route
from stile.kernel.errors import Forbidden
from stile.kernel.permission import Permission, PrincipalKind, Role
from stile.people import account_records, accounts, use_cases
from stile.people.passwords import hash_password
from stile.people.use_cases import Charter
from stile.store.database import Tx


class _NewUseCase(Charter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str


class _Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roles: list[Role]


class _NewPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    kind: PrincipalKind = PrincipalKind.PERSON
    display: str = ""
    password: str | None = None
    system_roles: list[Role] = []


class _NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    password: str


class _Disabled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    disabled: bool


class _NewLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    minutes: int = 15


class _NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    label: str = "token"
    days: int = 90


async def _create_use_case(call: Call) -> Response:
    wanted = await call.json(_NewUseCase)
    charter = Charter(**{key: value for key, value in msgspec.structs.asdict(wanted).items() if key != "name"})
    made = await call.write(lambda tx: use_cases.create(tx, name=wanted.name, charter=charter, by=call.principal.name))
    return json_response(made, 201)


async def _list_use_cases(call: Call) -> Response:
    return json_response({"use_cases": await call.read(use_cases.all_use_cases)})


async def _get_use_case(call: Call) -> Response:
    name = call.path("use_case")

    def look(tx: Tx) -> dict[str, object]:
        return msgspec.structs.asdict(use_cases.get(tx, name)) | {"members": use_cases.members(tx, name)}

    return json_response(await call.read(look))


async def _amend_use_case(call: Call) -> Response:
    name = call.path("use_case")
    changes = await call.json(dict[str, msgspec.Raw])

    def amend(tx: Tx) -> use_cases.UseCase:
        now = use_cases.get(tx, name)
        fields = {field: msgspec.Raw(msgspec.json.encode(getattr(now, field))) for field in Charter.__struct_fields__}
        charter = decode_json(msgspec.json.encode(fields | changes), Charter)
        return use_cases.amend(tx, name=name, charter=charter, by=call.principal.name)

    return json_response(await call.write(amend))


async def _set_roles(call: Call) -> Response:
    name, person = call.path("use_case"), call.path("person")
    wanted = await call.json(_Roles)
    members = await call.write(
        lambda tx: use_cases.set_roles(tx, name=name, person=person, roles=wanted.roles, by=call.principal.name)
    )
    call.services.authenticator.forget()
    return json_response({"members": members})


async def _create_person(call: Call) -> Response:
    wanted = await call.json(_NewPerson)
    hashed = await asyncio.to_thread(hash_password, wanted.password) if wanted.password is not None else None
    made = await call.write(
        lambda tx: accounts.create(
            tx,
            name=wanted.name,
            kind=wanted.kind,
            display=wanted.display,
            password_hash=hashed,
            system_roles=wanted.system_roles,
            by=call.principal.name,
        )
    )
    return json_response(made, 201)


async def _list_people(call: Call) -> Response:
    return json_response({"people": await call.read(account_records.all_accounts)})


async def _create_token(call: Call) -> Response:
    person = call.path("person")
    _own_or_admin(call, person)
    wanted = await call.json(_NewToken)
    made = await call.write(
        lambda tx: accounts.issue_token(tx, person=person, label=wanted.label, days=wanted.days, by=call.principal.name)
    )
    return json_response(made, 201)


async def _list_tokens(call: Call) -> Response:
    person = call.path("person")
    _own_or_admin(call, person)
    return json_response({"tokens": await call.read(lambda tx: accounts.tokens(tx, person))})


async def _revoke_token(call: Call) -> Response:
    person = call.path("person")
    _own_or_admin(call, person)
    id = int(call.path("id"))
    await call.write(lambda tx: accounts.revoke_token(tx, person=person, id=id))
    call.services.authenticator.forget()
    return Response(status_code=204)


async def _change_password(call: Call) -> Response:
    person = call.path("person")
    _own_or_admin(call, person)
    wanted = await call.json(_NewPassword)
    hashed = await asyncio.to_thread(hash_password, wanted.password)
    await call.write(
        lambda tx: accounts.change_password(tx, person=person, password_hash=hashed, by=call.principal.name)
    )
    call.services.authenticator.forget()
    return Response(status_code=204)


async def _set_disabled(call: Call) -> Response:
    person = call.path("person")
    wanted = await call.json(_Disabled)
    account = await call.write(
        lambda tx: accounts.set_disabled(tx, person=person, disabled=wanted.disabled, by=call.principal.name)
    )
    call.services.authenticator.forget()
    return json_response(account)


async def _create_link(call: Call) -> Response:
    person = call.path("person")
    wanted = await call.json(_NewLink)
    secret = await call.write(
        lambda tx: accounts.issue_link(tx, person=person, minutes=wanted.minutes, by=call.principal.name)
    )
    return json_response({"person": person, "url": f"{call.services.settings.url}/sign-in/{secret}"}, 201)


async def _me(call: Call) -> Response:
    return json_response(call.principal)


def _own_or_admin(call: Call, person: str) -> None:
    """One's own tokens are one's own business; other people's take an operator."""
    own = call.principal.kind is PrincipalKind.PERSON and call.principal.name == person
    if not own and not (call.principal.kind is PrincipalKind.LOCAL or Role.OPERATOR in call.principal.system_roles):
        raise Forbidden(f"Only {person} or an operator may see or make tokens of {person}.")


_U = "/api/v1/use-cases"
_P = "/api/v1/people"

ROUTES = [
    Route("POST", _U, Permission.USE_CASE_WRITE, _create_use_case, summary="Charter a use case"),
    Route("GET", _U, Permission.READ, _list_use_cases, summary="Every use case"),
    Route("GET", _U + "/{use_case}", Permission.READ, _get_use_case, summary="Charter and team"),
    Route("PATCH", _U + "/{use_case}", Permission.USE_CASE_WRITE, _amend_use_case, summary="Amend the charter"),
    Route("PUT", _U + "/{use_case}/members/{person}", Permission.USE_CASE_WRITE, _set_roles, summary="Set roles"),
    Route("POST", _P, Permission.PEOPLE_ADMIN, _create_person, summary="Make an account"),
    Route("GET", _P, Permission.READ, _list_people, summary="Every account"),
    Route(
        "PUT", _P + "/{person}/password", Permission.READ, _change_password, summary="A new password (own, or operator)"
    ),
    Route(
        "PATCH", _P + "/{person}", Permission.PEOPLE_ADMIN, _set_disabled, summary="Shut an account out, or let it in"
    ),
    Route(
        "POST", _P + "/{person}/tokens", Permission.READ, _create_token, summary="Make a token (own, or as operator)"
    ),
    Route("GET", _P + "/{person}/tokens", Permission.READ, _list_tokens, summary="Tokens (own, or as operator)"),
    Route("DELETE", _P + "/{person}/tokens/{id:int}", Permission.READ, _revoke_token, summary="Revoke a token"),
    Route("POST", _P + "/{person}/sign-in-links", Permission.PEOPLE_ADMIN, _create_link, summary="A one-time way in"),
    Route("GET", "/api/v1/me", Permission.READ, _me, summary="Who is asking, with which roles"),
]
