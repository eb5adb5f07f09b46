"""Whether a score of 0.7 means seven in ten: predicted probability against observed share."""

from __future__ import annotations

from collections.abc import Sequence

from stile.train.evidence import CalibrationBin
from stile.web.charts.chart import Chart, Key, figure
from stile.web.charts.svg import Scale, el, line, path, svg, text

_SIZE = 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 288.0, 12.0, 260.0


def calibration(bins: Sequence[CalibrationBin]) -> Chart:
    """The calibration curve; the area of a dot says how many rows stand behind it."""
    x = Scale(0, 1, _LEFT, _RIGHT)
    y = Scale(0, 1, _BOTTOM, _TOP)
    known = [(b.predicted, b.observed, b.n) for b in bins if b.predicted is not None and b.observed is not None and b.n]
    parts = []
    for tick in (0.0, 0.5, 1.0):
        parts += [
            line(_LEFT, y(tick), _RIGHT, y(tick), "c-line"),
            text(_LEFT - 6, y(tick) + 4, f"{tick:g}", anchor="end"),
        ]
        parts.append(text(x(tick), _BOTTOM + 18, f"{tick:g}", anchor="middle"))
    parts.append(line(x(0), y(0), x(1), y(1), "c-mark"))
    parts.append(path([(x(p), y(o)) for p, o, _ in known], "c-new c-stroke"))
    most = max((n for _, _, n in known), default=1)
    for predicted, observed, n in known:
        tip = el("title", f"predicted {figure(predicted)}, observed {figure(observed)}, {n} rows")
        parts.append(
            el("circle", tip, cx=x(predicted), cy=y(observed), r=2 + 5 * (n / most) ** 0.5, class_="c-new c-fill")
        )
    parts.append(text((_LEFT + _RIGHT) / 2, _SIZE - 4, "predicted probability", anchor="middle"))
    return Chart(
        finding=_finding(known),
        drawing=svg(_SIZE, _SIZE, "observed share against predicted probability", *parts, class_="plot small"),
        caption="Calibration: predicted probability against observed share",
        columns=("bin", "predicted", "observed", "rows"),
        rows=tuple((f"{b.low:.2f} to {b.high:.2f}", figure(b.predicted), figure(b.observed), str(b.n)) for b in bins),
        keys=(Key("line", "observed share"), Key("mark", "perfect")),
    )


def _finding(known: Sequence[tuple[float, float, int]]) -> str:
    if not known:
        return "No bin has enough rows to judge the calibration."
    rows = sum(n for *_, n in known)
    error = sum(abs(o - p) * n for p, o, n in known) / rows
    predicted, observed, _ = max(known, key=lambda bin_: abs(bin_[1] - bin_[0]) * bin_[2])
    side = "too sure" if abs(predicted - 0.5) > abs(observed - 0.5) else "not sure enough"
    where = f"most around {predicted:.2f}, where {observed:.2f} came true ({side})"
    return f"Scores are off by {error:.3f} on average; {where}."
