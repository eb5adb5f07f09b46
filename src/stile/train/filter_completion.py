"""What may come next while somebody types a filter: keys, comparators, values, AND. Pure; it knows no store.

Example: in ``metrics.auc > 0.9 and par`` a key is expected, and ``par`` of it is there already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from stile.kernel.errors import Invalid
from stile.train.filter_text import key_text, value_text
from stile.train.filters import Clause, Entity, Vocabulary, left_side, operators

Kind = Literal["key", "comparator", "value", "list", "joint", "nothing"]

MOST = 20
_PIECE = re.compile(
    r"""\s*(
      (?:[A-Za-z_][\w\-/]*\.)?`[^`]*(?:`|\Z)
    | [A-Za-z_][\w\-/]*\."[^"]*(?:"|\Z)
    | '(?:[^'\\]|\\.|'')*(?:'|\Z)
    | "(?:[^"\\]|\\.|"")*(?:"|\Z)
    | <=|>=|!=|<>|=|<|>
    | [(),]
    | [^\s<>=!(),'"`]+
    | \S
    )""",
    re.VERBOSE,
)
_AFTER_COMPARATOR: dict[str, Kind] = {"IS": "comparator", "NOT": "comparator", "NULL": "joint", "IN": "list"}
_NO_QUOTES = str.maketrans("", "", "'\"`")
_SAYS = {
    "=": "is", "!=": "is not", "<": "below", "<=": "at most", ">": "above", ">=": "at least",
    "LIKE": "matches, % stands for anything", "ILIKE": "the same, whatever the case",
    "IS NULL": "was not logged", "IS NOT NULL": "was logged", "IN": "is one of", "NOT IN": "is none of",
}  # fmt: skip


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs at the caret.

    Attributes:
        kind: what comes next.
        start: where the piece begins that a completion replaces, up to the caret.
        begun: what is there of it already.
        entity, key: of the left side, when a comparator or value comes next.
    """

    kind: Kind
    start: int
    begun: str = ""
    entity: Entity = "attribute"
    key: str = ""


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """One possibility: the text to put there, and a few words about it."""

    text: str
    says: str = ""


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that were logged where the search looks."""

    metrics: Sequence[str] = ()
    params: Sequence[str] = ()
    tags: Sequence[str] = ()


def expected(text: str, caret: int, words: Vocabulary) -> Expected:
    """What belongs at ``caret`` (a character of ``text``, from 0), reading only what is before it."""
    before = text[: max(0, caret)]
    pieces = [(match[1], match.start(1)) for match in _PIECE.finditer(before) if match[1]]
    begun, start = "", len(before)
    if pieces and pieces[-1][1] + len(pieces[-1][0]) == len(before) and not _closed(pieces[-1][0]):
        begun, start = pieces.pop()
    kind: Kind = "key"
    entity: Entity = "attribute"
    key = ""
    word_at = -1
    for piece, at in pieces:
        if kind == "key":
            try:
                entity, key = left_side(piece.strip('"') if piece.startswith('"') else piece, words)
            except Invalid:
                return Expected(kind="nothing", start=start, begun=begun)
            kind = "comparator"
        elif kind == "comparator":
            kind = _AFTER_COMPARATOR.get(piece.upper(), "value")
            word_at = at if word_at < 0 else word_at
        elif kind == "value":
            kind, word_at = "joint", -1
        elif kind == "list":
            kind, word_at = ("joint" if piece == ")" else "list"), -1
        else:
            kind, word_at = "key", -1
    if kind == "comparator" and word_at >= 0:  # IS or NOT is there: what is completed are both words
        start, begun = word_at, before[word_at:]
    return Expected(kind=kind, start=start, begun=begun, entity=entity, key=key)


def _closed(piece: str) -> bool:
    """Whether a piece is complete, so that what comes next begins after it."""
    if piece in "(),":
        return True
    quote = piece[-1]
    return quote in "'\"`" and piece.count(quote) % 2 == 0 and len(piece) > 1


def completions(
    wanted: Expected, words: Vocabulary, keys: Keys, values: Iterable[tuple[str, str]] = ()
) -> list[Completion]:
    """At most 20 things that fit, those that begin like what is there first.

    Args:
        wanted: from ``expected``.
        words: what the search knows.
        keys: what was logged.
        values: (value, a few words about it) of the key, when a value comes next.
    """
    if wanted.kind == "key":
        found = list(_keys(words, keys))
    elif wanted.kind == "comparator":
        clause = Clause(entity=wanted.entity, key=wanted.key, op="=")
        found = [Completion(text=op, says=_SAYS[op]) for op in operators(clause, words)]
    elif wanted.kind in ("value", "list"):
        number = wanted.entity == "metric" or words.attributes.get(wanted.key) == "number"
        found = [Completion(text=value if number else value_text(value), says=says) for value, says in values]
        if wanted.kind == "list":
            found = [msgspec.structs.replace(each, text=f"({each.text})") for each in found if not wanted.begun]
    elif wanted.kind == "joint":
        found = [Completion(text="and", says="and also")]
    else:
        found = []
    return _fitting(found, wanted.begun)


def _keys(words: Vocabulary, keys: Keys) -> Iterable[Completion]:
    for metric in keys.metrics:
        yield Completion(text=key_text("metric", metric), says="metric")
    for param in keys.params:
        yield Completion(text=key_text("param", param), says="parameter")
    for tag in keys.tags:
        yield Completion(text=key_text("tag", tag), says="tag")
    for attribute in words.attributes:
        yield Completion(text=attribute, says="of the run")
    for part in words.datasets:
        yield Completion(text=key_text("dataset", part), says="of a dataset it read")


def _fitting(found: Sequence[Completion], begun: str) -> list[Completion]:
    """Those that begin so, then those whose name after the dot does, then those that have it anywhere."""
    sought = begun.lower().translate(_NO_QUOTES)
    ranked = []
    for place, each in enumerate(found):
        text = each.text.lower()
        plain = text.translate(_NO_QUOTES)
        if plain.startswith(sought):
            rank = 0
        elif plain.partition(".")[2].startswith(sought):
            rank = 1
        elif sought in plain:
            rank = 2
        else:
            continue
        if each.text != begun:
            ranked.append((rank, place, each))
    return [each for _, _, each in sorted(ranked, key=lambda entry: entry[:2])[:MOST]]
