"""Runs side by side: what differs between them, who is best, how their curves went, what explains the outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.govern import registry_search
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.train import evidence_records, experiments, run_curves, run_table
from stile.train.evidence import Evidence
from stile.train.metric_summary import SUMMARIES, Summary
from stile.train.run_curves import RunLine
from stile.train.run_values import Run
from stile.web import links
from stile.web.charts.axes import ruler
from stile.web.charts.curves import curves
from stile.web.charts.parallel import parallel
from stile.web.charts.scatter import Dot, scatter
from stile.web.pages import compare_order, compare_view
from stile.web.pages.compare_grid import Grid, Head, key_grid, metric_grid, slice_grid
from stile.web.pages.compare_view import KeyRow, MetricRow, SliceRow
from stile.web.pages.curve_view import AXES, View, drawable, track, view_of
from stile.web.render import Crumb, Frame, Page

MOST_RUNS = 100
_MOST_KEYS = 4
_POINTS_IN_ALL = 12_000
_LEAST_POINTS, _MOST_POINTS = 60, 1000
_DRAWN_RUNS = 20
_DRAWN_POINTS = 120
_ID_LETTERS = 6
_MOST_AXES = 8


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One of the runs.

    Attributes:
        name: told apart from equal names of the others by the beginning of the id.
        place: its number here, which chooses its colour.
    """

    run_id: str
    name: str
    place: int
    experiment_id: str
    experiment: str
    status: str
    created_by: str
    start_time: int
    took_ms: int | None


class CompareData(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison: every table has its values in the order of ``runs``.

    Attributes:
        missing: ids that were asked for and do not exist.
        baseline: place of the run the others are measured against.
        all: whether rows that are the same everywhere are shown too.
        find: only keys that contain it are shown.
        summary: which value of a metric stands for it in every run; the last where nobody knows what is best.
        curve: the metric whose curves are shown; ``lines`` has some of them when the page draws them itself.
        goal: the metric that the scatter plot and the parallel axes explain.
        slices: of the versions that came from the runs, where they were evaluated.
    """

    runs: list[Compared]
    missing: list[str]
    baseline: int
    all: bool
    find: str
    view: View
    summary: Summary
    metrics: list[MetricRow]
    params: list[KeyRow]
    tags: list[KeyRow]
    data: list[KeyRow]
    environment: list[KeyRow]
    curve: str
    lines: list[RunLine]
    goal: str
    across: str
    across_values: dict[str, str | float | None]
    goal_values: dict[str, str | float | None]
    axes: list[str]
    axis_values: list[dict[str, str | float | None]]
    slice_metric: str
    slice_metrics: list[str]
    slices: list[SliceRow]


def asked_runs(call: Call) -> list[str]:
    """The run ids of an address: ``run`` several times, or several in one with commas.

    Raises:
        Invalid: more than 100.
    """
    given = (id.strip() for text in call.request.query_params.getlist("run") for id in text.split(","))
    found = list(dict.fromkeys(id for id in given if id))
    if len(found) > MOST_RUNS:
        raise Invalid(f"At most {MOST_RUNS} runs can be compared at once; {len(found)} were asked for. Choose fewer.")
    return found


def asked_summary(call: Call) -> Summary:
    """Which value of a metric an address asks for: ``show=best``; the last one unless it says another."""
    return next((each for each in SUMMARIES if each == call.query("show")), "last")


def _load(tx: Tx, call: Call) -> CompareData:
    asked, view = asked_runs(call), view_of(call)
    summary = asked_summary(call)
    found = run_table.summed_up(tx, run_curves.several(tx, asked), summary)
    known = {run.info.run_id for run in found}
    wanted = call.query("baseline")
    baseline = next((at for at, run in enumerate(found) if run.info.run_id == wanted), 0)
    metrics = compare_view.metrics(found, baseline) if found else []
    params = compare_view.params(found)
    worth = compare_view.axes_worth(params)
    curve = compare_view.chosen_curve(metrics, call.query("metric"))
    goal = compare_view.outcome(metrics, call.query("y"))
    by = next((row.cells for row in metrics if row.key == goal), [])
    likely = compare_order.explaining(worth, params, [cell.value for cell in by]) if by else next(iter(worth), "")
    across = call.query("across") or (f"params.{likely}" if likely else "")
    axes = compare_view.chosen_axes(call.request.query_params.getlist("axis")[:_MOST_AXES], worth, goal)
    evidence = _evidence(tx, found)
    sliced = compare_view.slice_metrics(evidence)
    slice_metric = call.query("slice") if call.query("slice") in sliced else next(iter(sliced), "")
    few = len(found) <= _DRAWN_RUNS
    return CompareData(
        runs=_compared(tx, found), missing=[id for id in asked if id not in known], baseline=baseline,
        all=call.query("all") in ("1", "on"), find=call.query("find")[:200], view=view, summary=summary,
        metrics=metrics, params=params, tags=compare_view.tags(found), data=compare_view.datasets(found),
        environment=compare_view.environments(found), curve=curve,
        lines=_lines(tx, [run.info.run_id for run in found], curve, view, _DRAWN_POINTS) if few and curve else [],
        goal=goal, across=across, across_values=compare_view.values_on(across, found),
        goal_values=compare_view.values_on(f"metrics.{goal}", found), axes=axes,
        axis_values=[compare_view.values_on(axis, found) for axis in axes], slice_metric=slice_metric,
        slice_metrics=sliced, slices=compare_view.slice_rows(evidence, slice_metric, baseline) if slice_metric else [],
    )  # fmt: skip


def _compared(tx: Tx, found: Sequence[Run]) -> list[Compared]:
    names = Counter(run.info.name for run in found)
    titles: dict[str, str] = {}
    rows = []
    for place, run in enumerate(found):
        info = run.info
        if info.experiment_id not in titles:
            titles[info.experiment_id] = experiments.get(tx, info.experiment_id).name
        name = f"{info.name} ({info.run_id[:_ID_LETTERS]})" if names[info.name] > 1 else info.name
        rows.append(
            Compared(
                run_id=info.run_id, name=name, place=place, experiment_id=info.experiment_id,
                experiment=titles[info.experiment_id], status=info.status, created_by=info.created_by,
                start_time=info.start_time, took_ms=info.end_time - info.start_time if info.end_time else None,
            )
        )  # fmt: skip
    return rows


def _evidence(tx: Tx, found: Sequence[Run]) -> list[Evidence | None]:
    """The newest evidence about a version that came from each run."""
    if not found:
        return []
    ids = ", ".join(f"'{run.info.run_id}'" for run in found)
    latest: dict[str, Evidence] = {}
    for version in registry_search.search_versions(tx, filter=f"run_id IN ({ids})", max_results=1000).versions:
        if version.run_id in latest:
            continue
        evidence = evidence_records.latest_for_version(tx, version.name, version.digest)
        if evidence is not None:
            latest[version.run_id] = evidence
    return [latest.get(run.info.run_id) for run in found]


def _lines(tx: Tx, run_ids: Sequence[str], key: str, view: View, most: int) -> list[RunLine]:
    return run_curves.of_runs(tx, run_ids, key, most=most, across=view.x, span=view.span, smooth=view.smooth)


def _frame(data: CompareData) -> Frame:
    experiment = {(run.experiment_id, run.experiment) for run in data.runs}
    crumbs = [Crumb("Runs", "/experiments")]
    crumbs += [Crumb(name, f"/experiments/{id}") for id, name in experiment] if len(experiment) == 1 else []
    running = any(run.status == "RUNNING" for run in data.runs)
    return Frame(
        title=f"{len(data.runs)} runs compared" if data.runs else "Compare runs", here="runs",
        crumbs=[*crumbs, Crumb("Compare")], live="train" if running else "",
    )  # fmt: skip


def _extras(data: CompareData, call: Call) -> dict[str, Any]:
    request = call.request
    ids = [run.run_id for run in data.runs]
    heads = [
        Head(text=run.name, url=f"/runs/{run.run_id}", place=run.place, baseline=run.place == data.baseline)
        for run in data.runs
    ]
    query = "&".join(f"run={id}" for id in ids)
    return {
        "ids": ids,
        "query": query,
        "grids": _grids(data, heads, call),
        "slice_grid": slice_grid(data.slices, heads) if data.slices else None,
        "overlay": _overlay(data),
        "curve_keys": [row.key for row in data.metrics if row.curve],
        "goal_keys": [row.key for row in data.metrics],
        "axis_names": [f"params.{row.key}" for row in data.params] + [f"metrics.{row.key}" for row in data.metrics],
        "scatter": _scatter(data),
        "parallel": _parallel(data),
        "view_axes": AXES,
        "summaries": SUMMARIES,
        "best": _best(data),
        "without": partial(_without, data, call),
        "kept": lambda *names: links.kept_fields(request, *names),
        "link": lambda **values: links.changed(request, **values),
    }


def _without(data: CompareData, call: Call, run_id: str) -> str:
    """The same comparison with one run less."""
    baseline = call.query("baseline")
    ids = [run.run_id for run in data.runs if run.run_id != run_id]
    return links.changed(call.request, run=ids, baseline="" if baseline == run_id else baseline)


def _grids(data: CompareData, heads: Sequence[Head], call: Call) -> list[Grid]:
    order = compare_order.order_of(
        data.metrics, call.query("order") or data.goal, data.baseline, len(heads), turned=call.query("turned") == "1"
    )
    urls = {
        row.key: links.changed(
            call.request, order=row.key, turned="1" if row.key == order.key and not order.turned else "", at="metrics"
        )
        for row in data.metrics
    }
    tables = [
        ("Metrics", "metrics", metric_grid(data.metrics, heads, whole=data.all, find=data.find)),
        ("Parameters", "params", key_grid(data.params, heads, whole=data.all, find=data.find)),
        ("Data", "data", key_grid(data.data, heads, whole=data.all, find=data.find)),
        ("Environment", "environment", key_grid(data.environment, heads, whole=data.all, find=data.find)),
        ("Tags", "tags", key_grid(data.tags, heads, whole=data.all, find=data.find)),
    ]
    return [
        msgspec.structs.replace(
            compare_order.ordered(grid, order, urls if name == "metrics" else {}), title=title, name=name
        )
        for title, name, grid in tables
    ]


def _overlay(data: CompareData) -> Any:
    place = {run.run_id: run for run in data.runs}
    view = data.view
    tracks = [track(line, view, place[line.run_id].name, place[line.run_id].place) for line in data.lines]
    return curves(data.curve, tracks, axis=view.x, log=view.log) if tracks else None


def _dots(data: CompareData) -> list[Dot]:
    return [Dot(run.run_id, run.name, f"/runs/{run.run_id}", run.place) for run in data.runs]


def _scatter(data: CompareData) -> Any:
    if not data.across or not data.goal:
        return None
    # The axes span the runs that have both, so that those without do not squeeze the others together.
    both = {
        run.run_id for run in data.runs
        if data.across_values.get(run.run_id) is not None and data.goal_values.get(run.run_id) is not None
    }  # fmt: skip
    across = ruler(data.across.partition(".")[2], {id: value for id, value in data.across_values.items() if id in both})
    up = ruler(data.goal, {id: value for id, value in data.goal_values.items() if id in both})
    return scatter(_dots(data), across, up)


def _parallel(data: CompareData) -> Any:
    if len(data.axes) < 2:
        return None
    rulers = [ruler(axis.partition(".")[2], values) for axis, values in zip(data.axes, data.axis_values, strict=True)]
    return parallel(_dots(data), rulers)


def _best(data: CompareData) -> tuple[str, str, MetricRow, int] | None:
    """(name, address) of the run that is best at the outcome, the metric, and its place; None when nobody knows."""
    row = next((row for row in data.metrics if row.key == data.goal), None)
    if row is None:
        return None
    place = next((at for at, cell in enumerate(row.cells) if cell.best), None)
    if place is None:
        return None
    return data.runs[place].name, f"/runs/{data.runs[place].run_id}", row, place


async def _curves(call: Call) -> Response:
    """One metric of many runs in one answer, thinned so that all of them together stay drawable."""
    asked, view = asked_runs(call), view_of(call)
    keys = list(dict.fromkeys(call.request.query_params.getlist("key")))
    if not asked or not 1 <= len(keys) <= _MOST_KEYS:
        raise Invalid(f"Say which runs (run=ID, up to {MOST_RUNS}) and which metrics (key=loss, up to {_MOST_KEYS}).")
    most = max(_LEAST_POINTS, min(_MOST_POINTS, _POINTS_IN_ALL // len(asked)))

    def work(tx: Tx) -> list[dict[str, Any]]:
        compared = {run.run_id: run for run in _compared(tx, run_curves.several(tx, asked))}
        lines = [line for key in keys for line in _lines(tx, list(compared), key, view, most)]
        return [
            drawable(line, view) | {"name": compared[line.run_id].name, "place": compared[line.run_id].place}
            for line in lines
        ]

    return json_response({"curves": await call.read(work)})


PAGE = Page("/compare", "compare.html", _load, _frame, extras=_extras)

ROUTES = [Route("GET", "/compare/curves.json", Permission.READ, _curves), *PAGE.routes]
