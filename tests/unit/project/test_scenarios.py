from __future__ import annotations

import numpy as np
import pytest

from stile.data.table import table_of
from stile.kernel.errors import Invalid
from stile.project.scenarios import read_scenarios, transform

TRAIN = table_of({"x": [1, 2, 30], "word": ["a", "b", "b"], "site": ["N", "S", "S"]})
TEST = table_of({"x": [10, 20], "word": ["a", "a"], "site": ["N", "S"]})


def _changed(change: str):
    (scenario,) = read_scenarios(f"scenarios:\n  - name: s\n    says: s\n    change: [{change}]\n")
    return transform(scenario, TEST, TRAIN)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("{column: x, set: 5}", [5, 5]),
        ("{column: x, set: training_median}", [2, 2]),
        ("{column: x, scale: 1.5}", [15, 30]),
        ("{column: x, add: -1}", [9, 19]),
        ("{column: x, scale: 2, when: {site: S}}", [10, 40]),
    ],
)
def test_numbers_change_as_said(change, expected):
    assert _changed(change).columns["x"].tolist() == expected


def test_missing_is_missing():
    assert np.isnan(_changed("{column: x, set: missing}").columns["x"]).all()
    assert _changed("{column: word, set: missing}").missing("word").all()


def test_words_can_be_set_to_the_most_common_of_training():
    assert _changed("{column: word, set: training_most_common}").columns["word"].tolist() == ["b", "b"]


def test_test_table_itself_is_left_alone():
    _changed("{column: x, scale: 2}")
    assert TEST.columns["x"].tolist() == [10, 20]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{column: y, set: 1}", "no column 'y'"),
        ("{column: x, set: 1, scale: 2}", "exactly one"),
        ("{column: x}", "exactly one"),
        ("{column: word, scale: 2}", "holds text"),
        ("{column: x, set: oops}", "training_median"),
        ("{colum: x, set: 1}", "colum"),
    ],
)
def test_change_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(Invalid, match=message):
        _changed(change)


def test_no_scenarios_is_fine():
    assert read_scenarios("") == []


def test_name_may_not_leave_its_folder():
    with pytest.raises(Invalid, match="cannot name a scenario"):
        read_scenarios("scenarios: [{name: ../x, says: s, change: []}]")
