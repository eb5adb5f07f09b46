"""Reading a submitted predictions table: every row found in its dataset, every number checked, or one clear refusal.

The table has a column ``row`` (which row of the dataset: its row digest, the value of the
contract's key column, or its number counted from 0), ``y_true`` (optional where the contract
names a target), ``score`` and/or ``y_pred``, and any columns to slice by.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass

import numpy as np

from stile.data.table import Column, Flags, Indices, Numbers, Table, Texts, text_of
from stile.kernel.errors import Invalid
from stile.train.outcomes import Binary, Multiclass, Outcomes, Regression

DEFAULT_THRESHOLD = 0.5
_MANY_VALUES = 20
_TOLERANCE = 1e-9
_WORDS = {"true": "1", "false": "0"}


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The dataset that predictions were made for, and what its contract says about it."""

    table: Table
    key: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Checked predictions, in the order of the dataset's rows.

    Args:
        rows: which rows of the dataset they are for.
        outcomes: predicted next to true.
        table: what was submitted, for its slice columns.
        threshold: where scores become positive predictions; None when classes were submitted.
    """

    rows: Indices
    outcomes: Outcomes
    table: Table
    threshold: float | None


def read_predictions(
    table: Table,
    source: Source,
    *,
    positive: str,
    threshold: float | None = None,
    whole: bool = True,
    what: str = "The predictions table",
) -> Predictions:
    """Check a predictions table against its dataset.

    Args:
        table: as submitted.
        source: the dataset it is for.
        positive: the outcome counted as positive.
        threshold: turn scores at or above it into positive predictions, whatever ``y_pred`` says.
        whole: every row of the dataset must be predicted.
        what: how messages call the table.

    Raises:
        Invalid: with one message about the first thing that is wrong.
    """
    if "row" not in table:
        raise Invalid(f"{what} has no column 'row' that says which row of the dataset each prediction is for.")
    if "score" not in table and "y_pred" not in table:
        raise Invalid(f"{what} has neither 'score' nor 'y_pred'. Add the score of the positive outcome (0 to 1).")
    if not table.rows:
        raise Invalid(f"{what} has no rows.")
    rows = _match(table.texts("row"), source, what)
    if whole and len(rows) < source.table.rows:
        left_out = source.table.rows - len(rows)
        raise Invalid(
            f"{what} leaves out {left_out} of the {source.table.rows} rows of the dataset. "
            "Predict every row, so that nothing is chosen after the fact."
        )
    order = np.argsort(rows, kind="stable")
    table, rows = table.take(order), rows[order]
    truth = _truth(table, rows, source, what)
    outcomes, used = _outcomes(table, truth, positive, threshold, what)
    return Predictions(rows, outcomes, table, used)


def slice_column(name: str, predictions: Predictions, source: Source) -> Column:
    """A column to slice by, from the predictions table or else from the dataset.

    Raises:
        Invalid: neither has it.
    """
    if name in predictions.table:
        return predictions.table.columns[name]
    if name in source.table:
        return source.table.take(predictions.rows).columns[name]
    known = [
        n for n in [*predictions.table.names, *source.table.names] if n not in ("row", "y_true", "y_pred", "score")
    ]
    raise Invalid(
        f"There is no column {name!r} to slice by. Known are: {', '.join(dict.fromkeys(known))}.", column=name
    )


def label_of(text: str | None) -> str | None:
    """An outcome in the form outcomes are compared in: ``True`` and ``1`` are the same."""
    return None if text is None else _WORDS.get(text.lower(), text)


def _match(wanted: Texts, source: Source, what: str) -> Indices:
    if all(name is not None and name.startswith("sha256:") for name in wanted):
        names, how = source.table.row_digests(), "row digests"
    elif source.key and source.key in source.table:
        names, how = source.table.texts(source.key).tolist(), f"the key column {source.key!r}"
    else:
        names, how = [str(i) for i in range(source.table.rows)], "row numbers counted from 0"
    places: defaultdict[str | None, deque[int]] = defaultdict(deque)
    for place, name in enumerate(names):
        places[name].append(place)  # equal rows have equal digests: each is used once
    seen = frozenset(places)
    rows = np.empty(len(wanted), dtype=np.int64)
    for i, name in enumerate(wanted):
        if name is None or name not in seen:
            raise Invalid(
                f"{what}, row {i + 1}: {str(name)[:80]!r} is not a row of the dataset "
                f"({source.table.rows} rows, named by {how}).",
                row=i + 1,
            )
        if not places[name]:
            raise Invalid(
                f"{what}, row {i + 1}: {name[:80]!r} was predicted before. Predict every row once.", row=i + 1
            )
        rows[i] = places[name].popleft()
    return rows


def _truth(table: Table, rows: Indices, source: Source, what: str) -> Column:
    known = source.table.columns[source.target][rows] if source.target and source.target in source.table else None
    if "y_true" not in table:
        if known is None:
            raise Invalid(f"{what} has no column 'y_true', and the contract names no target to take it from.")
        given = known
    else:
        given = table.columns["y_true"]
        if known is not None:
            _compare(given, known, table, source.target, what)
    empty = [i for i, value in enumerate(given) if text_of(value) is None]
    if empty:
        raise Invalid(f"{what}, {_name(table, empty[0])}: the true outcome is missing.")
    return given


def _compare(given: Column, known: Column, table: Table, target: str, what: str) -> None:
    if np.object_ not in (given.dtype, known.dtype):
        same: Flags = np.isclose(given, known, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
    else:
        pairs = zip(_labels(given), _labels(known), strict=True)
        same = np.fromiter((a == b for a, b in pairs), dtype=np.bool_, count=len(given))
    if not same.all():
        first = int(np.flatnonzero(~same)[0])
        raise Invalid(
            f"{what}, {_name(table, first)}: y_true is {text_of(given[first])!r}, but the dataset's column "
            f"{target!r} says {text_of(known[first])!r} ({int((~same).sum())} rows differ). "
            "Name rows by their digest, or take y_true from the dataset.",
            rows=int((~same).sum()),
        )


def _outcomes(
    table: Table, truth: Column, positive: str, threshold: float | None, what: str
) -> tuple[Outcomes, float | None]:
    said = table.columns.get("y_pred")
    if said is not None and table.missing("y_pred").any():
        raise Invalid(f"{what}, {_name(table, int(np.flatnonzero(table.missing('y_pred'))[0]))}: y_pred is missing.")
    true_labels = _labels(truth)
    distinct = set(true_labels)
    if "score" in table:
        if len(distinct) > 2:
            raise Invalid(
                f"{what} has a score for the positive outcome, but y_true has {len(distinct)} values, not two."
            )
        return _binary(table, true_labels, said, positive=positive, threshold=threshold, what=what)
    assert said is not None  # the table has score or y_pred
    if len(distinct | set(_labels(said))) <= 2:
        return _binary(table, true_labels, said, positive=positive, threshold=threshold, what=what)
    if np.object_ not in (truth.dtype, said.dtype) and _is_measured(truth):
        return Regression(truth, said), None
    return Multiclass(_array(true_labels), _array(_labels(said))), None


def _binary(
    table: Table, truth: list[str], said: Column | None, *, positive: str, threshold: float | None, what: str
) -> tuple[Binary, float | None]:
    wanted = label_of(positive) or "1"
    distinct = set(truth) | (set() if said is None else set(_labels(said)))
    if wanted not in distinct and (len(distinct) == 2 or distinct - {"0", "1"}):
        raise Invalid(
            f"{what}: the use case counts {positive!r} as the positive outcome, but y_true has "
            f"{', '.join(sorted(distinct))}. Name the positive outcome in the use case's charter."
        )
    y = np.fromiter((label == wanted for label in truth), dtype=np.bool_, count=table.rows)
    score = _scores(table, what) if "score" in table else None
    if score is not None and (threshold is not None or said is None):
        cut = DEFAULT_THRESHOLD if threshold is None else threshold
        return Binary(y, score >= cut, score), cut
    assert said is not None
    predicted = np.fromiter((label == wanted for label in _labels(said)), dtype=np.bool_, count=table.rows)
    return Binary(y, predicted, score), None


def _scores(table: Table, what: str) -> Numbers:
    score = table.numbers("score")
    missing = np.isnan(score)
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        raise Invalid(f"{what}, {_name(table, first)}: the score is missing ({int(missing.sum())} rows).")
    outside = (score < 0) | (score > 1)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise Invalid(
            f"{what}, {_name(table, first)}: the score {score[first]:g} is outside 0 to 1 ({int(outside.sum())} rows). "
            "Submit the probability of the positive outcome."
        )
    return score


def _is_measured(truth: Numbers) -> bool:
    """Whether numbers are measurements, not codes of classes."""
    return bool(np.any(truth != np.floor(truth))) or np.unique(truth).size > _MANY_VALUES


def _labels(values: Column) -> list[str]:
    return [label_of(text_of(value)) or "" for value in values.tolist()]


def _array(labels: list[str]) -> Texts:
    array = np.empty(len(labels), dtype=np.object_)
    array[:] = labels
    return array


def _name(table: Table, place: int) -> str:
    return f"row {table.texts('row')[place]}"
