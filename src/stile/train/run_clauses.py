"""Which runs a question is about: its clauses as conditions, and the one that finds few runs by an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from stile.store.database import Tx
from stile.train import limits, run_keys, search_sql
from stile.train.filters import Clause, Order
from stile.train.metric_summary import same
from stile.train.run_keys import marks
from stile.train.run_places import FEW
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
_FOUND_BY = {
    "run_id": ("=", "IN"), "status": ("=",), "user_id": ("=",), "start_time": COMPARED, "end_time": COMPARED,
}  # fmt: skip
"""Comparisons of attributes, besides those of the name, that an index answers."""
_MOST_PARTS = 20
_MOST_VALUES = 40
LIFECYCLES = {"ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",), "ALL": ("active", "deleted")}


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question with its keys resolved to numbers."""

    experiments: tuple[int, ...]
    view: View
    conditions: list[tuple[Clause, Part]]
    orders: list[tuple[Order, int]]


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """A clause that few rows ``f`` of a table satisfy, as a condition that an index answers, and how many do."""

    rows: int
    table: str
    where: Part


def parts(query: Query) -> list[Query]:
    """The question for each experiment and lifecycle alone, as an index has the order of; as it is for very many."""
    views: tuple[View, ...] = ("ACTIVE_ONLY", "DELETED_ONLY") if query.view == "ALL" else (query.view,)
    if len(query.experiments) * len(views) > _MOST_PARTS:
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
    experiments = tuple(limits.experiment_numbers(experiment_ids))
    if not experiments:
        return None
    conditions = []
    for clause in clauses:
        key = run_keys.find(tx, clause.key) if clause.entity in TABLES else None
        if clause.entity in TABLES and key is None:
            if clause.op != "IS NULL":
                return None
            continue
        conditions.append((clause, condition(clause, key)))
    resolved: list[tuple[Order, int]] = []
    for order in orders:
        if any(same(order, seen) for seen, _ in resolved):
            continue
        key = run_keys.find(tx, order.key) if order.entity in TABLES else 0
        if key is not None:
            resolved.append((order, key))
    return Query(experiments=experiments, view=view, conditions=conditions, orders=resolved)


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
    table = TABLES[clause.entity]
    if clause.op in ("IS NULL", "IS NOT NULL"):
        negation = "NOT " if clause.op == "IS NULL" else ""
        return Part(f"{negation}EXISTS (SELECT 1 FROM {table} f WHERE f.run = r.id AND f.key = ?)", (key,))
    compared = search_sql.metric if clause.entity == "metric" else search_sql.comparison
    inner = compared("f.value", clause.op, clause.value)
    return Part(
        f"EXISTS (SELECT 1 FROM {table} f WHERE f.run = r.id AND f.key = ? AND {inner.sql})", (key, *inner.params)
    )


def driver_of(tx: Tx, query: Query) -> Driver | None:
    """The most selective clause an index can answer, when it is selective enough."""
    best: Driver | None = None
    for clause, condition in query.conditions:
        part = _indexed(query, clause, condition) or _among_values(tx, query, clause)
        if part is None:
            continue
        table = TABLES.get(clause.entity, RUNS)
        few = _count(tx, table, part)
        if few < FEW and (best is None or few < best.rows):
            best = Driver(rows=few, table=table, where=part)
    return best


def _count(tx: Tx, table: str, where: Part) -> int:
    """How many rows ``f`` of a table satisfy a condition; counting stops where they are no longer few."""
    sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {table} f WHERE {where.sql} LIMIT {FEW}) few"
    return int(tx.scalar(sql, where.params))


def deleted(tx: Tx, query: Query) -> Driver | None:
    """The deleted runs of a question, when they are few."""
    where = search_sql.joint([_inside(query), Part("f.lifecycle = 'deleted'")])
    rows = _count(tx, RUNS, where)
    return Driver(rows=rows, table=RUNS, where=where) if rows < FEW else None


def _inside(query: Query) -> Part:
    return Part(f"f.experiment IN ({marks(query.experiments)})", query.experiments)


def _indexed(query: Query, clause: Clause, condition: Part) -> Part | None:
    """A clause as a condition on rows ``f`` that an index answers; None when there is none for it."""
    inside = f"f.experiment IN ({marks(query.experiments)})"
    if clause.entity == "metric" and clause.op in COMPARED:
        value = search_sql.comparison("f.value", clause.op, clause.value)
    elif clause.entity in ("param", "tag") and search_sql.answers_by_index(clause.op, clause.value):
        value = search_sql.indexed_text("f.value", clause.op, clause.value)
    elif clause.entity != "attribute":
        return None
    elif clause.key == "run_name" and search_sql.answers_by_index(clause.op, clause.value):
        value = search_sql.indexed_text("f.name", clause.op, clause.value)
    elif clause.op in _FOUND_BY.get(clause.key, ()):
        value = search_sql.comparison(f"f.{clause.key}", clause.op, search_sql.whole(clause.op, clause.value))
    else:
        return None
    if clause.entity in TABLES:
        return Part(f"{inside} AND f.key = ? AND {value.sql}", (*query.experiments, condition.params[0], *value.params))
    states = LIFECYCLES[query.view]
    inside = f"{inside} AND f.lifecycle IN ({marks(states)})"
    if clause.key == "run_id":  # found by its own index alone
        inside = f"(f.experiment + 0) IN ({marks(query.experiments)}) AND (f.lifecycle || '') IN ({marks(states)})"
    return Part(f"{inside} AND {value.sql}", (*query.experiments, *states, *value.params))


def _among_values(tx: Tx, query: Query, clause: Clause) -> Part | None:
    """A clause on the state or user as a list of the values that satisfy it, when there are not many values.

    They are found by stepping from one to the next in their index.
    """
    if clause.entity != "attribute" or clause.key not in ("status", "user_id"):
        return None
    column = clause.key
    first = f"(SELECT MIN({column}) FROM runs WHERE experiment = ? AND lifecycle = ?{{}})"
    holds = search_sql.comparison("value", clause.op, clause.value)
    sql = (
        f"WITH RECURSIVE seen(value, n) AS (SELECT {first.format('')}, 1 UNION ALL "
        f"SELECT {first.format(f' AND {column} > seen.value')}, n + 1 FROM seen WHERE value IS NOT NULL AND n <= ?) "
        f"SELECT value, CASE WHEN {holds.sql} THEN 1 ELSE 0 END FROM seen WHERE value IS NOT NULL"
    )
    satisfying: set[str] = set()
    for part in parts(query):
        if len(part.experiments) > 1:
            return None
        ours = (part.experiments[0], *LIFECYCLES[part.view])
        found = tx.all(sql, (*ours, *ours, _MOST_VALUES, *holds.params))
        if len(found) > _MOST_VALUES:
            return None
        satisfying |= {value for value, holds in found if holds}
    if not satisfying:
        return Part("1 = 0")
    values = sorted(satisfying)
    states = LIFECYCLES[query.view]
    return Part(
        f"f.experiment IN ({marks(query.experiments)}) AND f.lifecycle IN ({marks(states)}) "
        f"AND f.{column} IN ({marks(values)})",
        (*query.experiments, *states, *values),
    )
