"""Runs as points: one quantity against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stile.web.charts.axes import Ruler
from stile.web.charts.chart import Chart, figure
from stile.web.charts.correlation import rank_correlation
from stile.web.charts.curves import ink
from stile.web.charts.svg import el, line, text

_WIDTH, _HEIGHT = 560.0, 340.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 548.0, 24.0, 292.0


@dataclass(frozen=True, slots=True)
class Dot:
    """One thing: its id on the rulers, its name, its page, and the place that chooses its colour."""

    id: str
    name: str
    url: str
    place: int


def scatter(dots: Sequence[Dot], across: Ruler, up: Ruler) -> Chart:
    """The dots that have a place on both axes; each is a link that says its name and values."""
    x, y = across.scale(_LEFT, _RIGHT), up.scale(_BOTTOM, _TOP)
    parts: list[Markup] = []
    for place, label in up.marks:
        parts += [line(_LEFT, y(place), _RIGHT, y(place), "c-line"), text(_LEFT - 8, y(place) + 4, label, anchor="end")]
    for place, label in across.marks:
        parts += [
            line(x(place), _BOTTOM, x(place), _BOTTOM + 4, "c-axis"),
            text(x(place), _BOTTOM + 18, label, anchor="middle"),
        ]
    parts += [
        line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "c-axis"),
        text(_LEFT, _TOP - 10, _scaled(up)),
        text(_RIGHT, _HEIGHT - 8, _scaled(across), anchor="end"),
    ]
    shown = [dot for dot in dots if dot.id in across.places and dot.id in up.places]
    for dot in shown:
        said = f"{dot.name}: {across.name} {_value(across, dot.id)}, {up.name} {_value(up, dot.id)}"
        circle = el(
            "circle", el("title", said), cx=x(across.places[dot.id]), cy=y(up.places[dot.id]), r=5,
            class_=f"dot {ink(dot.place)}",
        )  # fmt: skip
        parts.append(el("a", circle, href=dot.url, aria_label=said))
    title = f"{up.name} by {across.name}"
    drawing = el(
        "svg", el("title", title), *parts, class_="plot scatter", viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", role="group",
        aria_label=title,
    )  # fmt: skip
    return Chart(
        finding=_finding(shown, len(dots), across, up),
        drawing=drawing if shown else Markup(""),
        caption=title,
        columns=("run", across.name, up.name),
        rows=tuple((dot.name, _value(across, dot.id), _value(up, dot.id)) for dot in shown),
    )


def _scaled(ruler: Ruler) -> str:
    return f"{ruler.name} (log scale)" if ruler.log else ruler.name


def _value(ruler: Ruler, id: str) -> str:
    place = ruler.places[id]
    if ruler.words:
        return next((label for at, label in ruler.marks if at == place), "")
    return figure(10.0**place if ruler.log else place, 4)


def _finding(shown: Sequence[Dot], total: int, across: Ruler, up: Ruler) -> str:
    if not shown:
        return f"No run has both {across.name} and {up.name}. Choose other axes."
    left_out = f" {total - len(shown)} of {total} runs lack one of them." if total > len(shown) else ""
    ranks = (
        None
        if across.words or up.words
        else rank_correlation([across.places[dot.id] for dot in shown], [up.places[dot.id] for dot in shown])
    )
    if ranks is None:
        return f"{up.name} of {len(shown)} runs by {across.name}.{left_out}"
    way = "rise" if ranks > 0 else "fall"
    words = "hardly changes" if abs(ranks) < 0.3 else f"tends to {way}" if abs(ranks) < 0.7 else f"{way}s"
    return f"{up.name} {words} with {across.name} (rank correlation {ranks:+.2f} over {len(shown)} runs).{left_out}"
