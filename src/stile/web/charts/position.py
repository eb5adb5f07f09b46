"""Where one value lies among those the model was tested on."""

from __future__ import annotations

from markupsafe import Markup

from stile.web.charts.chart import figure
from stile.web.charts.svg import Scale, el, line, svg

_WIDTH, _HEIGHT, _EDGE = 160.0, 16.0, 6.0


def is_outside(value: float, low: float, high: float) -> bool:
    """Whether the value lies beyond everything the model was tested on."""
    return not low <= value <= high


def position(name: str, value: float, low: float, high: float, usual: tuple[float, float] | None) -> Markup:
    """A dot on the line from the smallest to the largest tested value; the middle 80 % as a bar.

    Args:
        name: the column.
        value: of the row.
        low: smallest value in the test data.
        high: largest value in the test data.
        usual: ends of the middle 80 %, when known.
    """
    outside = is_outside(value, low, high)
    x = Scale(low, high, _EDGE, _WIDTH - _EDGE)
    y = _HEIGHT / 2
    parts = [line(_EDGE, y, _WIDTH - _EDGE, y, "c-axis")]
    if usual is not None:
        parts.append(
            el("rect", x=x(usual[0]), y=y - 3, width=max(1.0, x(usual[1]) - x(usual[0])), height=6, class_="c-bar-ref")
        )
    colour = "c-bad" if outside else "c-new"
    if outside:
        parts.append(el("rect", x=x(value) - 4, y=y - 4, width=8, height=8, class_=f"{colour} c-fill"))
    else:
        parts.append(el("circle", cx=x(value), cy=y, r=4, class_=f"{colour} c-fill"))
    where = "outside" if outside else "inside"
    title = f"{name}: {figure(value, 4)}, {where} the tested range {figure(low, 4)} to {figure(high, 4)}"
    return svg(_WIDTH, _HEIGHT, title, *parts, class_="inline")
