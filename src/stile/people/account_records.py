"""SQL of accounts, tokens and sessions."""

from __future__ import annotations

import msgspec

from stile.kernel.permission import PrincipalKind, Role
from stile.store.database import Row, Tx


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a service that can sign in. ``name`` is what records say who did something."""

    name: str
    kind: PrincipalKind
    display: str
    system_roles: list[Role]
    created_at: int
    created_by: str
    disabled: bool


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token after it was shown once."""

    id: int
    label: str
    last4: str
    created_at: int
    expires_at: int
    revoked: bool


_COLUMNS = "name, kind, display, system_roles, created_at, created_by, disabled_at"
_OF_ACCOUNT = ", ".join(f"a.{column}" for column in _COLUMNS.split(", "))


def insert(
    tx: Tx, *, name: str, kind: str, display: str, password_hash: str | None, roles: list[Role], by: str
) -> None:
    """Add an account; the name must be free. A first password is from whoever makes the account."""
    tx.run(
        "INSERT INTO accounts (name, kind, display, password_hash, system_roles, created_at, created_by, password_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (name, kind, display, password_hash, ",".join(roles), tx.now_ms(), by, by if by != name else ""),
    )


def find(tx: Tx, name: str) -> Account | None:
    """The account called ``name``, or None."""
    row = tx.one(f"SELECT {_COLUMNS} FROM accounts WHERE name = ?", (name,))
    return _account(row) if row else None


def all_accounts(tx: Tx) -> list[Account]:
    """Every account by name."""
    return [_account(row) for row in tx.all(f"SELECT {_COLUMNS} FROM accounts ORDER BY name")]


def password_hash(tx: Tx, name: str) -> str | None:
    """The stored hash of an enabled account, or None."""
    hashed: str | None = tx.scalar("SELECT password_hash FROM accounts WHERE name = ? AND disabled_at IS NULL", (name,))
    return hashed


def set_password(tx: Tx, name: str, hashed: str, *, by: str) -> None:
    """Replace the password and end every session of the account; ``by`` is who else did it."""
    tx.run("UPDATE accounts SET password_hash = ?, password_by = ? WHERE name = ?", (hashed, by, name))
    end_sessions(tx, name)


def set_disabled(tx: Tx, name: str, *, disabled: bool) -> None:
    """Disable or enable an account; disabling ends its sessions."""
    tx.run("UPDATE accounts SET disabled_at = ? WHERE name = ?", (tx.now_ms() if disabled else None, name))
    if disabled:
        end_sessions(tx, name)


def end_sessions(tx: Tx, name: str) -> None:
    """Sign the account out everywhere."""
    tx.run("DELETE FROM sessions WHERE account_id = (SELECT id FROM accounts WHERE name = ?)", (name,))


def insert_token(tx: Tx, *, name: str, hashed: str, label: str, last4: str, expires_at: int, by: str) -> int:
    """Add a token of the account; returns its number."""
    return int(
        tx.scalar(
            "INSERT INTO tokens (account_id, hash, label, last4, created_at, expires_at, issued_by) "
            "VALUES ((SELECT id FROM accounts WHERE name = ?), ?, ?, ?, ?, ?, ?) RETURNING id",
            (name, hashed, label, last4, tx.now_ms(), expires_at, by),
        )
    )


def tokens_of(tx: Tx, name: str) -> list[Token]:
    """Every token of the account, newest first."""
    rows = tx.all(
        "SELECT t.id, t.label, t.last4, t.created_at, t.expires_at, t.revoked_at FROM tokens t "
        "JOIN accounts a ON a.id = t.account_id WHERE a.name = ? ORDER BY t.id DESC",
        (name,),
    )
    return [
        Token(id=i, label=label, last4=last4, created_at=at, expires_at=ends, revoked=revoked is not None)
        for i, label, last4, at, ends, revoked in rows
    ]


def revoke_token(tx: Tx, name: str, id: int) -> bool:
    """Revoke one token of the account; False when it has no such live token."""
    return bool(
        tx.run(
            "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL "
            "AND account_id = (SELECT id FROM accounts WHERE name = ?)",
            (tx.now_ms(), id, name),
        )
    )


def account_of_token(tx: Tx, hashed: str) -> tuple[Account, str] | None:
    """(whose live token this is, who else made it)."""
    row = tx.one(
        f"SELECT {_OF_ACCOUNT}, t.issued_by FROM tokens t JOIN accounts a ON a.id = t.account_id "
        "WHERE t.hash = ? AND t.revoked_at IS NULL AND t.expires_at > ? AND a.disabled_at IS NULL",
        (hashed, tx.now_ms()),
    )
    return (_account(row[:-1]), row[-1]) if row else None


def insert_link(tx: Tx, *, name: str, hashed: str, ends_at: int, by: str) -> None:
    """Add a one-time way in for the account."""
    tx.run(
        "INSERT INTO sign_in_links (hash, account_id, ends_at, issued_by) "
        "VALUES (?, (SELECT id FROM accounts WHERE name = ?), ?, ?)",
        (hashed, name, ends_at, by),
    )


def use_link(tx: Tx, hashed: str) -> tuple[str, str] | None:
    """Mark a link as used; (whose it is, who else made it), or None when it is unknown, used or over."""
    used = tx.run(
        "UPDATE sign_in_links SET used_at = ? WHERE hash = ? AND used_at IS NULL AND ends_at > ?",
        (tx.now_ms(), hashed, tx.now_ms()),
    )
    if not used:
        return None
    row = tx.one(
        "SELECT a.name, l.issued_by FROM sign_in_links l JOIN accounts a ON a.id = l.account_id "
        "WHERE l.hash = ? AND a.disabled_at IS NULL",
        (hashed,),
    )
    return (row[0], row[1]) if row else None


def insert_session(tx: Tx, *, name: str, hashed: str, ends_at: int, by: str) -> None:
    """Open a session."""
    tx.run(
        "INSERT INTO sessions (hash, account_id, created_at, seen_at, ends_at, credential_by) "
        "VALUES (?, (SELECT id FROM accounts WHERE name = ?), ?, ?, ?, ?)",
        (hashed, name, tx.now_ms(), tx.now_ms(), ends_at, by),
    )


def password_by(tx: Tx, name: str) -> str:
    """Who else gave the account its password; '' when its owner did."""
    return str(tx.scalar("SELECT password_by FROM accounts WHERE name = ?", (name,)) or "")


def account_of_session(tx: Tx, hashed: str, idle_ms: int) -> tuple[Account, str, int] | None:
    """(whose session, who else handed out the way in, when last seen); None when it is over or idle for too long."""
    row = tx.one(
        f"SELECT {_OF_ACCOUNT}, s.credential_by, s.seen_at FROM sessions s "
        "JOIN accounts a ON a.id = s.account_id "
        "WHERE s.hash = ? AND s.ends_at > ? AND s.seen_at > ? AND a.disabled_at IS NULL",
        (hashed, tx.now_ms(), tx.now_ms() - idle_ms),
    )
    return (_account(row[:-2]), row[-2], int(row[-1])) if row else None


def touch_session(tx: Tx, hashed: str) -> None:
    """Remember that the session was used."""
    tx.run("UPDATE sessions SET seen_at = ? WHERE hash = ?", (tx.now_ms(), hashed))


def delete_session(tx: Tx, hashed: str) -> None:
    """End one session."""
    tx.run("DELETE FROM sessions WHERE hash = ?", (hashed,))


def _account(row: Row) -> Account:
    name, kind, display, roles, at, by, disabled = row
    return Account(
        name=name,
        kind=PrincipalKind(kind),
        display=display,
        system_roles=[Role(role) for role in roles.split(",") if role],
        created_at=at,
        created_by=by,
        disabled=disabled is not None,
    )
