"""SVG as values: elements, paths, scales. Colours come from CSS classes only: a chart follows the page's theme."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Point = tuple[float, float]


def number(value: float) -> str:
    """A coordinate, short: at most two decimals, no trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def el(name: str, *children: Markup | str, **attributes: float | str | None) -> Markup:
    """One element. ``class_`` becomes ``class``, other underscores hyphens; None leaves an attribute out."""
    written = []
    for key, value in attributes.items():
        if value is None:
            continue
        text = value if isinstance(value, str) else number(value)
        written.append(f' {key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    inside = Markup("").join(children)
    head = f"<{name}{''.join(written)}"
    return Markup(f"{head}>{inside}</{name}>" if children else f"{head}/>")  # noqa: S704  every part is escaped above


def svg(width: float, height: float, title: str, *children: Markup, class_: str = "plot") -> Markup:
    """A drawing with its title for those who cannot see it."""
    box = f"0 0 {number(width)} {number(height)}"
    return el("svg", el("title", title), *children, class_=class_, viewBox=box, role="img", aria_label=title)


def text(x: float, y: float, words: str, *, anchor: str = "start", class_: str | None = None) -> Markup:
    """A label with its baseline at (x, y)."""
    return el("text", words, x=x, y=y, text_anchor=None if anchor == "start" else anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return el("path", d=f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}", class_=class_)


def path(points: Sequence[Point | None], class_: str) -> Markup:
    """A line through points; None interrupts it."""
    parts: list[str] = []
    pen_down = False
    for point in points:
        if point is None:
            pen_down = False
            continue
        parts.append(f"{'L' if pen_down else 'M'}{number(point[0])} {number(point[1])}")
        pen_down = True
    return el("path", d="".join(parts), class_=class_) if parts else Markup("")


def area(upper: Sequence[Point], lower: Sequence[Point], class_: str) -> Markup:
    """The region between two lines over the same x."""
    if len(upper) < 2:
        return Markup("")
    outline = [*upper, *reversed(lower)]
    return el("path", d="M" + "L".join(f"{number(x)} {number(y)}" for x, y in outline) + "Z", class_=class_)


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from values to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The coordinate of a value, held inside the drawing."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        ratio = (value - self.low) / (self.high - self.low)
        return self.start + max(0.0, min(1.0, ratio)) * (self.end - self.start)


def finite(values: Sequence[float | None]) -> list[float]:
    """The values that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]


def padded(
    values: Sequence[float | None], *, low: float | None = None, high: float | None = None
) -> tuple[float, float]:
    """A range around the values with a little air, kept inside ``low`` and ``high``; (0, 1) without values."""
    known = finite(values)
    if not known:
        return 0.0, 1.0
    smallest, largest = min(known), max(known)
    air = (largest - smallest) * 0.08 or abs(largest) * 0.08 or 0.5
    smallest, largest = smallest - air, largest + air
    return (smallest if low is None else max(low, smallest)), (largest if high is None else min(high, largest))


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values inside [low, high]: steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(1, about)
    if raw < sys.float_info.min:  # too little to be parted
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def tick_label(value: float) -> str:
    """A tick's number, as short as it can be without losing it."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.6g}"
