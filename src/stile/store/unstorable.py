"""What neither engine can keep, refused by both in the same words: PostgreSQL's texts have no NUL, SQLite's could."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from stile.kernel.errors import Invalid

NOT_STORABLE = (OverflowError, UnicodeEncodeError)
"""What drivers raise for values that the store cannot keep; ``in_words`` says so."""


def has_nul() -> Invalid:
    """The refusal of a text with a NUL in it."""
    return Invalid("A text holds a NUL character, which the store cannot keep. Send it without.")


def in_words(error: OverflowError | UnicodeEncodeError) -> Invalid:
    """The refusal of what a driver could not bind."""
    if isinstance(error, OverflowError):
        return Invalid("A number is too large: whole numbers may have 64 bits. Send a smaller one.")
    return Invalid("A text holds half a character pair, which is not valid Unicode. Send it as UTF-8.")


def checked(params: Sequence[Any]) -> Sequence[Any]:
    """The parameters of a statement.

    Raises:
        Invalid: one of them is a text with a NUL in it.
    """
    for value in params:
        if type(value) is str and "\0" in value:
            raise has_nul()
    return params


def checked_rows(rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """As ``checked``, for each row when it is asked for."""
    return map(checked, rows)
