"""Searching logged models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stile.kernel.errors import Invalid
from stile.store.database import Row, Tx
from stile.train import limits, logged_model_records, search_sql
from stile.train.filters import Clause, Order, Vocabulary, parse_filter, parse_orders
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
    orders = parse_orders([wanted.field_name for wanted in order_by], WORDS)
    sorting = _sorting(orders, order_by)
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
    after = None if token is None else token.values
    if orders and orders[0].entity == "metric":
        plain = all(clause.entity == "metric" and clause.key == orders[0].key for clause in clauses)
        found = _by_metric(tx, sorting, where, after, most=max_results, plain=plain and not datasets)
    else:
        found = _read(tx, sorting, where, after, most=max_results)
    rows, following = search_sql.page(found, sorting.keys, most=max_results, question=question)
    return ModelPage(models=logged_model_records.load(tx, [row[0] for row in rows]), next_page_token=following)


class _Sorting(msgspec.Struct, frozen=True, kw_only=True):
    """What models are sorted by, and the joins it takes.

    Attributes:
        newest: for each join, the condition on rows ``t`` that they are the newest of the metric, and a number.
    """

    joins: list[Part]
    keys: list[SortKey]
    newest: list[Part]


def _sorting(orders: Sequence[Order], order_by: Sequence[ModelOrder]) -> _Sorting:
    joins: list[Part] = []
    keys: list[SortKey] = []
    newest: list[Part] = []
    for index, (wanted, order) in enumerate(zip(order_by, orders, strict=True)):
        if order.entity == "attribute":
            is_text = WORDS.attributes[order.key] != "number"
            keys.append(SortKey(_COLUMNS[order.key], wanted.ascending, text=is_text))
        elif order.entity == "metric":
            on = [wanted.on] if wanted.on else []
            newest.append(_newest(order.key, on, "t"))
            of_this = _newest(order.key, on, f"k{index}")
            joins.append(
                Part(
                    f"LEFT JOIN logged_model_metrics k{index} ON k{index}.model = m.id AND {of_this.sql}",
                    of_this.params,
                )
            )
            keys.append(SortKey(f"CASE WHEN k{index}.value IS NULL THEN 1 ELSE 0 END"))
            keys.append(SortKey(f"COALESCE(k{index}.value, 0)", wanted.ascending))
        else:
            raise Invalid("Logged models can be ordered by metrics and attributes only.")
    keys += [SortKey("m.created_at", False), SortKey("m.id", False)]
    return _Sorting(joins=joins, keys=keys, newest=newest)


def _newest(key: str, on: Sequence[Measured], row: str) -> Part:
    """The condition that a row of metrics is a number, of a key, measured on a dataset, and newer than all others."""
    ours, others = _measured(on, row), _measured(on, "b")
    later = (
        f"SELECT 1 FROM logged_model_metrics b WHERE b.model = {row}.model AND b.key = {row}.key{others.sql} "
        f"AND ((b.at, b.step) > ({row}.at, {row}.step) OR (b.at = {row}.at AND b.step = {row}.step AND "
        f"(b.run_id, b.dataset_name, b.dataset_digest) < ({row}.run_id, {row}.dataset_name, {row}.dataset_digest)))"
    )
    return Part(
        f"{row}.key = ? AND {row}.value IS NOT NULL{ours.sql} AND NOT EXISTS ({later})",
        (key, *ours.params, *others.params),
    )


def _read(tx: Tx, sorting: _Sorting, where: Sequence[Part], after: Sequence[Any] | None, *, most: int) -> list[Row]:
    """The next models: (model, sort values...)."""
    beyond = [] if after is None else [search_sql.beyond(sorting.keys, after)]
    asked = search_sql.select("m.id", "logged_models m", sorting.joins, [*where, *beyond], sorting.keys, most=most)
    return tx.all(*asked)


def _by_metric(
    tx: Tx, sorting: _Sorting, where: Sequence[Part], after: Sequence[Any] | None, *, most: int, plain: bool
) -> list[Row]:
    """As ``_read``, by a metric first: those that have a number along the index by value, then the others.

    Where more is asked than that metric (not ``plain``) models are found first.
    """
    if after is not None:
        search_sql.check(sorting.keys, after)
    tx.walk_indexes(in_order=True)
    newest, rest = sorting.newest[0], sorting.keys[2:]
    found: list[Row] = []
    if after is None or not after[0]:
        keys = [SortKey("t.value", sorting.keys[1].ascending), *rest]
        tables = "logged_model_metrics t CROSS JOIN logged_models m"
        if not plain:
            tables = "logged_models m CROSS JOIN logged_model_metrics t"
        every = [*where, Part("t.model = m.id"), newest]
        if after is not None:
            every.append(search_sql.beyond(keys, after[1:]))
        rows = tx.all(*search_sql.select("m.id", tables, sorting.joins[1:], every, keys, most=most))
        found = [(row[0], 0, *row[1:]) for row in rows]
    if len(found) <= most:
        without = f"NOT EXISTS (SELECT 1 FROM logged_model_metrics t WHERE t.model = m.id AND {newest.sql})"
        every = [*where, Part(without, newest.params)]
        if after is not None and after[0]:
            every.append(search_sql.beyond(rest, after[2:]))
        asked = search_sql.select("m.id", "logged_models m", sorting.joins[1:], every, rest, most=most - len(found))
        found += [(row[0], 1, 0, *row[1:]) for row in tx.all(*asked)]
    return found


def _measured(datasets: Sequence[Measured], row: str = "t") -> Part:
    """The condition, on rows of metrics, that they were measured on one of the datasets, if there are any."""
    if not datasets:
        return Part("")
    one = [
        Part(f"{row}.dataset_name = ? AND {row}.dataset_digest = ?", (each.dataset_name, each.dataset_digest))
        if each.dataset_digest
        else Part(f"{row}.dataset_name = ?", (each.dataset_name,))
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
    if is_metric:  # so written that it is looked up for each model, not by value for all
        inner = search_sql.metric("(t.value + 0)", clause.op, clause.value)
    else:
        inner = search_sql.comparison("t.value", clause.op, clause.value)
    on = measured if is_metric else Part("")
    return Part(
        f"EXISTS (SELECT 1 FROM {table} t WHERE t.model = m.id AND t.key = ? AND {inner.sql}{on.sql})",
        (clause.key, *inner.params, *on.params),
    )
