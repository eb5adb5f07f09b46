"""The board of a use case, its cards and iterations, and the inbox of a person."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from stile.board import cards, inbox, inbox_records
from stile.board.columns import IDEA, Column
from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.kernel.permission import Permission
from stile.store.database import Tx


class _NewCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    body: str = ""
    column: str = IDEA
    owner: str = ""
    iteration: str = ""


class _CardChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str | None = None
    body: str | None = None
    column: str | None = None
    owner: str | None = None
    iteration: str | None = None


class _NewComment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str


class _Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    columns: list[Column]


class _NewIteration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    starts_at: int
    ends_at: int
    goal: str = ""


class _Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    item: str
    done: bool = True


async def _board(call: Call) -> Response:
    use_case, iteration = call.path("use_case"), call.query("iteration")
    board = await call.read(lambda tx: cards.board(tx, use_case, iteration=iteration))
    columns: list[dict[str, Any]] = [
        {"name": c.name, "title": c.title, "wip_limit": c.wip_limit, "over": c.over, "count": len(c.cards)}
        for c in board.columns
    ]
    return json_response(
        {
            "use_case": use_case,
            "columns": columns,
            "cards": [card for column in board.columns for card in column.cards],
            "iterations": board.iterations,
            "comments": board.comments,
        }
    )


async def _create(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_NewCard)
    fields = msgspec.structs.asdict(wanted)
    made = await call.write(lambda tx: cards.create(tx, use_case=use_case, by=call.principal.name, **fields))
    return json_response(made, 201)


async def _set_columns(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_Columns)
    columns = await call.write(
        lambda tx: cards.set_columns(tx, use_case=use_case, columns=wanted.columns, by=call.principal.name)
    )
    return json_response({"columns": columns})


async def _card(call: Call) -> Response:
    id = call.path("id")
    return json_response(await call.read(lambda tx: cards.story(tx, id)))


async def _change(call: Call) -> Response:
    id, wanted = call.path("id"), await call.json(_CardChanges)
    await _require_board(call, id)
    fields = msgspec.structs.asdict(wanted)
    return json_response(await call.write(lambda tx: cards.change(tx, id=id, by=call.principal.name, **fields)))


async def _comment(call: Call) -> Response:
    id, wanted = call.path("id"), await call.json(_NewComment)
    await _require_board(call, id)
    made = await call.write(lambda tx: cards.comment(tx, card=id, text=wanted.text, by=call.principal.name))
    return json_response(made, 201)


async def _iterations(call: Call) -> Response:
    use_case = call.path("use_case")
    return json_response({"iterations": await call.read(lambda tx: cards.iterations(tx, use_case))})


async def _plan_iteration(call: Call) -> Response:
    use_case, wanted = call.path("use_case"), await call.json(_NewIteration)
    fields = msgspec.structs.asdict(wanted)
    made = await call.write(lambda tx: cards.plan_iteration(tx, use_case=use_case, by=call.principal.name, **fields))
    return json_response(made, 201)


async def _inbox(call: Call) -> Response:
    def look(tx: Tx) -> dict[str, Any]:
        return {
            "inbox": inbox.inbox(tx, call.principal, with_done=call.query("done") == "1"),
            "notifications": inbox_records.notifications(tx, call.principal.name),
        }

    return json_response(await call.read(look))


async def _mark(call: Call) -> Response:
    wanted = await call.json(_Done)
    await call.write(lambda tx: inbox.mark(tx, call.principal, item=wanted.item, done=wanted.done))
    return Response(status_code=204)


async def _seen(call: Call) -> Response:
    seen = await call.write(lambda tx: inbox_records.mark_seen(tx, call.principal.name))
    return json_response({"seen": seen})


async def _require_board(call: Call, id: str) -> None:
    """A card's use case is known only from its record; the right is checked there."""
    card = await call.read(lambda tx: cards.get(tx, id))
    call.require(Permission.BOARD, card.use_case)


_U = "/api/v1/use-cases/{use_case}"

ROUTES = [
    Route("GET", _U + "/cards", Permission.READ, _board, summary="The board: columns and cards"),
    Route("POST", _U + "/cards", Permission.BOARD, _create, summary="Make a card"),
    Route("PUT", _U + "/columns", Permission.BOARD, _set_columns, summary="Titles, order and limits of the columns"),
    Route("GET", "/api/v1/cards/{id}", Permission.READ, _card, summary="A card, its comments and moves"),
    Route("PATCH", "/api/v1/cards/{id}", Permission.READ, _change, summary="Change or move a card"),
    Route("POST", "/api/v1/cards/{id}/comments", Permission.READ, _comment, summary="Write below a card"),
    Route("GET", _U + "/iterations", Permission.READ, _iterations, summary="Iterations, newest first"),
    Route("POST", _U + "/iterations", Permission.BOARD, _plan_iteration, summary="Plan an iteration"),
    Route("GET", "/api/v1/inbox", Permission.READ, _inbox, summary="What waits for the caller, oldest first"),
    Route("POST", "/api/v1/inbox/done", Permission.READ, _mark, summary="Mark an item as dealt with, or open again"),
    Route("POST", "/api/v1/inbox/seen", Permission.READ, _seen, summary="Mark all notifications as seen"),
]
