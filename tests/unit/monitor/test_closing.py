"""When windows close and when their numbers count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stile.kernel.errors import Invalid
from stile.monitor.closing import MonitorSettings, Waiting, check_settings, coverage_sentence, due, enough_outcomes

SETTINGS = MonitorSettings(window_rows=100, window_hours=1, minimum_rows=10, coverage_floor=0.5)
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("waiting", "now", "reason"),
    [
        (Waiting(rows=100, first_at=0, last_at=1), 5, "rows"),
        (Waiting(rows=99, first_at=0, last_at=1), 5, ""),
        (Waiting(rows=10, first_at=0, last_at=1), HOUR, "time"),
        (Waiting(rows=9, first_at=0, last_at=1), 10 * HOUR, ""),
        (Waiting(rows=10, first_at=0, last_at=1, succeeded=True), 5, "version"),
        (Waiting(rows=0, first_at=0, last_at=0), 10 * HOUR, ""),
    ],
)
def test_a_window_is_due_when_rows_or_time_or_a_new_version_say_so(waiting, now, reason):
    assert due(SETTINGS, waiting, now) == reason


def test_performance_is_not_stated_when_too_few_outcomes_are_known():
    assert not enough_outcomes(SETTINGS, rows=10, outcomes=4)
    assert enough_outcomes(SETTINGS, rows=10, outcomes=5)
    assert coverage_sentence(SETTINGS, rows=10, outcomes=4).startswith("Not enough outcomes: 4 of 10")
    assert coverage_sentence(SETTINGS, rows=10, outcomes=5) == "5 of 10 predictions have an outcome."


@given(st.floats(0, 1), st.integers(0, 50))
def test_no_outcomes_are_never_enough(floor, rows):
    assert not enough_outcomes(MonitorSettings(coverage_floor=floor), rows=rows, outcomes=0)


@pytest.mark.parametrize(
    "bad",
    [{"window_rows": 0}, {"window_hours": 0}, {"minimum_rows": 501}, {"coverage_floor": 1.1}, {"restate_days": -1}],
)
def test_settings_are_refused_when_no_window_could_be_cut_so(bad):
    with pytest.raises(Invalid):
        check_settings(MonitorSettings(**bad))
