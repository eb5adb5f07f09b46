"""How many things wait for somebody: the number beside "Inbox" on every page."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from stile.board import inbox
from stile.edge.call import Call
from stile.edge.live import Live
from stile.kernel.permission import PrincipalKind
from stile.store import outbox
from stile.store.database import Tx

_MOST_KEPT = 1000
_counts: WeakKeyDictionary[Live, dict[tuple[object, ...], int]] = WeakKeyDictionary()
"""Counted before, by server (each has its own live updates), by person and roles, and by what had happened by then."""


def waiting_for(tx: Tx, call: Call) -> int:
    """How many entries the caller's inbox holds; counted again only after something has happened."""
    principal = call.principal
    if principal.kind is PrincipalKind.NOBODY:
        return 0
    roles = tuple(sorted((name, tuple(sorted(held))) for name, held in principal.team_roles.items()))
    key = (principal.name, roles, outbox.last_position(tx))
    known = _counts.setdefault(call.services.live, {})
    if key not in known:
        if len(known) >= _MOST_KEPT:
            known.clear()
        known[key] = len(inbox.inbox(tx, principal))
    return known[key]
