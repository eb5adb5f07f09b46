"""Whether more of a metric is better, read from its name: ``val_auc`` up, ``train/loss`` down, ``lr`` unknown.

A name is taken apart at everything that is no letter or digit. The last part that is known
decides, so prefixes (``val_``, ``test/``) and suffixes (``_0``, ``_macro``) do not matter. A name
nobody knows has no direction: a difference in it is shown, and neither praised nor blamed. The same
holds for how much a metric spreads (``std_test_score``), how long it took (``mean_score_time``) and
the place it gave a run among others (``rank_test_score``).
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import zip_longest
from typing import Literal

Direction = Literal["up", "down", ""]

_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")

_UP_WORDS = """
acc accuracy auc auroc auprc aucpr ap map mrr ndcg f1 f2 fbeta f precision recall sensitivity specificity tpr tnr ppv
npv r2 score mcc kappa jaccard iou miou dice psnr ssim bleu rouge meteor gain lift likelihood elbo gini silhouette
purity similarity correlation pearson spearman hits reward return win coverage
"""
_DOWN_WORDS = """
loss logloss error err mae mse rmse rmsle mape smape wape mase msle mdape brier ece mce wer cer fid perplexity ppl
deviance nll crossentropy entropy divergence kl fpr fnr fdr hinge huber regret latency inertia aic bic
"""
_UP = frozenset(_UP_WORDS.split())
_DOWN = frozenset(_DOWN_WORDS.split())
_PAIRS: dict[tuple[str, str], Direction] = {
    ("log", "loss"): "down", ("log", "likelihood"): "up", ("cross", "entropy"): "down", ("r", "2"): "up",
    ("error", "rate"): "down", ("false", "positive"): "down", ("false", "negative"): "down",
    ("true", "positive"): "up", ("true", "negative"): "up", ("explained", "variance"): "up",
    ("absolute", "error"): "down", ("squared", "error"): "down",
}  # fmt: skip
_SPREADS = frozenset({"std", "stdev", "stddev", "stderr", "sem"})
_TIMES = frozenset({"time", "times", "seconds", "duration", "ms"})
_OTHER: dict[Direction, Direction] = {"up": "down", "down": "up", "": ""}


@lru_cache(maxsize=4096)
def direction(key: str) -> Direction:
    """``up`` when more is better, ``down`` when less is better, nothing when the name does not tell."""
    parts = [part.lower() for part in _PARTS.findall(key)]
    if _SPREADS & set(parts) or parts[:1] == ["rank"] or (parts and parts[-1] in _TIMES and "latency" not in parts):
        return ""
    found: Direction = ""
    for part, following in zip_longest(parts, parts[1:], fillvalue=""):
        found = _PAIRS.get((part, following)) or _of_part(part) or _of_part(part + following) or found
    if "neg" in parts:
        return _OTHER[found]
    return found


def _of_part(part: str) -> Direction:
    return "up" if part in _UP else "down" if part in _DOWN else ""


def better(key: str, difference: float) -> bool | None:
    """Whether a difference in a metric is for the better; None when it is none, or nobody knows."""
    way = direction(key)
    if not way or not difference:  # also zero; NaN is unequal to itself
        return None
    if difference != difference:  # noqa: PLR0124
        return None
    return (difference > 0) == (way == "up")
