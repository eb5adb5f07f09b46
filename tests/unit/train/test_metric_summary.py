"""What stands for a metric series: how it is written, and what it is for a metric of a certain name."""

from __future__ import annotations

import pytest

from stile.kernel.errors import Invalid
from stile.train import metric_summary
from stile.train.filters import Order
from stile.train.metric_summary import SummaryOrder, column_of, parse_order, split, written
from stile.train.run_search import WORDS


@pytest.mark.parametrize(
    ("text", "summary", "left"),
    [
        ("metrics.auc", "last", "metrics.auc"),
        ("max(metrics.auc)", "max", "metrics.auc"),
        ("best(metrics.`val loss (macro)`)", "best", "metrics.`val loss (macro)`"),
        ("metrics.`max(a)`", "last", "metrics.`max(a)`"),
        ("median(metrics.auc)", "last", "median(metrics.auc)"),
        ("max(metrics.auc) DESC", "last", "max(metrics.auc) DESC"),
        ("max()", "last", "max()"),
    ],
)
def test_what_is_asked_for_is_read_from_the_text(text: str, summary: str, left: str) -> None:
    assert split(text) == (summary, left)


def test_text_is_written_as_it_is_read() -> None:
    for summary in ("best", "min", "max"):
        assert split(written(summary, "metrics.`a b)`")) == (summary, "metrics.`a b)`")
    assert written("last", "metrics.auc") == "metrics.auc"


def test_best_is_the_greatest_or_the_least_as_the_name_tells() -> None:
    assert column_of(parse_order("best(metrics.val_auc) DESC", WORDS)) == "high"
    assert column_of(parse_order("best(metrics.loss)", WORDS)) == "low"
    assert metric_summary.choices("loss") == ("last", "best", "min", "max")
    assert metric_summary.choices("lr") == ("last", "min", "max")
    with pytest.raises(Invalid, match=r"min\(metrics.lr\) or max\(metrics.lr\)"):
        parse_order("best(metrics.lr)", WORDS)


def test_order_is_read_with_its_direction() -> None:
    assert parse_order("max(metrics.lr) DESC", WORDS) == SummaryOrder(
        entity="metric", key="lr", ascending=False, column="high"
    )
    assert parse_order("last(metrics.lr)", WORDS) == Order(entity="metric", key="lr")
    assert parse_order("metrics.lr desc", WORDS) == Order(entity="metric", key="lr", ascending=False)


@pytest.mark.parametrize(
    "text", ["max(params.lr)", "max(status)", "max(metrics.)", "max(metrics.a) UP", "max(max(metrics.a))", "max(" * 400]
)
def test_what_cannot_be_summed_up_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_order(text, WORDS)
