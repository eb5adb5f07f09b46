"""How curves are looked at, read from the address: axis, scale, smoothing, zoom; the same for one run and for many."""

from __future__ import annotations

import math
from typing import Any, get_args

import msgspec

from stile.edge.call import Call
from stile.kernel.errors import Invalid
from stile.train.run_curves import RunLine
from stile.train.thinning import Across
from stile.web.charts.curves import Track

AXES: tuple[Across, ...] = get_args(Across)
MOST_SMOOTH = 0.99


class View(msgspec.Struct, frozen=True, kw_only=True):
    """How curves are drawn.

    Attributes:
        x: steps, time, or time since the first point.
        log: powers of ten upwards; values that are not above zero are left out.
        smooth: weight of the past in the moving average, 0 (as measured) to 0.99.
        span: ends of the part that is looked at, on that axis (steps or ms); None shows all.
    """

    x: Across = "step"
    log: bool = False
    smooth: float = 0.0
    span: tuple[float, float] | None = None


def view_of(call: Call) -> View:
    """The view an address asks for: ``x``, ``log``, ``smooth``, ``from`` and ``to``.

    Raises:
        Invalid: one of them cannot be used; says which.
    """
    x = call.query("x") or "step"
    if x not in AXES:
        raise Invalid(f"x must be one of {', '.join(AXES)}, not {x[:40]!r}.")
    smooth = _number(call, "smooth", 0.0)
    if not 0 <= smooth <= MOST_SMOOTH:
        raise Invalid(f"smooth must be between 0 and {MOST_SMOOTH}.")
    low, high = _number(call, "from", -math.inf), _number(call, "to", math.inf)
    if low > high:
        raise Invalid("from must not be greater than to.")
    whole = math.isinf(low) and math.isinf(high)
    return View(x=x, log=call.query("log") in ("1", "on"), smooth=smooth, span=None if whole else (low, high))


def _number(call: Call, name: str, default: float) -> float:
    text = call.query(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise Invalid(f"{name} must be a number, not {text[:40]!r}.") from None
    if math.isnan(value):
        raise Invalid(f"{name} must be a number, not NaN.")
    return value


def track(found: RunLine, view: View, name: str, place: int = 0) -> Track:
    """A line as the charts drawn on the server take it."""
    line, smooth = found.line, found.line.smooth
    return Track(
        name, line.x(view.x), line.values, place, soft=None if smooth is None else (smooth.x(view.x), smooth.values)
    )


def drawable(found: RunLine, view: View) -> dict[str, Any]:
    """A line as the charts drawn in the browser take it."""
    line, smooth = found.line, found.line.smooth
    return {
        "run": found.run_id,
        "key": found.key,
        "steps": line.steps,
        "times": line.times,
        "values": line.values,
        "begun": line.begun,
        "total": line.total,
        "not_numbers": line.not_numbers,
        "smooth": smooth
        and {"weight": view.smooth, "steps": smooth.steps, "times": smooth.times, "values": smooth.values},
    }
