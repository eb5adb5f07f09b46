"""Searching runs: the question is compiled to the cheapest of three plans.

- A clause that few rows satisfy (found by a bounded count over its index) drives the query.
- Otherwise the first sort key is walked in the order of its index (``run_places``): when it was logged, first
  the runs that have a number or text, then those with NaN, then those without the key.
- Otherwise runs are walked in their own order and every clause is looked up by primary key.

So the work grows with the page and with how rare the answers are, not with the store:
``tests/unit/train/test_search_plans.py`` counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.train import limits, run_keys, run_records, search_sql, summaries
from stile.train.filters import Clause, Order, Vocabulary, parse_filter
from stile.train.metric_summary import column_of, parse_orders, same
from stile.train.run_keys import marks
from stile.train.run_places import FEW as _FEW
from stile.train.run_places import Line, along
from stile.train.run_values import Run
from stile.train.search_sql import Part, SortKey

View = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]

_ATTRIBUTES = {
    "run_id": "r.run_id",
    "run_name": "r.name",
    "status": "r.status",
    "artifact_uri": "r.artifact_uri",
    "user_id": "r.user_id",
    "start_time": "r.start_time",
    "end_time": "r.end_time",
}
_UNINDEXED = {
    "run_name": "(r.name || '')",
    "status": "(r.status || '')",
    "user_id": "(r.user_id || '')",
    "end_time": "(r.end_time + 0)",
}
"""Columns whose index may not be used where runs are walked in another order: all that it finds would be sorted."""

WORDS = Vocabulary(
    entities={
        "metrics": "metric", "metric": "metric",
        "params": "param", "param": "param", "parameters": "param", "parameter": "param",
        "tags": "tag", "tag": "tag",
        "attributes": "attribute", "attribute": "attribute", "attr": "attribute", "run": "attribute",
        "datasets": "dataset", "dataset": "dataset",
    },
    attributes={
        "run_id": "id", "run_name": "text", "status": "text", "artifact_uri": "text", "user_id": "text",
        "start_time": "number", "end_time": "number",
    },
    aliases={
        "created": "start_time", "Created": "start_time", "run name": "run_name", "Run name": "run_name",
        "Run Name": "run_name", "Run ID": "run_id", "name": "run_name",
    },
    datasets=("name", "digest", "context"),
)  # fmt: skip

_TABLES = {"metric": "latest", "param": "params", "tag": "run_tags"}
_RUNS = "runs"
_TEXT = search_sql.indexed_sort("o.value", True)[0].expression
_COMPARED = ("=", "<", "<=", ">", ">=")
_NUMBERS = (
    ("o.value IS NOT NULL", "o.value IS NULL"),
    ("o.low <= o.high", "(o.low > o.high OR o.low IS NULL)"),
)
"""Whether a series has a number to sort by, and that it has none; for the last value, and for the extremes."""
_FOUND_BY = {
    "run_id": ("=", "IN"), "status": ("=",), "user_id": ("=",), "start_time": _COMPARED, "end_time": _COMPARED,
}  # fmt: skip
"""Comparisons of attributes, besides those of the name, that an index answers."""
_ENDED, _NOT_ENDED = 4, 5
_LIFECYCLES = {"ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",), "ALL": ("active", "deleted")}


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the runs asked for, and the token that leads to the rest ('' at the end)."""

    runs: list[Run]
    next_page_token: str = ""


class RowPage(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of some of the runs asked for, and the tokens that lead on and back ('' where there is no more)."""

    rows: list[int]
    preceding: str = ""
    following: str = ""


class _Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question with its keys resolved to numbers."""

    experiments: tuple[int, ...]
    view: View
    conditions: list[tuple[Clause, Part]]
    orders: list[tuple[Order, int]]


class _Driver(msgspec.Struct, frozen=True, kw_only=True):
    """A clause that few rows ``f`` of a table satisfy, as a condition that an index answers, and how many do."""

    rows: int
    table: str
    where: Part


def search(
    tx: Tx,
    *,
    experiment_ids: Sequence[str],
    filter: str = "",
    view: View = "ACTIVE_ONLY",
    max_results: int = 1000,
    order_by: Sequence[str] = (),
    page_token: str = "",
) -> RunPage:
    """Runs of some experiments that satisfy a filter, in the order asked for.

    Ties are broken by start time (newest first), then run id. NaN comes after numbers and runs
    without the key come last, in both directions.

    Raises:
        Invalid: the filter, an order, the page size or the token cannot be used; says why.
    """
    found = rows(
        tx, experiment_ids=experiment_ids, filter=filter, view=view, max_results=max_results, order_by=order_by,
        after=page_token,
    )  # fmt: skip
    return RunPage(runs=run_records.load(tx, found.rows), next_page_token=found.following)


def rows(
    tx: Tx,
    *,
    experiment_ids: Sequence[str],
    filter: str = "",
    view: View = "ACTIVE_ONLY",
    max_results: int = 1000,
    order_by: Sequence[str] = (),
    after: str = "",
    before: str = "",
) -> RowPage:
    """The numbers of the runs that ``search`` would find, without anything that was logged to them.

    Pages go both ways: ``after`` is a page's ``following`` and leads on from its end, ``before`` is a page's
    ``preceding`` and leads to the runs ahead of its beginning, in the same order.

    Raises:
        Invalid: as in ``search``.
    """
    if not 0 < max_results <= limits.RUNS_PER_PAGE:
        raise Invalid(
            f"Invalid value {max_results} for parameter 'max_results': it must be 1 to {limits.RUNS_PER_PAGE}."
        )
    clauses = parse_filter(filter, WORDS)
    orders = parse_orders(order_by, WORDS)
    question = search_sql.question(sorted(experiment_ids), filter, view, list(order_by))
    token = search_sql.read_token(before or after, question)
    query = _resolved(tx, experiment_ids, view, clauses, orders)
    if query is None:
        return RowPage(rows=[])
    found = _walk(tx, query, token, backwards=bool(before), limit=max_results + 1)
    more = len(found) > max_results
    found = found[:max_results]
    if before:
        found.reverse()
    marks_of = [search_sql.write_token(question, phase, values) for _, phase, values in (found[:1] + found[-1:])]
    return RowPage(
        rows=[row for row, _, _ in found],
        preceding=marks_of[0] if found and (more if before else bool(after)) else "",
        following=marks_of[-1] if found and (more if not before else True) else "",
    )


def _walk(
    tx: Tx, query: _Query, token: search_sql.Token | None, *, backwards: bool, limit: int
) -> list[tuple[int, int, list[Any]]]:
    """(run, phase, sort values) of runs from a token on, in the order of the query or against it."""
    found: list[tuple[int, int, list[Any]]] = []
    phases = _phases(query)
    if token is not None and token.phase not in phases:
        raise search_sql.bad_token()
    tx.walk_indexes(in_order=True)
    driver = _driver(tx, query)
    if driver is not None:
        if not driver.rows:
            return []
        tx.walk_indexes()
    for phase in reversed(phases) if backwards else phases:
        if token is not None and (phase > token.phase if backwards else phase < token.phase):
            continue
        mark = token.values if token is not None and token.phase == phase else None
        rest = limit - len(found)
        walk = partial(_run_phase, tx, query, driver, phase, backwards=backwards)
        near = _near(tx, query, after=mark, limit=rest, backwards=backwards) if driver is None and phase == 0 else None
        rows = walk(after=mark, limit=rest, near=near) if near else []
        if len(rows) < rest:
            line = _line(query, phase, backwards=backwards) if driver is None and near is None else None
            rows = walk(after=mark, limit=rest) if line is None else along(tx, line, walk, after=mark, limit=rest)
        found += [(row[0], phase, list(row[1:])) for row in rows]
        if len(found) >= limit:
            break
    return found


def _resolved(
    tx: Tx, experiment_ids: Sequence[str], view: View, clauses: Sequence[Clause], orders: Sequence[Order]
) -> _Query | None:
    """The question with keys as numbers; None when it is plain that nothing can match."""
    experiments = tuple(limits.experiment_numbers(experiment_ids))
    if not experiments:
        return None
    conditions = []
    for clause in clauses:
        key = run_keys.find(tx, clause.key) if clause.entity in _TABLES else None
        if clause.entity in _TABLES and key is None:
            if clause.op != "IS NULL":
                return None
            continue
        conditions.append((clause, _condition(clause, key)))
    resolved: list[tuple[Order, int]] = []
    for order in orders:
        if any(same(order, seen) for seen, _ in resolved):
            continue
        key = run_keys.find(tx, order.key) if order.entity in _TABLES else 0
        if key is not None:
            resolved.append((order, key))
    return _Query(experiments=experiments, view=view, conditions=conditions, orders=resolved)


def _condition(clause: Clause, key: int | None) -> Part:
    """One clause as a condition on a run ``r``."""
    if clause.entity == "attribute":
        column = _UNINDEXED.get(clause.key) or _ATTRIBUTES[clause.key]
        return search_sql.comparison(column, clause.op, search_sql.whole(clause.op, clause.value))
    if clause.entity == "dataset":
        column = "i.context" if clause.key == "context" else f"d.{clause.key}"
        inner = search_sql.comparison(column, clause.op, clause.value)
        return Part(
            "EXISTS (SELECT 1 FROM run_inputs i JOIN input_datasets d ON d.id = i.dataset "
            f"WHERE i.run = r.id AND {inner.sql})",
            inner.params,
        )
    table = _TABLES[clause.entity]
    if clause.op in ("IS NULL", "IS NOT NULL"):
        negation = "NOT " if clause.op == "IS NULL" else ""
        return Part(f"{negation}EXISTS (SELECT 1 FROM {table} f WHERE f.run = r.id AND f.key = ?)", (key,))
    compared = search_sql.metric if clause.entity == "metric" else search_sql.comparison
    inner = compared("f.value", clause.op, clause.value)
    return Part(
        f"EXISTS (SELECT 1 FROM {table} f WHERE f.run = r.id AND f.key = ? AND {inner.sql})", (key, *inner.params)
    )


def _driver(tx: Tx, query: _Query) -> _Driver | None:
    """The most selective clause an index can answer, when it is selective enough."""
    best: _Driver | None = None
    for clause, condition in query.conditions:
        part = _indexed(query, clause, condition)
        if part is None:
            continue
        table = _TABLES.get(clause.entity, _RUNS)
        few = tx.scalar(
            f"SELECT COUNT(*) FROM (SELECT 1 FROM {table} f WHERE {part.sql} LIMIT {_FEW}) few", part.params
        )
        if few < _FEW and (best is None or few < best.rows):
            best = _Driver(rows=few, table=table, where=part)
    return best


def _indexed(query: _Query, clause: Clause, condition: Part) -> Part | None:
    """A clause as a condition on rows ``f`` that an index answers; None when there is none for it."""
    inside = f"f.experiment IN ({marks(query.experiments)})"
    if clause.entity == "metric" and clause.op in _COMPARED:
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
    if clause.entity in _TABLES:
        return Part(f"{inside} AND f.key = ? AND {value.sql}", (*query.experiments, condition.params[0], *value.params))
    states = _LIFECYCLES[query.view]
    inside = f"{inside} AND f.lifecycle IN ({marks(states)})"
    if clause.key == "run_id":  # found by its own index alone
        inside = f"(f.experiment + 0) IN ({marks(query.experiments)}) AND (f.lifecycle || '') IN ({marks(states)})"
    return Part(f"{inside} AND {value.sql}", (*query.experiments, *states, *value.params))


def _phases(query: _Query) -> tuple[int, ...]:
    """Those with a value (0), with NaN (1), without (2), when the first sort key was logged; else one phase (3).

    By their end: those that have one (4), and those that have none (5).
    """
    if query.orders and query.orders[0][0].entity == "attribute" and query.orders[0][0].key == "end_time":
        return (_ENDED, _NOT_ENDED)
    if not query.orders or query.orders[0][0].entity not in _TABLES:
        return (3,)
    present = (0, 1) if query.orders[0][0].entity == "metric" else (0,)
    needed = any(clause.op != "IS NULL" for clause, _ in query.conditions if _is_same(clause, query.orders[0][0]))
    return present if needed else (*present, 2)


def _is_same(clause: Clause, order: Order) -> bool:
    return clause.entity == order.entity and clause.key == order.key


def _is_bound(clause: Clause, order: Order) -> bool:
    """Whether a clause says where in the order of a logged value the walk begins or ends."""
    return _is_same(clause, order) and clause.op in _COMPARED


def _near(tx: Tx, query: _Query, *, after: Sequence[Any] | None, limit: int, backwards: bool) -> Part | None:
    """A condition that leaves the next few runs in the order of a metric's least or greatest value."""
    order, key = query.orders[0]
    column = column_of(order)
    if column == "value":
        return None
    mark = None if after is None else after[0]
    return summaries.near(tx, query.experiments, key, column, up=order.ascending != backwards, after=mark, limit=limit)


def _line(query: _Query, phase: int, *, backwards: bool) -> Line | None:
    """The index that has the order of a phase; None when there is none, or none for several experiments at once."""
    first, *others = (order for order, _ in query.orders) if query.orders else (None,)
    if first is None or phase == 2 or len(query.experiments) > 1 or query.view == "ALL":
        return None
    if any(order.entity != "attribute" or order.key != "start_time" for order in others):
        return None
    ours = (query.experiments[0], *_LIFECYCLES[query.view])
    runs = Part("r.experiment = ? AND r.lifecycle = ?", ours)
    newest_first = (not others[0].ascending if others else True) != backwards
    if phase in (0, 1):
        if column_of(first) != "value":
            return None
        table = _TABLES[first.entity]
        where = [Part("o.experiment = ? AND o.key = ?", (query.experiments[0], query.orders[0][1]))]
        where += _bounds(query, phase)
        place, same, keys = ("o.value", "(o.value + 0)", 1) if table == "latest" else (_TEXT, "(o.value || '')", 2)
        source = f"{table} o"
    elif first.key in ("status", "user_id", "run_name", "end_time"):
        where = [runs]
        if phase != 3:
            where.append(Part("r.end_time IS NOT NULL" if phase == _ENDED else "r.end_time IS NULL"))
        place, same, keys = _ATTRIBUTES[first.key], _UNINDEXED[first.key], 1
        if first.key == "run_name":
            place, keys = search_sql.indexed_sort(place, True)[0].expression, 2
        source = f"{_RUNS} r"
    else:
        return None
    one_place = phase in (1, _NOT_ENDED)
    return Line(
        source=source, where=search_sql.joint(where), place="" if one_place else place, same=same, counted=phase == 1,
        up=first.ascending != backwards, newest_first=newest_first, keys=0 if one_place else keys, runs=runs,
    )  # fmt: skip


def _bounds(query: _Query, phase: int) -> list[Part]:
    """What holds for the values ``o`` of the first sort key in a phase: the walk begins where it does."""
    order = query.orders[0][0]
    found = [Part(_NUMBERS[column_of(order) != "value"][phase])]
    for clause, _ in query.conditions:
        if _is_bound(clause, order):
            found.append(search_sql.comparison("o.value", clause.op, clause.value))
    return found


def _run_phase(
    tx: Tx,
    query: _Query,
    driver: _Driver | None,
    phase: int,
    *,
    after: Sequence[Any] | None,
    limit: int,
    backwards: bool,
    near: Part | None = None,
    within: Part | None = None,
    by_start: bool = False,
) -> list[tuple[Any, ...]]:
    """The next runs of a phase: (run, sort values...).

    Only the runs ``near`` are looked at, and those for which ``within`` holds; with ``by_start`` they are all in
    one place of the order, so that only start and id are left to sort by.
    """
    source: list[Part] = []
    where: list[Part] = []
    first_key = query.orders[0][1] if query.orders else 0
    table = _TABLES[query.orders[0][0].entity] if phase < 3 else ""
    by_value = phase in (0, 1)
    walked = column_of(query.orders[0][0]) if query.orders else "value"
    if driver is not None:
        source.append(Part(f"{driver.table} f CROSS JOIN runs r"))
        where += [driver.where, Part("r.id = f.id" if driver.table == _RUNS else "r.id = f.run")]
        if by_value:
            source.append(Part(f"JOIN {table} o ON o.run = r.id AND o.key = ?", (first_key,)))
    elif by_value and (near is not None or by_start):
        source.append(Part(f"runs r CROSS JOIN {table} o"))
        where.append(Part("o.run = r.id AND o.key = ?", (first_key,)))
    elif by_value:
        source.append(Part(f"{table} o CROSS JOIN runs r"))
        where.append(
            Part(f"o.experiment IN ({marks(query.experiments)}) AND o.key = ?", (*query.experiments, first_key))
        )
        where.append(Part("r.id = o.run"))
    else:
        source.append(Part("runs r"))
    where += [part for part in (near, within) if part is not None]
    if by_value:
        where += _bounds(query, phase)
    elif phase in (_ENDED, _NOT_ENDED):
        column = _UNINDEXED["end_time"] if by_start else "r.end_time"
        where.append(Part(f"{column} IS {'NOT ' if phase == _ENDED else ''}NULL"))
    elif phase == 2:
        where.append(Part(f"NOT EXISTS (SELECT 1 FROM {table} o WHERE o.run = r.id AND o.key = ?)", (first_key,)))
    if driver is None and (by_start or not by_value):
        where.append(Part(f"r.experiment IN ({marks(query.experiments)})", query.experiments))
    if query.view != "ALL":
        column = (
            "r.lifecycle" if driver is None else "(r.lifecycle || '')"
        )  # what drives leads to them by their numbers
        where.append(Part(f"{column} = ?", _LIFECYCLES[query.view]))
    where += [part for clause, part in query.conditions if not (by_value and _is_bound(clause, query.orders[0][0]))]
    keys: list[SortKey] = []
    if phase == 0:
        up = query.orders[0][0].ascending
        keys = [SortKey(f"o.{walked}", up)] if table == "latest" else search_sql.indexed_sort("o.value", up)
    elif phase == _ENDED:
        keys = [SortKey("r.end_time", query.orders[0][0].ascending)]
    for index, (order, key) in enumerate(query.orders):
        if index or phase == 3:
            joined, more = _sorting(order, key, f"k{index}")
            source += joined
            keys += more
    if not any(key.expression == "r.start_time" for key in keys):
        keys.append(SortKey("r.start_time", False))
    keys.append(SortKey("r.run_id"))
    if backwards:
        keys = [SortKey(key.expression, not key.ascending) for key in keys]
    sorted_by = keys[-2:] if by_start else keys
    if after is not None:
        where.append(search_sql.beyond(sorted_by, after[-2:] if by_start else after))
    sql = (
        f"SELECT r.id, {', '.join(key.expression for key in keys)} FROM {' '.join(part.sql for part in source)} "
        f"WHERE {' AND '.join(part.sql for part in where)} ORDER BY {search_sql.order_by(sorted_by)} LIMIT ?"
    )
    params = [value for part in (*source, *where) for value in part.params]
    return tx.all(sql, [*params, limit])


def _sorting(order: Order, key: int, name: str) -> tuple[list[Part], list[SortKey]]:
    """Joins and sort keys of one order that is not walked by index: absent last, NaN before absent."""
    if order.entity == "attribute":
        column = _ATTRIBUTES[order.key]
        if order.key == "run_name":
            return [], search_sql.indexed_sort(column, order.ascending)
        if order.key != "end_time":
            return [], [SortKey(column, order.ascending)]
        flag = f"CASE WHEN {column} IS NULL THEN 1 ELSE 0 END"
        return [], [SortKey(flag), SortKey(f"COALESCE({column}, 0)", order.ascending)]
    table = _TABLES[order.entity]
    joined = Part(f"LEFT JOIN {table} {name} ON {name}.run = r.id AND {name}.key = ?", (key,))
    column = column_of(order)
    number = f"{name}.value IS NOT NULL" if column == "value" else f"{name}.low <= {name}.high"
    flag = f"CASE WHEN {name}.run IS NULL THEN 2 WHEN {number} THEN 0 ELSE 1 END"
    nothing = "0" if order.entity == "metric" else "''"
    value = f"COALESCE({name}.{column}, {nothing})"
    if column != "value":
        value = f"CASE WHEN {number} THEN {name}.{column} ELSE 0 END"
    return [joined], [SortKey(flag), SortKey(value, order.ascending)]
