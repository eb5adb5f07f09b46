"""Cards, comments and iterations, over the real store."""

from __future__ import annotations

import pytest

from stile.board import cards, comment_records
from stile.board.columns import DEFAULT_COLUMNS, Column
from stile.kernel.errors import Conflict, Guarded, Invalid, Missing
from stile.kernel.permission import Role
from stile.people import accounts, use_cases
from stile.people.use_cases import Charter

CASE = "early-detection"


@pytest.fixture
def store(db):
    def prepare(tx):
        use_cases.create(tx, name=CASE, charter=Charter(), by="ana")

    db.write(prepare)
    return db


def names(board: cards.Board) -> dict[str, list[str]]:
    return {column.name: [card.title for card in column.cards] for column in board.columns if column.cards}


def test_a_board_shows_the_usual_columns_when_nobody_set_any(store):
    board = store.read(lambda tx: cards.board(tx, CASE))
    assert [column.title for column in board.columns] == [column.title for column in DEFAULT_COLUMNS]
    assert board.columns[0].cards == []


def test_a_card_keeps_its_story_when_moved_and_changed(store):
    card = store.write(lambda tx: cards.create(tx, use_case=CASE, title="Try a CNN", by="ana"))
    store.write(
        lambda tx: cards.change(tx, id=card.id, by="ben", column="training", owner="ben", title="Try a small CNN")
    )
    story = store.read(lambda tx: cards.story(tx, card.id))
    assert (story.card.title, story.card.column, story.card.owner, story.card.number) == (
        "Try a small CNN",
        "training",
        "ben",
        1,
    )
    assert [(move.by, move.to_column) for move in story.moves] == [("ana", "idea"), ("ben", "training")]
    assert names(store.read(lambda tx: cards.board(tx, CASE))) == {"training": ["Try a small CNN"]}


def test_a_version_card_is_moved_by_events_only(store):
    card = store.write(lambda tx: cards.add(tx, use_case=CASE, title="v1", column="training", by="system", version=1))
    with pytest.raises(Guarded, match="only decisions"):
        store.write(lambda tx: cards.change(tx, id=card.id, by="ana", column="champion"))
    moved = store.write(lambda tx: cards.move(tx, card, to="champion", by="decision", because="promoted"))
    assert moved.column == "champion"


def test_events_go_beyond_a_limit_and_people_do_not(store):
    columns = [
        Column(name=c.name, title=c.title, wip_limit=1 if c.name == "training" else None) for c in DEFAULT_COLUMNS
    ]
    store.write(lambda tx: cards.set_columns(tx, use_case=CASE, columns=columns, by="ana"))
    for version in (1, 2):
        store.write(
            lambda tx, v=version: cards.add(tx, use_case=CASE, title=f"v{v}", column="training", by="s", version=v)
        )
    board = store.read(lambda tx: cards.board(tx, CASE))
    assert [column.over for column in board.columns if column.name == "training"] == [True]
    with pytest.raises(Conflict, match="2 of at most 1"):
        store.write(lambda tx: cards.create(tx, use_case=CASE, title="more", by="ana", column="training"))


def test_nothing_is_stored_when_a_card_or_iteration_makes_no_sense(store):
    for bad in (
        {"title": "  "},
        {"title": "x" * 300},
        {"title": "x", "iteration": "itr_none"},
        {"title": "x", "column": "y"},
    ):
        with pytest.raises(Invalid):
            store.write(lambda tx, bad=bad: cards.create(tx, use_case=CASE, by="ana", **bad))
    with pytest.raises(Missing):
        store.write(lambda tx: cards.create(tx, use_case="other", title="x", by="ana"))
    with pytest.raises(Invalid, match="end after"):
        store.write(lambda tx: cards.plan_iteration(tx, use_case=CASE, title="i1", starts_at=2, ends_at=1, by="ana"))
    assert names(store.read(lambda tx: cards.board(tx, CASE))) == {}


def test_a_board_shows_one_iteration_when_asked(store):
    sprint = store.write(
        lambda tx: cards.plan_iteration(tx, use_case=CASE, title="i1", starts_at=1, ends_at=2, by="ana")
    )
    store.write(lambda tx: cards.create(tx, use_case=CASE, title="in", by="ana", iteration=sprint.id))
    store.write(lambda tx: cards.create(tx, use_case=CASE, title="out", by="ana"))
    assert names(store.read(lambda tx: cards.board(tx, CASE, iteration=sprint.id))) == {"idea": ["in"]}


def test_only_team_members_are_mentioned_when_a_comment_addresses_people(store):
    def team(tx):
        for person in ("ana", "ben"):
            accounts.create(tx, name=person, kind="person", display=person.title(), by="root")
            use_cases.set_roles(tx, name=CASE, person=person, roles=[Role.DATA_SCIENTIST], by="root")

    store.write(team)
    card = store.write(lambda tx: cards.create(tx, use_case=CASE, title="Look", by="ana"))
    store.write(lambda tx: cards.comment(tx, card=card.id, text="@ben @ana @eve see this", by="ana"))
    assert [m.text for m in store.read(lambda tx: comment_records.mentions_of(tx, "ben"))] == [
        "@ben @ana @eve see this"
    ]
    assert store.read(lambda tx: comment_records.mentions_of(tx, "ana")) == []
    assert store.read(lambda tx: cards.board(tx, CASE)).comments == {card.id: 1}
    with pytest.raises(Invalid, match="empty"):
        store.write(lambda tx: cards.comment(tx, card=card.id, text=" ", by="ana"))
