"""Which columns a table of runs shows when nobody has chosen: the metrics that matter, the parameters that differ."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stile.train.logged_keys import KeyUse
from stile.train.metric_direction import direction

_PARTS = re.compile(r"[a-z0-9]+")  # an underscore parts words too
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_SEEDS = frozenset({"seed", "seeds", "random", "randomstate", "rng"})
_MACHINE = ("system/", "mlflow.")


def metrics(use: Sequence[KeyUse], asked: Sequence[str], *, most: int = 3) -> list[str]:
    """The metrics worth a column.

    First those the use case's policy asks for, in its order (``val_auc`` answers ``auc`` when there is
    no ``auc``); then those that most runs have, among them those that differ, then those that say how
    good a run is, on unseen data before training, then the shorter name. What the
    machine logs about itself is never chosen.

    Args:
        use: how the runs use their metrics.
        asked: metrics the policy asks for, the most important first.
        most: columns.
    """
    usable = [each for each in use if not each.key.startswith(_MACHINE)]
    chosen: list[str] = []
    for name in asked:
        answering = [each for each in usable if _answers(each.key, name) and each.key not in chosen]
        if answering:
            chosen.append(min(answering, key=lambda each: (each.key != name, -each.runs, len(each.key), each.key)).key)
    greatest = max((each.runs for each in usable), default=0)
    rest = [each for each in usable if each.key not in chosen]
    rest.sort(
        key=lambda each: (
            each.runs * 2 < greatest, not each.varies, not direction(each.key), -each.runs,
            "train" in each.key.lower(), len(each.key), each.key,
        )
    )  # fmt: skip
    return [*chosen, *(each.key for each in rest)][:most]


def params(use: Sequence[KeyUse], *, most: int = 3) -> list[str]:
    """The parameters worth a column: those that differ between the runs, the more runs have them the sooner.

    Among these the more values were tried, the sooner; but words that are another in every run, such as
    folders and names, explain nothing and come late. Seeds come last. A run alone shows what it has.
    """
    alone = max((each.runs for each in use), default=0) == 1
    differing = [each for each in use if each.varies or alone]
    differing.sort(
        key=lambda each: (is_seed(each.key), -each.runs, _names(each), -each.distinct, len(each.key), each.key)
    )
    return [each.key for each in differing[:most]]


def _names(use: KeyUse) -> bool:
    """Whether the values look like names of the runs: words, and another in each of them."""
    return use.distinct == use.runs > 2 and not _NUMBER.fullmatch(use.least)


def is_seed(key: str) -> bool:
    """Whether a parameter only feeds a source of chance."""
    return bool(_SEEDS & set(_PARTS.findall(key.lower())))


def _answers(key: str, name: str) -> bool:
    """Whether a logged metric is the one a policy names: the same, or with a split before it (``test/recall``)."""
    if key == name:
        return True
    wanted, parts = _PARTS.findall(name.lower()), _PARTS.findall(key.lower())
    return bool(wanted) and len(parts) <= len(wanted) + 1 and parts[-len(wanted) :] == wanted
