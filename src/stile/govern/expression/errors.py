"""What is wrong with an expression, where, and what was expected instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from stile.kernel.errors import Invalid


class ExpressionError(Invalid):
    """An expression cannot be used; ``details`` holds line and column, the message points at the place."""


def expression_error(source: str, at: int, problem: str) -> ExpressionError:
    """The error for ``problem`` at character ``at``, with the line and a caret under the place."""
    at = min(max(at, 0), len(source))
    before = source[:at]
    line = before.count("\n") + 1
    start = before.rfind("\n") + 1
    end = source.find("\n", at)
    text = source[start : end if end >= 0 else len(source)]
    column = at - start + 1
    first = max(0, column - 1 - 60)
    shown = text[first : first + 120]
    caret = " " * (column - 1 - first) + "^"
    return ExpressionError(
        f"line {line}, column {column}: {problem}\n  {shown}\n  {caret}", line=line, column=column, problem=problem
    )


def suggestion(word: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known word, or the list of all when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    if not names:
        return "Nothing is known here."
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"Known are: {shown}."
