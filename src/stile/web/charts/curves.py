"""Curves over steps or time: one metric of one run, or of many runs on one scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from stile.train.metric_direction import direction
from stile.web.charts.chart import Chart, figure
from stile.web.charts.svg import Scale, el, line, padded, path, svg, text, tick_label, ticks
from stile.web.words import absolute, duration

Axis = Literal["step", "time", "relative"]

COLOURS = 8
"""Lines that are told apart by colour; the next as many have the same colours and another dash."""
_DASHES = 4

_SHAPES = {"small": (320.0, 150.0), "wide": (760.0, 300.0)}
_LEFT, _TOP, _FOOT = 48.0, 10.0, 28.0
_DECADES = 12


@dataclass(frozen=True, slots=True)
class Track:
    """One line: its name, and its points by rising x (steps, or ms); ``place`` chooses its colour.

    ``soft`` are the points of its moving average, drawn in its place; then the line itself lies faintly behind.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    place: int = 0
    soft: tuple[Sequence[float], Sequence[float]] | None = None


def ink(place: int) -> str:
    """The class that colours line number ``place``."""
    return f"run-{place % COLOURS} dash-{place // COLOURS % _DASHES}"


def curve(
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    *,
    axis: Axis = "step",
    log: bool = False,
    soft: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Chart:
    """The curve of one metric of one run; its table has where it began, ended, was lowest and highest."""
    track = Track(name, x, y, soft=soft)
    rows = [(word, _place_word(axis, x[at]), figure(y[at], 4)) for word, at in _landmarks(y)]
    return Chart(
        finding=_finding(name, x, y, axis),
        drawing=_drawing([track], f"{name} over {len(y)} points", "small", axis=axis, log=log),
        caption=f"{name}: its landmarks",
        columns=("point", axis, name),
        rows=tuple(rows),
    )


def curves(name: str, tracks: Sequence[Track], *, axis: Axis = "step", log: bool = False) -> Chart:
    """One metric of several runs on one scale."""
    known = [track for track in tracks if track.y]
    rows = [
        (track.name, figure(track.y[0], 4), figure(track.y[-1], 4), figure(min(track.y), 4), figure(max(track.y), 4))
        for track in known
    ]
    return Chart(
        finding=_comparison(name, known),
        drawing=_drawing(
            known, f"{name} of {len(known)} runs", "wide", axis=axis, log=log
        ) if known else Markup(""),
        caption=f"{name} of each run",
        columns=("run", "first", "last", "lowest", "highest"),
        rows=tuple(rows),
    )  # fmt: skip


def _drawing(tracks: Sequence[Track], title: str, shape: str, *, axis: Axis, log: bool) -> Markup:
    width, height = _SHAPES[shape]
    right, bottom = width - 8, height - _FOOT
    every = [value for track in tracks for value in track.y]
    lifted: Callable[[float], float] = _decade if log else float
    shown = [lifted(value) for value in every if not log or value > 0]
    low, high = padded(shown)
    xs = [track.x[at] for track in tracks for at in (0, -1) if track.x]
    start, end = (min(xs), max(xs)) if xs else (0.0, 1.0)
    x = Scale(start, end, _LEFT, right)
    y = Scale(low, high, bottom, _TOP)
    parts: list[Markup] = []
    for tick in _log_ticks(low, high) if log else ticks(low, high, 3 if shape == "small" else 5):
        label = tick_label(10.0**tick if log else tick)
        parts += [line(_LEFT, y(tick), right, y(tick), "c-line"), text(_LEFT - 6, y(tick) + 4, label, anchor="end")]
    for at, track in enumerate(tracks):
        parts += _strokes(track, x, y, lifted, log=log, plain=len(tracks) == 1, last=at == len(tracks) - 1)
    parts += [
        text(_LEFT, height - 8, _place_word(axis, start, start)),
        text(right, height - 8, _place_word(axis, end, start), anchor="end"),
    ]
    return svg(width, height, title, *parts, class_=f"plot {shape}")


def _strokes(
    track: Track,
    x: Scale,
    y: Scale,
    lifted: Callable[[float], float],
    *,
    log: bool,
    plain: bool,
    last: bool,
) -> list[Markup]:
    """The line itself, or its moving average with the measured values faintly behind it."""
    colour = "c-new" if plain else ink(track.place)

    def points(places: Sequence[float], values: Sequence[float]) -> list[tuple[float, float] | None]:
        return [
            (x(at), y(lifted(value))) if value > 0 or not log else None
            for at, value in zip(places, values, strict=True)
        ]

    parts = []
    drawn = points(track.x, track.y)
    if track.soft:
        parts.append(path(drawn, f"{colour} c-stroke c-faint"))
        drawn = points(*track.soft)
    whole = path(drawn, f"{colour} c-stroke")
    parts.append(whole if plain else el("g", el("title", track.name), whole))
    if plain and last and drawn and (end := drawn[-1]) is not None:
        parts.append(el("circle", cx=end[0], cy=end[1], r=3, class_="c-new c-fill"))
    return parts


def _decade(value: float) -> float:
    return math.log10(value)


def _log_ticks(low: float, high: float) -> list[float]:
    """Whole powers of ten inside the range; a few more round numbers where there are less than two."""
    whole = list(range(math.ceil(low), math.floor(high) + 1))
    if len(whole) >= 2:
        return [float(power) for power in whole[:: max(1, len(whole) // _DECADES + 1)]]
    return [math.log10(value) for value in ticks(10.0**low, 10.0**high, 3) if value > 0]


def _place_word(axis: Axis, at: float, start: float = 0.0) -> str:
    """Where on the axis: ``step 12``, a clock time in UTC, or how long after the beginning."""
    if axis == "step":
        return f"step {int(at)}" if at == start else str(int(at))
    if axis == "time":
        return absolute(round(at))[5:19]
    return duration(at)


def _landmarks(y: Sequence[float]) -> list[tuple[str, int]]:
    if not y:
        return []
    places = range(len(y))
    return [
        ("first", 0), ("last", len(y) - 1),
        ("lowest", min(places, key=y.__getitem__)), ("highest", max(places, key=y.__getitem__)),
    ]  # fmt: skip


def _finding(name: str, x: Sequence[float], y: Sequence[float], axis: Axis) -> str:
    if not y:
        return "No points yet."
    if len(y) == 1:
        return f"{figure(y[0], 4)}, its only point."
    falls = (direction(name) or ("down" if y[-1] < y[0] else "up")) == "down"
    best = (min if falls else max)(range(len(y)), key=y.__getitem__)
    where = f"step {int(x[best])}" if axis == "step" else _place_word(axis, x[best])
    return f"Ends at {figure(y[-1], 4)}; {'lowest' if falls else 'highest'} {figure(y[best], 4)} at {where}."


def _comparison(name: str, tracks: Sequence[Track]) -> str:
    if not tracks:
        return f"None of these runs has logged {name}."
    way = direction(name)
    ends = {track.name: track.y[-1] for track in tracks}
    if len(tracks) == 1:
        return f"{name} ends at {figure(tracks[0].y[-1], 4)} in {tracks[0].name}; no other run has logged it."
    if len(set(ends.values())) == 1:
        return f"{name} ends at {figure(tracks[0].y[-1], 4)} in all {len(tracks)} runs."
    if not way:
        low, high = min(ends.values()), max(ends.values())
        return f"{name} ends between {figure(low, 4)} and {figure(high, 4)} in {len(tracks)} runs."
    best = (max if way == "up" else min)(ends, key=ends.__getitem__)
    word = "highest" if way == "up" else "lowest"
    return f"{name} ends {word} in {best}: {figure(ends[best], 4)}."
