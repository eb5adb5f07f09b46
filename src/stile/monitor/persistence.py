"""Whether a live rule counts as broken: k failures in the last n windows. Pure.

One failed window among many columns and segments is expected by chance; asking for several keeps
alarms rare without hiding a real change.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["pass", "fail", "unknown"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a live rule stands after a window.

    Attributes:
        broken: at least ``needed`` of the last ``among`` windows failed.
        holds: the newest window passed and the rule is not broken.
        failed: how many of the last ``among`` windows failed.
        windows: their ids, newest first.
    """

    broken: bool
    holds: bool
    failed: int
    needed: int
    among: int
    windows: list[str]


def standing(history: list[tuple[str, Outcome]], *, needed: int, among: int) -> Standing:
    """How a rule stands.

    Args:
        history: (window id, outcome), newest first. A window the rule could not be judged on does
            not count as passed and is looked past.
        needed: k of ``persist: k of n``.
        among: n of it.
    """
    judged = [(window, outcome) for window, outcome in history if outcome != "unknown"][:among]
    failed = [window for window, outcome in judged if outcome == "fail"]
    # The newest window has to fail too: an old failure alone raises nothing again.
    newest_failed = bool(history) and history[0][1] == "fail"
    broken = newest_failed and len(failed) >= needed
    newest_passed = bool(history) and history[0][1] == "pass"
    return Standing(
        broken=broken,
        holds=newest_passed and len(failed) < needed,
        failed=len(failed),
        needed=needed,
        among=among,
        windows=failed,
    )
