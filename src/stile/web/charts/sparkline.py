"""A word-sized line: how a metric went."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from stile.web.charts.chart import figure
from stile.web.charts.svg import Scale, el, finite, padded, path, svg

_WIDTH, _HEIGHT, _EDGE = 96.0, 24.0, 3.0
MAX_POINTS = 64


def decimated(values: Sequence[float], limit: int = MAX_POINTS) -> list[tuple[int, float]]:
    """At most ``limit`` (index, value) pairs that keep the first, the last and every bucket's extremes."""
    if len(values) <= limit:
        return list(enumerate(values))
    kept = {0, len(values) - 1}
    buckets = max(1, (limit - 2) // 2)
    for bucket in range(buckets):
        start, end = bucket * len(values) // buckets, (bucket + 1) * len(values) // buckets
        span = range(start, end)
        kept.add(min(span, key=values.__getitem__))
        kept.add(max(span, key=values.__getitem__))
    return [(index, values[index]) for index in sorted(kept)]


def sparkline(name: str, values: Sequence[float]) -> Markup:
    """The line of ``values`` in order; nothing for fewer than two numbers."""
    known = finite(values)
    if len(known) < 2:
        return Markup("")
    low, high = padded(known)
    x = Scale(0, len(known) - 1, _EDGE, _WIDTH - _EDGE)
    y = Scale(low, high, _HEIGHT - _EDGE, _EDGE)
    points = [(x(index), y(value)) for index, value in decimated(known)]
    title = f"{name}: from {figure(known[0])} to {figure(known[-1])} in {len(known)} points"
    last = el("circle", cx=points[-1][0], cy=points[-1][1], r=2, class_="c-new c-fill")
    return svg(_WIDTH, _HEIGHT, title, path(points, "c-new c-stroke"), last, class_="spark")
