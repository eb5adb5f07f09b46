"""An answer before it is written in a protocol's words."""

from __future__ import annotations

from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What the champion said about the rows of one request; ids name the single predictions."""

    ids: list[str]
    outputs: list[Any]
    scores: list[float]
    version: int
    revision: int
