"""Searching logged models."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.train import limits, logged_model_records, search_sql
from stile.train.filters import Clause, Vocabulary, parse_filter, parse_orders
from stile.train.logged_model_records import LoggedModel
from stile.train.run_keys import marks
from stile.train.search_sql import Part, SortKey

MOST = 1000
MOST_DATASETS = 100
_COLUMNS = {
    "name": "m.name",
    "model_id": "m.model_id",
    "model_type": "m.model_type",
    "status": "m.status",
    "source_run_id": "m.source_run_id",
    "creation_timestamp": "m.created_at",
    "last_updated_timestamp": "m.updated_at",
}
WORDS = Vocabulary(
    entities={
        "metrics": "metric", "metric": "metric", "params": "param", "param": "param", "tags": "tag", "tag": "tag",
        "attributes": "attribute", "attribute": "attribute", "attr": "attribute",
    },
    attributes={
        "name": "id", "model_id": "id", "model_type": "id", "status": "id", "source_run_id": "id",
        "creation_timestamp": "number", "last_updated_timestamp": "number",
    },
    aliases={"creation_time": "creation_timestamp", "last_updated_time": "last_updated_timestamp"},
)  # fmt: skip
_TABLES = {"metric": "logged_model_metrics", "param": "logged_model_params", "tag": "logged_model_tags"}


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that metrics were measured on; every digest of it when none is given."""

    dataset_name: str
    dataset_digest: str = ""


class ModelOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One sort key as the client sends it; a metric counts as measured on ``on`` when that is given."""

    field_name: str
    ascending: bool = True
    on: Measured | None = None


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the models asked for, and the token that leads to the rest."""

    models: list[LoggedModel]
    next_page_token: str = ""


def search(
    tx: Tx,
    *,
    experiment_ids: Sequence[str],
    filter: str = "",
    datasets: Sequence[Measured] = (),
    max_results: int = 100,
    order_by: Sequence[ModelOrder] = (),
    page_token: str = "",
) -> ModelPage:
    """Logged models of some experiments that satisfy a filter; by default the newest first.

    With ``datasets``, the filter's metrics are those measured on one of them; a filter without metrics
    then finds the models that have any such metric.

    Raises:
        Invalid: the filter, an order, the page size or the token cannot be used; says why.
    """
    if not 0 < max_results <= MOST:
        raise Invalid(f"Invalid value {max_results} for parameter 'max_results': it must be 1 to {MOST}.")
    experiments = limits.searched_experiments(experiment_ids)
    if len(datasets) > MOST_DATASETS:
        raise Invalid(f"There are {len(datasets)} datasets; at most {MOST_DATASETS} are taken.")
    clauses = parse_filter(filter, WORDS)
    joins: list[Part] = []
    keys: list[SortKey] = []
    orders = parse_orders([wanted.field_name for wanted in order_by], WORDS)
    for index, (wanted, order) in enumerate(zip(order_by, orders, strict=True)):
        if order.entity == "attribute":
            is_text = WORDS.attributes[order.key] != "number"
            keys.append(SortKey(_COLUMNS[order.key], wanted.ascending, text=is_text))
        elif order.entity == "metric":
            measured = _measured([wanted.on] if wanted.on else [])
            joins.append(
                Part(
                    "LEFT JOIN (SELECT t.model, t.value, ROW_NUMBER() OVER "
                    "(PARTITION BY t.model ORDER BY t.at DESC, t.step DESC, t.run_id) AS place "
                    f"FROM logged_model_metrics t WHERE t.key = ?{measured.sql}) "
                    f"k{index} ON k{index}.model = m.id AND k{index}.place = 1",
                    (order.key, *measured.params),
                )
            )
            keys.append(SortKey(f"CASE WHEN k{index}.value IS NULL THEN 1 ELSE 0 END"))
            keys.append(SortKey(f"COALESCE(k{index}.value, 0)", wanted.ascending))
        else:
            raise Invalid("Logged models can be ordered by metrics and attributes only.")
    keys += [SortKey("m.created_at", False), SortKey("m.id", False)]
    if not experiments:
        return ModelPage(models=[])
    where = [Part(f"m.experiment IN ({marks(experiments)}) AND m.lifecycle = 'active'", tuple(experiments))]
    measured = _measured(datasets)
    where += [_condition(clause, measured) for clause in clauses]
    if datasets and not any(clause.entity == "metric" for clause in clauses):
        where.append(
            Part(
                f"EXISTS (SELECT 1 FROM logged_model_metrics t WHERE t.model = m.id{measured.sql})",
                measured.params,
            )
        )
    question = search_sql.question(experiments, filter, list(datasets), list(order_by))
    token = search_sql.read_token(page_token, question)
    if token is not None:
        where.append(search_sql.beyond(keys, token.values))
    asked = search_sql.select("m.id", "logged_models m", joins, where, keys, most=max_results)
    rows, following = search_sql.page(tx.all(*asked), keys, most=max_results, question=question)
    return ModelPage(models=logged_model_records.load(tx, [row[0] for row in rows]), next_page_token=following)


def _measured(datasets: Sequence[Measured]) -> Part:
    """The condition, on rows ``t`` of metrics, that they were measured on one of the datasets, if there are any."""
    if not datasets:
        return Part("")
    one = [
        Part("t.dataset_name = ? AND t.dataset_digest = ?", (each.dataset_name, each.dataset_digest))
        if each.dataset_digest
        else Part("t.dataset_name = ?", (each.dataset_name,))
        for each in datasets
    ]
    return Part(
        f" AND ({' OR '.join(part.sql for part in one)})", tuple(value for part in one for value in part.params)
    )


def _condition(clause: Clause, measured: Part) -> Part:
    if clause.entity == "attribute":
        value = clause.value
        if clause.key == "status" and isinstance(value, str) and not value.startswith("LOGGED_MODEL_"):
            value = f"LOGGED_MODEL_{value}"
        return search_sql.comparison(_COLUMNS[clause.key], clause.op, value)
    table = _TABLES[clause.entity]
    if clause.op in ("IS NULL", "IS NOT NULL"):
        negation = "NOT " if clause.op == "IS NULL" else ""
        return Part(f"{negation}EXISTS (SELECT 1 FROM {table} t WHERE t.model = m.id AND t.key = ?)", (clause.key,))
    is_metric = clause.entity == "metric"
    inner = (search_sql.metric if is_metric else search_sql.comparison)("t.value", clause.op, clause.value)
    on = measured if is_metric else Part("")
    return Part(
        f"EXISTS (SELECT 1 FROM {table} t WHERE t.model = m.id AND t.key = ? AND {inner.sql}{on.sql})",
        (clause.key, *inner.params, *on.params),
    )
