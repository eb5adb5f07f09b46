"""Who is addressed in a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.board.mention import mentioned

TEAM = ["ana", "ben.k", "dr-eva"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@ana please look", ["ana"]),
        ("ask @Ben.K. Or @dr-eva, or @ana!", ["ben.k", "dr-eva", "ana"]),
        ("@ana @ana", ["ana"]),
        ("mail ana@ana or x@ben.k", []),
        ("@nobody and @anabel", []),
        ("(@ana)", ["ana"]),
        ("", []),
    ],
)
def test_people_are_found_when_addressed(text, found):
    assert mentioned(text, TEAM) == found


@given(st.text(max_size=200))
def test_only_known_people_are_found_when_the_text_is_anything(text):
    found = mentioned(text, TEAM)
    assert set(found) <= set(TEAM)
    assert len(found) == len(set(found))
