"""The value-chain strip: how each of the five concepts stands in one use case, in one word and one number."""

from __future__ import annotations

from typing import Literal

import msgspec


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """One concept of the chain.

    Attributes:
        owner: whose part it is: data science, engineering, or both.
        who: the owner in words.
        number, word: its state.
        tone: whether it needs somebody: ``pass``, ``fail``, ``wait`` or empty.
    """

    id: str
    name: str
    owner: Literal["ds", "eng", "both"]
    who: str
    number: str
    word: str
    url: str
    tone: str = ""
