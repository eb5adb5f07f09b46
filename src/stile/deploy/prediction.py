"""One prediction as it is logged, shipped and stored; and the ids that name them."""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec

from stile.kernel.canonical import digest_of

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]


class Prediction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer of a model version, as written to the log and sent to the server.

    Attributes:
        id: the same for the champion's answer and the scores of the others on the same row.
        at: ms since 1970 UTC.
        version, digest: the model version that computed it.
        revision: of the deployment document it was computed under.
        columns: key of the column names (see ``columns_key``) that ``inputs`` are in order of.
        inputs: the row's values.
        output: the model's answer; ``score`` the number behind it.
        latency_us: from the request's arrival to the answer.
        unit: the caller's own key of the entity, empty for none.
        segment: value of the deployment's segment column, empty for none.
        slices: values of further columns the caller sent beside the inputs.
        broken: contract checks the row breaks, as ``column:rule``.
    """

    id: str
    at: int
    role: str
    version: int
    digest: str
    revision: int
    columns: str
    inputs: list[Any]
    output: Any = None
    score: float | None = None
    latency_us: int = 0
    unit: str = ""
    segment: str = ""
    slices: dict[str, Any] = {}
    broken: list[str] = []


def columns_key(names: list[str]) -> str:
    """Short name of a list of column names."""
    return digest_of(names).removeprefix("sha256:")[:16]


def new_ids(count: int) -> list[str]:
    """``count`` ids ``pred_...`` that sort by time, unique across processes.

    48 bits of milliseconds, then 80 random bits; the rows of one request count on from there
    (as RFC 9562 section 6.2 method 2 allows for UUIDv7).
    """
    first = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big") >> 1
    return [f"pred_{_base32(first + i)}" for i in range(count)]


def _base32(value: int) -> str:
    pairs = []
    for _ in range(13):
        value, rest = divmod(value, 1024)
        pairs.append(_PAIRS[rest])
    return "".join(reversed(pairs))
