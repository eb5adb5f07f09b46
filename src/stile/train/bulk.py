"""Logging many points of one run at once, in columns: what our own client's background writer sends."""

from __future__ import annotations

from collections.abc import Mapping

from stile.kernel.errors import Conflict, Invalid, TooLarge
from stile.store.database import Tx
from stile.train import limits, run_keys, runs, series_records
from stile.train.points import Columns, Piece, piece

POINTS_PER_CALL = 50_000
"""Most points of one call."""


def pieces(columns: Mapping[str, Columns]) -> dict[str, Piece]:
    """Points packed for storing, by metric; series without points are left out. Pure.

    Raises:
        Invalid: a key, time or step is not acceptable.
        TooLarge: more than ``POINTS_PER_CALL`` points.
    """
    if sum(len(one.values) for one in columns.values()) > POINTS_PER_CALL:
        raise TooLarge(f"At most {POINTS_PER_CALL} points per call. Send the rest in another.", limit=POINTS_PER_CALL)
    for key in columns:
        limits.check_key("metric", key)
    return {key: piece(one) for key, one in columns.items() if one.values}


def log_points(tx: Tx, run_id: str, given: Mapping[str, Piece]) -> None:
    """Add points to an active run. Points that are sent again are read once.

    Raises:
        Invalid: that cannot be a run's id.
        Missing: there is no such run.
        Conflict: it is deleted. (Not the points' fault: our client keeps them until it is restored.)
    """
    limits.check_run_id(run_id)
    try:
        row, experiment = runs.active(tx, run_id)
    except Invalid as error:
        raise Conflict(error.message) from None
    numbers = run_keys.intern_all(tx, given)
    series_records.append(tx, row, experiment, {numbers[key]: one for key, one in given.items()})
