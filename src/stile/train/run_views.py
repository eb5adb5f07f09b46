"""Runs as pages show them: short rows with a few chosen metrics, one run in full, and thinned curves."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.kernel.errors import Missing
from stile.store.database import Tx
from stile.train import artifacts, experiment_records, experiments, run_keys, run_search, runs
from stile.train.artifact_paths import ours
from stile.train.artifacts import Artifact
from stile.train.experiment_records import Experiment
from stile.train.points import Point
from stile.train.run_clauses import View
from stile.train.run_keys import marks
from stile.train.run_values import Run


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a list of runs. Times in ms since 1970 UTC; ``metrics`` has the chosen ones that were logged."""

    run_id: str
    experiment_id: str
    experiment: str
    name: str
    status: str
    user_id: str
    created_by: str
    start_time: int
    end_time: int | None
    metrics: dict[str, float]
    params: dict[str, str]
    models: int

    @property
    def duration_ms(self) -> int | None:
        """How long it ran; None while it runs."""
        return None if self.end_time is None else self.end_time - self.start_time


class RunList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of runs, the metrics shown, and the token that leads to older ones ('' at the end)."""

    runs: list[RunSummary]
    metrics: list[str]
    next_page_token: str = ""


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One run in full: with its experiment, its files, and the keys of its metrics."""

    run: Run
    experiment: Experiment
    artifacts: list[Artifact]
    artifact_root: str


def summaries(
    tx: Tx,
    *,
    experiment_ids: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    filter: str = "",
    order_by: Sequence[str] = (),
    view: View = "ACTIVE_ONLY",
    limit: int = 50,
    page_token: str = "",
) -> RunList:
    """Runs as short rows, newest first unless another order is asked for.

    Without ``experiment_ids`` it is the runs of all experiments. ``metrics`` are the keys to show; None
    chooses the six that most of these runs have logged. The rest is as in ``run_search.search``.
    """
    ids = list(experiment_ids) or all_experiment_ids(tx)
    page = run_search.search(
        tx, experiment_ids=ids, filter=filter, view=view, max_results=limit, order_by=order_by, page_token=page_token
    )
    shown = list(metrics) if metrics is not None else _common(page.runs)
    names = _experiment_names(tx, {run.info.experiment_id for run in page.runs})
    return RunList(
        runs=[_summary(run, shown, names) for run in page.runs],
        metrics=shown,
        next_page_token=page.next_page_token,
    )


def detail(tx: Tx, run_id: str) -> RunDetail:
    """One run in full.

    Raises:
        Missing: there is no such run.
    """
    run = runs.get(tx, run_id)
    root = ours(run.info.artifact_uri) or ""
    return RunDetail(
        run=run,
        experiment=experiments.get(tx, run.info.experiment_id),
        artifacts=artifacts.listing(tx, root) if root else [],
        artifact_root=root,
    )


def curves(tx: Tx, run_ids: Sequence[str], key: str, *, most: int = 320) -> dict[str, list[Point]]:
    """One metric of several runs, each thinned to at most ``most`` points; runs that are gone are left out."""
    found = {}
    for run_id in run_ids:
        try:
            found[run_id] = runs.curve(tx, run_id, key, most=most)
        except Missing:
            continue
    return found


def metric_keys(tx: Tx, experiment_ids: Sequence[str]) -> list[str]:
    """Every metric key logged in some experiments, in alphabetical order."""
    ids = [int(one) for one in experiment_ids if one.isdecimal()]
    if not ids:
        return []
    rows = tx.all(f"SELECT DISTINCT key FROM latest WHERE experiment IN ({marks(ids)})", ids)
    return sorted(run_keys.names(tx, [row[0] for row in rows]).values())


def all_experiment_ids(tx: Tx) -> list[str]:
    """Ids of all experiments that are not deleted."""
    return [str(row[0]) for row in tx.all("SELECT id FROM experiments WHERE lifecycle = 'active' ORDER BY id")]


def _summary(run: Run, shown: Sequence[str], names: dict[str, str]) -> RunSummary:
    values = {metric.key: metric.value for metric in run.metrics}
    info = run.info
    return RunSummary(
        run_id=info.run_id,
        experiment_id=info.experiment_id,
        experiment=names.get(info.experiment_id, ""),
        name=info.name,
        status=info.status,
        user_id=info.user_id,
        created_by=info.created_by,
        start_time=info.start_time,
        end_time=info.end_time,
        metrics={key: values[key] for key in shown if key in values},
        params=dict(run.params),
        models=sum(model.direction == "output" for model in run.models),
    )


def _common(found: Sequence[Run], most: int = 6) -> list[str]:
    counts: dict[str, int] = {}
    for run in found:
        for metric in run.metrics:
            if not metric.key.startswith("system/"):
                counts[metric.key] = counts.get(metric.key, 0) + 1
    return sorted(sorted(counts, key=lambda key: (-counts[key], key))[:most])


def _experiment_names(tx: Tx, ids: set[str]) -> dict[str, str]:
    found = (experiment_records.by_id(tx, int(one)) for one in ids)
    return {experiment.experiment_id: experiment.name for experiment in found if experiment is not None}
