"""Results on a terminal: tables, times, numbers. ``rich`` is imported only when something is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stile.kernel.clock import iso

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {
    "promote": "green", "pass": "green", "yes": "green", "champion": "green", "promoted": "green", "ok": "green",
    "reject": "red", "fail": "red", "no": "red", "rejected": "red", "held": "red", "breach": "red",
    "wait": "yellow", "unknown": "yellow", "waiting": "yellow", "open": "yellow",
}  # fmt: skip


def console(*, to_stderr: bool = False) -> Console:
    """The terminal; when output goes to a file or pipe lines are not cut at 80 columns."""
    from rich.console import Console

    made = Console(stderr=to_stderr, highlight=False)
    if not made.is_terminal:
        made.width = 160
    return made


@contextmanager
def counting(says: str, *, quiet: bool) -> Iterator[Callable[[str, int], None]]:
    """A line that counts while something long runs; yields what to call with (what, how many more)."""
    counts: dict[str, int] = {}
    if quiet:
        yield lambda *_: None
        return
    with console(to_stderr=True).status(says) as line:

        def told(what: str, more: int) -> None:
            counts[what] = counts.get(what, 0) + more
            line.update(f"{says}: {', '.join(f'{count} {name}' for name, count in counts.items())}")

        yield told


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print a table, or the sentence ``empty`` that tells the next step."""
    from rich.table import Table

    out = console()
    lines = [[text(cell) for cell in row] for row in rows]
    if not lines:
        out.print(empty, markup=False)
        return
    grid = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        grid.add_column(column, header_style="dim", overflow="fold")
    for line in lines:
        grid.add_row(*[styled(cell) for cell in line])
    out.print(grid)


def facts(title: str, pairs: Iterable[tuple[str, Any]]) -> None:
    """Print a title and aligned ``name value`` lines; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    out = console()
    if title:
        out.print(Text(title, style="bold"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, "", [], {}):
            grid.add_row(Text(name), styled(text(value)))
    out.print(grid)


def say(line: str, style: str = "") -> None:
    """Print one line, its brackets taken literally."""
    from rich.text import Text

    console().print(Text(line, style=style))


def styled(cell: str) -> Any:
    """A cell in the colour of its verdict, if it starts with one."""
    from rich.text import Text

    word = cell.split(":", 1)[0].split(" ", 1)[0].lower()
    return Text(cell, style=_STYLES.get(word, ""))


def text(value: Any) -> str:
    """A value for people: numbers to four places, lists with commas, nothing as a dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    if isinstance(value, list | tuple):
        return ", ".join(text(item) for item in value) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{key} {text(item)}" for key, item in value.items()) or "–"
    return str(value)


def when(ms: Any) -> str:
    """A time to the second, in UTC."""
    return iso(int(ms))[:19].replace("T", " ") if isinstance(ms, int | float) and ms else "–"


def short(digest: Any) -> str:
    """The first twelve digits of a digest."""
    return str(digest or "").removeprefix("sha256:")[:12] or "–"
