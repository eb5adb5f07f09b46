"""Regular expressions from contracts: accepted only in a form whose matching time stays bounded.

Python's engine tries alternatives one after the other, so a repeated group that itself repeats
or chooses, like ``(a+)+`` or ``(a|aa)*``, can take longer than anybody waits on a short text.
"""

from __future__ import annotations

import re

from stile.kernel.errors import Invalid

MAX_PATTERN = 200
MAX_TEXT = 1_000
"""Longer texts do not match any pattern."""


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, ready to match whole texts.

    Raises:
        Invalid: it is no regular expression, too long, or repeats a group that repeats or chooses.
    """
    if len(pattern) > MAX_PATTERN:
        raise Invalid(f"a pattern may have at most {MAX_PATTERN} characters")
    try:
        found = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise Invalid(f"the pattern is not a regular expression: {error}") from error
    if _repeats_a_choice(pattern):
        raise Invalid(
            "the pattern repeats a group that itself repeats or chooses, which can take forever to match. "
            "Write it without the inner repetition, or list the allowed values"
        )
    return found


def matches(pattern: re.Pattern[str], text: str) -> bool:
    """Whether the whole text matches; texts beyond ``MAX_TEXT`` characters never do."""
    return len(text) <= MAX_TEXT and pattern.fullmatch(text) is not None


def _repeats_a_choice(pattern: str) -> bool:
    open_groups: list[bool] = []  # per open group: whether it repeats or chooses inside
    closed = False  # whether the group that has just ended does
    bare = re.sub(r"\\.", "x", pattern, flags=re.DOTALL)
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "x", bare)
    for place, sign in enumerate(bare):
        if sign == "(":
            open_groups.append(False)
        elif sign == ")" and open_groups:
            closed = open_groups.pop()
            if open_groups and closed:
                open_groups[-1] = True
            if closed and bare[place + 1 : place + 2] in ("*", "+", "{"):
                return True
        elif sign in "*+{|" and open_groups:
            open_groups[-1] = True
    return False
