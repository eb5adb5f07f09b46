"""Which predictions wait for a window, and the rows of one; reads what gateways delivered.

Only the champion's answers make windows: they are what people acted on. A window holds the
answers of one version; when two versions answer in turn while gateways swap, each version's
answers go to windows of their own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stile.deploy import predictions
from stile.deploy.outcomes import text_of
from stile.govern import registry
from stile.monitor import window_records
from stile.monitor.window_records import Window
from stile.store.database import Tx


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions of one version that are in no window yet, in order of arrival.

    Attributes:
        succeeded: another version is champion, and answers by now.
    """

    use_case: str
    version: int
    digest: str
    rows: int
    first_position: int
    last_position: int
    first_at: int
    last_at: int
    succeeded: bool = False


class WindowRows(msgspec.Struct, frozen=True, kw_only=True):
    """The predictions of a window, one entry per row in every list.

    Attributes:
        columns: the model's inputs by name.
        scores: the number behind each answer; None where the model gives none.
        predicted: the answers as text.
        outcomes: what turned out true, as text; None where it is not known.
        outcomes_seen: place of the newest of them.
        slices: further columns to give metrics by.
        broken: contract checks each row breaks.
    """

    ids: list[str]
    columns: dict[str, list[Any]]
    scores: list[float | None]
    predicted: list[str | None]
    outcomes: list[str | None]
    outcomes_seen: int
    slices: dict[str, list[str | None]]
    latency_us: list[int]
    broken: list[list[str]]


_MANY_VALUES = 50  # more subgroups than anybody looks at: an id, not a group
_ANSWERS = "FROM predictions WHERE use_case = ? AND role = 'champion'"


def next_run(tx: Tx, use_case: str, *, until: int | None = None) -> Run | None:
    """The run that waits longest; None when every prediction is in a window.

    Args:
        tx: the transaction.
        use_case: whose traffic.
        until: only predictions made up to this time, ms since 1970 UTC.
    """
    newest = tx.scalar(f"SELECT digest {_ANSWERS} ORDER BY position DESC LIMIT 1", (use_case,))
    if newest is None:
        return None
    # The run that waits longest is always cut first, so nothing waits before the newest window begins.
    champion = registry.aliases(tx, use_case).get("champion", 0)
    floor = window_records.newest_begins(tx, use_case)
    marks = window_records.covered(tx, use_case)
    digests = tx.all(f"SELECT DISTINCT digest {_ANSWERS} AND position >= ?", (use_case, floor))
    runs: list[Run] = []
    for (digest,) in digests:
        after = max(floor - 1, marks.get(digest, 0))
        row = tx.one(
            f"SELECT COUNT(*), MIN(position), MAX(position), MIN(at), MAX(at), MAX(version) {_ANSWERS} "
            "AND digest = ? AND position > ? AND at <= ?",
            (use_case, digest, after, 2**62 if until is None else until),
        )
        if row is not None and row[0]:
            count, first, last, first_at, last_at, version = row
            runs.append(
                Run(
                    use_case=use_case, version=version, digest=digest, rows=count, first_position=first,
                    last_position=last, first_at=first_at, last_at=last_at,
                    succeeded=digest != newest and version != champion,
                )
            )  # fmt: skip
    return min(runs, key=lambda run: run.first_position, default=None)


def first_rows(tx: Tx, run: Run, limit: int) -> Run:
    """The run cut down to its first ``limit`` predictions."""
    if run.rows <= limit:
        return run
    last, first_at, last_at = tx.all(
        "SELECT MAX(position), MIN(at), MAX(at) FROM (SELECT position, at "
        f"{_ANSWERS} AND digest = ? AND position BETWEEN ? AND ? ORDER BY position LIMIT ?) AS first_rows",
        (run.use_case, run.digest, run.first_position, run.last_position, limit),
    )[0]
    return msgspec.structs.replace(run, rows=limit, last_position=last, first_at=first_at, last_at=last_at)


def newest_outcome(tx: Tx, window: Window) -> int:
    """Place of the newest accepted outcome about a prediction of the window; 0 for none."""
    return int(
        tx.scalar(
            "SELECT COALESCE(MAX(o.position), 0) FROM predictions p "
            "JOIN accepted_outcomes o ON o.use_case = p.use_case AND o.prediction = p.id "
            "WHERE p.use_case = ? AND p.role = 'champion' AND p.digest = ? "
            "AND p.position BETWEEN ? AND ?",
            (window.use_case, window.digest, window.first_position, window.last_position),
        )
    )


def outcomes_told(tx: Tx) -> int:
    """Place of the newest outcome told at all; 0 for none."""
    return int(tx.scalar("SELECT COALESCE(MAX(position), 0) FROM outcomes"))


def rows_of(tx: Tx, window: Window, *, segment: str) -> WindowRows:
    """The predictions of a window with the outcomes known by now; ``segment`` names the column they are routed by."""
    answers = [
        one
        for one in predictions.window_rows(
            tx, window.use_case, after=window.first_position - 1, last=window.last_position, version=window.version,
            limit=window.last_position - window.first_position + 1,
        )
        if one.digest == window.digest
    ]  # fmt: skip
    names = dict.fromkeys(name for one in answers for name in one.inputs)
    slices: dict[str, list[str | None]] = {}
    if segment and any(one.segment for one in answers):
        slices[segment] = [one.segment or None for one in answers]
    for name in dict.fromkeys(name for one in answers for name in one.slices):
        values = [one.slices.get(name) for one in answers]
        if len({str(value) for value in values}) <= _MANY_VALUES:
            slices.setdefault(name, [None if value is None else str(value) for value in values])
    return WindowRows(
        ids=[one.id for one in answers],
        columns={name: [one.inputs.get(name) for one in answers] for name in names},
        scores=[one.score for one in answers],
        predicted=[None if one.output is None else text_of(one.output) for one in answers],
        outcomes=[one.outcome for one in answers],
        outcomes_seen=newest_outcome(tx, window),
        slices=slices,
        latency_us=[one.latency_us for one in answers],
        broken=[one.broken for one in answers],
    )


def with_traffic(tx: Tx) -> list[str]:
    """Use cases that ever had a prediction."""
    return [row[0] for row in tx.all("SELECT DISTINCT use_case FROM prediction_segments ORDER BY use_case")]
