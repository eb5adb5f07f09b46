"""What somebody may have meant by a filter that cannot be read: a filter that can.

Each repair mends the place where reading stopped, and reading is tried again; a proposal is made
only when the whole text can be read in the end. Nothing is ever searched that was only proposed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from stile.kernel.errors import Invalid
from stile.train.filter_completion import Keys
from stile.train.filter_text import key_text
from stile.train.filters import FilterError, Vocabulary, parse_filter

_MOST_REPAIRS = 8
_SPELLINGS = (
    ("==", "="), ("&&", " and "), ("≥", ">="), ("≤", "<="), ("≠", "!="), ("‘", "'"), ("’", "'"), ("“", '"'), ("”", '"'),
    (" contains ", " LIKE "), (" ~ ", " LIKE "),
)  # fmt: skip
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_LEFT = re.compile(r"(metrics?|params?|parameters?|tags?)\.")


def repaired(text: str, words: Vocabulary, keys: Keys) -> str:
    """A filter close to ``text`` that can be read; empty when there is none, or nothing is wrong.

    Args:
        text: as it was typed.
        words: what the search knows.
        keys: what was logged, to tell a bare ``auc`` from a spelling mistake.
    """
    mended = text
    for wrong, right in _SPELLINGS:
        mended = mended.replace(wrong, right)
    for _ in range(_MOST_REPAIRS):
        try:
            parse_filter(mended, words)
        except FilterError as error:
            following = _mended(mended, error, words, keys)
            if following == mended:
                return ""
            mended = following
        except Invalid:
            return ""
        else:
            return mended if mended != text else ""
    return ""


def _mended(text: str, error: FilterError, words: Vocabulary, keys: Keys) -> str:
    before, piece, after = text[: error.at], text[error.at : error.at + error.length], text[error.at + error.length :]
    if error.trouble == "unknown key":
        return before + _known_key(piece, words, keys) + after
    if error.trouble == "text":
        return f"{before}'{piece}'{after}"
    if error.trouble == "number":
        inner = piece.strip("'\"")
        if _NUMBER.fullmatch(inner):
            return before + inner + after
        return _as_param(before, keys) + (piece if piece[:1] in "'\"" else f"'{piece}'") + after
    if error.trouble == "joint" and piece.upper() not in ("OR", ")", ",") and re.match(r"[\w`]", piece):
        return f"{before}and {piece}{after}"
    if error.trouble == "unreadable" and piece in ("'", '"', "`"):
        return text + piece
    if error.trouble == "comparator" and piece in ("<", "<=", ">", ">="):
        return _as_metric(before, keys) + piece + after
    return text


def _known_key(piece: str, words: Vocabulary, keys: Keys) -> str:
    """The key a left side means that names none: a bare metric, or a name spelled almost right."""
    name = piece.partition(".")[2] or piece
    name = name.strip("`\"'")
    known = {tag: key_text("tag", tag) for tag in keys.tags}
    known |= {param: key_text("param", param) for param in keys.params}
    known |= {metric: key_text("metric", metric) for metric in keys.metrics}
    known |= {attribute: attribute for attribute in words.attributes}
    close = [name] if name in known else difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return known[close[0]] if close else piece


def _as_param(before: str, keys: Keys) -> str:
    """The text with its last left side as a parameter, when one of that name was logged."""
    return _last_left(before, "params.", keys.params)


def _as_metric(before: str, keys: Keys) -> str:
    return _last_left(before, "metrics.", keys.metrics)


def _last_left(before: str, prefix: str, known: Sequence[str]) -> str:
    found = list(_LEFT.finditer(before))
    rest = before[found[-1].end() :] if found else ""
    name = next(iter(rest.split(maxsplit=1)), "").strip('`"')
    return before[: found[-1].start()] + prefix + rest if found and name in known else before
