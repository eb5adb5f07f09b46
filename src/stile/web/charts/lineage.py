"""Where something came from, left to right: data, run, version, decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from stile.web.charts.svg import el, line, text

Owner = Literal["ds", "eng", "both"]
_NODE_WIDTH, _NODE_HEIGHT, _GAP, _ROW = 148.0, 44.0, 36.0, 56.0
_MOST_LETTERS = 19


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in the chain: what kind it is, its name, whose part it is, and its page."""

    kind: str
    name: str
    owner: Owner
    url: str = ""


def lineage(columns: Sequence[Sequence[Node]]) -> Markup:
    """The chain as a strip; every column follows from the one before it. Empty columns are left out."""
    filled = [list(column) for column in columns if column]
    if not filled:
        return Markup("")
    tallest = max(len(column) for column in filled)
    width = len(filled) * _NODE_WIDTH + (len(filled) - 1) * _GAP
    height = tallest * _ROW
    parts: list[Markup] = []
    for at, column in enumerate(filled):
        for row, node in enumerate(column):
            x, y = _place(at, row, len(column), tallest)
            for before in range(len(filled[at - 1])) if at else ():
                from_x, from_y = _place(at - 1, before, len(filled[at - 1]), tallest)
                parts.append(line(from_x + _NODE_WIDTH, from_y + _NODE_HEIGHT / 2, x, y + _NODE_HEIGHT / 2, "c-axis"))
            parts.append(_node(node, x, y))
    words = " then ".join(", ".join(f"{node.kind} {node.name}" for node in column) for column in filled)
    # Not an image to assistive technology but a group, because its nodes are links.
    return el(
        "svg",
        el("title", words),
        *parts,
        class_="strip",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="group",
        aria_label=words,
    )


def _place(at: int, row: int, rows: int, tallest: int) -> tuple[float, float]:
    top = (tallest - rows) * _ROW / 2 + (_ROW - _NODE_HEIGHT) / 2
    return at * (_NODE_WIDTH + _GAP), top + row * _ROW


def _node(node: Node, x: float, y: float) -> Markup:
    name = node.name if len(node.name) <= _MOST_LETTERS else node.name[: _MOST_LETTERS - 1] + "…"
    colour = "" if node.owner == "both" else f" {node.owner}"
    parts = [
        el(
            "rect", x=x + 0.5, y=y + 0.5, width=_NODE_WIDTH - 1, height=_NODE_HEIGHT - 1, rx=3, class_=f"c-node{colour}"
        ),
        text(x + 12, y + 17, node.kind),
        text(x + 12, y + 34, name, class_="strong"),
    ]
    return el("a", *parts, href=node.url) if node.url else el("g", *parts)
