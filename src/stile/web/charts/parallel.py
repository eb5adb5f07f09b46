"""Runs as lines across several axes: which settings lead to which outcome."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from markupsafe import Markup

from stile.train.metric_direction import direction
from stile.web.charts.axes import Ruler
from stile.web.charts.chart import Chart
from stile.web.charts.curves import ink
from stile.web.charts.scatter import Dot
from stile.web.charts.svg import el, line, path, text

_HEIGHT, _TOP, _BOTTOM = 320.0, 40.0, 304.0
_LEAST_GAP, _MOST_GAP, _EDGE = 152.0, 264.0, 64.0
_WIDTH = 1152.0
_LETTERS = 18
_TINTED_FROM = 9
_TINTS = 5


def parallel(dots: Sequence[Dot], rulers: Sequence[Ruler]) -> Chart:
    """One line for each run, through its place on every axis; a line has a gap where a value is missing.

    The last axis is meant to be the outcome. A few lines have the colours of their runs; many are tinted
    by their place on the last axis: the stronger the better, where its name tells, else the higher.
    """
    gap = min(_MOST_GAP, max(_LEAST_GAP, (_WIDTH - 2 * _EDGE) / (len(rulers) - 1)))
    width = _EDGE * 2 + gap * (len(rulers) - 1)
    scales = [ruler.scale(_BOTTOM, _TOP) for ruler in rulers]
    parts: list[Markup] = []
    tinted = len(dots) >= _TINTED_FROM
    falls = direction(rulers[-1].name) == "down"
    order = sorted(dots, key=lambda dot: _strength(rulers[-1], dot, falls=falls)) if tinted else dots
    for dot in order:
        points = [
            (_EDGE + gap * at, scale(ruler.places[dot.id])) if dot.id in ruler.places else None
            for at, (ruler, scale) in enumerate(zip(rulers, scales, strict=True))
        ]
        if sum(point is not None for point in points) > 1:
            drawn = path(points, f"{_tint(rulers[-1], dot, falls=falls) if tinted else ink(dot.place)} c-stroke line")
            parts.append(el("a", el("title", dot.name), drawn, href=dot.url, aria_label=dot.name))
    for at, (ruler, scale) in enumerate(zip(rulers, scales, strict=True)):
        parts += _axis(ruler, scale.start, scale.end, _EDGE + gap * at, [(scale(p), label) for p, label in ruler.marks])
    title = "Runs across " + ", ".join(ruler.name for ruler in rulers)
    drawing = el(
        "svg", el("title", title), *parts, class_="strip parallel", viewBox=f"0 0 {width:g} {_HEIGHT:g}", width=width,
        height=_HEIGHT, role="group", aria_label=title,
    )  # fmt: skip
    finding = f"{len(dots)} runs, one line each, from {rulers[0].name} to {rulers[-1].name}."
    if tinted:
        finding += f" The stronger the line, the {'lower' if falls else 'higher'} its {rulers[-1].name}."
    return Chart(finding=finding, drawing=drawing)


def _strength(ruler: Ruler, dot: Dot, *, falls: bool) -> float:
    """What lines are drawn in the order of: the strongest last, over the others; those without a place first."""
    place = ruler.places.get(dot.id)
    return -math.inf if place is None else -place if falls else place


def _tint(ruler: Ruler, dot: Dot, *, falls: bool) -> str:
    """The class of a line by its rank on an axis."""
    ranked = sorted(-place if falls else place for place in ruler.places.values())
    if dot.id not in ruler.places or len(ranked) < 2:
        return "tint-0"
    rank = bisect_left(ranked, _strength(ruler, dot, falls=falls))
    return f"tint-{min(_TINTS - 1, rank * _TINTS // len(ranked))}"


def _axis(ruler: Ruler, bottom: float, top: float, x: float, marks: Sequence[tuple[float, str]]) -> list[Markup]:
    name = ruler.name if len(ruler.name) <= _LETTERS else "…" + ruler.name[1 - _LETTERS :]
    parts = [
        line(x, bottom, x, top, "c-axis"),
        el("text", el("title", ruler.name), name, x=x, y=top - 22.0, text_anchor="middle", class_="strong"),
    ]
    if ruler.log:
        parts.append(text(x, top - 8, "log scale", anchor="middle"))
    for y, label in marks:
        # A label has its own ground, because lines run behind it.
        parts.append(text(x + 6, y + 4, label, class_="halo"))
    return parts
