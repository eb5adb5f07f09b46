"""The traces of an experiment: searched in MLflow's grammar, the newest first."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.train import experiments, trace_search
from stile.train.experiment_records import Experiment
from stile.train.trace_values import TraceInfo
from stile.web.pages import traces_csv
from stile.web.pages.runs_asked import query_text
from stile.web.render import Crumb, Frame, Page, error_page

_PER_PAGE = 50
_SNIPPET = """import mlflow
mlflow.set_tracking_uri("{url}")
mlflow.set_experiment("{name}")

@mlflow.trace
def answer(question): return question.upper()

answer("is anybody there?")"""


class TracesData(msgspec.Struct, frozen=True, kw_only=True):
    """One page of traces.

    Attributes:
        problem: why the search could not be done, in words; then there are no traces.
        next: cursor of the next page, empty at the end.
    """

    experiment: Experiment
    filter: str
    sort: str
    traces: list[TraceInfo]
    problem: str
    next: str


def _load(tx: Tx, call: Call) -> TracesData:
    experiment = experiments.get(tx, call.path("experiment_id"))
    wanted, sort = call.query("filter"), call.query("sort")
    found: list[TraceInfo] = []
    problem, following = "", ""
    try:
        page = trace_search.search(
            tx,
            experiment_ids=[experiment.experiment_id],
            filter=wanted,
            order_by=[sort] if sort else (),
            max_results=_PER_PAGE,
            page_token=call.query("cursor"),
        )
        found, following = page.traces, page.next_page_token
    except Invalid as error:
        problem = error.message
    return TracesData(experiment=experiment, filter=wanted, sort=sort, traces=found, problem=problem, next=following)


def _extras(data: TracesData, call: Call) -> dict[str, Any]:
    path = call.request.url.path
    slowest = "execution_time_ms DESC"
    onward = f"{path}?filter={quote(data.filter)}&sort={quote(data.sort)}&cursor={quote(data.next)}"
    searched = query_text({"filter": data.filter, "sort": data.sort})
    return {
        "next_url": onward if data.next else "",
        "csv_url": f"{path}.csv" + (f"?{searched}" if searched else ""),
        "slowest_first": data.sort == slowest,
        "slowest_url": f"{path}?filter={quote(data.filter)}"
        + ("" if data.sort == slowest else f"&sort={quote(slowest)}"),
        "snippet": _SNIPPET.format(url=call.services.settings.url, name=data.experiment.name.replace('"', "")),
    }


def _frame(data: TracesData) -> Frame:
    here = f"/experiments/{data.experiment.experiment_id}"
    return Frame(
        title=f"Traces of {data.experiment.name}",
        here="runs",
        crumbs=[Crumb("Runs", "/experiments"), Crumb(data.experiment.name, here), Crumb("Traces")],
    )


PAGE = Page("/experiments/{experiment_id}/traces", "traces.html", _load, _frame, extras=_extras)

ROUTES = [
    Route("GET", "/experiments/{experiment_id}/traces.csv", Permission.READ, traces_csv.answer, on_error=error_page),
    *PAGE.routes,
]
