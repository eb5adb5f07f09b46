"""The list of experiments: found by name, the last active first."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.edge.call import Call
from stile.govern import registry
from stile.store.database import Tx
from stile.train import experiment_list, runs, saved_views, traces
from stile.train.experiment_list import Listed, ListPage
from stile.web.pages.runs_asked import query_text
from stile.web.render import Frame, Page

SNIPPET = """import mlflow
mlflow.set_tracking_uri("{url}")
mlflow.set_experiment("{name}")
with mlflow.start_run(): mlflow.log_metric("auc", 0.93)"""

NOTE_TAG = "mlflow.note.content"
"""The tag that holds what people wrote about an experiment, in MLflow's own pages too."""

_PER_PAGE = 50
_LONGEST_TEXT = 500
_NOTE_LETTERS = 160


class ExperimentsData(msgspec.Struct, frozen=True, kw_only=True):
    """Experiments, the last active first; with ``use_case`` only those its candidates came from.

    Attributes:
        text: what their names must have in them.
        lifecycle: ``deleted`` when the deleted ones are shown.
        deleted: there are deleted ones.
        traced: ids of those that have traces.
        next, previous: cursors of the neighbouring pages, empty where there is none.
    """

    experiments: list[Listed]
    use_case: str
    text: str
    lifecycle: str
    deleted: bool
    traced: list[str]
    next: str
    previous: str


def _load(tx: Tx, call: Call) -> ExperimentsData:
    lifecycle = call.query("lifecycle")
    saved_views.check_lifecycle(lifecycle)
    use_case, text = call.query("use_case"), asked_text(call)
    if use_case:
        page = ListPage(experiments=of_use_case(tx, use_case))
    else:
        page = experiment_list.page(
            tx, text=text, deleted=bool(lifecycle), limit=_PER_PAGE, after=call.query("cursor"),
            before=call.query("before"),
        )  # fmt: skip
    return ExperimentsData(
        experiments=page.experiments, use_case=use_case, text=text, lifecycle=lifecycle,
        deleted=experiment_list.any_deleted(tx),
        traced=traces.among(tx, [each.experiment.experiment_id for each in page.experiments]), next=page.following,
        previous=page.preceding,
    )  # fmt: skip


def asked_text(call: Call) -> str:
    """What the names of the experiments of an address must have in them."""
    return call.query("q").strip()[:_LONGEST_TEXT]


def of_use_case(tx: Tx, use_case: str) -> list[Listed]:
    """The experiments that the versions of the use case's model were trained in."""
    ids = {runs.info(tx, each.run_id).experiment_id for each in registry.versions(tx, use_case) if each.run_id}
    return experiment_list.listed(tx, sorted(map(int, ids)))


def _extras(data: ExperimentsData, call: Call) -> dict[str, Any]:
    path, kept = call.request.url.path, {"q": data.text, "lifecycle": data.lifecycle}
    return {
        "snippet": SNIPPET.format(url=call.services.settings.url, name="my-experiment"),
        "note": lambda experiment: experiment.tags.get(NOTE_TAG, "").strip().partition("\n")[0][:_NOTE_LETTERS],
        "csv_url": f"{path}.csv" + (f"?{text}" if (text := query_text(kept | {"use_case": data.use_case})) else ""),
        "next_url": f"{path}?{query_text(kept | {'cursor': data.next})}" if data.next else "",
        "previous_url": f"{path}?{query_text(kept | {'before': data.previous})}" if data.previous else "",
    }


PAGE = Page(
    "/experiments",
    "experiments.html",
    _load,
    lambda data: Frame(title="Experiments", here="runs", live="train"),  # noqa: ARG005
    extras=_extras,
)
