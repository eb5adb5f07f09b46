"""Which way is better, by a metric's name."""

from __future__ import annotations

import math

import pytest

from stile.train.metric_direction import better, direction
from stile.train.outcomes import DESCRIPTIVE, LOWER_IS_BETTER


@pytest.mark.parametrize(
    "key",
    ["auc", "val_auc", "test/accuracy", "roc_auc_score", "f1_macro", "f1-score", "F1", "r2", "R2_score", "train.recall",
     "eval_bleu", "mAP", "explained_variance", "log_likelihood", "neg_mean_squared_error", "neg_log_loss",
     "best_val_acc_top5", "trainAccuracy", "true_positive_rate"],
)  # fmt: skip
def test_more_is_better(key: str) -> None:
    assert direction(key) == "up"


@pytest.mark.parametrize(
    "key",
    ["loss", "train/loss", "val_loss_2", "log_loss", "logloss", "cross_entropy", "mae", "test_rmse", "RMSE",
     "mean_squared_error", "error_rate", "perplexity", "fpr", "false_negative_rate", "valLoss", "latency_p99",
     "latency_ms"],
)  # fmt: skip
def test_less_is_better(key: str) -> None:
    assert direction(key) == "down"


@pytest.mark.parametrize(
    "key",
    ["lr", "epoch", "seconds", "n_rows", "", "...", "system/cpu_utilization", "capacity", "std_test_score",
     "mean_score_time", "rank_test_score", "loss_std", "accuracy/stderr"],
)  # fmt: skip
def test_nobody_knows(key: str) -> None:
    assert direction(key) == ""


def test_agrees_with_what_evidence_compares() -> None:
    assert {direction(name) for name in LOWER_IS_BETTER} == {"down"}
    assert {direction(name) for name in DESCRIPTIVE} == {""}


@pytest.mark.parametrize(
    ("key", "difference", "expected"),
    [("auc", 0.1, True), ("auc", -0.1, False), ("loss", -0.1, True), ("loss", 0.1, False), ("auc", 0.0, None),
     ("lr", 1.0, None), ("auc", math.nan, None), ("auc", math.inf, True)],
)  # fmt: skip
def test_difference_is_judged(key: str, difference: float, expected: bool | None) -> None:
    assert better(key, difference) is expected
