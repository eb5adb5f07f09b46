"""How live inputs lie against the reference they were trained on: two histograms over the same bins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from stile.web.charts.chart import Chart, Key, figure
from stile.web.charts.svg import Scale, el, line, path, svg, text, tick_label

_WIDTH, _HEIGHT = 320.0, 132.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 4.0, 316.0, 8.0, 108.0


def shares(counts: Sequence[float]) -> list[float]:
    """Counts as shares of their sum; zeros when there are none."""
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def histogram_pair(
    name: str,
    labels: Sequence[str],
    reference: Sequence[float],
    window: Sequence[float],
    *,
    finding: str = "",
) -> Chart:
    """Reference as filled bars, the window as an outline over the same bins.

    Args:
        name: the column.
        labels: one per bin: its range or its category.
        reference: counts of the reference, one per bin.
        window: counts of the window, one per bin.
        finding: the sentence above; by default the bin that moved most.
    """
    before, now = shares(reference), shares(window)
    top = max([*before, *now, 1e-9])
    x = Scale(0, max(1, len(labels)), _LEFT, _RIGHT)
    y = Scale(0, top * 1.05, _BOTTOM, _TOP)
    parts: list[Markup] = []
    for index, share in enumerate(before):
        left, right = x(index), x(index + 1)
        parts.append(
            el(
                "rect",
                x=left + 0.75,
                y=y(share),
                width=max(0.5, right - left - 1.5),
                height=_BOTTOM - y(share),
                class_="c-bar-ref",
            )
        )
    outline: list[tuple[float, float] | None] = []
    if any(window):
        outline = [(x(0), _BOTTOM)]
        for index, share in enumerate(now):
            outline += [(x(index), y(share)), (x(index + 1), y(share))]
        outline.append((x(len(now)), _BOTTOM))
    parts.append(path(outline, "c-bar-now"))
    parts.append(line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "c-axis"))
    if labels:
        parts.append(text(_LEFT, _BOTTOM + 16, labels[0]))
        if len(labels) > 1:
            parts.append(text(_RIGHT, _BOTTOM + 16, labels[-1], anchor="end"))
    return Chart(
        finding=finding or _moved_most(labels, before, now),
        drawing=svg(_WIDTH, _HEIGHT, f"{name}: reference and window", *parts, class_="plot small"),
        caption=f"{name}: share of rows per bin",
        columns=("bin", "reference", "window"),
        rows=tuple((label, figure(b), figure(n)) for label, b, n in zip(labels, before, now, strict=True)),
        keys=(Key("ref", "reference"), Key("step", "window")),
    )


def bin_labels(edges: Sequence[float]) -> list[str]:
    """Words for the bins between inner edges: below the first, between, above the last."""
    if not edges:
        return ["all"]
    middle = [f"{tick_label(a)} to {tick_label(b)}" for a, b in pairwise(edges)]
    return [f"below {tick_label(_short(edges[0]))}", *middle, f"above {tick_label(_short(edges[-1]))}"]


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _moved_most(labels: Sequence[str], before: Sequence[float], now: Sequence[float]) -> str:
    if not labels or not any(now):
        return "No rows in this window."
    index = max(range(len(labels)), key=lambda at: abs(now[at] - before[at]))
    return f"Most moved: {labels[index]}, from {before[index]:.0%} of rows to {now[index]:.0%}."
