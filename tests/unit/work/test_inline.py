"""The in-memory background keeps the promises of the protocol."""

from __future__ import annotations

import pytest

from stile.kernel.errors import Invalid
from stile.work.inline import InlineBackground


def test_a_workflow_runs_once_when_started_twice_with_one_key():
    runs: list[int] = []
    background = InlineBackground()
    background.register(
        "double", lambda steps, arguments: steps.step("s", lambda: runs.append(1) or arguments["n"] * 2)
    )
    assert background.start("double", {"n": 4}, key="a") == "a"
    background.start("double", {"n": 9}, key="a")
    assert background.wait("a", 1).result == 8
    assert runs == [1]


def test_a_failure_is_the_status_when_a_step_raises():
    background = InlineBackground()

    def broken(steps, arguments):
        raise Invalid("no such table")

    background.register("broken", broken)
    background.start("broken", {}, key="b")
    assert background.status("b").state == "failed"
    assert "no such table" in background.status("b").error
    assert background.status("other").state == "unknown"


def test_an_unknown_workflow_is_refused_when_started():
    with pytest.raises(Invalid, match="no workflow 'x'"):
        InlineBackground().start("x", {}, key="k")


def test_periodic_work_runs_when_ticked():
    ticks: list[int] = []
    background = InlineBackground()
    background.every("beat", 60, lambda: ticks.append(1))
    background.tick("beat")
    assert ticks == [1]
