"""Who was champion when: a fold over decisions. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What the decisions so far add up to.

    Attributes:
        champions: the stack of champions: the last is in production, the one below is what a rollback returns to.
        ever: every version that was champion.
        held: the champion was put on hold and nothing has been decided since.
    """

    champions: list[int]
    ever: list[int]
    held: bool

    @property
    def champion(self) -> int:
        """The version in production, 0 for none."""
        return self.champions[-1] if self.champions else 0


def fold(decisions: Iterable[tuple[str, int]]) -> Past:
    """The past from (kind, version) of each decision, oldest first.

    A promotion goes on top of the stack; a rollback takes away everything above the version it returns to, so that
    rolling back twice goes back twice.
    """
    stack: list[int] = []
    ever: list[int] = []
    held = False
    for kind, version in decisions:
        if kind == "held":
            held = True
            continue
        if kind not in ("promoted", "rolled_back", "demoted"):
            continue
        held = False
        if kind == "demoted":
            stack = [one for one in stack if one != version]
            continue
        if kind == "rolled_back" and version in stack:
            last = len(stack) - 1 - stack[::-1].index(version)
            stack = stack[: last + 1]
        else:
            stack.append(version)
        if version not in ever:
            ever.append(version)
    return Past(champions=stack, ever=ever, held=held)
