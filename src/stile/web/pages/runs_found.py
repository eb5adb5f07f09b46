"""Finding the runs of a page: which match, and which columns they are shown with."""

from __future__ import annotations

from collections.abc import Sequence

from stile.govern import policy_metrics
from stile.store.database import Tx
from stile.train import column_choice, logged_keys, run_records, run_search, run_table, saved_views
from stile.train.experiment_records import Experiment
from stile.train.filter_text import key_text
from stile.train.run_clauses import View
from stile.train.run_search import RowPage
from stile.train.run_table import TableRow
from stile.web.pages import runs_asked
from stile.web.pages.run_view import PARENT_TAG
from stile.web.pages.runs_asked import TOOK, Asked, Column

_PER_PAGE = 50
_MOST_OFFERED = 40


def page(tx: Tx, experiment: Experiment, state: Asked, size: int = _PER_PAGE) -> RowPage:
    """The runs a state asks for.

    Raises:
        Invalid: the filter, the sort order, the lifecycle or the cursor cannot be used.
    """
    saved_views.check_lifecycle(state.lifecycle)
    return run_search.rows(
        tx, experiment_ids=[experiment.experiment_id], filter=state.filter, view=view(state), max_results=size,
        order_by=[state.sort] if state.sort else (), after=state.after, before=state.before,
    )  # fmt: skip


def view(state: Asked) -> View:
    """Which runs a state asks for: those that are not deleted, or the deleted ones."""
    return "DELETED_ONLY" if state.lifecycle else "ACTIVE_ONLY"


def columns(
    tx: Tx, experiment: Experiment, rows: Sequence[int], chosen: Sequence[str], *, most_params: int = 3
) -> tuple[list[Column], list[str]]:
    """The columns that are shown (``chosen``, else those that matter), and what else these runs could show.

    Raises:
        Invalid: a chosen one names nothing that could be a column.
    """
    metrics, params = logged_keys.use(tx, "latest", rows), logged_keys.use(tx, "params", rows)
    tags = [each for each in logged_keys.use(tx, "run_tags", rows) if not each.key.startswith("mlflow.")]
    offered = [key_text("metric", each.key) for each in metrics[:_MOST_OFFERED]]
    offered += [key_text("param", each.key) for each in params[:_MOST_OFFERED]]
    offered += [key_text("tag", each.key) for each in tags[:_MOST_OFFERED]]
    offered += ["status", "user_id", "start_time", "end_time", TOOK]
    if chosen:
        return runs_asked.columns(list(chosen)), offered
    wanted = _asked_by_policy(tx, experiment, rows)
    texts = [key_text("metric", key) for key in column_choice.metrics(metrics, wanted)]
    texts += [key_text("param", key) for key in column_choice.params(params, most=most_params)]
    return runs_asked.columns([*texts, *runs_asked.ALWAYS]), offered


def _asked_by_policy(tx: Tx, experiment: Experiment, rows: Sequence[int]) -> list[str]:
    """Metrics of the policy of the use case that is named like the experiment, or gets its models from here."""
    found = policy_metrics.asked_for(tx, experiment.name)
    if found:
        return found
    names = policy_metrics.models_of_runs(tx, [run.run_id for run in run_table.load(tx, rows)])
    return next((found for name in names if (found := policy_metrics.asked_for(tx, name))), [])


def baseline(tx: Tx, run_id: str) -> int | None:
    """The number of the run that was pinned; None when none was, or it is gone."""
    head = run_records.head(tx, run_id) if run_id else None
    return head[0] if head and head[2] == "active" else None


def table(tx: Tx, rows: Sequence[int], shown: Sequence[Column]) -> list[TableRow]:
    """The runs with the values of these columns and the run each is a part of, and nothing else that was logged."""
    keys: dict[str, list[str]] = {"metric": [], "param": [], "tag": [PARENT_TAG]}
    for each in shown:
        keys.setdefault(each.entity, []).append(each.value_key if each.kind == "metric" else each.key)
    return run_table.load(tx, rows, metrics=keys["metric"], params=keys["param"], tags=keys["tag"])
