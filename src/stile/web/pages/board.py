"""The board of a use case: where every piece of work stands; cards of versions are moved by what happens to them."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from stile.board import cards
from stile.board.cards import Board, CardStory
from stile.board.columns import FACTS, IDEA
from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.permission import Permission
from stile.people import use_case_records, use_cases
from stile.store.database import Tx
from stile.web.forms import form, needed
from stile.web.pages.chain import Stop, chain
from stile.web.render import Crumb, Frame, Page, error_page, post, see_other
from stile.web.words import OWNER_OF_ROLE


class BoardData(msgspec.Struct, frozen=True, kw_only=True):
    """The board of one use case; ``board`` is None while none was chosen. ``owners``: ds, eng or both by person."""

    use_cases: list[str]
    use_case: str
    title: str
    chain: list[Stop]
    board: Board | None
    iteration: str
    owners: dict[str, str]


class CardData(msgspec.Struct, frozen=True, kw_only=True):
    """A card with everything said and done about it, and the columns it may be moved to by hand."""

    story: CardStory
    title: str
    columns: list[tuple[str, str]]
    names: dict[str, str]


def _load(tx: Tx, call: Call) -> BoardData:
    names = use_case_records.names(tx)
    wanted = call.query("use_case") or (names[0] if names else "")
    if not wanted:
        return BoardData(use_cases=names, use_case="", title="", chain=[], board=None, iteration="", owners={})
    use_case = use_cases.get(tx, wanted)
    return BoardData(
        use_cases=names,
        use_case=wanted,
        title=use_case.title or wanted,
        chain=chain(tx, wanted),
        board=cards.board(tx, wanted, iteration=call.query("iteration")),
        iteration=call.query("iteration"),
        owners=_owners(tx, wanted),
    )


def _owners(tx: Tx, use_case: str) -> dict[str, str]:
    """Whose part each member's work is, by their roles; somebody with roles on both sides is shared."""
    sides: dict[str, set[str]] = {}
    for member in use_cases.members(tx, use_case):
        sides.setdefault(member.person, set()).add(OWNER_OF_ROLE.get(str(member.role), "both"))
    return {person: next(iter(found)) if len(found) == 1 else "both" for person, found in sides.items()}


def _frame(data: BoardData) -> Frame:
    return Frame(
        title=f"Board {data.title}".strip(), here="board",
        crumbs=[Crumb("Portfolio", "/portfolio"), Crumb(data.use_case, f"/use-cases/{data.use_case}"), Crumb("Board")],
        live=f"board:{data.use_case}" if data.use_case else "people",
    )  # fmt: skip


def _extras(data: BoardData, call: Call) -> dict[str, Any]:  # noqa: ARG001  all is in the data
    free = [(c.name, c.title) for c in data.board.columns if c.name not in FACTS] if data.board else []
    return {"here": "", "free": free, "facts": FACTS}


def _load_card(tx: Tx, call: Call) -> CardData:
    story = cards.story(tx, call.path("id"))
    columns = cards.columns_of(tx, story.card.use_case)
    movable = story.card.version is None and story.card.column not in FACTS
    return CardData(
        story=story,
        title=use_cases.get(tx, story.card.use_case).title or story.card.use_case,
        columns=[(c.name, c.title) for c in columns if movable and c.name not in FACTS and c.name != story.card.column],
        names={column.name: column.title for column in columns},
    )


def _card_frame(data: CardData) -> Frame:
    card = data.story.card
    return Frame(
        title=card.title, here="board",
        crumbs=[Crumb("Board", f"/board?use_case={card.use_case}"), Crumb(f"{card.use_case} {card.number}")],
        live=f"board:{card.use_case}",
    )  # fmt: skip


async def _create(call: Call) -> Response:
    use_case, fields = call.path("use_case"), await form(call)
    title = needed(fields, "title", "A card needs a title: a few words people will recognise.")
    await call.write(
        lambda tx: cards.create(
            tx, use_case=use_case, title=title, column=fields.get("column", "") or IDEA,
            owner=fields.get("owner", ""), by=call.principal.name,
        )
    )  # fmt: skip
    return see_other(f"/board?use_case={use_case}")


async def _move(call: Call) -> Response:
    id, fields = call.path("id"), await form(call)
    card = await call.read(lambda tx: cards.get(tx, id))
    call.require(Permission.BOARD, card.use_case)
    await call.write(lambda tx: cards.change(tx, id=id, by=call.principal.name, column=fields.get("column")))
    back = fields.get("back")
    return see_other(f"/cards/{id}" if back == "card" else f"/board?use_case={card.use_case}")


async def _comment(call: Call) -> Response:
    id, fields = call.path("id"), await form(call)
    card = await call.read(lambda tx: cards.get(tx, id))
    call.require(Permission.BOARD, card.use_case)
    await call.write(lambda tx: cards.comment(tx, card=id, text=fields.get("text", ""), by=call.principal.name))
    return see_other(f"/cards/{id}")


async def _to_board(call: Call) -> Response:
    return see_other(f"/board?use_case={call.path('use_case')}")


PAGE = Page("/board", "board.html", _load, _frame, extras=_extras)
CARD = Page("/cards/{id}", "card.html", _load_card, _card_frame)

ROUTES = [
    *PAGE.routes,
    *CARD.routes,
    Route("GET", "/use-cases/{use_case}/board", Permission.READ, _to_board, on_error=error_page),
    post("/use-cases/{use_case}/cards", Permission.BOARD, _create),
    post("/cards/{id}/move", Permission.BOARD, _move),
    post("/cards/{id}/comments", Permission.BOARD, _comment),
]
