"""A live rule is broken when it fails k of n windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stile.monitor.persistence import standing


def history(*outcomes: str) -> list[tuple[str, str]]:
    """Newest first; windows are named by their place."""
    return [(f"w{place}", outcome) for place, outcome in enumerate(outcomes)]


def test_a_rule_is_broken_when_enough_windows_fail():
    stand = standing(history("fail", "pass", "fail"), needed=2, among=3)
    assert stand.broken and stand.windows == ["w0", "w2"]


def test_a_rule_is_not_broken_when_only_old_windows_fail():
    assert not standing(history("pass", "fail", "fail"), needed=2, among=3).broken
    assert not standing(history("fail", "pass", "pass", "fail"), needed=2, among=3).broken


def test_unknown_windows_are_looked_past_and_never_hold():
    stand = standing(history("fail", "unknown", "unknown", "fail"), needed=2, among=2)
    assert stand.broken
    assert not standing(history("unknown", "pass"), needed=1, among=1).holds


def test_a_rule_holds_again_when_the_newest_window_passes():
    assert standing(history("pass", "fail"), needed=2, among=3).holds
    assert not standing(history("pass", "fail", "fail"), needed=2, among=3).holds


@given(st.lists(st.sampled_from(["pass", "fail", "unknown"]), max_size=8), st.integers(1, 4), st.integers(0, 4))
def test_a_rule_is_never_broken_and_holding_at_once(outcomes, needed, more):
    stand = standing(history(*outcomes), needed=needed, among=needed + more)
    assert not (stand.broken and stand.holds)
    assert stand.failed <= stand.among
