"""The list of experiments: found by name, the last active first."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.edge.call import Call
from stile.govern import registry
from stile.store.database import Tx
from stile.train import experiment_list, runs, saved_views
from stile.train.experiment_list import Listed, ListPage
from stile.web.pages.runs_asked import query_text
from stile.web.render import Frame, Page

SNIPPET = """import mlflow
mlflow.set_tracking_uri("{url}")
mlflow.set_experiment("{name}")
with mlflow.start_run(): mlflow.log_metric("auc", 0.93)"""

_PER_PAGE = 50
_LONGEST_TEXT = 500


class ExperimentsData(msgspec.Struct, frozen=True, kw_only=True):
    """Experiments, the last active first; with ``use_case`` only those its candidates came from.

    Attributes:
        text: what their names must have in them.
        lifecycle: ``deleted`` when the deleted ones are shown.
        deleted: there are deleted ones.
        next, previous: cursors of the neighbouring pages, empty where there is none.
    """

    experiments: list[Listed]
    use_case: str
    text: str
    lifecycle: str
    deleted: bool
    next: str
    previous: str


def _load(tx: Tx, call: Call) -> ExperimentsData:
    lifecycle = call.query("lifecycle")
    saved_views.check_lifecycle(lifecycle)
    use_case, text = call.query("use_case"), call.query("q").strip()[:_LONGEST_TEXT]
    if use_case:
        page = ListPage(experiments=_of_use_case(tx, use_case))
    else:
        page = experiment_list.page(
            tx, text=text, deleted=bool(lifecycle), limit=_PER_PAGE, after=call.query("cursor"),
            before=call.query("before"),
        )  # fmt: skip
    return ExperimentsData(
        experiments=page.experiments, use_case=use_case, text=text, lifecycle=lifecycle,
        deleted=experiment_list.any_deleted(tx), next=page.following, previous=page.preceding,
    )  # fmt: skip


def _of_use_case(tx: Tx, use_case: str) -> list[Listed]:
    """The experiments that the versions of the use case's model were trained in."""
    ids = {runs.info(tx, each.run_id).experiment_id for each in registry.versions(tx, use_case) if each.run_id}
    return experiment_list.listed(tx, sorted(map(int, ids)))


def _extras(data: ExperimentsData, call: Call) -> dict[str, Any]:
    path, kept = call.request.url.path, {"q": data.text, "lifecycle": data.lifecycle}
    return {
        "snippet": SNIPPET.format(url=call.services.settings.url, name="my-experiment"),
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
