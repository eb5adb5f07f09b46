"""Which runs a question is about: its clauses as conditions on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from stile.store.database import Tx
from stile.train import limits, run_keys, search_sql
from stile.train.filters import Clause, Order
from stile.train.metric_summary import column_of, same
from stile.train.run_keys import marks
from stile.train.search_sql import Part

View = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]

ATTRIBUTES = {
    "run_id": "r.run_id",
    "run_name": "r.name",
    "status": "r.status",
    "artifact_uri": "r.artifact_uri",
    "user_id": "r.user_id",
    "start_time": "r.start_time",
    "end_time": "r.end_time",
}
"""Columns of a run ``r``."""
UNINDEXED = {
    "run_name": "(r.name || '')",
    "status": "(r.status || '')",
    "user_id": "(r.user_id || '')",
    "end_time": "(r.end_time + 0)",
}
"""Columns whose index may not be used where runs are walked in another order: all that it finds would be sorted."""

TABLES = {"metric": "latest", "param": "params", "tag": "run_tags"}
"""Where what was logged is kept."""
RUNS = "runs"
COMPARED = ("=", "<", "<=", ">", ">=")
"""Comparisons that an index by value answers."""
_MOST_PARTS = 100
LIFECYCLES = {"ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",), "ALL": ("active", "deleted")}


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question with its keys resolved to numbers."""

    experiments: tuple[int, ...]
    view: View
    conditions: list[tuple[Clause, Part]]
    orders: list[tuple[Order, int]]


def parts(query: Query) -> list[Query]:
    """The question for each experiment and lifecycle alone, as an index has the order of.

    It is left whole for very many, and in an order that no index has.
    """
    views: tuple[View, ...] = ("ACTIVE_ONLY", "DELETED_ONLY") if query.view == "ALL" else (query.view,)
    by_extreme = bool(query.orders) and column_of(query.orders[0][0]) != "value"
    if by_extreme or len(query.experiments) * len(views) > _MOST_PARTS:
        return [query]
    return [
        msgspec.structs.replace(query, experiments=(experiment,), view=view)
        for experiment in query.experiments
        for view in views
    ]


def resolved(
    tx: Tx, experiment_ids: Sequence[str], view: View, clauses: Sequence[Clause], orders: Sequence[Order]
) -> Query | None:
    """The question with keys as numbers; None when it is plain that nothing can match."""
    experiments = _with_runs(tx, tuple(limits.experiment_numbers(experiment_ids)), view)
    if not experiments:
        return None
    conditions: list[tuple[Clause, Part]] = []
    for clause in clauses:
        key = run_keys.find(tx, clause.key) if clause.entity in TABLES else None
        if clause.entity in TABLES and key is None:
            if clause.op != "IS NULL":
                return None
            continue
        if not any(clause == seen for seen, _ in conditions):
            conditions.append((clause, condition(clause, key)))
    resolved: list[tuple[Order, int]] = []
    for order in orders:
        if any(same(order, seen) for seen, _ in resolved):
            continue
        key = run_keys.find(tx, order.key) if order.entity in TABLES else 0
        if key is not None:
            resolved.append((order, key))
    return Query(experiments=experiments, view=view, conditions=conditions, orders=resolved)


def _with_runs(tx: Tx, experiments: tuple[int, ...], view: View) -> tuple[int, ...]:
    """Those of the experiments that have any run; one alone is not asked for."""
    if len(experiments) < 2:
        return experiments
    states = LIFECYCLES[view]
    found: list[int] = []
    for part in run_keys.blocks(experiments):
        sql = (
            f"SELECT e.id FROM experiments e WHERE e.id IN ({marks(part)}) AND "
            f"(SELECT r.id FROM runs r WHERE r.experiment = e.id AND r.lifecycle IN ({marks(states)}) LIMIT 1) > 0"
        )
        found += [row[0] for row in tx.all(sql, [*part, *states])]
    return tuple(sorted(found))


def condition(clause: Clause, key: int | None) -> Part:
    """One clause as a condition on a run ``r``."""
    if clause.entity == "attribute":
        column = UNINDEXED.get(clause.key) or ATTRIBUTES[clause.key]
        return search_sql.comparison(column, clause.op, search_sql.whole(clause.op, clause.value))
    if clause.entity == "dataset":
        column = "i.context" if clause.key == "context" else f"d.{clause.key}"
        inner = search_sql.comparison(column, clause.op, clause.value)
        return Part(
            "EXISTS (SELECT 1 FROM run_inputs i JOIN input_datasets d ON d.id = i.dataset "
            f"WHERE i.run = r.id AND {inner.sql})",
            inner.params,
        )
    if clause.op in ("IS NULL", "IS NOT NULL"):
        negation = "NOT " if clause.op == "IS NULL" else ""
        table = TABLES[clause.entity]
        return Part(f"{negation}EXISTS (SELECT 1 FROM {table} f WHERE f.run = r.id AND f.key = ?)", (key,))
    return _logged([clause], key)


def joined(conditions: Sequence[tuple[Clause, Part]]) -> list[Part]:
    """Clauses as conditions on a run ``r``, those on one logged value in one: it is looked up once."""
    found: list[Part] = []
    logged: dict[tuple[str, str], tuple[list[Clause], int]] = {}
    for clause, part in conditions:
        if clause.entity in TABLES and clause.value is not None:
            logged.setdefault((clause.entity, clause.key), ([], part.params[0]))[0].append(clause)
        else:
            found.append(part)
    return [*found, *(_logged(clauses, key) for clauses, key in logged.values())]


def _logged(clauses: Sequence[Clause], key: int | None) -> Part:
    """What clauses say about one value that was logged."""
    entity = clauses[0].entity
    compared = search_sql.metric if entity == "metric" else search_sql.comparison
    inner = search_sql.joint([compared("f.value", clause.op, clause.value) for clause in clauses])
    return Part(
        f"EXISTS (SELECT 1 FROM {TABLES[entity]} f WHERE f.run = r.id AND f.key = ? AND {inner.sql})",
        (key, *inner.params),
    )
