"""The measured figures as a page of documentation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

FLOOR = "the client alone"
"""The client against a server that answers at once."""

BARE = "bare SQLite"
"""What SQLite does without a server."""


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
        "Written by `make bench`; do not edit by hand. *Stile* runs with its defaults, so every acknowledged write is",
        "on stable storage; *Stile, relaxed* syncs what is tracked about runs up to 50 ms later. Servers are measured",
        "in turns in one run, over kept-alive connections on the loopback interface; a figure is the median of its",
        "rounds. Generator and servers share the machine: trust the ratios more than the absolute figures. The ratio",
        "is Stile's to the better of MLflow's two.",
        "",
        f"Measured {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC with `{command}`.",
        "",
        *(f"- {what}: {value}" for what, value in facts),
        "",
        "| | unit | " + " | ".join(names) + " |" + (" ratio |" if len(names) > 1 else ""),
        "|---|---|" + "---:|" * len(names) + ("---:|" if len(names) > 1 else ""),
    ]
    for figure in (one for one in figures if not one.title.startswith(BARE)):
        cells = [_note(figure, name) or number(figure.median(name)) for name in names]
        row = f"| {figure.title} | {figure.unit} | " + " | ".join(cells) + " |"
        lines.append(row + (f" {_ratio(figure, names)} |" if len(names) > 1 else ""))
    lines += _limits(figures)
    lines += ["", "Processor time of the server, microseconds per call (or per point):", ""]
    lines += ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for figure in figures:
        if figure.cpu_us:
            used = [statistics.median(figure.cpu_us[name]) if figure.cpu_us.get(name) else None for name in names]
            lines.append(f"| {figure.title} | " + " | ".join(map(number, used)) + " |")
    return "\n".join(lines) + "\n"


def _limits(figures: Sequence[Shown]) -> list[str]:
    """What no server could pass here: SQLite without a server, and the client without one."""
    lines = ["", "Limits on this machine:", ""]
    for figure in figures:
        if figure.title.startswith(BARE):
            lines.append(f"- {figure.title}: {number(figure.median('Stile'))} {figure.unit}")
        elif figure.median(FLOOR) is not None:
            share = (figure.median("Stile") or 0) / (figure.median(FLOOR) or 1)
            lines.append(
                f"- {figure.title}, against a server that answers at once: {number(figure.median(FLOOR))} "
                f"{figure.unit}; Stile reaches {share:.0%} of it"
            )
    return lines if len(lines) > 3 else []


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
    ours = figure.median(names[0])
    theirs = [value for name in names if name.startswith("MLflow") and (value := figure.median(name))]
    if not ours or not theirs:
        return "-"
    best = max(theirs) if figure.more_is_better else min(theirs)
    return f"**{number(ours / best if figure.more_is_better else best / ours)}x**"


def growth(measured: Mapping[str, Mapping[int, tuple[float, float]]]) -> str:
    """Searches of our server against the size of its store, as a table: median and 95th percentile."""
    sizes = sorted(next(iter(measured.values())))
    lines = ["", "Search against the size of the store, ms until the last byte, median (95th percentile):", ""]
    lines += ["| | " + " | ".join(f"{size:,} runs" for size in sizes) + " | p95, largest to smallest |"]
    lines += ["|---|" + "---:|" * (len(sizes) + 1)]
    for title, by_size in measured.items():
        cells = [f"{number(by_size[size][0])} ({number(by_size[size][1])})" for size in sizes]
        ratio = by_size[sizes[-1]][1] / by_size[sizes[0]][1]
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {number(ratio)}x |")
    return "\n".join(lines) + "\n"
