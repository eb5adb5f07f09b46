"""The protocol of a loaded model, whatever library runs it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from stile.deploy.signature import Signature


class Scores(NamedTuple):
    """Answers for the rows of one call, in order.

    Attributes:
        outputs: the model's answer per row (a class label, or a number).
        scores: probability of the positive outcome 0..1 for classifiers that give one, the
            decision value for those that do not, the predicted number for regressors.
    """

    outputs: list[Any]
    scores: list[float]


class Runtime(Protocol):
    """A model in memory. May be called from several threads."""

    signature: Signature
    missing_ok: bool  # null numbers reach the model as NaN; otherwise they are refused before it
    classes: list[Any]  # class labels of a classifier in its own order; empty for a regressor

    def predict(self, rows: Any) -> Scores:
        """Answer rows: a float64 array (rows x columns), or a DataFrame when the signature has text columns."""
        ...


def positive_index(classes: list[Any], positive: str) -> int:
    """Which of ``classes`` is the positive outcome; the last one when none is written like ``positive``."""
    for position, label in enumerate(classes):
        if str(label) == positive or (isinstance(label, bool | int) and str(int(label)) == positive):
            return position
    return len(classes) - 1


def plain(value: Any) -> Any:
    """A numpy scalar as the Python value JSON knows."""
    return value.item() if hasattr(value, "item") else value
