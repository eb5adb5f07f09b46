"""Reference against window, in the shapes that pages draw."""

from __future__ import annotations

import pytest

from stile.data.profile import ColumnProfile, Profile
from stile.kernel.errors import Missing
from stile.monitor.comparison import DriftCell, DriftColumn, histogram, matrix
from stile.train.evidence import Drift

REFERENCE = Profile(
    rows=10,
    columns=[
        ColumnProfile(name="age", kind="numeric", n=10, missing=0, edges=[30.0, 60.0], counts=[2, 5, 3]),
        ColumnProfile(name="site", kind="categorical", n=10, missing=0, categories={"A": 4, "B": 6}),
        ColumnProfile(name="gone", kind="numeric", n=10, missing=0),
    ],
)
LIVE = Profile(
    rows=4,
    columns=[
        ColumnProfile(name="age", kind="numeric", n=4, missing=1, edges=[30.0, 60.0], counts=[0, 1, 2]),
        ColumnProfile(name="site", kind="categorical", n=4, missing=0, categories={"A": 1, "C": 3}),
    ],
)
DRIFT = [Drift(column="age", n=4, psi=0.4, psi_null=0.1, psi_p=0.001)]


def test_bins_are_labelled_and_missing_values_come_last_when_the_column_is_numeric():
    shown = histogram("win", REFERENCE, LIVE, "age", DRIFT)
    assert [bar.label for bar in shown.bars] == ["below 30", "30 to 60", "60 and above", "(missing)"]
    assert [bar.reference for bar in shown.bars] == [2, 5, 3, 0]
    assert [bar.window for bar in shown.bars] == [0, 1, 2, 1]
    assert sum(bar.reference_ratio for bar in shown.bars) == pytest.approx(1)
    assert shown.finding == "age moved: PSI 0.400, chance alone gives about 0.100."


def test_unseen_categories_are_counted_together_when_the_column_is_categorical():
    shown = histogram("win", REFERENCE, LIVE, "site", DRIFT)
    assert [(bar.label, bar.reference, bar.window) for bar in shown.bars] == [
        ("B", 6, 0),
        ("A", 4, 1),
        ("(other)", 0, 3),
    ]
    assert shown.finding == "How far site moved is not known for this window."


def test_a_column_is_refused_when_only_one_side_has_it():
    with pytest.raises(Missing, match="age, site"):
        histogram("win", REFERENCE, LIVE, "gone", DRIFT)


def column(number: int, **psi: float) -> DriftColumn:
    cells = [DriftCell(column=name, psi=value, beyond_noise=value > 0.2) for name, value in psi.items()]
    return DriftColumn(window=f"w{number}", number=number, version=1, rows=10, last_at=number, cells=cells)


def test_the_matrix_puts_what_moved_most_first():
    shown = matrix([column(1, a=0.0, b=0.1, old=0.5), column(2, a=0.5, b=0.9)])
    assert shown.columns == ["b", "a", "old"]
    assert shown.finding == "In window 2, 2 of 2 columns moved beyond chance, most of all b (PSI 0.90)."


def test_the_matrix_says_so_when_nothing_moved_or_nothing_is_there():
    assert matrix([column(1, a=0.01)]).finding == "In window 1 no column moved beyond what chance explains."
    assert "no reference" in matrix([column(1)]).finding
    assert matrix([]).finding == "No window has closed yet."
