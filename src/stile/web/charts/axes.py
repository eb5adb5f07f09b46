"""Axes for values of any kind: numbers on a line (by powers of ten where they span many), words in their order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stile.web.charts.svg import Scale, padded, tick_label, ticks

_SPAN_FOR_LOG = 100.0
_MOST_WORDS = 24


@dataclass(frozen=True, slots=True)
class Ruler:
    """One axis over some named things.

    Attributes:
        name: what is on it.
        low, high: ends of the range, in places.
        places: where each thing lies; a thing without a value is not there.
        marks: (place, label) of the ticks.
        log: whether places are powers of ten.
        words: whether the values are words.
    """

    name: str
    low: float
    high: float
    places: Mapping[str, float]
    marks: Sequence[tuple[float, str]]
    log: bool = False
    words: bool = False

    def scale(self, start: float, end: float) -> Scale:
        """From places to coordinates."""
        return Scale(self.low, self.high, start, end)


def as_number(value: str | float | None) -> float | None:
    """A value as a finite number; None for words, nothing, NaN and infinities."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) and abs(found) < 1e308 else None


def ruler(name: str, values: Mapping[str, str | float | None], about: int = 5) -> Ruler:
    """The axis of one quantity over things by their id.

    Values are numbers when every known one reads as a number, otherwise words in alphabetical order
    (at most 24 of them; things with rarer words are left out).
    """
    known = {key: value for key, value in values.items() if value is not None and value != ""}
    found = {key: as_number(value) for key, value in known.items()}
    numbers = {key: value for key, value in found.items() if value is not None}
    odd = [key for key in known if isinstance(known[key], str) and key not in numbers and not _odd_number(known[key])]
    if odd:
        return _of_words(name, {key: str(value) for key, value in known.items()})
    if _spans_decades(list(numbers.values())):
        places = {key: math.log10(value) for key, value in numbers.items()}
        low, high = padded(list(places.values()))
        whole = [float(power) for power in range(math.ceil(low), math.floor(high) + 1)]
        return Ruler(name, low, high, places, [(p, tick_label(10.0**p)) for p in whole], log=True)
    low, high = padded(list(numbers.values()))
    return Ruler(name, low, high, numbers, [(tick, tick_label(tick)) for tick in ticks(low, high, about)])


def _odd_number(value: str | float | None) -> bool:
    """Whether it is NaN or infinite: a number that has no place."""
    try:
        return not math.isfinite(float(value if value is not None else "x"))
    except ValueError:
        return False


def _spans_decades(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) >= _SPAN_FOR_LOG


def _of_words(name: str, values: Mapping[str, str]) -> Ruler:
    ordered = sorted(set(values.values()), key=lambda word: (as_number(word) is None, as_number(word) or 0.0, word))
    place = {word: float(index) for index, word in enumerate(ordered[:_MOST_WORDS])}
    places = {key: place[word] for key, word in values.items() if word in place}
    marks = [(at, word if len(word) <= 14 else word[:13] + "…") for word, at in place.items()]
    return Ruler(name, -0.5, max(0.5, len(place) - 0.5), places, marks, words=True)
