from __future__ import annotations

import contextlib

import pytest

from stile.kernel.errors import Invalid
from stile.project.chain import Step, walk_chain
from stile.project.state import State


class _Walk:
    def __init__(self, state):
        self.state, self.results = state, {}


class _Watcher:
    def __init__(self):
        self.endings = []

    def started(self, step): ...

    def progressed(self, step, ratio, says): ...

    def finished(self, step, ending, says):
        self.endings.append((step.name, ending))


def _walk(tmp_path, inputs, fail=(), world=None):
    def step(name):
        def run(walk, progress):
            progress(0.5, "half")
            if name in fail:
                raise Invalid(f"{name} broke")
            return {"says": f"{name} {inputs[name]}"}

        return Step(name, name, lambda walk: inputs[name], run)

    watcher = _Watcher()
    steps = [step(name) for name in inputs]
    state = State(tmp_path / "state.json", world or {"server": "s"})
    with contextlib.suppress(Invalid):
        walk_chain(_Walk(state), steps, watcher)
    return watcher.endings


def test_unchanged_steps_are_passed_by(tmp_path):
    assert _walk(tmp_path, {"a": 1, "b": 2}) == [("a", "done"), ("b", "done")]
    assert _walk(tmp_path, {"a": 1, "b": 2}) == [("a", "unchanged"), ("b", "unchanged")]
    assert _walk(tmp_path, {"a": 1, "b": 3}) == [("a", "unchanged"), ("b", "done")]


def test_walk_goes_on_where_it_broke(tmp_path):
    assert _walk(tmp_path, {"a": 1, "b": 2}, fail=["b"]) == [("a", "done"), ("b", "failed")]
    assert _walk(tmp_path, {"a": 1, "b": 2}) == [("a", "unchanged"), ("b", "done")]


def test_nothing_counts_as_done_on_another_server(tmp_path):
    _walk(tmp_path, {"a": 1})
    assert _walk(tmp_path, {"a": 1}, world={"server": "other"}) == [("a", "done")]


def test_damaged_state_is_named_with_the_remedy(tmp_path):
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(Invalid, match="Delete it"):
        State(tmp_path / "state.json", {})
