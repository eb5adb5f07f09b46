"""The measured figures as a page of documentation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Protocol


class Shown(Protocol):
    """What a row needs."""

    title: str
    unit: str
    more_is_better: bool
    cpu_us: dict[str, list[float]]
    notes: dict[str, str]

    def median(self, name: str) -> float | None:
        """The figure of a server."""
        ...


def markdown(figures: Sequence[Shown], names: Sequence[str], *, facts: Sequence[tuple[str, str]], command: str) -> str:
    """The page: how it was measured, the machine, the table, and where the processor time goes."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit by hand. Our server runs with its defaults, so every acknowledged",
        "write is on stable storage. Servers are measured in turns in one run, over kept-alive connections on the",
        "loopback interface; a figure is the median of its rounds. Generator and servers share the machine: trust",
        "the ratios more than the absolute figures.",
        "",
        f"Measured {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC with `{command}`.",
        "",
        *(f"- {what}: {value}" for what, value in facts),
        "",
        "| | unit | " + " | ".join(names) + " |" + (" ratio |" if len(names) > 1 else ""),
        "|---|---|" + "---:|" * len(names) + ("---:|" if len(names) > 1 else ""),
    ]
    for figure in figures:
        cells = [_note(figure, name) or number(figure.median(name)) for name in names]
        row = f"| {figure.title} | {figure.unit} | " + " | ".join(cells) + " |"
        lines.append(row + (f" {_ratio(figure, names)} |" if len(names) > 1 else ""))
    lines += ["", "Processor time of the server, microseconds per call (or per point):", ""]
    lines += ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for figure in figures:
        if figure.cpu_us:
            used = [statistics.median(figure.cpu_us[name]) if figure.cpu_us.get(name) else None for name in names]
            lines.append(f"| {figure.title} | " + " | ".join(map(number, used)) + " |")
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """A figure with about three digits."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _note(figure: Shown, name: str) -> str:
    """What went wrong, short enough for a cell."""
    note = " ".join(figure.notes.get(name, "").replace("|", "/").split())
    return note if len(note) <= 120 else note[:120] + " ..."


def _ratio(figure: Shown, names: Sequence[str]) -> str:
    ours, other = figure.median(names[0]), figure.median(names[1])
    if not ours or not other:
        return "-"
    ratio = ours / other if figure.more_is_better else other / ours
    return f"**{number(ratio)}x**"
