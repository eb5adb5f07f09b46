"""What the chain has done already: per step the digest of what went in, and what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from stile.kernel.canonical import digest_of
from stile.kernel.errors import Invalid


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A finished step: the digest of its inputs, its outputs, and when."""

    inputs: str
    outputs: dict[str, Any]
    at: int


class State:
    """The file ``.stile/state.json``. Written after every step, so that a broken walk resumes where it broke.

    Args:
        file: where it is kept.
        world: what all steps stand on (server, use case and its birth); when it differs nothing counts as done.
    """

    def __init__(self, file: Path, world: dict[str, Any]) -> None:
        self._file = file
        self._world = digest_of(world)
        self._steps: dict[str, Done] = {}
        if file.exists():
            try:
                kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
            except msgspec.DecodeError as error:
                raise Invalid(f"{file} cannot be read ({error}). Delete it; the chain then starts over.") from error
            if kept.world == self._world:
                self._steps = kept.steps

    def outputs(self, step: str) -> dict[str, Any] | None:
        """What the step gave when it was last done, or None."""
        done = self._steps.get(step)
        return done.outputs if done else None

    def unchanged(self, step: str, inputs: Any) -> bool:
        """Whether the step was done with exactly these inputs."""
        done = self._steps.get(step)
        return done is not None and done.inputs == digest_of(inputs)

    def record(self, step: str, inputs: Any, outputs: dict[str, Any], at: int) -> None:
        """Keep that the step is done."""
        self._steps[step] = Done(inputs=digest_of(inputs), outputs=outputs, at=at)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".new")
        kept = _Kept(world=self._world, steps=self._steps)
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1))
        draft.replace(self._file)

    def forget(self, step: str) -> None:
        """Make the step run again."""
        self._steps.pop(step, None)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    world: str
    steps: dict[str, Done]
