"""What a comparison of runs says: which settings differ, who is best at what, which axes are worth looking at. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from stile.client.capture import COMMAND_TAG, COMMIT_TAG, DIFF_TAG, ENVIRONMENT_TAG, PYTHON_TAG
from stile.train.column_choice import is_seed
from stile.train.evidence import Evidence, Metric
from stile.train.metric_direction import Direction, better, direction
from stile.train.run_values import Run
from stile.web.charts.axes import as_number
from stile.web.pages.run_view import SYSTEM, command_words, shown_tags

Mark = Literal["", "best", "odd"]

_ENVIRONMENT = {
    "commit": ("mlflow.source.git.commit", COMMIT_TAG), "branch": ("mlflow.source.git.branch",),
    "uncommitted changes": (DIFF_TAG,), "command": (COMMAND_TAG,), "source": ("mlflow.source.name",),
    "python": (PYTHON_TAG,), "packages": (ENVIRONMENT_TAG,),
}  # fmt: skip
_MOST_AXES = 5
_CHECKED = ("valid", "val", "test", "eval")


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter, tag or the like, with its value in every run; None where a run has none."""

    key: str
    values: list[str | None]
    differs: bool


class MetricCell(msgspec.Struct, frozen=True, kw_only=True):
    """One run's value of a metric, its difference to the baseline, and whether that is better."""

    value: float | None
    difference: float | None = None
    better: bool | None = None
    best: bool = False


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in every run. ``way`` says whether more is better; ``curve`` whether it has steps."""

    key: str
    way: Direction
    cells: list[MetricCell]
    differs: bool
    curve: bool


class SliceCell(msgspec.Struct, frozen=True, kw_only=True):
    """One version's metric on one slice; ``apart`` when its interval and the baseline's do not touch."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    better: bool | None = None
    apart: bool = False


class SliceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One slice in every run that has evidence; None where it was not measured."""

    name: str
    cells: list[SliceCell | None]


def key_rows(values: Sequence[Mapping[str, str]]) -> list[KeyRow]:
    """Every key with its value in each run, by name."""
    rows = []
    for key in sorted({key for one in values for key in one}):
        row = [one.get(key) for one in values]
        rows.append(KeyRow(key=key, values=row, differs=len(set(row)) > 1))
    return rows


def params(runs: Sequence[Run]) -> list[KeyRow]:
    """The parameters."""
    return key_rows([dict(run.params) for run in runs])


def tags(runs: Sequence[Run]) -> list[KeyRow]:
    """The tags that people and scripts have set."""
    return key_rows([dict(shown_tags(run)) for run in runs])


def environments(runs: Sequence[Run]) -> list[KeyRow]:
    """Commit, changes, command, Python and packages, as far as they were kept."""

    def kept(run: Run) -> dict[str, str]:
        tagged = dict(run.tags)
        found = {name: next((tagged[t] for t in names if tagged.get(t)), "") for name, names in _ENVIRONMENT.items()}
        return {name: command_words(text) if name == "command" else text for name, text in found.items() if text}

    return key_rows([kept(run) for run in runs])


def datasets(runs: Sequence[Run]) -> list[KeyRow]:
    """The tables they have read, by the part they played, with the beginning of their digest."""

    def read(run: Run) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in run.datasets:
            part = each.tags.get("mlflow.data.context", "") or "read"
            text = f"{each.name} {each.digest[:16]}".strip()
            found[part] = f"{found[part]}, {text}" if part in found else text
        return found

    return key_rows([read(run) for run in runs])


def metrics(runs: Sequence[Run], baseline: int) -> list[MetricRow]:
    """Every metric with its newest value in each run: those that say who is better first, the machine's own last."""
    values = [{metric.key: metric for metric in run.metrics} for run in runs]
    keys = sorted({key for one in values for key in one}, key=_reading_order)
    rows = []
    for key in keys:
        row = [one[key].value if key in one else None for one in values]
        curve = any(key in one and one[key].step > 0 for one in values)
        rows.append(_metric_row(key, row, baseline, curve=curve))
    return rows


def _reading_order(key: str) -> tuple[bool, bool, str]:
    return key.startswith(f"{SYSTEM}/"), not direction(key), key


def _metric_row(key: str, values: Sequence[float | None], baseline: int, *, curve: bool) -> MetricRow:
    way = direction(key)
    numbers = {value for value in values if value is not None and math.isfinite(value)}
    top = (max if way == "up" else min)(numbers) if way and len(numbers) > 1 else None
    base = values[baseline]
    cells = []
    for at, value in enumerate(values):
        difference = None if value is None or base is None or at == baseline else value - base
        cells.append(
            MetricCell(
                value=value, difference=difference, best=value is not None and value == top,
                better=None if difference is None else better(key, difference),
            )
        )  # fmt: skip
    differs = len(numbers) > 1 or len({value is None for value in values}) > 1
    return MetricRow(key=key, way=way, cells=cells, differs=differs, curve=curve)


def usual(row: KeyRow) -> str | None:
    """The value that most runs have; None when no value is had by more than half of them."""
    value, count = Counter(row.values).most_common(1)[0]
    return value if count * 2 > len(row.values) else None


def chosen_curve(rows: Sequence[MetricRow], asked: str) -> str:
    """The metric whose curves are shown: the asked one, else one that was measured on unseen data, in most runs."""
    curves = [row for row in rows if row.curve]
    if any(row.key == asked for row in curves):
        return asked
    return min(curves, key=_curve_rank).key if curves else ""


def _curve_rank(row: MetricRow) -> tuple[bool, int, bool, bool, str]:
    missing = sum(cell.value is None for cell in row.cells)
    checked = any(word in row.key.lower() for word in _CHECKED)
    return row.key.startswith(f"{SYSTEM}/"), missing, not row.way, not checked, row.key


def outcome(rows: Sequence[MetricRow], asked: str) -> str:
    """The metric that runs are judged by: the asked one, else a final figure with a direction that most runs have."""
    if any(row.key == asked for row in rows):
        return asked
    fit = [row for row in rows if row.differs and not row.key.startswith(f"{SYSTEM}/")]
    if not fit:
        return rows[0].key if rows else ""

    def rank(row: MetricRow) -> tuple[bool, bool, bool, int, bool, int]:
        missing = sum(cell.value is None for cell in row.cells)
        return missing * 2 > len(row.cells), not row.way, row.curve, missing, "train" in row.key, len(row.key)

    return min(fit, key=rank).key


def axes_worth(rows: Sequence[KeyRow]) -> list[str]:
    """Parameters that could explain an outcome, best first: set in most runs, numbers before words, many values.

    Seeds differ in every search and explain nothing, so they are left out unless nothing else differs.
    """

    def rank(row: KeyRow) -> tuple[int, bool, int, str]:
        known = [value for value in row.values if value is not None]
        numbers = all(as_number(value) is not None for value in known)
        return len(row.values) - len(known), not numbers, -len(set(known)), row.key

    differing = [row for row in rows if row.differs]
    telling = [row for row in differing if not is_seed(row.key)]
    return [row.key for row in sorted(telling or differing, key=rank)]


def chosen_axes(asked: Sequence[str], worth: Sequence[str], goal: str) -> list[str]:
    """Axes of the parallel coordinates, as ``params.lr`` or ``metrics.auc``; the outcome comes last."""
    if len(asked) >= 2:
        return list(asked)
    return [f"params.{key}" for key in worth[: _MOST_AXES - 1]] + ([f"metrics.{goal}"] if goal else [])


def values_on(axis: str, runs: Sequence[Run]) -> dict[str, str | float | None]:
    """What every run has on an axis; an axis that is neither a parameter nor a metric has nothing."""
    kind, _, key = axis.partition(".")
    if kind == "metrics":
        return {run.info.run_id: run.metric(key) for run in runs}
    if kind == "params":
        return {run.info.run_id: dict(run.params).get(key) for run in runs}
    return {}


def slice_metrics(evidence: Sequence[Evidence | None]) -> list[str]:
    """Metrics with an interval that some of these documents have, in the order of the documents."""
    found = (name for one in evidence if one for name, metric in one.metrics.items() if metric.low is not None)
    return list(dict.fromkeys(found))


def slice_rows(evidence: Sequence[Evidence | None], metric: str, baseline: int) -> list[SliceRow]:
    """The metric over all rows and on every slice, for each run."""
    tables = [_slices(one, metric) if one else {} for one in evidence]
    rows = []
    for name in dict.fromkeys(name for table in tables for name in table):
        base = tables[baseline].get(name)
        cells = [_slice_cell(table.get(name), base, metric, own=at == baseline) for at, table in enumerate(tables)]
        rows.append(SliceRow(name=name, cells=cells))
    return rows


def _slices(evidence: Evidence, metric: str) -> dict[str, Metric]:
    found = {"all rows": evidence.metrics[metric]} if metric in evidence.metrics else {}
    for column, values in evidence.slices.items():
        found |= {f"{column} = {one.value}": one.metrics[metric] for one in values if metric in one.metrics}
    return found


def _slice_cell(here: Metric | None, base: Metric | None, metric: str, *, own: bool) -> SliceCell | None:
    if here is None:
        return None
    known = None not in (here.value, base.value if base else None)
    difference = here.value - base.value if known and base and not own else 0.0  # type: ignore[operator]
    apart = (
        base is not None and None not in (here.low, here.high, base.low, base.high)
        and (here.low > base.high or here.high < base.low)  # type: ignore[operator]
    )  # fmt: skip
    return SliceCell(
        value=here.value, low=here.low, high=here.high, n=here.n, apart=apart and not own,
        better=better(metric, difference) if difference else None,
    )  # fmt: skip
