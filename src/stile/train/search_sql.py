"""From clauses and sort keys to SQL with bound values; pages that stay put while others write.

A page token remembers the sort values of the last row shown (not a count), so rows that come or
go in between shift nothing. It also remembers which question it belongs to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from stile.kernel.errors import Invalid
from stile.train.filters import Value


class Part(msgspec.Struct, frozen=True):
    """A piece of SQL and the values it binds."""

    sql: str
    params: tuple[Any, ...] = ()


class SortKey(msgspec.Struct, frozen=True):
    """An expression that is never NULL, and its direction."""

    expression: str
    ascending: bool = True


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


def indexed_text(column: str, op: str, value: Value) -> Part:
    """Like ``comparison``, with a condition on the first 100 characters that an index on them can answer."""
    plain = comparison(column, op, value)
    if op != "=" or not isinstance(value, str):
        return plain
    return Part(f"substr({column}, 1, 100) = ? AND {plain.sql}", (value[:100], *plain.params))


def order_by(keys: Sequence[SortKey]) -> str:
    """The ORDER BY list."""
    return ", ".join(f"{key.expression} {'ASC' if key.ascending else 'DESC'}" for key in keys)


def beyond(keys: Sequence[SortKey], values: Sequence[Any]) -> Part:
    """The condition that a row sorts after the row with these values."""
    if len(keys) != len(values):
        raise _bad_token()
    sql: str = ""
    params: tuple[Any, ...] = ()
    for key, value in reversed(list(zip(keys, values, strict=True))):
        way = ">" if key.ascending else "<"
        if sql:
            sql = f"({key.expression} {way} ? OR ({key.expression} = ? AND {sql}))"
            params = (value, value, *params)
        else:
            sql, params = f"{key.expression} {way} ?", (value,)
    return Part(sql, params)


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
        raise _bad_token() from error
    if token.question != question or not all(isinstance(value, int | float | str) for value in token.values):
        raise _bad_token()
    return token


def _bad_token() -> Invalid:
    return Invalid("Invalid page token: it does not belong to this search. Start again without a page_token.")
