"""Estimates with their intervals on one scale: champion and candidate, slice by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stile.web.charts.chart import figure
from stile.web.charts.svg import Scale, el, line, padded, svg

_WIDTH, _HEIGHT, _EDGE = 240.0, 26.0, 6.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the ends of its interval; None where nothing is known."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """One slice: the candidate's estimate and, when there is one, the champion's."""

    name: str
    candidate: Estimate
    champion: Estimate | None = None
    n: int = 0
    positives: int | None = None


def common_range(pairs: Sequence[Pair], limit: float | None = None) -> tuple[float, float]:
    """The range that holds every interval of every row, so that rows compare by eye."""
    values: list[float | None] = [limit]
    for pair in pairs:
        for estimate in (pair.candidate, pair.champion):
            if estimate is not None:
                values += [estimate.value, estimate.low, estimate.high]
    shares = all(value is None or 0.0 <= value <= 1.0 for value in values)
    return padded(values, low=0.0 if shares else None, high=1.0 if shares else None)


def interval_bars(pair: Pair, span: tuple[float, float], limit: float | None = None) -> Markup:
    """One row: champion above (hollow), candidate below (filled), the limit as a dashed line."""
    x = Scale(span[0], span[1], _EDGE, _WIDTH - _EDGE)
    parts = [line(_EDGE, _HEIGHT, _WIDTH - _EDGE, _HEIGHT, "c-line")]
    if limit is not None and span[0] <= limit <= span[1]:
        parts.append(line(x(limit), 0, x(limit), _HEIGHT, "c-limit"))
    said = []
    if pair.champion is not None:
        parts += _whisker(x, 8.0, pair.champion, "c-old", hollow=True)
        said.append(f"champion {_words(pair.champion)}")
    below = limit is not None and pair.candidate.value is not None and pair.candidate.value < limit
    parts += _whisker(x, 18.0 if pair.champion is not None else 13.0, pair.candidate, "c-bad" if below else "c-new")
    said.insert(0, f"candidate {_words(pair.candidate)}")
    return svg(_WIDTH, _HEIGHT, f"{pair.name}: {', '.join(said)}", *parts, class_="inline")


def slices_finding(metric: str, pairs: Sequence[Pair]) -> str:
    """The sentence above the rows: where the candidate is worst, and how it stands to the champion there."""
    known = [(pair.candidate.value, pair) for pair in pairs if pair.candidate.value is not None]
    if not known:
        return f"No slice has enough rows to tell {metric}."
    worst_value, worst = min(known, key=lambda entry: entry[0])
    sentence = f"Lowest {metric} at {worst.name}: {figure(worst_value)}"
    if worst.champion is not None and worst.champion.value is not None:
        difference = worst_value - worst.champion.value
        word = (
            "the same as"
            if abs(difference) < 5e-4
            else f"{abs(difference):.3f} {'above' if difference > 0 else 'below'}"
        )
        sentence += f", {word} the champion"
    return sentence + "."


def _words(estimate: Estimate) -> str:
    interval = (
        "" if estimate.low is None or estimate.high is None else f" [{figure(estimate.low)}, {figure(estimate.high)}]"
    )
    return figure(estimate.value) + interval


def _whisker(x: Scale, y: float, estimate: Estimate, colour: str, *, hollow: bool = False) -> list[Markup]:
    if estimate.value is None:
        return []
    parts = []
    if estimate.low is not None and estimate.high is not None:
        parts.append(line(x(estimate.low), y, x(estimate.high), y, f"{colour} c-whisker"))
    fill = "c-hollow c-whisker" if hollow else "c-fill"
    parts.append(el("circle", cx=x(estimate.value), cy=y, r=3.5, class_=f"{colour} {fill}"))
    return parts
