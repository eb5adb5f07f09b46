from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stile.data.table import Table, table_of
from stile.kernel.errors import Invalid
from stile.train.outcomes import Binary, Multiclass, Regression
from stile.train.predictions import Predictions, Source, read_predictions, slice_column

DATA = table_of(
    {"id": ["p1", "p2", "p3", "p4"], "x": [1, 2, 3, 4], "site": ["a", "a", "b", "b"], "target": [1, 0, 0, 1]}
)
SOURCE = Source(table=DATA, key="id", target="target")
UNKEYED = Source(table=DATA, target="target")


def read(columns: dict[str, Any], source: Source = SOURCE, **how: Any) -> Predictions:
    return read_predictions(table_of(columns), source, **({"positive": "1"} | how))


SCORES = [0.9, 0.2, 0.6, 0.7]


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        (SOURCE, ["p1", "p2", "p3", "p4"]),
        (SOURCE, DATA.row_digests()),
        (UNKEYED, [0, 1, 2, 3]),
        (UNKEYED, DATA.row_digests()),
    ],
)
def test_rows_are_found_when_named_by_key_digest_or_number(source: Source, rows: list[Any]) -> None:
    backwards = {"row": rows[::-1], "score": SCORES[::-1]}
    found = read(backwards, source)
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert isinstance(found.outcomes, Binary)
    assert found.outcomes.score is not None
    assert found.outcomes.score.tolist() == SCORES
    assert found.outcomes.y.tolist() == [True, False, False, True], "the truth comes from the dataset"
    assert found.outcomes.predicted.tolist() == [True, False, True, True]
    assert found.threshold == 0.5


def test_equal_rows_are_each_used_once_when_named_by_digest() -> None:
    twins = table_of({"x": [1, 1, 2], "target": [0, 0, 1]})
    found = read({"row": twins.row_digests(), "score": [0.1, 0.2, 0.9]}, Source(table=twins, target="target"))
    assert found.rows.tolist() == [0, 1, 2]


def test_threshold_decides_over_submitted_classes_only_when_it_is_given() -> None:
    columns = {"row": ["p1", "p2", "p3", "p4"], "score": SCORES, "y_pred": [0, 0, 0, 1]}
    submitted, cut = read(columns), read(columns, threshold=0.65)
    assert submitted.outcomes.predicted.tolist() == [False, False, False, True]  # type: ignore[union-attr]
    assert submitted.threshold is None
    assert cut.outcomes.predicted.tolist() == [True, False, False, True]  # type: ignore[union-attr]


@pytest.mark.parametrize("words", [["true", "false", "false", "true"], [1.0, 0.0, 0.0, 1.0], ["1", "0", "0", "1"]])
def test_truth_is_compared_by_meaning_when_spelled_differently(words: list[Any]) -> None:
    assert read({"row": ["p1", "p2", "p3", "p4"], "score": SCORES, "y_true": words}).outcomes.n == 4


def test_words_are_outcomes_when_the_charter_names_the_positive_one() -> None:
    table = DATA.with_column("target", table_of({"t": ["ill", "well", "well", "ill"]}).columns["t"])
    source = Source(table=table, key="id", target="target")
    found = read({"row": ["p1", "p2", "p3", "p4"], "score": SCORES}, source, positive="ill")
    assert found.outcomes.positives == 2
    with pytest.raises(Invalid, match="counts '1' as the positive outcome, but y_true has ill, well"):
        read({"row": ["p1", "p2", "p3", "p4"], "score": SCORES}, source)


def test_kind_of_outcome_follows_from_the_values() -> None:
    numbers = table_of({"target": [0.5, 1.25, 9.0]})
    found = read({"row": [0, 1, 2], "y_pred": [0.4, 1.0, 9.5]}, Source(table=numbers, target="target"))
    assert isinstance(found.outcomes, Regression)
    classes = table_of({"target": ["a", "b", "c"]})
    found = read({"row": [0, 1, 2], "y_pred": ["a", "b", "b"]}, Source(table=classes, target="target"))
    assert isinstance(found.outcomes, Multiclass)
    with pytest.raises(Invalid, match="y_true has 3 values, not two"):
        read({"row": [0, 1, 2], "score": [0.1, 0.2, 0.3]}, Source(table=classes, target="target"))


P = ["p1", "p2", "p3", "p4"]
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no rows": ({"row": [], "score": []}, "has no rows"),
    "unknown key": (
        {"row": ["p1", "p2", "p3", "p9"], "score": SCORES},
        "'p9' is not a row of the dataset .* key column 'id'",
    ),
    "same key": ({"row": ["p1", "p1", "p3", "p4"], "score": SCORES}, "'p1' was predicted before"),
    "missing key": ({"row": ["p1", None, "p3", "p4"], "score": SCORES}, "is not a row of the dataset"),
    "left out": ({"row": P[:3], "score": SCORES[:3]}, "leaves out 1 of the 4 rows"),
    "other truth": (
        {"row": P, "score": SCORES, "y_true": [1, 1, 0, 1]},
        "row p2: y_true is '1', but .* says '0' \\(1 rows",
    ),
    "negative score": ({"row": P, "score": [-0.1, 0, 0, 0]}, "row p1: the score -0.1 is outside 0 to 1"),
    "nan score": ({"row": P, "score": [0.1, None, 0, 0]}, "row p2: the score is missing"),
    "missing label": ({"row": P, "y_pred": [1, None, 0, 0]}, "row p2: y_pred is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_one_clear_message_says_what_is_wrong(name: str) -> None:
    columns, message = BAD[name]
    with pytest.raises(Invalid, match=message):
        read(columns)


def test_truth_is_asked_for_when_nobody_knows_it() -> None:
    with pytest.raises(Invalid, match="no column 'y_true'"):
        read({"row": [0, 1, 2, 3], "score": SCORES}, Source(table=DATA))
    with pytest.raises(Invalid, match="true outcome is missing"):
        read({"row": [0, 1, 2, 3], "score": SCORES, "y_true": [1, None, 0, 1]}, Source(table=DATA))


def test_slices_come_from_the_predictions_or_else_from_the_dataset() -> None:
    found = read({"row": P[::-1], "score": SCORES, "age": [40, 30, 20, 10]})
    assert slice_column("age", found, SOURCE).tolist() == [10, 20, 30, 40]
    assert slice_column("site", found, SOURCE).tolist() == ["a", "a", "b", "b"]
    with pytest.raises(Invalid, match=r"no column 'sex' to slice by\. Known are: age, id, x, site, target"):
        slice_column("sex", found, SOURCE)


def test_part_of_the_rows_is_enough_when_the_whole_is_not_asked_for() -> None:
    found = read({"row": ["p4", "p2"], "score": [0.9, 0.1]}, whole=False)
    assert found.rows.tolist() == [1, 3]
    assert np.array_equal(found.outcomes.y, [False, True])


def test_table_is_not_changed_by_reading() -> None:
    table: Table = table_of({"row": P, "score": SCORES})
    before = table.digest
    read_predictions(table, SOURCE, positive="1")
    assert table.digest == before
