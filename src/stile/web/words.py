"""How values read on a page: numbers with their interval, times with their age, sizes, digests."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

from stile.kernel.permission import TEAM_ROLES

_DAY_S = 86_400
_AGES = (
    (60, 1, "s"),
    (3600, 60, "min"),
    (_DAY_S, 3600, "h"),
    (30 * _DAY_S, _DAY_S, "d"),
    (365 * _DAY_S, 30 * _DAY_S, "mo"),
)
_HUGE = 1e9
_BYTES = ("B", "kB", "MB", "GB", "TB")


def age(then_ms: int, now_ms: int) -> str:
    """How long ago (or from now) in one unit: ``3 min ago``."""
    seconds = round((now_ms - then_ms) / 1000)
    distance = abs(seconds)
    if distance < 5:
        return "now"
    found = ((step, unit) for limit, step, unit in _AGES if distance < limit)
    step, unit = next(found, (365 * _DAY_S, "y"))
    text = f"{distance // step} {unit}"
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def absolute(at_ms: int) -> str:
    """The time in UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short_time(at_ms: int) -> str:
    """The time in UTC, to the minute, for axes."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%d %b %H:%M")


def time_tag(at_ms: int | None, now_ms: int, *, exact: bool = False) -> Markup:
    """A ``<time>``: the age, with the absolute time in its title; or the absolute time itself."""
    if not at_ms:
        return Markup('<span class="soft">–</span>')
    stamp = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = absolute(at_ms) if exact else age(at_ms, now_ms)
    mark = Markup(" data-absolute") if exact else Markup("")
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(stamp, absolute(at_ms), mark, shown)


def duration(milliseconds: float | None) -> str:
    """A length of time as people say it: ``3 min 20 s``, ``1.4 s``, ``12 ms``."""
    if milliseconds is None:
        return "–"
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def number(value: object, digits: int = 3) -> str:
    """A number for reading; a dash when there is none; text stays text. ``assets/js/numbers.js`` does the same.

    Args:
        value: whole numbers stay whole; from 10 000 on digits are grouped by threes.
        digits: behind the point, below 1000; what would read as nothing has three that count instead.
    """
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if value != value:  # noqa: PLR0124  NaN is the one value unequal to itself
        return "not a number"
    return ("−" if value < 0 else "") + _size(abs(value), digits)


def _size(value: float, digits: int) -> str:
    if value == math.inf:
        return "∞"
    if isinstance(value, int):
        text = f"{value:,}"
    elif value >= _HUGE or 0 < value < 10.0**-digits:
        return f"{value:.3g}"
    elif value >= 1000:
        text = f"{value:,.0f}" if value >= 1e6 else f"{value:,.1f}"
    else:
        return f"{value:.{digits}f}"
    return text.replace(",", "\u2009" if value >= 10_000 else "")


def short_whole(value: float, digits: int = 4) -> str:
    """The same, but a whole number of a reasonable size has nothing behind the point, whatever its type."""
    whole = abs(value) < _HUGE and value == int(value)
    return number(int(value) if whole else value, digits)


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign."""
    if value is None or value != value:  # noqa: PLR0124  NaN is the one value unequal to itself
        return number(value)
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{number(abs(value), digits)}"


def interval(low: float | None, high: float | None, digits: int = 3) -> Markup:
    """``[0.941, 0.982]`` in a lighter tone; nothing when there is no interval."""
    if low is None or high is None:
        return Markup("")
    return Markup('<span class="interval">[{}, {}]</span>').format(number(low, digits), number(high, digits))


def size(count: int | None) -> str:
    """A number of bytes in the unit that keeps it short."""
    if count is None:
        return "–"
    amount = float(count)
    unit = _BYTES[0]
    for unit in _BYTES:
        if amount < 1000 or unit == _BYTES[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def digest(value: str, letters: int = 10) -> Markup:
    """The beginning of a digest, with all of it in the title."""
    if not value:
        return Markup('<span class="soft">–</span>')
    head = value.removeprefix("sha256:")[:letters]
    return Markup('<span class="mono" title="{}">{}</span>').format(escape(value), head)


def plural(count: int, one: str, many: str = "") -> str:
    """``1 rule``, ``3 rules``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def role_word(role: str) -> str:
    """A role as people say it: ``domain expert``."""
    return str(role).replace("_", " ")


_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_ROLE_NAMES = re.compile(r"\b(" + "|".join(role for role in TEAM_ROLES if "_" in role) + r")\b")


def in_words(sentence: str) -> str:
    """A sentence of the gate with roles as people say them and signs as they are written."""
    plain = _ROLE_NAMES.sub(lambda match: match[0].replace("_", " "), sentence)
    return plain.replace(">=", "≥").replace("<=", "≤").replace("!=", "≠")


def stamped(sentence: str) -> Markup:
    """A sentence with its ISO times as ``<time>``, so that they read as what they are."""
    parts: list[Markup] = []
    at = 0
    for match in _ISO.finditer(sentence):
        parts.append(escape(sentence[at : match.start()]))
        shown = match[0][:19].replace("T", " ")
        parts.append(Markup('<time datetime="{}" data-absolute>{} UTC</time>').format(match[0], shown))
        at = match.end()
    return Markup("").join([*parts, escape(sentence[at:])])


def short(value: float | None, digits: int = 3) -> str:
    """A number without trailing zeros: ``0.903``, ``20``."""
    text = number(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


OWNER_OF_ROLE = {
    "data_scientist": "ds",
    "data_engineer": "eng",
    "ml_engineer": "eng",
    "service": "eng",
}
"""Whose part a role is; the others belong to both."""

OWNER_WORDS = {"ds": "data science", "eng": "engineering", "both": "shared"}
