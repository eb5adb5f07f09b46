"""Accounts: making them, their tokens and sessions, and who a credential stands for."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

import msgspec

from stile.kernel.errors import Exists, Forbidden, Invalid, Missing, Unauthenticated
from stile.kernel.permission import LOCAL_USER, NOBODY, Principal, PrincipalKind, Role
from stile.people import account_records, use_case_records
from stile.people.account_records import Account, Token
from stile.people.tokens import hash_secret, new_token, well_formed
from stile.store import ledger
from stile.store.database import Tx

NAME = re.compile(r"[a-z][a-z0-9._-]{1,63}")
_RESERVED = frozenset({LOCAL_USER.name, NOBODY.name, "stile", "system"})
_DAY_MS = 86_400_000
SESSION_ENDS_MS = 7 * _DAY_MS
SESSION_IDLE_MS = _DAY_MS // 2
MAX_TOKEN_DAYS = 366
MAX_LINK_MINUTES = 24 * 60


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token at the one moment its text is known."""

    id: int
    token: str
    person: str
    label: str
    expires_at: int


def create(
    tx: Tx,
    *,
    name: str,
    kind: PrincipalKind = PrincipalKind.PERSON,
    display: str = "",
    password_hash: str | None = None,
    system_roles: Iterable[Role] = (),
    by: str,
) -> Account:
    """Make an account.

    Raises:
        Invalid: the name is not lower-case letters, digits, ``.``, ``_`` and ``-``, is reserved, or a role
            is not one of the whole installation.
        Exists: the name is taken.
    """
    if not NAME.fullmatch(name) or name in _RESERVED:
        raise Invalid(
            f"{name!r} cannot be an account name. Use 2 to 64 lower-case letters, digits, '.', '_' or '-', "
            "beginning with a letter."
        )
    if kind not in (PrincipalKind.PERSON, PrincipalKind.SERVICE):
        raise Invalid("An account is for a person or for a service.")
    roles = list(system_roles)
    for role in roles:
        if role not in (Role.OPERATOR, Role.AUDITOR):
            raise Invalid(f"{role} is a role in a use case. Give it there: stile member add USE_CASE {name} {role}.")
    if account_records.find(tx, name):
        raise Exists(f"There is already an account called {name}.")
    account_records.insert(
        tx, name=name, kind=kind, display=display or name, password_hash=password_hash, roles=roles, by=by
    )
    ledger.append(
        tx, kind="account_created", use_case="", subject=name,
        body={"account": name, "kind": kind, "system_roles": roles, "by": by},
    )  # fmt: skip
    return get(tx, name)


def get(tx: Tx, name: str) -> Account:
    """The account called ``name``.

    Raises:
        Missing: there is none.
    """
    account = account_records.find(tx, name)
    if account is None:
        raise Missing(f"There is no account called {name!r}. Make one with: stile user add {name}.")
    return account


def issue_token(tx: Tx, *, person: str, label: str, days: int = 90, by: str = "") -> NewToken:
    """Make a token of an account; its text is in the answer and nowhere else.

    A token made by somebody else is written into the ledger: its maker could act as the account.

    Raises:
        Missing: no such account.
        Invalid: ``days`` is not in 1..366.
    """
    if not 1 <= days <= MAX_TOKEN_DAYS:
        raise Invalid(f"A token lives between 1 and {MAX_TOKEN_DAYS} days.")
    account = get(tx, person)
    token = new_token(account.kind)
    expires_at = tx.now_ms() + days * _DAY_MS
    id = account_records.insert_token(
        tx, name=person, hashed=hash_secret(token), label=label[:100], last4=token[-4:], expires_at=expires_at,
        by=_other(person, by),
    )  # fmt: skip
    _note_foreign(tx, "token_issued", person, by, label=label[:100], expires_at=expires_at)
    return NewToken(id=id, token=token, person=person, label=label[:100], expires_at=expires_at)


def tokens(tx: Tx, person: str) -> list[Token]:
    """The tokens of an account, without their texts."""
    get(tx, person)
    return account_records.tokens_of(tx, person)


def revoke_token(tx: Tx, *, person: str, id: int) -> None:
    """End a token at once.

    Raises:
        Missing: the account has no live token with this number.
    """
    if not account_records.revoke_token(tx, person, id):
        raise Missing(f"{person} has no live token number {id}.")


def issue_link(tx: Tx, *, person: str, minutes: int = 15, by: str = "") -> str:
    """Make a one-time way in for an account; returns the secret that goes into the link.

    Written into the ledger when somebody else made it.

    Raises:
        Missing: no such account.
        Invalid: ``minutes`` is not in 1..1440.
    """
    if not 1 <= minutes <= MAX_LINK_MINUTES:
        raise Invalid(f"A sign-in link lives between 1 and {MAX_LINK_MINUTES} minutes.")
    get(tx, person)
    secret = secrets.token_urlsafe(32)
    ends_at = tx.now_ms() + minutes * 60_000
    account_records.insert_link(tx, name=person, hashed=hash_secret(secret), ends_at=ends_at, by=_other(person, by))
    _note_foreign(tx, "sign_in_link_issued", person, by, expires_at=ends_at)
    return secret


def redeem_link(tx: Tx, secret: str) -> tuple[str, str]:
    """Use a one-time link: (account name, session secret).

    Raises:
        Unauthenticated: the link is unknown, was used, or is over.
    """
    found = account_records.use_link(tx, hash_secret(secret))
    if found is None:
        raise Unauthenticated("This sign-in link was used already or is over. Ask for a new one: stile user link NAME.")
    person, by = found
    return person, _session(tx, person, by)


def change_password(tx: Tx, *, person: str, password_hash: str, by: str) -> None:
    """Give an account a new password; every session of it ends.

    Raises:
        Missing: no such account.
        Invalid: services have no passwords.
    """
    if get(tx, person).kind is not PrincipalKind.PERSON:
        raise Invalid(f"{person} is a service account: it signs in with tokens only.")
    account_records.set_password(tx, person, password_hash, by=_other(person, by))
    ledger.append(tx, kind="password_changed", use_case="", subject=person, body={"account": person, "by": by})


def set_disabled(tx: Tx, *, person: str, disabled: bool, by: str) -> Account:
    """Shut an account out (its sessions end, its tokens stop working), or let it in again.

    Raises:
        Missing: no such account.
    """
    if get(tx, person).disabled != disabled:
        account_records.set_disabled(tx, person, disabled=disabled)
        kind = "account_disabled" if disabled else "account_enabled"
        ledger.append(tx, kind=kind, use_case="", subject=person, body={"account": person, "by": by})
    return get(tx, person)


def open_session(tx: Tx, *, person: str) -> str:
    """Sign an account in that gave its password; returns the secret for the cookie.

    Raises:
        Missing: no such account.
        Forbidden: it is a service's; those present their token with every request.
    """
    return _session(tx, person, account_records.password_by(tx, person))


def _session(tx: Tx, person: str, by: str) -> str:
    if get(tx, person).kind is PrincipalKind.SERVICE:
        raise Forbidden(f"{person} is a service account. It has no pages; use its token with the API.")
    secret = secrets.token_urlsafe(32)
    ends_at = tx.now_ms() + SESSION_ENDS_MS
    account_records.insert_session(tx, name=person, hashed=hash_secret(secret), ends_at=ends_at, by=by)
    return secret


def close_session(tx: Tx, secret: str) -> None:
    """Sign out; a session that is already over is fine."""
    account_records.delete_session(tx, hash_secret(secret))


def principal_of_token(tx: Tx, token: str) -> Principal | None:
    """Who a token stands for; None when it is malformed, unknown, expired or revoked."""
    if not well_formed(token):
        return None
    found = account_records.account_of_token(tx, hash_secret(token))
    return principal_of(tx, *found) if found else None


def principal_of_password(tx: Tx, name: str) -> Principal:
    """Who has just given the password of the account ``name``.

    Raises:
        Missing: no such account.
    """
    return principal_of(tx, get(tx, name), account_records.password_by(tx, name))


def principal_of_session(tx: Tx, secret: str) -> tuple[Principal, int] | None:
    """(who a session stands for, when it was last seen); None when it is over."""
    found = account_records.account_of_session(tx, hash_secret(secret), SESSION_IDLE_MS)
    return (principal_of(tx, found[0], found[1]), found[2]) if found else None


def principal_of(tx: Tx, account: Account, credential_by: str = "") -> Principal:
    """The account with the roles it holds, and who else handed out the credential it came with."""
    return Principal(
        name=account.name,
        kind=account.kind,
        system_roles=frozenset(account.system_roles),
        team_roles=use_case_records.roles_by_use_case(tx, account.name),
        credential_by=credential_by,
    )


def _other(person: str, by: str) -> str:
    """``by`` when that is somebody else than ``person``."""
    return by if by != person else ""


def _note_foreign(tx: Tx, kind: str, person: str, by: str, **facts: str | int) -> None:
    """A ledger entry when somebody was given the means to act as somebody else."""
    if by and by != person:
        ledger.append(tx, kind=kind, use_case="", subject=person, body={"account": person, "by": by, **facts})
