"""The filter language of searches: text -> clauses, in one pass over the text.

    metrics.auc > 0.9 AND params."max depth" = '5' AND tags.site LIKE 'VA%' AND status = 'FINISHED'

Clauses are joined by AND only. A left side is ``entity.key`` or an attribute's name; keys with
other characters than letters, digits, ``_ . - /`` are quoted by backticks or double quotes. Which
entities and attributes there are is said by a ``Vocabulary``, one per kind of search.
Source: MLflow's search syntax (``mlflow.utils.search_utils``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from stile.kernel.errors import Invalid

MAX_TEXT = 20_000
MAX_CLAUSES = 64
MAX_ORDERS = 32
MAX_LIST = 1000

Entity = Literal["metric", "param", "tag", "attribute", "dataset", "metadata", "feedback", "expectation", "span"]
Kind = Literal["number", "text", "id", "any"]
Value = float | str | tuple[str, ...] | None

_NUMBER_OPS = ("=", "!=", "<", "<=", ">", ">=")
_TEXT_OPS = ("=", "!=", "LIKE", "ILIKE")
_NULL_OPS = ("IS NULL", "IS NOT NULL")
_LIST_OPS = ("IN", "NOT IN")
_KEYED = ("param", "tag", "metadata")
_EITHER = ("feedback", "expectation")
_UNORDERED = ("dataset", "feedback", "expectation", "span")

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.\-/]))
    | (?P<op><=|>=|!=|<>|=|<|>)
    | (?P<mark>[(),])
    | (?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"(?!\s*\.))
    | (?P<name>[A-Za-z_][\w\-/]*(?:\.(?:attributes\.)?(?:`[^`]*`|"[^"]*")|\.[\w\-/.:]+)?|`[^`]*`)
    )""",
    re.VERBOSE,
)
_WHOLE = re.compile(r"[0-9]{1,15}")
_ORDER = re.compile(
    r"""\s*(?P<name>[A-Za-z_][\w\-/]*(?:\.(?:`[^`]*`|"[^"]*"|[\w\-/.:]+))?|`[^`]*`|"[^"]*")(?:\s+(?P<way>\S+))?\s*""",
    re.VERBOSE,
)


Trouble = Literal["unreadable", "key", "unknown key", "comparator", "number", "text", "list", "joint", "end"]


class FilterError(Invalid):
    """A filter that cannot be read.

    Attributes:
        trouble: what was expected there, or what cannot be used.
        at: the character where it stops making sense, from 0.
        length: how many characters from there are the trouble; 0 when something is missing there.
    """

    def __init__(self, message: str, trouble: Trouble, *, at: int, length: int = 0) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.at = at
        self.length = length


class Clause(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. ``value`` is a number, a text, texts (IN), or None (IS NULL)."""

    entity: Entity
    key: str
    op: str
    value: Value = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One sort key."""

    entity: Entity
    key: str
    ascending: bool = True


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """What may stand on the left side of a comparison.

    Attributes:
        entities: prefix as written -> entity.
        attributes: attribute name -> kind; an ``id`` also takes IN and NOT IN.
        aliases: other names of attributes.
        datasets: attributes of datasets, when that entity is known.
        spans: attributes of spans, when that entity is known; ``attributes.<key>`` is always one more.
        quotable: attributes whose numbers may also be written in quotes.
    """

    entities: Mapping[str, Entity]
    attributes: Mapping[str, Kind]
    aliases: Mapping[str, str] = {}
    datasets: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    quotable: tuple[str, ...] = ()


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int


def parse_filter(text: str, words: Vocabulary) -> list[Clause]:
    """The clauses of a filter; none for an empty text.

    Raises:
        FilterError: says where the text stops making sense, or what is known instead.
        Invalid: it is too long.
    """
    if not text or not text.strip():
        return []
    if len(text) > MAX_TEXT:
        raise Invalid(f"The filter is longer than {MAX_TEXT} characters.")
    tokens = _tokens(text)
    clauses = []
    at = 0
    while True:
        clause, at = _clause(tokens, at, words, text)
        clauses.append(clause)
        if at == len(tokens):
            return clauses
        if len(clauses) >= MAX_CLAUSES:
            raise Invalid(f"The filter has more than {MAX_CLAUSES} clauses.")
        word = tokens[at].text.upper()
        if tokens[at].kind != "name" or word != "AND":
            hint = " OR is not part of the filter language." if word == "OR" else ""
            raise _misfit(text, tokens[at], "expected AND or the end" + hint, "joint")
        at += 1


def parse_order(text: str, words: Vocabulary) -> Order:
    """One ``order_by`` text: a key, and ASC (the default) or DESC.

    Raises:
        Invalid: it cannot be read, or the key is not known.
    """
    match = _ORDER.fullmatch(text) if len(text) <= 1000 else None
    if match is None:
        raise Invalid(f"Invalid order_by clause {text[:100]!r}. Write a key such as metrics.auc, then ASC or DESC.")
    way = (match["way"] or "ASC").upper()
    if way not in ("ASC", "DESC"):
        raise Invalid(f"Invalid ordering {match['way']!r} in order_by clause {text[:100]!r}. Use ASC or DESC.")
    entity, key = left_side(match["name"].strip('"') if match["name"].startswith('"') else match["name"], words)
    if entity in _UNORDERED:
        raise Invalid(f"Results cannot be ordered by {entity}s.")
    return Order(entity=entity, key=key, ascending=way == "ASC")


def parse_orders(
    texts: Sequence[str], words: Vocabulary, read: Callable[[str, Vocabulary], Order] = parse_order
) -> list[Order]:
    """All ``order_by`` texts, the most important first, each as ``read`` reads it.

    Raises:
        Invalid: one cannot be read, or there are more than anybody sorts by.
    """
    if len(texts) > MAX_ORDERS:
        raise Invalid(f"There are {len(texts)} order_by clauses; at most {MAX_ORDERS} are taken.")
    return [read(text, words) for text in texts]


def kind_of(clause: Clause | Order, words: Vocabulary) -> Kind:
    """Whether the left side is a number, a text, an id, or either number or text (``any``)."""
    if clause.entity == "metric":
        return "number"
    if clause.entity in _EITHER:
        return "any"
    return words.attributes[clause.key] if clause.entity == "attribute" else "text"


def _tokens(text: str) -> list[_Token]:
    found = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise _misfit(text, _Token("", text[start : start + 1], start), "this cannot be read", "unreadable")
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return found


def _clause(tokens: list[_Token], at: int, words: Vocabulary, text: str) -> tuple[Clause, int]:
    left = _take(tokens, at, text, "a key such as metrics.auc or status")
    if left.kind not in ("name", "string") or left.text.startswith("'"):
        raise _misfit(text, left, "expected a key such as metrics.auc or status", "key")
    try:
        entity, key = left_side(left.text.strip('"') if left.kind == "string" else left.text, words)
    except Invalid as error:
        raise _wrong(error.message, left, "unknown key") from None
    sign = at + 1
    op, at = _operator(tokens, sign, text)
    clause = Clause(entity=entity, key=key, op=op)
    allowed = operators(clause, words)
    if op not in allowed:
        says = f"Invalid comparator {op!r} for {entity} {key!r}. It takes one of: {', '.join(allowed)}."
        start, last = tokens[sign].at, tokens[at - 1]
        raise FilterError(says, "comparator", at=start, length=last.at + len(last.text) - start)
    if op in _NULL_OPS:
        return clause, at
    if op in _LIST_OPS:
        value, at = _list(tokens, at, text)
        return msgspec.structs.replace(clause, value=value), at
    right = _take(tokens, at, text, "a value")
    kind = kind_of(clause, words)
    if right.kind == "string" and entity == "attribute" and key in words.quotable:
        right = _Token("number" if _WHOLE.fullmatch(right.text[1:-1]) else "string", right.text[1:-1], right.at)
    if kind == "number" or (kind == "any" and (right.kind == "number" or op in _NUMBER_OPS[2:])):
        if right.kind != "number" or not math.isfinite(float(right.text)):
            raise _wrong(f"Expected a number for {entity} {key!r}, but found {right.text[:80]}.", right, "number")
        return msgspec.structs.replace(clause, value=float(right.text)), at + 1
    if right.kind != "string":
        says = f"Expected a quoted text for {entity} {key!r}, but found {right.text[:80]}. Write it as '...'."
        raise _wrong(says, right, "text")
    return msgspec.structs.replace(clause, value=_unquoted(right.text)), at + 1


def _operator(tokens: list[_Token], at: int, text: str) -> tuple[str, int]:
    first = _take(tokens, at, text, "a comparator")
    if first.kind == "op":
        return ("!=" if first.text == "<>" else first.text), at + 1
    words = [token.text.upper() for token in tokens[at : at + 3] if token.kind == "name"]
    for length, known in ((3, ("IS", "NOT", "NULL")), (2, ("IS", "NULL")), (2, ("NOT", "IN"))):
        if tuple(words[:length]) == known:
            return " ".join(known), at + length
    if first.kind == "name" and words[0] in ("LIKE", "ILIKE", "IN"):
        return words[0], at + 1
    raise _misfit(text, first, "expected a comparator such as =, > or LIKE", "comparator")


def _list(tokens: list[_Token], at: int, text: str) -> tuple[tuple[str, ...], int]:
    opening = _take(tokens, at, text, "a list such as ('a', 'b')")
    if opening.text != "(":
        raise _misfit(text, opening, "expected a list such as ('a', 'b')", "list")
    values: list[str] = []
    at += 1
    while True:
        item = _take(tokens, at, text, "a quoted text")
        if item.kind != "string":
            raise _misfit(text, item, "expected a quoted text in the list", "list")
        values.append(_unquoted(item.text))
        following = _take(tokens, at + 1, text, "',' or ')'")
        at += 2
        if following.text == ")":
            break
        if following.text != ",":
            raise _misfit(text, following, "expected ',' or ')' in the list", "list")
    if len(values) > MAX_LIST:
        raise Invalid(f"A list in a filter may have at most {MAX_LIST} values.")
    return tuple(values), at


def left_side(text: str, words: Vocabulary) -> tuple[Entity, str]:
    """What a left side such as ``metrics.auc`` or ``status`` stands for.

    Raises:
        Invalid: there is no such entity or attribute; says which there are.
    """
    prefix, dot, rest = text.partition(".")
    if not dot:
        prefix, rest = "attribute", text
    entity = words.entities.get(prefix)
    if entity is None:
        known = ", ".join(sorted(set(words.entities)))
        raise Invalid(f"Invalid entity type {prefix!r}. Valid entity types are: {known}.")
    inner = "attributes." if entity == "span" and rest.startswith("attributes.") else ""
    rest = rest.removeprefix(inner)
    key = inner + (rest[1:-1] if len(rest) > 1 and rest[0] == rest[-1] and rest[0] in '`"' else rest)
    if not key:
        raise Invalid(f"A key is missing after {prefix!r}.")
    if entity == "attribute":
        key = words.aliases.get(key, key)
        if key not in words.attributes:
            raise Invalid(f"Invalid attribute key {key!r}. Valid keys are: {', '.join(sorted(words.attributes))}.")
    if entity == "dataset" and key not in words.datasets:
        raise Invalid(f"Invalid dataset key {key!r}. Valid keys are: {', '.join(words.datasets)}.")
    if entity == "span" and key not in words.spans and not key.startswith("attributes."):
        raise Invalid(f"Invalid span key {key!r}. Valid keys are: {', '.join(words.spans)}, attributes.<key>.")
    return entity, key


def operators(clause: Clause | Order, words: Vocabulary) -> tuple[str, ...]:
    """The comparators a left side takes."""
    kind = kind_of(clause, words)
    if kind == "number":
        return _NUMBER_OPS
    if clause.entity in _KEYED:
        return _TEXT_OPS + _NULL_OPS
    if kind == "any":
        return _NUMBER_OPS + _TEXT_OPS[2:] + _NULL_OPS
    if clause.entity == "span":
        return _TEXT_OPS if clause.key.startswith("attributes.") else _TEXT_OPS + _LIST_OPS
    if clause.entity == "dataset" or kind == "id":
        return _TEXT_OPS + _LIST_OPS
    return _TEXT_OPS


def _take(tokens: list[_Token], at: int, text: str, wanted: str) -> _Token:
    if at >= len(tokens):
        says = f"Invalid filter {_shown(text)!r}: it ends where {wanted} was expected."
        raise FilterError(says, "end", at=len(text.rstrip()))
    return tokens[at]


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote + quote, quote)


def _misfit(text: str, token: _Token, problem: str, trouble: Trouble) -> FilterError:
    return _wrong(f"Invalid filter {_shown(text)!r}: {problem}, at character {token.at + 1}.", token, trouble)


def _wrong(message: str, token: _Token, trouble: Trouble) -> FilterError:
    return FilterError(message, trouble, at=token.at, length=len(token.text))


def _shown(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
