"""A metric over time: its interval as a band, the limit of its rule, and a mark for every deployment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stile.web.charts.chart import Chart, Key, figure
from stile.web.charts.svg import Scale, area, el, line, padded, path, svg, text, tick_label, ticks

_WIDTH, _HEIGHT = 720.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 700.0, 24.0, 188.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The metric of one closed window. ``at`` in milliseconds since 1970."""

    at: int
    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    breach: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a time: a deployment, a decision."""

    at: int
    label: str


def over_windows(
    name: str,
    readings: Sequence[Reading],
    *,
    limit: float | None = None,
    limit_words: str = "limit",
    above_is_bad: bool = False,
    marks: Sequence[Mark] = (),
    since: int | None = None,
    when: Callable[[int], str] = str,
) -> Chart:
    """The line of a metric over closed windows.

    Args:
        name: the metric.
        readings: oldest first.
        limit: the value its rule compares with.
        limit_words: what the limit is called.
        above_is_bad: values above the limit break it (drift) instead of values below (performance).
        marks: vertical lines.
        since: where the axis of time begins; at the first reading when left out.
        when: writes a time for the axis and the table.
    """
    span = padded([v for r in readings for v in (r.value, r.low, r.high)] + [limit], low=0.0 if above_is_bad else None)
    times = [reading.at for reading in readings] or [0]
    begin = min(times[0], times[0] if since is None else since)
    x = Scale(begin, max(times), _LEFT + 12, _RIGHT - 12)
    y = Scale(span[0], span[1], _BOTTOM, _TOP)
    parts = _frame(y, span)
    for mark in marks:
        if begin <= mark.at <= times[-1]:
            parts += [
                line(x(mark.at), _TOP - 8, x(mark.at), _BOTTOM, "c-mark"),
                text(x(mark.at) + 4, _TOP - 8, mark.label),
            ]
    banded = [r for r in readings if r.low is not None and r.high is not None]
    upper = [(x(r.at), y(r.high)) for r in banded if r.high is not None]
    lower = [(x(r.at), y(r.low)) for r in banded if r.low is not None]
    parts.append(area(upper, lower, "c-band"))
    parts.append(path([(x(r.at), y(r.value)) if r.value is not None else None for r in readings], "c-new c-stroke"))
    if limit is not None:
        parts += [line(_LEFT, y(limit), _RIGHT, y(limit), "c-limit")]
        parts.append(
            text(_RIGHT, y(limit) - 5, f"{limit_words} {tick_label(limit)}", anchor="end", class_="c-limit-label")
        )
    for reading in readings:
        if reading.value is not None:
            bad = reading.breach or _broken(reading.value, limit, above_is_bad=above_is_bad)
            parts.append(
                _dot(x(reading.at), y(reading.value), bad=bad, title=f"{reading.label}: {figure(reading.value)}")
            )
    if readings:
        parts.append(text(_LEFT + 12, _HEIGHT - 8, when(begin)))
        if len(readings) > 1:
            parts.append(text(_RIGHT - 12, _HEIGHT - 8, when(readings[-1].at), anchor="end"))
    return Chart(
        finding=_finding(name, readings, limit, above_is_bad=above_is_bad),
        drawing=svg(_WIDTH, _HEIGHT, f"{name} over {len(readings)} windows", *parts),
        caption=f"{name} per window",
        columns=("window", "closed", name, "interval", "rows"),
        rows=tuple((r.label, when(r.at), figure(r.value), _interval(r), str(r.n)) for r in readings),
        keys=(Key("line", name), *((Key("limit", limit_words),) if limit is not None else ())),
    )


def _frame(y: Scale, span: tuple[float, float]) -> list[Markup]:
    parts = []
    for tick in ticks(*span):
        parts += [
            line(_LEFT, y(tick), _RIGHT, y(tick), "c-line"),
            text(_LEFT - 8, y(tick) + 4, tick_label(tick), anchor="end"),
        ]
    return parts


def _dot(x: float, y: float, *, bad: bool, title: str) -> Markup:
    """A round dot, or a square one where the limit is broken: shape as well as colour."""
    name = el("title", title)
    if bad:
        return el("rect", name, x=x - 4.5, y=y - 4.5, width=9, height=9, class_="c-bad c-fill")
    return el("circle", name, cx=x, cy=y, r=3.5, class_="c-new c-fill")


def _broken(value: float, limit: float | None, *, above_is_bad: bool) -> bool:
    return limit is not None and (value > limit if above_is_bad else value < limit)


def _interval(reading: Reading) -> str:
    return "–" if reading.low is None or reading.high is None else f"[{figure(reading.low)}, {figure(reading.high)}]"


def _finding(name: str, readings: Sequence[Reading], limit: float | None, *, above_is_bad: bool) -> str:
    known = [(r, r.value) for r in readings if r.value is not None]
    if not known:
        return f"No window has a value of {name} yet."
    last, value = known[-1]
    sentence = f"{name} is {figure(value)} in the last window ({last.label})"
    if limit is None:
        return sentence + "."
    broken = sum(_broken(v, limit, above_is_bad=above_is_bad) for _, v in known)
    side = "above" if value > limit else "below" if value < limit else "at"
    return f"{sentence}, {side} the limit {tick_label(limit)}; {broken} of {len(known)} windows broke it."
