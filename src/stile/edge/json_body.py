"""JSON from outside: decoded only when it is neither nested too deeply nor costs far more memory than it has bytes.

Three bytes of JSON (``{},``) may become a hundred and more in memory, so a body within the limit for bodies may
still be too much. What it will cost is told from its brackets and commas before anything is decoded.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from stile.kernel.errors import Invalid

T = TypeVar("T")

MOST_OBJECTS = 60_000
"""Objects and lists one body may hold."""

MOST_VALUES = 400_000
"""Values one body may hold: points come as columns of numbers."""

_SMALL = 256 << 10  # holds at most 90,000 objects, about 15 MB
_MAX_DEPTH = 64
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)  # always ends: never tries a text twice
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def decode_json(body: bytes, kind: type[T]) -> T:
    """JSON bytes into ``kind``.

    Raises:
        Invalid: it is not JSON, nested too deeply, holds too many values, or does not fit; says which field.
    """
    refuse_costly(body)
    if _depth(body) > _MAX_DEPTH:
        raise Invalid(f"The JSON is nested more than {_MAX_DEPTH} levels deep, or its brackets do not match.")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"The request does not fit: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.") from error


def refuse_costly(body: bytes, *, objects: int = MOST_OBJECTS, values: int = MOST_VALUES) -> None:
    """Refuse JSON that would take far more memory than it has bytes.

    Args:
        body: JSON or anything else.
        objects: most objects and lists, counted by the brackets that begin them.
        values: most values, counted by commas.

    Raises:
        Invalid: it holds more.
    """
    if len(body) <= _SMALL or _fits(body, objects, values):
        return
    bare = _without_texts(body, most=2 * values)  # brackets and commas in texts cost nothing
    if bare is None or not _fits(bare, objects, values):
        raise Invalid(f"The JSON holds more than {objects} objects and lists or {values} values. Send fewer at a time.")


def _without_texts(body: bytes, *, most: int) -> bytearray | None:
    """What lies between the texts; None when there are more texts than ``most``."""
    bare = bytearray()
    at = 0
    for count, text in enumerate(_TEXT.finditer(body)):
        if count >= most:
            return None
        bare += body[at : text.start()]
        at = text.end()
    bare += body[at:]
    return bare


def _fits(body: bytes | bytearray, objects: int, values: int) -> bool:
    return body.count(b"{") + body.count(b"[") <= objects and body.count(b",") <= values


def _depth(body: bytes) -> int:
    """The nesting depth, or something above the limit when it is passed or the brackets do not match.

    Innermost pairs are taken out together, so that megabytes of flat brackets cost milliseconds.
    """
    opening = body.count(b"[") + body.count(b"{")
    if opening <= _MAX_DEPTH:
        return opening
    bare = _without_texts(body, most=len(body))
    brackets = (bare or b"").translate(None, _NO_BRACKETS)
    for depth in range(_MAX_DEPTH + 1):
        if not brackets:
            return depth
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return _MAX_DEPTH + 1
