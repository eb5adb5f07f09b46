"""Evidence about a window of live traffic, in the same shape and by the same code as at training time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stile.data.profile import Profile
from stile.data.profiling import window_profile
from stile.data.table import Column, Flags, Numbers, Table, numbers_of, table_of, text_of, texts_of
from stile.train.drift import drift
from stile.train.evaluation import SCORE
from stile.train.evidence import Computed, DatasetUse, Evidence, Metric, SliceValue, Subject
from stile.train.measures import calibration, measure
from stile.train.outcomes import Binary, Multiclass, Outcomes, Regression
from stile.train.predictions import DEFAULT_THRESHOLD, label_of
from stile.train.slices import fairness_of, slice_labels, slices_of

_LIVE_RESAMPLES = 500
Values = Sequence[Any] | Column


def live_evidence(
    *,
    use_case: str,
    version: str,
    digest: str,
    window: str,
    features: Table,
    scores: Values | None,
    outcomes: Values,
    slices: Mapping[str, Values],
    threshold: float | None,
    positive: str,
    reference: Profile | None,
    computed: Computed,
    predicted: Values | None = None,
) -> Evidence:
    """What one window says about the version that answered it.

    Drift needs no outcomes; metrics are computed from the rows whose outcome is known, and the fact
    ``coverage`` {outcomes_ratio, n, known} says how many these are. All sequences have one entry per
    prediction, in the same order.

    Args:
        use_case: where the traffic belongs.
        version: registry version that answered, as text.
        digest: its model digest.
        window: id of the window.
        features: inputs by column, as the contract names them.
        scores: scores of the positive outcome; for models that predict numbers, the numbers; None for classes.
        outcomes: what turned out true; None, NaN or an empty text where it is not known yet.
        slices: columns to give metrics by.
        threshold: scores at or above it were positive predictions; None takes ``predicted``, else 0.5.
        positive: the outcome counted as positive.
        reference: the profile archived with the version; None when there is none (no drift then).
        computed: by whom, when, with which seed.
        predicted: predicted labels.
    """
    rows = len(outcomes)
    known = np.array([text_of(value) is not None for value in outcomes], dtype=np.bool_).reshape(rows)
    judged = _judged(outcomes, known, scores=scores, predicted=predicted, threshold=threshold, positive=positive)
    places = np.flatnonzero(known) if judged is None else np.flatnonzero(known)[_usable(scores, known)]
    by_slice: dict[str, list[SliceValue]] = {}
    fairness: dict[str, dict[str, Metric]] = {}
    if judged is not None and judged.n:
        for name, column in slices.items():
            labels = slice_labels(table_of({name: column}).columns[name])[places]
            by_slice[name] = slices_of(judged, labels, name=name, seed=computed.seed)
            if measures := fairness_of(judged, labels, seed=computed.seed):
                fairness[name] = measures
    counted = _window_table(features, scores, predicted, reference, positive)
    n = 0 if judged is None else judged.n
    return Evidence(
        subject=Subject(kind="window", use_case=use_case, version=version, digest=digest, window=window),
        computed=computed,
        datasets=[DatasetUse(digest=counted.digest, role="live", rows=rows)],
        positive=positive,
        threshold=threshold,
        metrics={} if judged is None else measure(judged, seed=computed.seed, most_resamples=_LIVE_RESAMPLES),
        calibration=[] if judged is None else calibration(judged),
        slices=by_slice,
        fairness=fairness,
        drift=[] if reference is None else drift(reference, counted),
        facts={"coverage": {"outcomes_ratio": n / rows if rows else 0.0, "n": rows, "known": n}},
        profile=None if reference is None else window_profile(reference, counted),
    )


def _judged(
    outcomes: Values,
    known: Flags,
    *,
    scores: Values | None,
    predicted: Values | None,
    threshold: float | None,
    positive: str,
) -> Outcomes | None:
    """Predictions next to the outcomes known so far; None when nothing can be judged."""
    usable = np.flatnonzero(known)[_usable(scores, known)]
    if not usable.size or (scores is None and predicted is None):
        return None
    truth = [outcomes[i] for i in usable]
    labels = [label_of(text_of(value)) or "" for value in truth]
    score = None if scores is None else _numbers(scores)[usable]
    said = None if predicted is None else [label_of(text_of(predicted[i])) or "" for i in usable]
    distinct = set(labels) | set(said or [])
    wanted = label_of(positive) or "1"
    if wanted in distinct or (len(distinct) <= 2 and distinct <= {"0", "1"}):
        y = np.array([label == wanted for label in labels], dtype=np.bool_)
        if score is not None and (threshold is not None or said is None):
            cut = DEFAULT_THRESHOLD if threshold is None else threshold
            return Binary(y, score >= cut, score)
        return Binary(y, np.array([label == wanted for label in said or []], dtype=np.bool_), score)
    truth_table = table_of({"y": truth})
    if score is not None and truth_table.is_numeric("y"):
        return Regression(truth_table.columns["y"], score)
    if said is not None:
        return Multiclass(texts_of(labels), texts_of(said))
    y = np.zeros(len(labels), dtype=np.bool_)  # two words, none of them the positive one: all are negatives
    assert score is not None
    return Binary(y, score >= (DEFAULT_THRESHOLD if threshold is None else threshold), score)


def _usable(scores: Values | None, known: Flags) -> Flags:
    """Among the rows with an outcome, those with a score."""
    count = int(known.sum())
    if scores is None:
        return np.ones(count, dtype=np.bool_)
    return ~np.isnan(_numbers(scores)[known])


def _numbers(values: Values) -> Numbers:
    return table_of({SCORE: values}).numbers(SCORE)


def _window_table(
    features: Table, scores: Values | None, predicted: Values | None, reference: Profile | None, positive: str
) -> Table:
    """Features and output in the kinds the reference has them in; a text where a number belongs counts as missing."""
    output = scores if scores is not None else predicted
    table = features if output is None else features.with_column(SCORE, table_of({SCORE: output}).columns[SCORE])
    for column in [] if reference is None else reference.columns:
        if column.kind != "numeric" or column.name not in table or table.is_numeric(column.name):
            continue
        texts = table.texts(column.name)
        if column.name == SCORE and scores is None:  # the reference counted classes as 1 for positive, 0 for not
            wanted = label_of(positive) or "1"
            flags = [np.nan if text is None else float(label_of(text) == wanted) for text in texts]
            table = table.with_column(SCORE, np.array(flags, dtype=np.float64))
        else:
            table = table.with_column(column.name, numbers_of(texts))
    return table
