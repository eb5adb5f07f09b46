"""When a window of live traffic closes, and when its numbers are worth judging. Pure."""

from __future__ import annotations

import msgspec

from stile.kernel.errors import Invalid


class MonitorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the live traffic of a use case is cut into windows.

    Attributes:
        window_rows: a window closes with this many predictions.
        window_hours: a window closes this long after its first prediction, however few there are.
        minimum_rows: fewer predictions than this never make a window by time alone.
        coverage_floor: share of predictions, 0..1, that need an outcome before performance is
            stated; below it the answer is "not enough outcomes".
        restate_days: outcomes that come later than this after a window closed no longer change it.
    """

    window_rows: int = 500
    window_hours: float = 24.0
    minimum_rows: int = 20
    coverage_floor: float = 0.2
    restate_days: float = 90.0


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions that are in no window yet, of one version.

    Attributes:
        rows: how many.
        first_at, last_at: when the first and the last was made, ms since 1970 UTC.
        succeeded: a newer version answers already, so no more will come.
    """

    rows: int
    first_at: int
    last_at: int
    succeeded: bool = False


def check_settings(settings: MonitorSettings) -> None:
    """Whether windows can be cut so.

    Raises:
        Invalid: names the number that makes no sense.
    """
    if settings.window_rows < 1 or settings.window_rows > 1_000_000:
        raise Invalid("window_rows must be between 1 and 1000000.")
    if not 0 < settings.window_hours <= 24 * 366:
        raise Invalid("window_hours must be more than 0 and at most a year.")
    if not 1 <= settings.minimum_rows <= settings.window_rows:
        raise Invalid("minimum_rows must be between 1 and window_rows.")
    if not 0 <= settings.coverage_floor <= 1:
        raise Invalid("coverage_floor is a share between 0 and 1.")
    if not 0 <= settings.restate_days <= 3660:
        raise Invalid("restate_days must be between 0 and 3660.")


def due(settings: MonitorSettings, waiting: Waiting, now_ms: int) -> str:
    """Why the window should close now: ``rows``, ``time`` or ``version``; empty while it should not."""
    if waiting.rows >= settings.window_rows:
        return "rows"
    if waiting.rows < settings.minimum_rows:
        return ""
    if waiting.succeeded:
        return "version"
    if now_ms - waiting.first_at >= settings.window_hours * 3_600_000:
        return "time"
    return ""


def enough_outcomes(settings: MonitorSettings, *, rows: int, outcomes: int) -> bool:
    """Whether performance may be stated: at least one outcome, and at least the floor's share."""
    return outcomes > 0 and rows > 0 and outcomes / rows >= settings.coverage_floor


def coverage_sentence(settings: MonitorSettings, *, rows: int, outcomes: int) -> str:
    """What to say about outcomes of a window, in plain words."""
    share = f"{outcomes} of {rows} predictions have an outcome"
    if enough_outcomes(settings, rows=rows, outcomes=outcomes):
        return f"{share}."
    return f"Not enough outcomes: {share}, {settings.coverage_floor:.0%} are needed to state performance."
