"""Cards: made by people, moved by what happens to the version they stand for."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.board import card_records, comment_records, iteration_records
from stile.board.card_records import Card, Move
from stile.board.columns import DEFAULT_COLUMNS, FACTS, IDEA, Column, check_columns, check_move
from stile.board.comment_records import Comment
from stile.board.events import CardChanged, CardMoved, ColumnsChanged, CommentAdded, IterationAdded
from stile.board.iteration_records import Iteration
from stile.board.mention import mentioned
from stile.kernel.errors import Guarded, Invalid, Missing
from stile.people import use_cases
from stile.store.database import Tx

_TITLE_LIMIT = 200
_TEXT_LIMIT = 20_000


class ColumnView(msgspec.Struct, frozen=True, kw_only=True):
    """A column with its cards, as a board shows it.

    Attributes:
        over: more cards are here than the limit allows (events do not stop at it).
    """

    name: str
    title: str
    wip_limit: int | None
    over: bool
    cards: list[Card]


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the board of one use case; ``comments`` counts them by card id."""

    use_case: str
    columns: list[ColumnView]
    iterations: list[Iteration]
    comments: dict[str, int]


class CardStory(msgspec.Struct, frozen=True, kw_only=True):
    """A card with everything that was said and done about it."""

    card: Card
    comments: list[Comment]
    moves: list[Move]


def columns_of(tx: Tx, use_case: str) -> list[Column]:
    """The columns of a board: as the team set them, else the usual ones."""
    return card_records.columns(tx, use_case) or list(DEFAULT_COLUMNS)


def set_columns(tx: Tx, *, use_case: str, columns: list[Column], by: str) -> list[Column]:
    """Give a board its titles, order and limits.

    Raises:
        Invalid: a column that events need is missing, or a limit makes no sense.
    """
    use_cases.get(tx, use_case)
    check_columns(columns)
    known = {column.name for column in columns}
    stranded = [c for c in card_records.of_use_case(tx, use_case) if c.column not in known]
    if stranded:
        raise Invalid(f"Cards are still in {stranded[0].column!r}. Move them before the column goes.")
    card_records.set_columns(tx, use_case, columns)
    tx.emit(ColumnsChanged(use_case=use_case, by=by))
    return columns


def board(tx: Tx, use_case: str, *, iteration: str = "") -> Board:
    """The whole board; with ``iteration`` only the cards planned for it.

    Raises:
        Missing: no such use case.
    """
    use_cases.get(tx, use_case)
    cards = card_records.of_use_case(tx, use_case, iteration)
    views = []
    for column in columns_of(tx, use_case):
        here = [card for card in cards if card.column == column.name]
        over = column.wip_limit is not None and len(here) > column.wip_limit
        views.append(
            ColumnView(name=column.name, title=column.title, wip_limit=column.wip_limit, over=over, cards=here)
        )
    return Board(
        use_case=use_case,
        columns=views,
        iterations=iteration_records.of_use_case(tx, use_case),
        comments=comment_records.counts(tx, use_case),
    )


def story(tx: Tx, id: str) -> CardStory:
    """A card with its comments and moves.

    Raises:
        Missing: no such card.
    """
    card = get(tx, id)
    return CardStory(card=card, comments=comment_records.of_card(tx, id), moves=card_records.moves(tx, id))


def get(tx: Tx, id: str) -> Card:
    """A card by id.

    Raises:
        Missing: there is none.
    """
    card = card_records.find(tx, id)
    if card is None:
        raise Missing(f"There is no card {id!r}.")
    return card


def create(
    tx: Tx,
    *,
    use_case: str,
    title: str,
    by: str,
    body: str = "",
    column: str = IDEA,
    owner: str = "",
    iteration: str = "",
) -> Card:
    """Make a card by hand.

    Raises:
        Invalid: no title, no such column or iteration.
        Guarded: the column states a fact about a version.
        Conflict: the column is full.
    """
    use_cases.get(tx, use_case)
    check_move(
        columns_of(tx, use_case), column, has_version=False,
        cards_there=len(card_records.in_column(tx, use_case, column)),
    )  # fmt: skip
    _check_words(title, body)
    _check_iteration(tx, use_case, iteration)
    return add(
        tx, use_case=use_case, title=title.strip(), body=body, column=column, owner=owner, iteration=iteration, by=by
    )


def add(tx: Tx, *, use_case: str, title: str, column: str, by: str, because: str = "", **fields: Any) -> Card:
    """Put a new card on the board without asking whether a person may; ``fields`` are fields of ``Card``."""
    now = tx.now_ms()
    card = Card(
        id=tx.new_id("crd"), use_case=use_case, number=card_records.next_number(tx, use_case), title=title,
        column=column, created_at=now, created_by=by, moved_at=now, changed_at=now, **{"body": "", **fields},
    )  # fmt: skip
    card_records.insert(tx, card)
    card_records.add_move(tx, card.id, by=by, from_column="", to_column=column, because=because or "made")
    tx.emit(CardChanged(use_case=use_case, card=card.id, by=by))
    return card


def change(
    tx: Tx, *, id: str, by: str, title: str | None = None, body: str | None = None, column: str | None = None,
    owner: str | None = None, iteration: str | None = None,
) -> Card:  # fmt: skip
    """Change a card by hand; what is None stays.

    Raises:
        Missing: no such card.
        Guarded: the card stands for a version and only events move it, or the column is for versions.
        Conflict: the column is full.
        Invalid: an empty title, no such column or iteration.
    """
    card = get(tx, id)
    changes: dict[str, Any] = {
        name: value
        for name, value in (("title", title), ("body", body), ("owner", owner), ("iteration", iteration))
        if value is not None
    }
    if changes:
        _check_words(changes.get("title", card.title), changes.get("body", card.body))
        if iteration is not None:
            _check_iteration(tx, card.use_case, iteration)
        card = edit(tx, card, by=by, **changes)
    if column is not None and column != card.column:
        check_move(
            columns_of(tx, card.use_case), column, has_version=card.version is not None,
            cards_there=len(card_records.in_column(tx, card.use_case, column)),
        )  # fmt: skip
        if card.column in FACTS:
            raise Guarded("This card is where its version stands; only decisions and deployments move it.")
        card = move(tx, card, to=column, by=by, because="moved by hand")
    return card


def edit(tx: Tx, card: Card, *, by: str, **fields: Any) -> Card:
    """Write ``fields`` of a card."""
    changed = msgspec.structs.replace(card, changed_at=tx.now_ms(), **fields)
    card_records.update(tx, changed)
    tx.emit(CardChanged(use_case=card.use_case, card=card.id, by=by))
    return changed


def move(tx: Tx, card: Card, *, to: str, by: str, because: str, **fields: Any) -> Card:
    """Move a card (and write ``fields``) without asking whether a person may; staying where it is counts as an edit."""
    if card.column == to:
        return edit(tx, card, by=by, **fields) if fields else card
    now = tx.now_ms()
    moved = msgspec.structs.replace(card, column=to, moved_at=now, changed_at=now, **fields)
    card_records.update(tx, moved)
    card_records.add_move(tx, card.id, by=by, from_column=card.column, to_column=to, because=because)
    tx.emit(CardMoved(use_case=card.use_case, card=card.id, from_column=card.column, to_column=to, by=by))
    return moved


def comment(tx: Tx, *, card: str, text: str, by: str) -> Comment:
    """Write below a card; team members addressed as ``@name`` find it in their inbox.

    Raises:
        Missing: no such card.
        Invalid: nothing was written, or far too much.
    """
    found = get(tx, card)
    if not text.strip():
        raise Invalid("The comment is empty. Write something.")
    if len(text) > _TEXT_LIMIT:
        raise Invalid(f"The comment is longer than {_TEXT_LIMIT} characters. Shorten it or attach a document.")
    written = Comment(id=tx.new_id("cmt"), card=card, at=tx.now_ms(), by=by, text=text.strip())
    comment_records.insert(tx, written)
    team = {member.person for member in use_cases.members(tx, found.use_case)}
    addressed = [person for person in mentioned(text, team) if person != by]
    for person in addressed:
        comment_records.add_mention(tx, comment=written.id, person=person, card=card, use_case=found.use_case)
    tx.emit(CommentAdded(use_case=found.use_case, card=card, comment=written.id, by=by, mentions=addressed))
    return written


def plan_iteration(
    tx: Tx, *, use_case: str, title: str, starts_at: int, ends_at: int, by: str, goal: str = ""
) -> Iteration:
    """Plan an iteration.

    Raises:
        Invalid: no title, or it ends before it begins.
    """
    use_cases.get(tx, use_case)
    _check_words(title, goal)
    if ends_at <= starts_at:
        raise Invalid("An iteration must end after it begins. Check its two dates.")
    iteration = Iteration(
        id=tx.new_id("itr"), use_case=use_case, title=title.strip(), goal=goal, starts_at=starts_at, ends_at=ends_at,
        created_at=tx.now_ms(), created_by=by,
    )  # fmt: skip
    iteration_records.insert(tx, iteration)
    tx.emit(IterationAdded(use_case=use_case, iteration=iteration.id, by=by))
    return iteration


def iterations(tx: Tx, use_case: str) -> list[Iteration]:
    """The iterations of a use case, newest first."""
    use_cases.get(tx, use_case)
    return iteration_records.of_use_case(tx, use_case)


def _check_words(title: str, body: str) -> None:
    if not title.strip():
        raise Invalid("A title is needed: a few words people will recognise.")
    if len(title) > _TITLE_LIMIT:
        raise Invalid(f"The title is longer than {_TITLE_LIMIT} characters. Put the rest into the text below it.")
    if len(body) > _TEXT_LIMIT:
        raise Invalid(f"The text is longer than {_TEXT_LIMIT} characters. Shorten it or attach a document.")


def _check_iteration(tx: Tx, use_case: str, iteration: str) -> None:
    if not iteration:
        return
    found = iteration_records.find(tx, iteration)
    if found is None or found.use_case != use_case:
        raise Invalid(f"There is no iteration {iteration!r} in {use_case}.")
