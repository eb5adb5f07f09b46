"""From tables to evidence, in parts that can be computed and recorded one after the other. Pure: tables in, values out.

Each part returns JSON values of some fields of ``Evidence``; ``assemble`` puts them together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from stile.data.profile import Profile
from stile.data.profiling import build_profile
from stile.data.table import Table
from stile.kernel.errors import Invalid
from stile.train import graphs
from stile.train.evidence import (
    CalibrationBin,
    Computed,
    DatasetUse,
    Evidence,
    Graph,
    Lineage,
    Metric,
    PairedComparison,
    ScenarioResult,
    SliceValue,
    Subject,
)
from stile.train.latency import latency_fact
from stile.train.measures import calibration, measure
from stile.train.outcomes import Binary, Multiclass, Outcomes, Regression
from stile.train.overlap import row_overlap
from stile.train.paired import compare
from stile.train.predictions import Predictions, Source, slice_column
from stile.train.slices import fairness_of, slice_labels, slices_of

SCORE = "score"
"""The profile's name for the model's output."""

Part = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Everything an evaluation is computed from.

    Args:
        source: the test dataset.
        predictions: the candidate's, checked.
        scenarios: what each scenario says, and the candidate's predictions under it.
        champion: its model digest and version, and its predictions on the same dataset.
        train: the training dataset; None when not named.
        features: columns the model may see.
    """

    source: Source
    predictions: Predictions
    features: list[str]
    positive: str
    slices: list[str] = field(default_factory=list)
    scenarios: dict[str, tuple[str, Predictions]] = field(default_factory=dict)
    champion: tuple[str, str, Predictions] | None = None
    train: Table | None = None
    latency_ms: list[float] | None = None
    unknown_at_decision_time: list[str] | None = None
    size_bytes: int = 0
    seed: int = 0


def metrics_part(inputs: Inputs) -> Part:
    """Metrics with intervals, and calibration."""
    outcomes = inputs.predictions.outcomes
    return _plain({"metrics": measure(outcomes, seed=inputs.seed), "calibration": calibration(outcomes)})


def slices_part(inputs: Inputs) -> Part:
    """Metrics by subgroup, and how evenly the groups are treated.

    Raises:
        Invalid: a slice column does not exist or has too many values.
    """
    slices: dict[str, list[SliceValue]] = {}
    fairness: dict[str, dict[str, Metric]] = {}
    for name in inputs.slices:
        labels = slice_labels(slice_column(name, inputs.predictions, inputs.source))
        slices[name] = slices_of(inputs.predictions.outcomes, labels, name=name, seed=inputs.seed)
        if measures := fairness_of(inputs.predictions.outcomes, labels, seed=inputs.seed):
            fairness[name] = measures
    return _plain({"slices": slices, "fairness": fairness})


def scenarios_part(inputs: Inputs) -> Part:
    """The same metrics on every scenario's predictions, and the share of rows whose prediction changed."""
    base = inputs.predictions
    found: dict[str, ScenarioResult] = {}
    for name, (says, changed) in inputs.scenarios.items():
        outcomes = changed.outcomes
        before = base.outcomes.take(np.searchsorted(base.rows, changed.rows))
        found[name] = ScenarioResult(
            says=says,
            n=outcomes.n,
            positives=outcomes.positives,
            metrics=measure(outcomes, seed=inputs.seed),
            changed_ratio=_changed_ratio(before, outcomes),
        )
    return _plain({"scenarios": found})


def paired_part(inputs: Inputs) -> Part:
    """The comparison with the champion on the same rows; None without its predictions."""
    if inputs.champion is None:
        return {"paired": None}
    digest, version, champion = inputs.champion
    if not np.array_equal(champion.rows, inputs.predictions.rows):
        return {"paired": None}
    differences = compare(inputs.predictions.outcomes, champion.outcomes, seed=inputs.seed)
    return _plain({"paired": PairedComparison(champion=digest, champion_version=version, metrics=differences)})


def profile_part(inputs: Inputs) -> Part:
    """The reference profile of the features and the score."""
    return _plain({"profile": reference_profile(inputs.source.table, inputs.features, inputs.predictions)})


def facts_part(inputs: Inputs) -> Part:
    """Findings that are not metrics; what was not measured is absent.

    Raises:
        Invalid: a column said to be unknown at decision time does not exist, or a timing is no number.
    """
    facts: dict[str, dict[str, Any]] = {"size": {"bytes": inputs.size_bytes}}
    if inputs.train is not None:
        facts["row_overlap"] = row_overlap(inputs.source.table, inputs.train, key=inputs.source.key)
    if inputs.latency_ms is not None:
        facts["latency"] = latency_fact(inputs.latency_ms)
    if inputs.unknown_at_decision_time is not None:
        for name in inputs.unknown_at_decision_time:
            if name not in inputs.source.table:
                raise Invalid(f"unknown_at_decision_time names {name!r}, which is not a column of the test dataset.")
        used = [name for name in inputs.unknown_at_decision_time if name in inputs.features]
        facts["unknown_at_decision_time"] = {"columns": used}
    return {"facts": facts}


def drawings(inputs: Inputs, parts: Part) -> list[graphs.Drawing]:
    """The graphs of an evaluation, from its metrics and slices."""
    return graphs.draw(
        inputs.predictions.outcomes,
        msgspec.convert(parts["metrics"], dict[str, Metric]),
        msgspec.convert(parts["calibration"], list[CalibrationBin]),
        msgspec.convert(parts["slices"], dict[str, list[SliceValue]]),
        positive=inputs.positive,
        threshold=inputs.predictions.threshold,
    )


def assemble(
    parts: Part,
    *,
    subject: Subject,
    computed: Computed,
    datasets: list[DatasetUse],
    lineage: Lineage,
    positive: str,
    threshold: float | None,
    predictions: str,
    drawn: list[Graph],
) -> Evidence:
    """The document from its parts."""
    whole = {
        **parts,
        "subject": subject,
        "computed": computed,
        "datasets": datasets,
        "lineage": lineage,
        "positive": positive,
        "threshold": threshold,
        "predictions": predictions,
        "graphs": drawn,
    }
    return msgspec.convert(msgspec.to_builtins(whole), Evidence)


def evidence_of(inputs: Inputs, *, subject: Subject, computed: Computed, **about: Any) -> Evidence:
    """All parts at once, without graphs; for programs that need no recorded steps.

    Args:
        inputs: what to compute from.
        subject: what was measured.
        computed: by whom and when.
        about: further fields of ``assemble`` (datasets, lineage, predictions).
    """
    parts: Part = {}
    for part in (metrics_part, slices_part, scenarios_part, paired_part, profile_part, facts_part):
        parts |= part(inputs)
    return assemble(
        parts,
        subject=subject,
        computed=computed,
        datasets=about.get("datasets", []),
        lineage=about.get("lineage", Lineage()),
        positive=inputs.positive,
        threshold=inputs.predictions.threshold,
        predictions=about.get("predictions", ""),
        drawn=[],
    )


def reference_profile(table: Table, features: list[str], predictions: Predictions) -> Profile:
    """The profile live windows are compared with: the features as tested, and the model's output as ``score``."""
    outcomes = predictions.outcomes
    if isinstance(outcomes, Binary):
        output: Any = outcomes.predicted.astype(np.float64) if outcomes.score is None else outcomes.score
    else:
        output = outcomes.predicted
    tested = table.pick([name for name in features if name != SCORE]).take(predictions.rows)
    return build_profile(tested.with_column(SCORE, output))


def _changed_ratio(before: Outcomes, after: Outcomes) -> float | None:
    if isinstance(before, Regression) or isinstance(after, Regression) or not after.n:
        return None
    if isinstance(before, Multiclass) != isinstance(after, Multiclass):
        return None
    return float(np.mean(before.predicted != after.predicted))


def _plain(values: dict[str, Any]) -> Part:
    plain: Part = msgspec.to_builtins(values)
    return plain
