"""The inbox: what waits for this person, oldest first. The landing page of everybody."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from stile.board import inbox, inbox_records
from stile.board.inbox import InboxItem
from stile.board.inbox_records import Notification
from stile.edge.call import Call
from stile.govern import decision_records
from stile.govern.decision_values import Decision
from stile.kernel.permission import Permission, PrincipalKind
from stile.people import use_case_records
from stile.store.database import Tx
from stile.train import experiment_list
from stile.train.experiment_list import Listed
from stile.web.forms import form, needed
from stile.web.render import Frame, Page, post, see_other

_NOTIFICATIONS = 12
_RECENT = 6
_KINDS = {
    "approval": ("wait", "approval"), "decision": ("fail", "decision"), "alert": ("fail", "alert"),
    "feedback": ("unknown", "feedback"), "mention": ("unknown", "mention"), "evaluation": ("fail", "evaluation"),
}  # fmt: skip


class InboxData(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, what one was told; for a quiet day the last decision taken anywhere and where was trained lately."""

    person: str
    items: list[InboxItem]
    notifications: list[Notification]
    last: Decision | None
    use_cases: list[str]
    recent: list[Listed]


def _load(tx: Tx, call: Call) -> InboxData:
    names = use_case_records.names(tx)
    items = inbox.inbox(tx, call.principal)
    newest = [each for name in names for each in decision_records.listing(tx, name, limit=1)]
    return InboxData(
        person=call.principal.name,
        items=items,
        notifications=inbox_records.notifications(tx, call.principal.name, _NOTIFICATIONS),
        last=max(newest, key=lambda each: each.position, default=None),
        use_cases=names,
        recent=[] if items else [each for each in experiment_list.page(tx, limit=_RECENT).experiments if each.runs],
    )


def _extras(data: InboxData, call: Call) -> dict[str, Any]:
    return {"kinds": _KINDS, "local": call.principal.kind is PrincipalKind.LOCAL, "new": _unseen(data)}


def _unseen(data: InboxData) -> int:
    return sum(each.seen_at is None for each in data.notifications)


async def _done(call: Call) -> Response:
    fields = await form(call)
    item = needed(fields, "item", "Say which entry is dealt with.")
    await call.write(lambda tx: inbox.mark(tx, call.principal, item=item, done=True))
    return see_other("/")


async def _seen(call: Call) -> Response:
    await form(call)
    await call.write(lambda tx: inbox_records.mark_seen(tx, call.principal.name))
    return see_other("/")


PAGE = Page(
    "/",
    "inbox.html",
    _load,
    lambda data: Frame(title="Inbox", here="inbox", live="inbox board"),  # noqa: ARG005
    extras=_extras,
    json_path="/inbox.json",
)

ROUTES = [
    *PAGE.routes,
    post("/inbox/done", Permission.READ, _done),
    post("/inbox/seen", Permission.READ, _seen),
]
