"""Reading the runs of a question in its order: by phases, each in the order of an index where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from stile.store.database import Row, Tx
from stile.train import run_clauses, run_drivers, search_sql, summaries
from stile.train.filters import Clause, Order
from stile.train.metric_summary import column_of
from stile.train.run_clauses import ATTRIBUTES, COMPARED, LIFECYCLES, RUNS, TABLES, UNINDEXED, Query
from stile.train.run_drivers import Driver
from stile.train.run_keys import marks
from stile.train.run_places import Line, TooFar, along, end_of_walk, is_near
from stile.train.search_sql import Part, SortKey

_TEXT = search_sql.indexed_sort("o.value", True)[0].expression
_NUMBERS = (
    ("o.value IS NOT NULL", "o.value IS NULL"),
    ("o.low <= o.high", "(o.low > o.high OR o.low IS NULL)"),
)
"""Whether a series has a number to sort by, and that it has none; for the last value, and for the extremes."""
_ENDED, _NOT_ENDED = 4, 5


def phases(query: Query) -> tuple[int, ...]:
    """Those with a value (0), with NaN (1), without (2), when the first sort key was logged; else one phase (3).

    By their end: those that have one (4), and those that have none (5).
    """
    if query.orders and query.orders[0][0].entity == "attribute" and query.orders[0][0].key == "end_time":
        return (_ENDED, _NOT_ENDED)
    if not query.orders or query.orders[0][0].entity not in TABLES:
        return (3,)
    present = (0, 1) if query.orders[0][0].entity == "metric" else (0,)
    asked = [clause.op for clause, _ in query.conditions if _is_same(clause, query.orders[0][0])]
    if "IS NULL" in asked:
        return (2,)
    return present if asked else (*present, 2)


def walk(
    tx: Tx, query: Query, phase: int, *, after: Sequence[Any] | None, limit: int, backwards: bool, patient: bool
) -> list[Row]:
    """The next runs of a phase, without a clause that drives: in the order of an index where there is one.

    Raises:
        TooFar: ``patient`` is false, and they are not among the first runs that were looked at.
    """
    driver = run_drivers.deleted(tx, query) if query.view == "DELETED_ONLY" else None
    if driver is not None:
        tx.walk_indexes()
        return read(tx, query, driver, phase, after=after, limit=limit, backwards=backwards) if driver.rows else []
    tx.walk_indexes(in_order=True)
    reading = partial(read, tx, query, None, phase, backwards=backwards)
    near = _near(tx, query, after=after, limit=limit, backwards=backwards) if phase == 0 else None
    if isinstance(near, Part):
        rows = reading(after=after, limit=limit, near=near)
        if len(rows) == limit:
            return rows
    elif near is not None:
        rows = _sharing(tx, query, near, after=after, limit=limit, backwards=backwards)
        if len(rows) == limit:
            return rows
    line = _line(tx, query, phase, backwards=backwards) if near is None else None
    if line is not None:
        return along(tx, line, reading, after=after, limit=limit, patient=patient)
    if patient:
        return reading(after=after, limit=limit)
    first = sort_keys(query, phase)[1][0]
    if first.expression != ATTRIBUTES["start_time"] or not _is_one(query):
        raise TooFar
    runs = _runs(query)
    newest_first = first.ascending == backwards
    start = None if after is None else after[0]
    end = end_of_walk(tx, runs, newest_first=newest_first, start=start, limit=limit)
    within = None if end is None else Part(f"r.start_time {'>=' if newest_first else '<='} ?", (end,))
    rows = reading(after=after, limit=limit, within=within)
    if len(rows) == limit or end is None:
        return rows
    if not is_near(rows, limit):
        raise TooFar
    return rows + reading(after=list(rows[-1][1:]), limit=limit - len(rows))


def _is_one(query: Query) -> bool:
    """Whether the index of the start has all runs of the question in one piece."""
    return len(query.experiments) == 1 and query.view != "ALL"


def _runs(query: Query) -> Part:
    """The conditions on runs ``r`` that this index begins with."""
    return Part("r.experiment = ? AND r.lifecycle = ?", (query.experiments[0], *LIFECYCLES[query.view]))


def _is_same(clause: Clause, order: Order) -> bool:
    return clause.entity == order.entity and clause.key == order.key


def _is_bound(clause: Clause, order: Order) -> bool:
    """Whether a clause says where in the order of a logged value the walk begins or ends."""
    return _is_same(clause, order) and clause.op in COMPARED


def _near(tx: Tx, query: Query, *, after: Sequence[Any] | None, limit: int, backwards: bool) -> Part | float | None:
    """A condition that leaves the next few runs in the order of a metric whose index has not this order.

    It is a value when more than a few share it, and None when there are no few.
    """
    order, key = query.orders[0]
    column = column_of(order)
    if order.entity != "metric" or (column == "value" and _is_one(query)):
        return None
    mark = None if after is None else after[0]
    return summaries.near(tx, query.experiments, key, column, up=order.ascending != backwards, after=mark, limit=limit)


def _sharing(
    tx: Tx, query: Query, value: float, *, after: Sequence[Any] | None, limit: int, backwards: bool
) -> list[Row]:
    """The next runs that share a least or greatest value, as far as they are among the next ones by their start."""
    if not _is_one(query) or len(query.orders) > 1:
        return []
    mark = after if after is not None and after[0] == value else None
    start = None if mark is None else mark[-2]
    end = end_of_walk(tx, _runs(query), newest_first=not backwards, start=start, limit=limit)
    if end is None:
        return []
    column = column_of(query.orders[0][0])
    within = Part(f"o.{column} = ? AND r.start_time {'<=' if backwards else '>='} ?", (value, end))
    return read(tx, query, None, 0, after=mark, limit=limit, backwards=backwards, within=within, by_start=True)


def _inside(
    tx: Tx, query: Query, phase: int, place: Any, *, after: Sequence[Any] | None, limit: int, backwards: bool
) -> list[Row]:
    """The next runs in one place of the first sort key (None: without a number, or without an end), by the others."""
    (first, key), *others = query.orders
    table = TABLES.get(first.entity)
    if place is not None:
        clause = Clause(entity=first.entity, key=first.key, op="=", value=place)
        condition = run_clauses.condition(clause, key)
    else:
        clause = Clause(entity=first.entity, key=first.key, op="!=")
        missing = f"EXISTS (SELECT 1 FROM {table} f WHERE f.run = r.id AND f.key = ? AND f.value IS NULL)"
        condition = Part(missing, (key,)) if phase == 1 else Part(f"{UNINDEXED['end_time']} IS NULL")
    rest = msgspec.structs.replace(query, orders=others, conditions=[*query.conditions, (clause, condition)])
    twice = (phase == 0 and first.entity != "metric") or (phase == 3 and first.key == "run_name")
    head = [] if place is None else [place] * (2 if twice else 1)
    token = None if after is None else _token(others[0][0], after)
    found: list[Row] = []
    for part in reversed(phases(rest)) if backwards else phases(rest):
        if token is not None and (part > token[0] if backwards else part < token[0]):
            continue
        line = _line(tx, rest, part, backwards=backwards, absent=True)
        if line is None:
            raise TooFar
        walk = partial(read, tx, rest, None, part, backwards=backwards)
        mark = token[1] if token is not None and token[0] == part else None
        for row in along(tx, line, walk, after=mark, limit=limit - len(found), patient=False):
            found.append((row[0], *head, *_told(others[0][0], part, row[1:])))
        if len(found) >= limit:
            break
    return found


def _told(order: Order, phase: int, values: Sequence[Any]) -> Sequence[Any]:
    """The sort values of a phase of an order, as those of one that is not the first (see ``_sorting``)."""
    if phase == 3:
        return values
    if phase in (_ENDED, _NOT_ENDED):
        return (0, *values) if phase == _ENDED else (1, 0, *values)
    if phase == 0:
        return (0, *(values if order.entity == "metric" else values[1:]))
    return (phase, 0 if order.entity == "metric" else "", *values)


def _token(order: Order, values: Sequence[Any]) -> tuple[int, Sequence[Any]]:
    """The phase of an order that is not the first, and its own sort values there: what ``_told`` was told of."""
    if order.entity == "attribute" and order.key != "end_time":
        return 3, values
    if order.entity == "attribute":
        return (_NOT_ENDED, values[2:]) if values[0] else (_ENDED, values[1:])
    if values[0]:
        return (1 if values[0] == 1 else 2), values[2:]
    return 0, values[1:] if order.entity == "metric" else (str(values[1])[: search_sql.LETTERS], *values[1:])


def _line(tx: Tx, query: Query, phase: int, *, backwards: bool, absent: bool = False) -> Line | None:
    """The index that has the order of a phase; None when there is none, or none for several experiments at once.

    With ``absent`` that is also the index of the start, for runs that have not logged the first sort key.
    """
    first, *others = (order for order, _ in query.orders) if query.orders else (None,)
    if first is None or (phase == 2 and not absent) or not _is_one(query):
        return None
    by_start = all(order.entity == "attribute" and order.key == "start_time" for order in others)
    runs = _runs(query)
    newest_first = (not others[0].ascending if others and by_start else True) != backwards
    if phase in (0, 1):
        if column_of(first) != "value":
            return None
        table = TABLES[first.entity]
        where = [Part("o.experiment = ? AND o.key = ?", (query.experiments[0], query.orders[0][1]))]
        where += _bounds(query, phase)
        place, same, keys = ("o.value", "(o.value + 0)", 1) if table == "latest" else (_TEXT, "(o.value || '')", 2)
        source = f"{table} o"
    elif phase == 2:
        if not by_start:
            return None
        where, place, same, keys, source = [runs], "", "", 0, f"{RUNS} r"
    elif first.key in ("status", "user_id", "run_name", "end_time"):
        where = [runs]
        if phase != 3:
            where.append(Part("r.end_time IS NOT NULL" if phase == _ENDED else "r.end_time IS NULL"))
        place, same, keys = ATTRIBUTES[first.key], UNINDEXED[first.key], 1
        if first.key == "run_name":
            place, keys = search_sql.indexed_sort(place, True)[0].expression, 2
        source = f"{RUNS} r"
    else:
        return None
    one_place = phase in (1, 2, _NOT_ENDED)
    return Line(
        source=source, where=search_sql.joint(where), place="" if one_place else place, same=same, counted=phase == 1,
        up=first.ascending != backwards, newest_first=newest_first, keys=0 if one_place else keys,
        runs=runs, inside=None if by_start else partial(_inside, tx, query, phase, backwards=backwards),
        nested=absent,
    )  # fmt: skip


def _bounds(query: Query, phase: int) -> list[Part]:
    """What holds for the values ``o`` of the first sort key in a phase: the walk begins where it does."""
    order = query.orders[0][0]
    found = [Part(_NUMBERS[column_of(order) != "value"][phase])]
    for clause, _ in query.conditions:
        if _is_bound(clause, order):
            found.append(search_sql.comparison("o.value", clause.op, clause.value))
    return found


def read(
    tx: Tx,
    query: Query,
    driver: Driver | None,
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
    table = TABLES[query.orders[0][0].entity] if phase < 3 else ""
    by_value = phase in (0, 1)
    if driver is not None:
        source.append(Part(f"{driver.table} f CROSS JOIN runs r"))
        where += [driver.where, Part("r.id = f.id" if driver.table == RUNS else "r.id = f.run")]
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
        column = UNINDEXED["end_time"] if by_start else "r.end_time"
        where.append(Part(f"{column} IS {'NOT ' if phase == _ENDED else ''}NULL"))
    elif phase == 2:
        where.append(Part(f"NOT EXISTS (SELECT 1 FROM {table} o WHERE o.run = r.id AND o.key = ?)", (first_key,)))
    if driver is None and (by_start or not by_value):
        where.append(Part(f"r.experiment IN ({marks(query.experiments)})", query.experiments))
    if query.view != "ALL":
        column = (
            "r.lifecycle" if driver is None else "(r.lifecycle || '')"
        )  # what drives leads to them by their numbers
        where.append(Part(f"{column} = ?", LIFECYCLES[query.view]))
    said = () if driver is None else driver.says
    where += run_clauses.joined([
        (clause, part)
        for clause, part in query.conditions
        if clause not in said and not (by_value and _is_bound(clause, query.orders[0][0]))
    ])  # fmt: skip
    joins, keys = sort_keys(query, phase)
    source += joins
    if backwards:
        keys = [SortKey(key.expression, not key.ascending, key.text) for key in keys]
    sorted_by = keys[-2:] if by_start else keys
    if after is not None:
        where.append(search_sql.beyond(sorted_by, after[-2:] if by_start else after))
    sql = (
        f"SELECT r.id, {', '.join(key.expression for key in keys)} FROM {' '.join(part.sql for part in source)} "
        f"WHERE {' AND '.join(part.sql for part in where)} ORDER BY {search_sql.order_by(sorted_by)} LIMIT ?"
    )
    params = [value for part in (*source, *where) for value in part.params]
    return tx.all(sql, [*params, limit])


def sort_keys(query: Query, phase: int) -> tuple[list[Part], list[SortKey]]:
    """What the runs of a phase are sorted by, and the joins it takes."""
    keys: list[SortKey] = []
    joins: list[Part] = []
    if phase == 0:
        first = query.orders[0][0]
        keys = [SortKey(f"o.{column_of(first)}", first.ascending)]
        if first.entity != "metric":
            keys = search_sql.indexed_sort("o.value", first.ascending)
    elif phase == _ENDED:
        keys = [SortKey("r.end_time", query.orders[0][0].ascending)]
    for index, (order, key) in enumerate(query.orders):
        if index or phase == 3:
            joined, more = _sorting(order, key, f"k{index}")
            joins += joined
            keys += more
    if not any(key.expression == "r.start_time" for key in keys):
        keys.append(SortKey("r.start_time", False))
    return joins, [*keys, SortKey("r.run_id", text=True)]


def _sorting(order: Order, key: int, name: str) -> tuple[list[Part], list[SortKey]]:
    """Joins and sort keys of one order that is not walked by index: absent last, NaN before absent."""
    if order.entity == "attribute":
        column = ATTRIBUTES[order.key]
        if order.key == "run_name":
            return [], search_sql.indexed_sort(column, order.ascending)
        if order.key != "end_time":
            return [], [SortKey(column, order.ascending, text=order.key != "start_time")]
        flag = f"CASE WHEN {column} IS NULL THEN 1 ELSE 0 END"
        return [], [SortKey(flag), SortKey(f"COALESCE({column}, 0)", order.ascending)]
    table = TABLES[order.entity]
    joined = Part(f"LEFT JOIN {table} {name} ON {name}.run = r.id AND {name}.key = ?", (key,))
    column = column_of(order)
    number = f"{name}.value IS NOT NULL" if column == "value" else f"{name}.low <= {name}.high"
    flag = f"CASE WHEN {name}.run IS NULL THEN 2 WHEN {number} THEN 0 ELSE 1 END"
    nothing = "0" if order.entity == "metric" else "''"
    value = f"COALESCE({name}.{column}, {nothing})"
    if column != "value":
        value = f"CASE WHEN {number} THEN {name}.{column} ELSE 0 END"
    return [joined], [SortKey(flag), SortKey(value, order.ascending, text=order.entity != "metric")]
