"""The runs of an experiment: searched in MLflow's grammar, counted by facets, compared with a pinned baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission, may
from stile.store.database import Tx
from stile.train import experiments, logged_keys, run_facets, run_records, run_table, saved_views, summaries, traces
from stile.train.experiment_records import Experiment
from stile.train.filter_repair import repaired
from stile.train.filters import FilterError
from stile.train.metric_summary import SUMMARIES, Summary
from stile.train.run_facets import Facets, Matching
from stile.train.run_search import WORDS, RowPage
from stile.train.run_table import TableRow
from stile.train.saved_view_records import SavedView
from stile.web.charts.sparkline import sparkline
from stile.web.pages import (
    experiment_forms,
    experiments_csv,
    runs_asked,
    runs_csv,
    runs_found,
    runs_help,
    runs_view,
    ticked_forms,
)
from stile.web.pages import experiments as experiments_page
from stile.web.pages import saved_views as views_forms
from stile.web.pages.runs_asked import Asked, Column, address, asked
from stile.web.render import Crumb, Frame, Page, error_page

_SPARK_POINTS = 64
_NO_FACETS = Facets(runs=0, more=False, facets=[])


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing was searched.

    Attributes:
        says: what is wrong, and what is known instead.
        at, length: the characters of the filter it is about, from 0; -1 when it is not about the filter.
        instead: a filter that can be read and may be what was meant; empty when there is none.
    """

    says: str
    at: int = -1
    length: int = 0
    instead: str = ""


class RunsData(msgspec.Struct, frozen=True, kw_only=True):
    """One page of runs.

    Attributes:
        columns: what is shown, chosen or automatic, as left sides.
        offered: what else these runs have, as left sides.
        baseline: the run the others are compared with.
        lost: a baseline was asked for that is not there any more.
        unsummed: some least and greatest values are asked for, and not all are worked out yet.
        drawn: the metric that is drawn: the first shown one with steps, else the one most runs logged steps of.
        curves: its course in each run that logged steps of it, thinned; by run id.
        found: how many match, and how they spread.
        traced: the experiment has traces.
        deleted: the experiment has deleted runs, here or with ``lifecycle=deleted``.
        problem: why nothing was searched; then there are no runs.
        next, previous: cursors of the neighbouring pages, empty where there is none.
    """

    experiment: Experiment
    filter: str
    sort: str
    columns: list[str]
    offered: list[str]
    runs: list[TableRow]
    baseline: TableRow | None
    lost: bool
    unsummed: bool
    drawn: str
    curves: dict[str, list[float]]
    found: Facets
    traced: bool
    deleted: bool
    views: list[SavedView]
    problem: Problem | None
    next: str
    previous: str


def _load(tx: Tx, call: Call) -> RunsData:
    experiment = experiments.get(tx, call.path("experiment_id"))
    state = asked(call.request.query_params)
    page, problem = RowPage(rows=[]), None
    try:
        runs_asked.columns(list(state.columns))
        page = runs_found.page(tx, experiment, state)
    except Invalid as error:
        problem = _problem(tx, experiment, state, error)
    baseline = runs_found.baseline(tx, state.baseline)
    columns, offered = runs_found.columns(
        tx, experiment, page.rows, () if problem else state.columns, most_params=2 if baseline else 3
    )
    rows = runs_found.table(tx, [*page.rows, *([baseline] if baseline else [])], columns)
    drawn = _drawn(tx, page.rows, columns)
    whole = not (state.after or state.before or page.following)
    known = Matching(rows=page.rows, whole=True) if whole else None
    return RunsData(
        experiment=experiment,
        filter=state.filter,
        sort=state.sort,
        columns=[each.text for each in columns],
        offered=offered,
        runs=rows[: len(page.rows)],
        baseline=rows[-1] if baseline else None,
        lost=bool(state.baseline) and not baseline,
        unsummed=_unsummed(tx, state, columns),
        drawn=drawn,
        curves=_curves(tx, page.rows, rows, drawn),
        found=_NO_FACETS if problem else _facets(tx, experiment, state, known),
        traced=bool(traces.among(tx, [experiment.experiment_id])),
        deleted=run_records.any_deleted(tx, experiment.row_id),
        views=saved_views.listing(tx, experiment.experiment_id, call.principal),
        problem=problem,
        next=page.following,
        previous=page.preceding,
    )


def _facets(tx: Tx, experiment: Experiment, state: Asked, known: Matching | None) -> Facets:
    return run_facets.facets(tx, experiment.row_id, state.filter, view=runs_found.view(state), known=known)


def _problem(tx: Tx, experiment: Experiment, state: Asked, error: Invalid) -> Problem:
    if not isinstance(error, FilterError):
        return Problem(says=error.message)
    instead = repaired(state.filter, WORDS, runs_help.keys(tx, experiment.row_id))
    return Problem(says=error.message, at=error.at, length=error.length, instead=instead)


def _unsummed(tx: Tx, state: Asked, columns: Sequence[Column]) -> bool:
    asks = any(each.summary != "last" for each in columns) or state.sort.startswith(("min(", "max(", "best("))
    return asks and summaries.missing(tx)


def _drawn(tx: Tx, rows: Sequence[int], columns: Sequence[Column]) -> str:
    """The metric whose course is drawn, '' for none; what the machine logs about itself never is."""
    known = [key for key in logged_keys.stepped(tx, rows) if not key.startswith("system/")]
    shown = [each.key for each in columns if each.kind == "metric" and each.key in known]
    return next(iter([*shown, *known]), "")


def _curves(tx: Tx, numbers: Sequence[int], rows: Sequence[TableRow], key: str) -> dict[str, list[float]]:
    found = run_table.curves(tx, numbers, key, most=_SPARK_POINTS) if key else {}
    return {row.run_id: found[row.row] for row in rows if row.row in found}


def _extras(data: RunsData, call: Call) -> dict[str, Any]:
    path, state = call.request.url.path, asked(call.request.query_params)
    columns = [runs_asked.column(text) for text in data.columns]
    here = msgspec.structs.replace(state, after="", before="")
    kept = msgspec.structs.replace(state, columns=tuple(data.columns))
    name = data.experiment.name.replace('"', "")
    baseline = data.baseline
    whole = runs_view.whole_columns([*data.runs, *([baseline] if baseline else [])], columns)
    return {
        "state": state,
        "heads": runs_view.heads(path, state, columns),
        "table": [(row, runs_view.cells(row, columns, baseline, state.sort, whole=whole)) for row in data.runs],
        "pinned": runs_view.cells(baseline, columns, None, state.sort, whole=whole) if baseline else [],
        "spark_after": max((place for place, each in enumerate(columns) if each.kind == "metric"), default=0),
        "sparks": {run_id: sparkline(data.drawn, values) for run_id, values in data.curves.items()},
        "example": runs_view.example(data.runs, columns),
        "pin": {row.run_id: address(path, here, baseline=row.run_id) for row in data.runs},
        "unpin_url": address(path, here, baseline=""),
        "facets": [] if data.problem else runs_view.menus(path, state, data.found.facets),
        "next_url": address(path, kept, after=data.next, before="") if data.next else "",
        "previous_url": address(path, kept, before=data.previous, after="") if data.previous else "",
        "clear_url": address(path, here, filter="", sort="", view=""),
        "instead_url": address(path, here, filter=data.problem.instead) if data.problem else "",
        "automatic_url": address(path, here, columns=()),
        "picker": [(runs_asked.column(text), text in data.columns) for text in _picked(data)],
        "sum_all": [(each, address(path, here, columns=_all_by(columns, each))) for each in SUMMARIES],
        "csv_url": address(f"{path}/runs.csv", here, columns=tuple(data.columns), view=""),
        "csv_all_url": address(
            f"{path}/runs.csv", msgspec.structs.replace(here, columns=(runs_csv.EVERYTHING,), view="")
        ),
        "views": [(view, address(path, runs_asked.of_view(view.query, view.id))) for view in data.views],
        "view": next((view for view in data.views if str(view.id) == state.view), None),
        "changed": not any(str(view.id) == state.view and view.query == here.query for view in data.views),
        "deleted_url": address(path, msgspec.structs.replace(here, lifecycle="deleted", view="")),
        "active_url": address(path, msgspec.structs.replace(here, lifecycle="", view="")),
        "does": {what: address(f"{path}/runs/{what}", state) for what in ticked_forms.DOES},
        "note": data.experiment.tags.get(experiments_page.NOTE_TAG, "").strip(),
        "undo": ticked_forms.undo(call),
        "refused": ticked_forms.refused(call),
        "most_ticked": ticked_forms.MOST,
        "may_share": may(call.principal, Permission.TRACK).allowed,
        "snippet": experiments_page.SNIPPET.format(url=call.services.settings.url, name=name),
    }


def _picked(data: RunsData) -> list[str]:
    """What can be ticked as a column: what is shown, then what else there is."""
    return [*data.columns, *(text for text in data.offered if text not in data.columns)]


def _all_by(columns: Sequence[Column], summary: Summary) -> tuple[str, ...]:
    """The columns with every metric summed up in one way, where that is possible."""
    texts = (dict(each.choices).get(summary, each.text) if each.kind == "metric" else each.text for each in columns)
    return tuple(dict.fromkeys(texts))


def _frame(data: RunsData) -> Frame:
    return Frame(
        title=f"Runs of {data.experiment.name}",
        here="runs",
        crumbs=[Crumb("Runs", "/experiments"), Crumb(data.experiment.name)],
        live="train",
    )


PAGE = Page("/experiments/{experiment_id}", "runs.html", _load, _frame, extras=_extras)

ROUTES = [
    *experiments_page.PAGE.routes,
    Route("GET", "/experiments.csv", Permission.READ, experiments_csv.answer, on_error=error_page),
    Route("GET", "/experiments/{experiment_id}/runs.csv", Permission.READ, runs_csv.answer, on_error=error_page),
    Route("GET", "/experiments/{experiment_id}/completions.json", Permission.READ, runs_help.completions),
    *views_forms.ROUTES,
    *ticked_forms.ROUTES,
    *experiment_forms.ROUTES,
    *PAGE.routes,
]
