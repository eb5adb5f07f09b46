"""The ledger: what was governed, in order, and whether any byte of it has changed."""

from __future__ import annotations

import msgspec

from stile.edge.call import Call
from stile.store import checkpoints, ledger
from stile.store.database import Tx
from stile.web.render import Frame, Page

_PAGE = 50


class LedgerData(msgspec.Struct, frozen=True, kw_only=True):
    """The check, and one page of entries, newest first.

    Attributes:
        size, root: of the whole ledger.
        findings: what the check found wrong; empty when nothing was changed.
        checkpoint: the newest signed note, as text.
        before: the position below which the next page starts; 0 at the end.
    """

    size: int
    root: str
    findings: list[ledger.Finding]
    checkpoint: str
    entries: list[ledger.Entry]
    before: int


def _load(tx: Tx, call: Call) -> LedgerData:
    size, root = ledger.root(tx)
    before = call.query_int("before", size + 1, low=1)
    after = max(0, min(before, size + 1) - 1 - _PAGE)
    entries = ledger.entries(tx, after=after, limit=min(_PAGE, max(1, before - 1 - after)))
    return LedgerData(
        size=size,
        root=root,
        findings=ledger.verify(tx),
        checkpoint=checkpoints.latest(tx) or "",
        entries=[entry for entry in reversed(entries) if entry.position < before],
        before=after + 1 if after else 0,
    )


PAGE = Page("/ledger", "ledger.html", _load, lambda data: Frame(title="Ledger check", here="decisions"))  # noqa: ARG005

ROUTES = PAGE.routes
