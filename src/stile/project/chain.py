"""The chain: contract, train, evaluate, scenarios, evidence, gate, labels. One step after the other, none twice.

A step whose inputs have the digest they had when it was last done is not run again. The state
is kept after every step, so a walk that breaks goes on where it broke.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from stile.client import Client, UseCase
from stile.kernel.errors import Missing
from stile.project.manifest import Project
from stile.project.state import State

Progress = Callable[[float, str], None]
"""Called with the done ratio (0..1) of a step and what it is doing."""

Ending = Literal["done", "unchanged", "failed"]


class Watcher(Protocol):
    """Is told how the walk goes."""

    def started(self, step: Step) -> None:
        """A step begins."""
        ...

    def progressed(self, step: Step, ratio: float, says: str) -> None:
        """A step has come this far (0..1)."""
        ...

    def finished(self, step: Step, ending: Ending, says: str) -> None:
        """A step is over; ``says`` sums it up in one line."""
        ...


@dataclass(slots=True)
class Walk:
    """One walk of the chain.

    Attributes:
        project: the folder.
        client: the server, as the person who walks.
        scope: the use case on the server.
        state: what was done before.
        results: outputs of the steps of this walk, by step name.
    """

    project: Project
    client: Client
    scope: UseCase
    state: State
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def result(self, step: str) -> dict[str, Any]:
        """Outputs of an earlier step.

        Raises:
            Missing: that step was not done yet.
        """
        found = self.results.get(step) or self.state.outputs(step)
        if found is None:
            raise Missing(f"The step {step!r} was not done yet. Run: stile run")
        return found


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain.

    Args:
        name: one word.
        says: what it does, in words.
        inputs: the JSON values it depends on; None makes it run every time.
        run: does it; its outputs are JSON values, ``says`` among them sums them up.
    """

    name: str
    says: str
    inputs: Callable[[Walk], Any] | None
    run: Callable[[Walk, Progress], dict[str, Any]]


def begin(project: Project, client: Client) -> Walk:
    """A walk over ``project``; the use case is written to the server when it is not there yet."""
    scope = client.use_case(project.name)
    wanted = project.manifest.use_case.fields()
    try:
        kept = scope.charter()
    except Missing:
        client.create_use_case(project.name, **wanted)
        kept = scope.charter()
    if any(kept.get(name) != value for name, value in wanted.items()):
        scope.amend(**wanted)
    world = {"server": client.url, "use_case": project.name, "born": kept.get("created_at")}
    return Walk(project=project, client=client, scope=scope, state=State(project.work / "state.json", world))


def walk_chain(walk: Walk, steps: list[Step], watcher: Watcher, *, until: str = "", again: bool = False) -> None:
    """Walk the steps in order; those that have not changed are passed by.

    Args:
        walk: the walk.
        steps: the links.
        watcher: is told how it goes.
        until: name of the last step to walk; empty for all.
        again: run every step, changed or not.

    Raises:
        StileError: a step failed, in its own words. What was done before it stays done.
    """
    for step in steps:
        watcher.started(step)
        try:
            says, ending = _one(walk, step, watcher, again=again)
        except BaseException:
            watcher.finished(step, "failed", "")
            raise
        watcher.finished(step, ending, says)
        if step.name == until:
            return


def _one(walk: Walk, step: Step, watcher: Watcher, *, again: bool) -> tuple[str, Ending]:
    inputs = step.inputs(walk) if step.inputs is not None else None
    if inputs is not None and not again and walk.state.unchanged(step.name, inputs):
        outputs = walk.state.outputs(step.name) or {}
        walk.results[step.name] = outputs
        return str(outputs.get("says", "")), "unchanged"
    outputs = step.run(walk, lambda ratio, says: watcher.progressed(step, ratio, says))
    walk.results[step.name] = outputs
    if step.inputs is not None:
        # asked again: a step may have moved what it depends on (the champion, a file it normalised)
        walk.state.record(step.name, step.inputs(walk), outputs, time.time_ns() // 1_000_000)
    return str(outputs.get("says", "")), "done"
