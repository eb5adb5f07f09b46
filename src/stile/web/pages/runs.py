"""Experiments, and the runs of one: a search bar in MLflow's grammar, and a table with the metrics that matter."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import quote

import msgspec

from stile.edge.call import Call
from stile.govern import registry
from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.train import experiment_search, experiments, run_search, runs
from stile.train.experiment_records import Experiment
from stile.train.run_values import Run
from stile.web.charts.sparkline import sparkline
from stile.web.render import Crumb, Frame, Page

_PER_PAGE = 50
_METRIC_COLUMNS = 3
_PARAM_COLUMNS = 2
_SPARK_POINTS = 64
_SNIPPET = """import mlflow
mlflow.set_tracking_uri("{url}")
mlflow.set_experiment("{name}")
with mlflow.start_run(): mlflow.log_metric("auc", 0.93)"""


class ExperimentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment, and how many of its newest runs there are (at most 1000 are counted)."""

    experiment: Experiment
    runs: int
    last_run_at: int | None


class ExperimentsData(msgspec.Struct, frozen=True, kw_only=True):
    """Experiments, the last changed first; with ``use_case`` only those its candidates came from."""

    experiments: list[ExperimentRow]
    use_case: str
    next: str


class RunsData(msgspec.Struct, frozen=True, kw_only=True):
    """One page of runs.

    Attributes:
        metrics, params: the columns that are shown.
        curves: the main metric of each run, thinned; by run id.
        problem: why the search could not be done, in words; then there are no runs.
        next: cursor of the next page, empty at the end.
    """

    experiment: Experiment
    filter: str
    sort: str
    runs: list[Run]
    metrics: list[str]
    params: list[str]
    curves: dict[str, list[float]]
    problem: str
    next: str


def _load_experiments(tx: Tx, call: Call) -> ExperimentsData:
    use_case = call.query("use_case")
    if use_case:
        found, following = _of_use_case(tx, use_case), ""
    else:
        page = experiment_search.search(tx, max_results=_PER_PAGE, page_token=call.query("cursor"))
        found, following = page.experiments, page.next_page_token
    rows = []
    for each in found:
        newest = run_search.search(tx, experiment_ids=[each.experiment_id], max_results=_PER_PAGE)
        last = newest.runs[0].info.start_time if newest.runs else None
        count = len(newest.runs) if not newest.next_page_token else -1
        rows.append(ExperimentRow(experiment=each, runs=count, last_run_at=last))
    return ExperimentsData(experiments=rows, use_case=use_case, next=following)


def _of_use_case(tx: Tx, use_case: str) -> list[Experiment]:
    """The experiments that the versions of the use case's model were trained in."""
    ids = {runs.info(tx, each.run_id).experiment_id for each in registry.versions(tx, use_case) if each.run_id}
    return [experiments.get(tx, id) for id in sorted(ids, key=int)]


def _load_runs(tx: Tx, call: Call) -> RunsData:
    experiment = experiments.get(tx, call.path("experiment_id"))
    wanted, sort = call.query("filter"), call.query("sort")
    found: list[Run] = []
    problem, following = "", ""
    try:
        page = run_search.search(
            tx,
            experiment_ids=[experiment.experiment_id],
            filter=wanted,
            order_by=[sort] if sort else (),
            max_results=_PER_PAGE,
            page_token=call.query("cursor"),
        )
        found, following = page.runs, page.next_page_token
    except Invalid as error:
        problem = error.message
    metrics, params = chosen_metrics(found), chosen_params(found)
    curves = {}
    if metrics:
        stepped = [run for run in found if any(m.key == metrics[0] and m.step > 0 for m in run.metrics)]
        curves = {run.info.run_id: _values(tx, run.info.run_id, metrics[0]) for run in stepped}
    return RunsData(
        experiment=experiment, filter=wanted, sort=sort, runs=found, metrics=metrics, params=params,
        curves=curves, problem=problem, next=following,
    )  # fmt: skip


def _values(tx: Tx, run_id: str, key: str) -> list[float]:
    return [point.value for point in runs.curve(tx, run_id, key, most=_SPARK_POINTS)]


def chosen_metrics(found: list[Run]) -> list[str]:
    """The metrics worth a column: logged by most runs, then those that differ most between them."""
    seen: Counter[str] = Counter()
    values: dict[str, set[float]] = {}
    for run in found:
        for metric in run.metrics:
            seen[metric.key] += 1
            values.setdefault(metric.key, set()).add(metric.value)
    return sorted(seen, key=lambda key: (-seen[key], -len(values[key]), len(key), key))[:_METRIC_COLUMNS]


def chosen_params(found: list[Run]) -> list[str]:
    """The parameters worth a column: those that differ between runs, in most of them."""
    values: dict[str, Counter[str]] = {}
    for run in found:
        for key, value in run.params:
            values.setdefault(key, Counter())[value] += 1
    differing = [key for key, counted in values.items() if len(counted) > 1 or len(found) == 1]
    return sorted(differing, key=lambda key: (-values[key].total(), -len(values[key]), len(key), key))[:_PARAM_COLUMNS]


def _columns(data: RunsData, path: str) -> list[dict[str, str]]:
    """Column heads with the link that sorts by them, and how they are sorted now."""
    heads = []
    for key in data.metrics:
        rising, falling = f"metrics.`{key}` ASC", f"metrics.`{key}` DESC"
        sorted_now = "descending" if data.sort == falling else "ascending" if data.sort == rising else ""
        onward = rising if data.sort == falling else falling
        link = f"{path}?filter={quote(data.filter)}&sort={quote(onward)}"
        heads.append({"key": key, "url": link, "sorted": sorted_now})
    return heads


def _extras(data: RunsData, call: Call) -> dict[str, Any]:
    path = call.request.url.path
    link = f"{path}?filter={quote(data.filter)}&sort={quote(data.sort)}&cursor={quote(data.next)}"
    return {
        "columns": _columns(data, path),
        "sparks": {run_id: sparkline(data.metrics[0], values) for run_id, values in data.curves.items()},
        "next_url": link if data.next else "",
        "snippet": _SNIPPET.format(url=call.services.settings.url, name=data.experiment.name.replace('"', "")),
    }


def _frame(data: RunsData) -> Frame:
    return Frame(
        title=f"Runs of {data.experiment.name}",
        here="runs",
        crumbs=[Crumb("Runs", "/experiments"), Crumb(data.experiment.name)],
        live="train",
    )


EXPERIMENTS = Page(
    "/experiments",
    "experiments.html",
    _load_experiments,
    lambda data: Frame(title="Experiments", here="runs", live="train"),  # noqa: ARG005
    extras=lambda data, call: {"snippet": _SNIPPET.format(url=call.services.settings.url, name="my-experiment")},  # noqa: ARG005
)
RUNS = Page("/experiments/{experiment_id}", "runs.html", _load_runs, _frame, extras=_extras)

ROUTES = [*EXPERIMENTS.routes, *RUNS.routes]
