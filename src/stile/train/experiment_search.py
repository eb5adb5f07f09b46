"""Searching experiments."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.train import experiment_records, search_sql
from stile.train.experiment_records import Experiment
from stile.train.filters import Clause, Vocabulary, parse_filter, parse_orders
from stile.train.run_clauses import View
from stile.train.search_sql import Part, SortKey

MOST = 50_000
_COLUMNS = {
    "name": "e.name",
    "experiment_id": "e.id",
    "creation_time": "e.created_at",
    "last_update_time": "e.updated_at",
}
WORDS = Vocabulary(
    entities={"tags": "tag", "tag": "tag", "attributes": "attribute", "attribute": "attribute", "attr": "attribute"},
    attributes={"name": "text", "experiment_id": "id", "creation_time": "number", "last_update_time": "number"},
)


class ExperimentPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the experiments asked for, and the token that leads to the rest."""

    experiments: list[Experiment]
    next_page_token: str = ""


def search(
    tx: Tx,
    *,
    filter: str = "",
    view: View = "ACTIVE_ONLY",
    max_results: int = 1000,
    order_by: Sequence[str] = (),
    page_token: str = "",
) -> ExperimentPage:
    """Experiments that satisfy a filter; by default the last changed first.

    Raises:
        Invalid: the filter, an order, the page size or the token cannot be used; says why.
    """
    if not 0 < max_results <= MOST:
        raise Invalid(f"Invalid value {max_results} for parameter 'max_results': it must be 1 to {MOST}.")
    clauses = parse_filter(filter, WORDS)
    orders = parse_orders(order_by, WORDS)
    if any(order.entity != "attribute" for order in orders):
        raise Invalid("Experiments can be ordered by attributes only.")
    keys = [SortKey(_COLUMNS[order.key], order.ascending, text=order.key == "name") for order in orders]
    if not keys:
        keys.append(SortKey("e.updated_at", False))
    if not any(key.expression == "e.id" for key in keys):
        keys.append(SortKey("e.id", False))
    where = [Part("1 = 1")]
    if view != "ALL":
        where.append(Part("e.lifecycle = ?", ("active" if view == "ACTIVE_ONLY" else "deleted",)))
    where += [_condition(clause) for clause in clauses]
    question = search_sql.question(filter, view, list(order_by))
    token = search_sql.read_token(page_token, question)
    if token is not None:
        where.append(search_sql.beyond(keys, token.values))
    asked = search_sql.select(experiment_records.COLUMNS, "experiments e", [], where, keys, most=max_results)
    rows, following = search_sql.page(tx.all(*asked), keys, most=max_results, question=question)
    return ExperimentPage(experiments=experiment_records.of_rows(tx, rows), next_page_token=following)


def _condition(clause: Clause) -> Part:
    if clause.entity == "attribute":
        column = "CAST(e.id AS TEXT)" if clause.key == "experiment_id" else _COLUMNS[clause.key]
        return search_sql.comparison(column, clause.op, clause.value)
    if clause.op in ("IS NULL", "IS NOT NULL"):
        negation = "NOT " if clause.op == "IS NULL" else ""
        return Part(
            f"{negation}EXISTS (SELECT 1 FROM experiment_tags t WHERE t.experiment = e.id AND t.key = ?)", (clause.key,)
        )
    inner = search_sql.comparison("t.value", clause.op, clause.value)
    return Part(
        f"EXISTS (SELECT 1 FROM experiment_tags t WHERE t.experiment = e.id AND t.key = ? AND {inner.sql})",
        (clause.key, *inner.params),
    )
