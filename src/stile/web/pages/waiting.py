"""How many things wait for somebody: the number beside "Inbox" on every page."""

from __future__ import annotations

from stile.board import inbox
from stile.kernel.permission import Principal, PrincipalKind
from stile.store.database import Tx


def waiting_for(tx: Tx, principal: Principal) -> int:
    """How many entries the inbox of ``principal`` holds; nobody has none."""
    if principal.kind is PrincipalKind.NOBODY:
        return 0
    return len(inbox.inbox(tx, principal))
