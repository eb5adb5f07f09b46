"""Who may put a card where."""

from __future__ import annotations

import pytest

from stile.board.columns import DEFAULT_COLUMNS, Column, check_columns, check_move
from stile.kernel.errors import Conflict, Guarded, Invalid

COLUMNS = list(DEFAULT_COLUMNS)


def test_a_card_may_move_by_hand_when_it_stands_for_no_version():
    check_move(COLUMNS, "training", has_version=False, cards_there=5)


@pytest.mark.parametrize(
    ("to", "has_version", "there", "error"),
    [
        ("champion", False, 0, Guarded),
        ("training", True, 0, Guarded),
        ("training", False, 6, Conflict),
        ("nowhere", False, 0, Invalid),
    ],
)
def test_a_move_is_refused_when_events_own_it_or_there_is_no_room(to, has_version, there, error):
    with pytest.raises(error):
        check_move(COLUMNS, to, has_version=has_version, cards_there=there)


def test_columns_are_refused_when_one_that_events_need_is_missing():
    with pytest.raises(Invalid, match="'gate' is missing"):
        check_columns([column for column in COLUMNS if column.name != "gate"])


def test_columns_are_refused_when_a_name_comes_twice_or_a_limit_is_zero():
    with pytest.raises(Invalid, match="comes twice"):
        check_columns([*COLUMNS, Column(name="idea", title="Again")])
    with pytest.raises(Invalid, match="at least 1"):
        check_columns([*COLUMNS, Column(name="review", title="Review", wip_limit=0)])
    check_columns([*COLUMNS, Column(name="review", title="Review", wip_limit=2)])
