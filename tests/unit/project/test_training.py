from __future__ import annotations

import pytest

from stile.data.table import table_of
from stile.kernel.errors import Invalid
from stile.project.prepare import write_with_rows
from stile.project.training import check_predictions

TABLE = table_of({"x": [1, 2, 3], "y": ["no", "yes", "no"]})


@pytest.fixture
def asked(tmp_path):
    write_with_rows(tmp_path / "test.csv", TABLE)
    return tmp_path / "test.csv"


def _answers(tmp_path, scores, rows=None):
    rows = TABLE.row_digests() if rows is None else rows
    file = tmp_path / "answers.csv"
    lines = [f"{row},no,{score}" for row, score in zip(rows, scores, strict=True)]
    file.write_text("\n".join(["row,y_true,score", *lines]) + "\n")
    return file


def test_predictions_that_answer_every_row_are_fine(tmp_path, asked):
    check_predictions(_answers(tmp_path, [0, 0.5, 1]), asked, "m")


@pytest.mark.parametrize(
    ("scores", "keep", "message"),
    [([0, 0.5, 1.5], 3, "between 0 and 1"), ([0, 0.5, ""], 3, "between 0 and 1"), ([0, 1], 2, "1 have no answer")],
)
def test_predictions_that_cannot_be_judged_are_refused(tmp_path, asked, scores, keep, message):
    with pytest.raises(Invalid, match=message):
        check_predictions(_answers(tmp_path, scores, TABLE.row_digests()[:keep]), asked, "m")


def test_absent_predictions_are_named(tmp_path, asked):
    with pytest.raises(Invalid, match="no predictions were written"):
        check_predictions(tmp_path / "none.csv", asked, "m")
