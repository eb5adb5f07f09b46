"""One byte form for one value, so that a digest names a content and not an accident of spelling.

Source: RFC 8785 (JSON Canonicalization Scheme) for the subset used here: objects with
string keys sorted by code point, no white space, integers as they are, floats in the
shortest form that reads back to the same value. NaN and infinities have no JSON form and
are refused: a record that must carry one says so in a field of its own.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec

from stile.kernel.errors import Invalid

_encoder = msgspec.json.Encoder(order="deterministic")


def canonical_json(value: Any) -> bytes:
    """The one JSON encoding of ``value`` (builtins or msgspec Structs).

    Raises:
        Invalid: the value holds NaN, an infinity, or a type JSON does not know.
    """
    try:
        plain = msgspec.to_builtins(value)
        _refuse_non_finite(plain)
        return _encoder.encode(plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"This value cannot be recorded as canonical JSON: {error}.") from error


def digest_of(value: Any) -> str:
    """``sha256:<hex>`` of the canonical JSON of ``value``."""
    return digest_bytes(canonical_json(value))


def digest_bytes(content: bytes) -> str:
    """``sha256:<hex>`` of raw bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def is_digest(text: str) -> bool:
    """Whether ``text`` has the form ``sha256:<64 lower-case hex digits>``."""
    return len(text) == 71 and text.startswith("sha256:") and all(c in "0123456789abcdef" for c in text[7:])


def short(digest: str) -> str:
    """The first 12 hex digits of a digest, for people."""
    return digest.removeprefix("sha256:")[:12]


def _refuse_non_finite(value: Any) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("it holds NaN or an infinity")
    elif isinstance(value, dict):
        for item in value.values():
            _refuse_non_finite(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_non_finite(item)
