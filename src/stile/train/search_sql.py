"""From clauses and sort keys to SQL with bound values; pages that stay put while others write.

A page token remembers the sort values of the last row shown (not a count), so rows that come or
go in between shift nothing. It also remembers which question it belongs to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from stile.kernel.errors import Invalid
from stile.store.database import Row
from stile.train.filters import Value

LETTERS = 100
"""Letters of a text that its index has."""
_WHOLE = 2.0**63
_FIXED = re.compile(r"[^%_\\]+")


class Part(msgspec.Struct, frozen=True):
    """A piece of SQL and the values it binds."""

    sql: str
    params: tuple[Any, ...] = ()


class SortKey(msgspec.Struct, frozen=True):
    """An expression that is never NULL, its direction, and whether it is a text (see ``check``)."""

    expression: str
    ascending: bool = True
    text: bool = False


class Token(msgspec.Struct, frozen=True):
    """Where the next page begins: after the row with these sort values, in this phase."""

    question: str
    phase: int
    values: list[Any]


def comparison(column: str, op: str, value: Value) -> Part:
    """``column op value``; ``op`` is one the filter language knows."""
    if op in ("IN", "NOT IN"):
        values = value if isinstance(value, tuple) else (value,)
        return Part(f"{column} {op} ({', '.join('?' * len(values))})", tuple(values))
    if op == "ILIKE":
        return Part(f"lower({column}) LIKE lower(?)", (value,))
    return Part(f"{column} {op} ?", (value,))


def whole(op: str, value: Value) -> Value:
    """What a column of whole numbers is compared with instead: a whole number too, where one says the same.

    PostgreSQL finds nothing by an index on whole numbers that are compared with a fraction.
    """
    if not isinstance(value, float) or abs(value) >= _WHOLE:
        return value
    if op in ("<", ">="):
        return math.ceil(value)
    if op in (">", "<="):
        return math.floor(value)
    return int(value) if value.is_integer() else value


def metric(column: str, op: str, value: Value) -> Part:
    """``column op value`` for a metric, whose NULL means NaN: it is not equal to any number."""
    plain = comparison(column, op, value)
    return Part(f"({plain.sql} OR {column} IS NULL)", plain.params) if op == "!=" else plain


def indexed_text(column: str, op: str, value: Value) -> Part:
    """Like ``comparison``, by the first 100 characters, which an index on them can answer.

    Nothing else is compared where these tell all.
    """
    plain = comparison(column, op, value)
    if not isinstance(value, str) or not answers_by_index(op, value):
        return plain
    if op == "=":
        begun = Part(f"substr({column}, 1, {LETTERS}) = ?", (value[:LETTERS],))
        return begun if len(value) < LETTERS else joint([begun, plain])
    low, high = _span(value)
    begun = Part(f"substr({column}, 1, {LETTERS}) >= ? AND substr({column}, 1, {LETTERS}) < ?", (low, high))
    return begun if value == f"{low}%" and len(low) < LETTERS else joint([begun, plain])


def ranged_text(column: str, op: str, value: Value) -> Part:
    """Like ``comparison``, with a condition that an index on the whole column can answer."""
    plain = comparison(column, op, value)
    if op != "LIKE" or not isinstance(value, str) or not answers_by_index(op, value):
        return plain
    low, high = _span(value)
    return Part(f"{column} >= ? AND {column} < ? AND {plain.sql}", (low, high, *plain.params))


def answers_by_index(op: str, value: Value) -> bool:
    """Whether an index on the first 100 characters helps: an equality, or a pattern that begins with a text."""
    return isinstance(value, str) and (op == "=" or (op == "LIKE" and bool(_span(value)[0])))


def indexed_sort(column: str, ascending: bool) -> list[SortKey]:
    """The order of ``column``, in the words of an index on its first 100 characters."""
    return [SortKey(f"substr({column}, 1, {LETTERS})", ascending, text=True), SortKey(column, ascending, text=True)]


def check(keys: Sequence[SortKey], values: Sequence[Any]) -> None:
    """See that a token's values can be those of a row.

    Raises:
        Invalid: there are more or fewer of them, or a text where a number belongs.
    """
    if [key.text for key in keys] != [isinstance(value, str) for value in values]:
        raise bad_token()


def _span(pattern: str) -> tuple[str, str]:
    """The texts from (with) and to (without) which a LIKE pattern's matches lie; ('', '') when it begins openly."""
    fixed = _FIXED.match(pattern)
    low = fixed[0][:LETTERS] if fixed else ""
    if not low or ord(low[-1]) in (0xD7FF, 0x10FFFF):
        return "", ""
    return low, low[:-1] + chr(ord(low[-1]) + 1)


def joint(parts: Sequence[Part]) -> Part:
    """All of these conditions; there is at least one."""
    return Part(" AND ".join(part.sql for part in parts), tuple(value for part in parts for value in part.params))


def order_by(keys: Sequence[SortKey]) -> str:
    """The ORDER BY list."""
    return ", ".join(f"{key.expression} {'ASC' if key.ascending else 'DESC'}" for key in keys)


def beyond(keys: Sequence[SortKey], values: Sequence[Any]) -> Part:
    """The condition that a row sorts after the row with these values.

    Raises:
        Invalid: as in ``check``.
    """
    check(keys, values)
    sql: str = ""
    params: tuple[Any, ...] = ()
    for key, value in reversed(list(zip(keys, values, strict=True))):
        way = ">" if key.ascending else "<"
        if sql:
            sql = f"({key.expression} {way} ? OR ({key.expression} = ? AND {sql}))"
            params = (value, value, *params)
        else:
            sql, params = f"{key.expression} {way} ?", (value,)
    if len(keys) > 1:  # says the same again, in a form that lets an index begin at the right place
        sql, params = f"{keys[0].expression} {'>=' if keys[0].ascending else '<='} ? AND {sql}", (values[0], *params)
    return Part(sql, params)


def select(
    columns: str, table: str, joins: Sequence[Part], where: Sequence[Part], keys: Sequence[SortKey], *, most: int
) -> tuple[str, list[Any]]:
    """The statement of a page of at most ``most`` rows, and one more to know whether there is a next page.

    Its rows have ``columns`` first and then the values of ``keys``. ``where`` has at least one part.
    """
    statement = (
        f"SELECT {columns}, {', '.join(key.expression for key in keys)} FROM {table} "
        f"{' '.join(join.sql for join in joins)} WHERE {' AND '.join(part.sql for part in where)} "
        f"ORDER BY {order_by(keys)} LIMIT ?"
    )
    return statement, [*(value for part in (*joins, *where) for value in part.params), most + 1]


def page(rows: list[Row], keys: Sequence[SortKey], *, most: int, question: str) -> tuple[list[Row], str]:
    """The rows of a page that ``select`` asked for, and the token of the next one; '' when there is none."""
    if len(rows) <= most:
        return rows, ""
    return rows[:most], write_token(question, 0, rows[most - 1][-len(keys) :])


def question(*parts: Any) -> str:
    """A fingerprint of what is searched for, so that a token is not used for another search."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def write_token(question: str, phase: int, values: Sequence[Any]) -> str:
    """The text a client hands back to get the next page."""
    return base64.urlsafe_b64encode(msgspec.json.encode(Token(question, phase, list(values)))).decode()


def read_token(text: str, question: str) -> Token | None:
    """The token in ``text``; None for an empty text.

    Raises:
        Invalid: it is not one of ours, or belongs to another search.
    """
    if not text:
        return None
    try:
        token = msgspec.json.decode(base64.urlsafe_b64decode(text.encode()), type=Token)
    except (binascii.Error, msgspec.MsgspecError, UnicodeError, ValueError) as error:
        raise bad_token() from error
    if token.question != question or not all(type(value) in (int, float, str) for value in token.values):
        raise bad_token()
    return token


def bad_token() -> Invalid:
    """What is said about a token that belongs to another search."""
    return Invalid("Invalid page token: it does not belong to this search. Start again without a page_token.")
