"""The runs that the versions of a model came from: who they are, and the metrics that matter."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.store.database import Tx
from stile.train import column_choice, logged_keys, run_records, run_table
from stile.train.run_table import TableRow

MOST = 200
"""Versions whose runs are looked at."""

_METRICS = 2


class Origins(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of versions, by id, with the values of ``metrics``; runs that were purged are not among them."""

    metrics: list[str]
    runs: dict[str, TableRow]


def origins(tx: Tx, run_ids: Sequence[str]) -> Origins:
    """What can be said of the runs with these ids, of the first ``MOST`` of them."""
    wanted = list(dict.fromkeys(id for id in run_ids if id))[:MOST]
    rows = [head[0] for id in wanted if (head := run_records.head(tx, id)) is not None]
    metrics = column_choice.metrics(logged_keys.use(tx, "latest", rows), (), most=_METRICS)
    return Origins(metrics=metrics, runs={run.run_id: run for run in run_table.load(tx, rows, metrics=metrics)})
