"""How many things wait for somebody: the number beside "Inbox" on every page."""

from __future__ import annotations

from stile.kernel.permission import Principal
from stile.store.database import Tx


def waiting_for(tx: Tx, principal: Principal) -> int:
    """How many entries the inbox of ``principal`` holds."""
    return 0
