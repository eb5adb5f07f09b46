"""Which rows are kept for testing: decided by each row's own digest, so that it never changes.

A row stays on its side when rows are added, removed or reordered, and on every machine. Equal
rows fall on the same side, so a duplicate cannot leak from training into testing.
"""

from __future__ import annotations

from stile.data.table import Indices, Table
from stile.kernel.errors import Invalid

_SCALE = 1 << 32


def is_test_row(row_digest: str, test_ratio: float) -> bool:
    """Whether a row belongs to the test part: its first 32 bits, read as a share of the whole, lie below the ratio."""
    return int(row_digest.removeprefix("sha256:")[:8], 16) < test_ratio * _SCALE


def split(table: Table, test_ratio: float, by: list[str] | None = None) -> tuple[Indices, Indices]:
    """Row numbers of the training part and of the test part.

    Args:
        table: the whole table.
        test_ratio: share to keep for testing, 0..1; reached up to chance.
        by: columns whose values keep rows together; None or empty for all columns.

    Raises:
        Invalid: one of the parts would be empty.
    """
    import numpy as np  # noqa: PLC0415  (heavy; the command line imports this module)

    flags = [is_test_row(digest, test_ratio) for digest in table.row_digests(by or None)]
    chosen = np.asarray(flags, dtype=np.bool_)
    train, test = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    if not len(train) or not len(test):
        raise Invalid(f"{table.rows} rows are too few to keep {test_ratio:.0%} of them for testing.")
    return train, test
