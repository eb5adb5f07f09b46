"""The curve of one metric over the steps of a run."""

from __future__ import annotations

from collections.abc import Sequence

from stile.web.charts.chart import Chart, figure
from stile.web.charts.sparkline import decimated
from stile.web.charts.svg import Scale, el, line, padded, path, svg, text, tick_label, ticks

_WIDTH, _HEIGHT = 320.0, 150.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 312.0, 10.0, 122.0
_MOST_POINTS = 300


def curve(name: str, steps: Sequence[int], values: Sequence[float]) -> Chart:
    """A small line chart; a long curve is thinned to its extremes, never smoothed."""
    low, high = padded(values)
    x = Scale(steps[0] if steps else 0, steps[-1] if steps else 1, _LEFT, _RIGHT)
    y = Scale(low, high, _BOTTOM, _TOP)
    parts = []
    for tick in ticks(low, high, 3):
        parts += [
            line(_LEFT, y(tick), _RIGHT, y(tick), "c-line"),
            text(_LEFT - 6, y(tick) + 4, tick_label(tick), anchor="end"),
        ]
    points = [(x(steps[index]), y(value)) for index, value in decimated(values, _MOST_POINTS)]
    parts.append(path(points, "c-new c-stroke"))
    if points:
        parts.append(el("circle", cx=points[-1][0], cy=points[-1][1], r=3, class_="c-new c-fill"))
        parts += [text(_LEFT, _HEIGHT - 8, f"step {steps[0]}"), text(_RIGHT, _HEIGHT - 8, str(steps[-1]), anchor="end")]
    shown = decimated(values, 24)
    return Chart(
        finding=_finding(name, steps, values),
        drawing=svg(_WIDTH, _HEIGHT, f"{name} over {len(values)} steps", *parts, class_="plot small"),
        caption=f"{name} by step" + (f" ({len(shown)} of {len(values)} points)" if len(shown) < len(values) else ""),
        columns=("step", name),
        rows=tuple((str(steps[index]), figure(value, 4)) for index, value in shown),
    )


def _finding(name: str, steps: Sequence[int], values: Sequence[float]) -> str:
    if not values:
        return f"{name} has no points yet."
    if len(values) == 1:
        return f"{name} is {figure(values[0], 4)}."
    best = (
        min(range(len(values)), key=values.__getitem__)
        if values[-1] < values[0]
        else max(range(len(values)), key=values.__getitem__)
    )
    word = "lowest" if values[-1] < values[0] else "highest"
    return f"{name} ends at {figure(values[-1], 4)}; {word} {figure(values[best], 4)} at step {steps[best]}."
