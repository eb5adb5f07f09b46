"""Test rows the model was trained on."""

from __future__ import annotations

from typing import Any

from stile.data.table import Table
from stile.kernel.errors import Invalid


def row_overlap(test: Table, train: Table, *, key: str = "") -> dict[str, Any]:
    """How many rows of ``test`` also occur in ``train``, compared by digest over the columns both have.

    The key column is left out: the same row under another number is the same row.

    Returns:
        The fact ``row_overlap``: ``rows``, their ``ratio`` of the test rows (0..1), and ``of`` test rows.

    Raises:
        Invalid: the tables share no column.
    """
    shared = [name for name in test.names if name in train and name != key]
    if not shared:
        raise Invalid("The training and the test dataset share no column, so their rows cannot be compared.")
    trained_on = frozenset(train.row_digests(shared))
    rows = sum(digest in trained_on for digest in test.row_digests(shared))
    return {"rows": rows, "ratio": rows / test.rows if test.rows else 0.0, "of": test.rows}
