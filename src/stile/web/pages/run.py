"""One run: what it was given, what it measured, how its metrics went, what it left behind, what became of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from stile.client.capture import ENVIRONMENT_PATH
from stile.edge.call import Call
from stile.kernel.errors import Missing
from stile.store.database import Tx
from stile.train import (
    artifacts,
    evidence_records,
    experiments,
    logged_models,
    run_curves,
    run_records,
    run_table,
    run_views,
    runs,
)
from stile.train.artifact_paths import ours
from stile.train.artifact_records import Artifact
from stile.train.evidence import Evidence
from stile.train.experiment_records import Experiment
from stile.train.metric_direction import direction
from stile.train.run_curves import RunLine
from stile.train.run_values import Run, RunInfo
from stile.train.run_views import RunList
from stile.web import links
from stile.web.charts.chart import Chart
from stile.web.charts.curves import curve
from stile.web.charts.lineage import lineage
from stile.web.pages import run_lineage, run_view
from stile.web.pages.curve_view import AXES, View, track, view_of
from stile.web.pages.gate import evidence_extras
from stile.web.pages.run_lineage import RegisteredAs
from stile.web.previews import GRAPH_ENDINGS
from stile.web.render import Crumb, Frame, Page

_DRAWN_CURVES = 12
_DRAWN_POINTS = 160
_FIRST_ROWS = 60
_FIRST_FIGURES = 24
_MOST_ROWS = 500
_MOST_PARAMS = 500
_MOST_OPENED = 100
_MOST_FILES = 300
_MOST_GRAPHS = 8
_SIBLINGS = 30
_CHILDREN = 50
_LARGEST_DESCRIPTION = 64 << 10


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A model the run has logged, and its files by path from the root of the store."""

    model_id: str
    name: str
    root: str
    files: list[Artifact]


class RunData(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run.

    Attributes:
        view: how its curves are drawn.
        whole, opened: whether the table has all metrics, and which groups have all their figures.
        sizes: points of each metric.
        best: the best value of each metric whose name tells what is better, once the run has ended.
        curves: the first few metrics with more than one point, thinned.
        files, models: what it left behind; ``root`` is where its own files lie.
        elsewhere: the address of its files when this server does not keep them.
        machine: the description of its environment that its client kept.
        registered: versions of any model that came from it.
        evidence: what was measured about its version later, when it was evaluated.
        baseline: the run it is compared with; ``problem`` says why there is none.
        parent, children: the run it is a part of, and its parts.
        siblings: newest other runs of the experiment, to compare with.
    """

    run: Run
    experiment: Experiment
    view: View
    whole: bool
    opened: list[str]
    find: str
    find_param: str
    sizes: dict[str, int]
    best: dict[str, float]
    curves: list[RunLine]
    files: list[Artifact]
    root: str
    elsewhere: str
    models: list[ModelFiles]
    machine: dict[str, Any]
    registered: list[RegisteredAs]
    evidence_digest: str
    evidence: Evidence | None
    baseline: Run | None
    problem: str
    parent: RunInfo | None
    children: RunList
    siblings: list[RunInfo]


def _load(tx: Tx, call: Call) -> RunData:
    run = runs.get(tx, call.path("run_id"))
    info, view, find = run.info, view_of(call), call.query("find")[:200]
    sizes = run_curves.sizes(tx, info.run_id)
    root = ours(info.artifact_uri) or ""
    files = artifacts.listing(tx, root) if root else []
    registered = run_lineage.registered(tx, info.run_id)
    digest, evidence = next(
        (
            found for each in registered
            if (found := evidence_records.latest_with_digest(tx, each.model, each.digest))[1] is not None
        ),
        ("", None),
    )  # fmt: skip
    baseline, problem = _baseline(tx, call, info.run_id)
    return RunData(
        run=run, experiment=experiments.get(tx, info.experiment_id), view=view, find=find,
        whole=call.query("rows") == "all", opened=call.request.query_params.getlist("open")[:_MOST_OPENED],
        find_param=call.query("param")[:200], sizes=sizes, best=_best(tx, run),
        curves=_curves(tx, run, sizes, find, view), files=files,
        root=root, elsewhere="" if root else info.artifact_uri, models=_model_files(tx, run),
        machine=_machine(tx, call, files, root), registered=registered, evidence_digest=digest, evidence=evidence,
        baseline=baseline, problem=problem, parent=_parent(tx, run), children=_children(tx, run),
        siblings=_siblings(tx, run),
    )  # fmt: skip


def _curves(tx: Tx, run: Run, sizes: dict[str, int], find: str, view: View) -> list[RunLine]:
    groups = run_view.metric_groups(run, sizes, None, find)
    keys = [row.key for group in groups if group.name != run_view.SYSTEM for row in group.curves]
    return run_curves.of_run(
        tx, run.info.run_id, keys[:_DRAWN_CURVES], most=_DRAWN_POINTS, across=view.x, span=view.span,
        smooth=view.smooth,
    )  # fmt: skip


def _best(tx: Tx, run: Run) -> dict[str, float]:
    if run.info.status == "RUNNING":
        return {}
    return {
        each.key: each.value for each in run_table.summed_up(tx, [run], "best")[0].metrics if direction(each.key)
    }  # fmt: skip


def _model_files(tx: Tx, run: Run) -> list[ModelFiles]:
    found = []
    for each in run.models:
        if each.direction != "output":
            continue
        try:
            model = logged_models.get(tx, each.model_id)
        except Missing:
            continue
        root = ours(model.artifact_uri) or ""
        files = artifacts.listing(tx, root) if root else []
        found.append(ModelFiles(model_id=each.model_id, name=model.name, root=root, files=files))
    return found


def _machine(tx: Tx, call: Call, files: list[Artifact], root: str) -> dict[str, Any]:
    """The description of the environment that our own client keeps with a run; empty when there is none."""
    file = next((file for file in files if file.path == f"{root}/{ENVIRONMENT_PATH}"), None)
    if file is None or file.size > _LARGEST_DESCRIPTION:
        return {}
    try:
        found = msgspec.json.decode(call.services.blobs.get_within(tx, file.digest))
    except (Missing, msgspec.DecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _baseline(tx: Tx, call: Call, run_id: str) -> tuple[Run | None, str]:
    wanted = call.query("baseline").strip()
    if not wanted or wanted == run_id:
        return None, "A run cannot be its own baseline. Choose another." if wanted else ""
    try:
        return runs.get(tx, wanted), ""
    except Missing:
        return None, f"There is no run {wanted[:40]!r} to compare with. Choose another."


def _parent(tx: Tx, run: Run) -> RunInfo | None:
    wanted = run.tag(run_view.PARENT_TAG)
    try:
        return runs.info(tx, wanted) if wanted else None
    except Missing:
        return None


def _children(tx: Tx, run: Run) -> RunList:
    return run_views.summaries(
        tx, experiment_ids=[run.info.experiment_id], limit=_CHILDREN,
        filter=f"tags.`{run_view.PARENT_TAG}` = '{run.info.run_id}'",
    )  # fmt: skip


def _siblings(tx: Tx, run: Run) -> list[RunInfo]:
    found = run_records.newest(tx, int(run.info.experiment_id), _SIBLINGS)
    return [each for each in found if each.run_id != run.info.run_id]


def _frame(data: RunData) -> Frame:
    experiment = data.experiment
    return Frame(
        title=data.run.info.name,
        here="runs",
        crumbs=[
            Crumb("Runs", "/experiments"),
            Crumb(experiment.name, f"/experiments/{experiment.experiment_id}"),
            Crumb(data.run.info.name),
        ],
        live="train" if data.run.info.status == "RUNNING" else "",
    )


def _extras(data: RunData, call: Call) -> dict[str, Any]:
    info, view = data.run.info, data.view
    groups = run_view.metric_groups(data.run, data.sizes, data.baseline, data.find)
    params = run_view.param_rows(data.run, data.baseline, data.find_param)
    graphs = [file for file in data.files if file.path.endswith(GRAPH_ENDINGS)]
    parts = run_view.shown(
        groups, data.opened, rows=_MOST_ROWS if data.whole else _FIRST_ROWS, curves=_FIRST_FIGURES, most=_MOST_ROWS
    )
    count, row_count = sum(len(group.rows) for group in groups), sum(len(part.rows) for part in parts)
    return {
        "groups": parts,
        "metric_count": count,
        "row_count": row_count,
        "most_rows": _MOST_ROWS,
        "folded": _folded(groups, parts),
        "open_url": lambda name: links.changed(call.request, open=[*data.opened, name], at="curves"),
        "headline": run_view.headline(groups),
        "drawn": {each.key: _drawn(each, view) for each in data.curves},
        "axes": AXES,
        "params": params[:_MOST_PARAMS],
        "param_count": len(params),
        "changed_params": sum(row.change not in ("", "same") for row in params),
        "difference": run_view.difference_words,
        "value": run_view.value_words,
        "last_logged": max((each.at for each in data.run.metrics), default=0) if info.status == "RUNNING" else 0,
        "took_ms": info.end_time - info.start_time if info.end_time else None,
        "strip": lineage(run_lineage.columns(data.run, [each.name for each in data.models], data.registered)),
        "lacking": run_view.lacking(data.run, bool(data.registered), data.evidence is not None),
        "note": data.run.tag(run_view.NOTE_TAG),
        "tags": run_view.shown_tags(data.run),
        "trees": _trees(data),
        "file_count": len(data.files) + sum(len(model.files) for model in data.models),
        "shown_files": _MOST_FILES,
        "specs": graphs[:_MOST_GRAPHS],
        "pictures": run_view.pictures(data.files, data.root),
        "any_curve": any(group.total for group in parts),
        "facts": run_view.environment(data.run, data.files, data.root, data.machine),
        "baselines": _choices(data),
        "kept": lambda *names: links.kept_fields(call.request, *names),
        "link": lambda **values: links.changed(call.request, **values),
        "compare_children": "/compare?" + "&".join(f"run={each.run_id}" for each in data.children.runs),
    } | evidence_extras(data.evidence, None, call.query("metric"), [])  # fmt: skip


def _drawn(found: RunLine, view: View) -> Chart:
    line = found.line
    drawn = track(found, view, found.key)
    chart = curve(drawn.name, drawn.x, drawn.y, axis=view.x, log=view.log, soft=drawn.soft)
    if not line.not_numbers:
        return chart
    return replace(chart, finding=f"{chart.finding} {line.not_numbers} of {line.total} points are not numbers.")


def _folded(groups: list[run_view.Group], parts: list[run_view.Shown]) -> str:
    """Keys of metrics that have a row or a figure that is not on the page, for scripts: JSON; '' when all are."""
    rows = {row.key for part in parts for row in part.rows}
    figures = {row.key for part in parts for row in part.curves}
    away = [
        row.key for group in groups for row in group.rows
        if row.key not in rows or (row.points > 1 and row.key not in figures)
    ]  # fmt: skip
    return msgspec.json.encode(away).decode() if away else ""


def _trees(data: RunData) -> list[tuple[run_view.Folder, str]]:
    """Each tree of files with the query that its links carry."""
    trees = [(run_view.tree(data.files[:_MOST_FILES], data.root), "")] if data.files else []
    left = _MOST_FILES - len(data.files)
    for model in data.models:
        if model.files and left > 0:
            trees.append((run_view.tree(model.files[:left], model.root, model.name), f"?model={model.model_id}"))
            left -= len(model.files)
    return trees


def _choices(data: RunData) -> list[tuple[str, str]]:
    """(run id, name) of runs to compare with: the chosen one, the parent, then the newest of the experiment."""
    found = {} if data.baseline is None else {data.baseline.info.run_id: data.baseline.info.name}
    found |= {each.run_id: each.name for each in data.siblings if each.run_id not in found}
    return list(found.items())


PAGE = Page("/runs/{run_id}", "run.html", _load, _frame, extras=_extras)

ROUTES = PAGE.routes
