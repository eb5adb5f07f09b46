"""The clauses that find few runs: an index answers them, so the other clauses are looked up for these runs alone.

Clauses about one left side are taken together (``metrics.acc > 0.5 and metrics.acc < 0.51`` is one stretch of an
index). What is counted first is bounded, so that asking costs little where the answer is: many.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.store.database import Tx
from stile.train import search_sql
from stile.train.filters import Clause
from stile.train.run_clauses import COMPARED, LIFECYCLES, RUNS, TABLES, Query, parts
from stile.train.run_keys import marks
from stile.train.run_places import FEW
from stile.train.search_sql import LETTERS, Part

_FOUND_BY = {"status": ("=",), "user_id": ("=",), "start_time": COMPARED, "end_time": COMPARED}
"""Comparisons of attributes, besides those of the name and the id, that an index answers."""
_MOST_VALUES = 40
_MOST_DATASETS = 500
_NOTHING = Part("1 = 0")

Group = list[tuple[Clause, Part]]


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on rows ``f`` of a table that an index answers, at most one for each run.

    Attributes:
        rows: how many there are.
        table: runs, or logged values.
        where: the condition.
        says: the clauses that it says as a whole.
    """

    rows: int
    table: str
    where: Part
    says: tuple[Clause, ...] = ()


def few(tx: Tx, query: Query) -> Driver | None:
    """What finds the fewest runs, when these are so few that each is looked at without a second thought."""
    found = _least(tx, query, FEW)
    if found is not None:
        return found
    return _fewest([_listed(tx, query, group) for group in _groups(query)])


def fewer(tx: Tx, query: Query) -> Driver | None:
    """What finds the fewest runs, when these are no more than a quarter of all there are.

    It takes longer to find out than ``few``: whole indexes are read.
    """
    found = _least(tx, query, int(tx.scalar("SELECT MAX(id) FROM runs") or 0) // 4)
    return found or _fewest([_read_through(tx, query, group) for group in _groups(query)])


def deleted(tx: Tx, query: Query) -> Driver | None:
    """The deleted runs of a question, when they are few."""
    where = Part(f"f.experiment IN ({marks(query.experiments)}) AND f.lifecycle = 'deleted'", query.experiments)
    rows = _count(tx, RUNS, where, FEW)
    return Driver(rows=rows, table=RUNS, where=where) if rows < FEW else None


def _groups(query: Query) -> list[Group]:
    """The clauses by their left side."""
    found: dict[tuple[str, str], Group] = {}
    for clause, condition in query.conditions:
        found.setdefault((clause.entity, clause.key), []).append((clause, condition))
    return list(found.values())


def _fewest(drivers: Sequence[Driver | None]) -> Driver | None:
    return min((driver for driver in drivers if driver is not None), key=lambda driver: driver.rows, default=None)


def _least(tx: Tx, query: Query, most: int) -> Driver | None:
    """What finds the fewest runs, and fewer than ``most``."""
    best: Driver | None = None
    for group in _groups(query):
        best = _counted(tx, query, group, most if best is None else best.rows) or best
        if best is not None and not best.rows:
            break
    return best


def _counted(tx: Tx, query: Query, group: Group, most: int) -> Driver | None:
    """The clauses of a group as a condition that an index answers; None when there is none, or for ``most`` runs."""
    says: Sequence[Clause] = [clause for clause, _ in group if _value(clause) is not None]
    part = _indexed(query, group)
    if part is None:
        says = [clause for clause, _ in group if "NULL" not in clause.op]
        part = _among_values(tx, query, group)
    if part is None:
        says = [clause for clause, _ in group if clause.op == "IS NOT NULL"]
        part = _having(query, group)
    if part is None:
        return None
    table = TABLES.get(group[0][0].entity, RUNS)
    rows = _count(tx, table, part, most)
    return Driver(rows=rows, table=table, where=part, says=tuple(says)) if rows < most else None


def _count(tx: Tx, table: str, where: Part, most: int) -> int:
    """How many rows ``f`` of a table satisfy a condition; counting stops at ``most``."""
    sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {table} f WHERE {where.sql} LIMIT {most}) few"
    return int(tx.scalar(sql, where.params))


def _inside(query: Query) -> Part:
    states = LIFECYCLES[query.view]
    return Part(
        f"f.experiment IN ({marks(query.experiments)}) AND f.lifecycle IN ({marks(states)})",
        (*query.experiments, *states),
    )


def _of_key(query: Query, condition: Part) -> Part:
    """The logged values of a clause's key."""
    return Part(
        f"f.experiment IN ({marks(query.experiments)}) AND f.key = ?", (*query.experiments, condition.params[0])
    )


def _having(query: Query, group: Group) -> Part | None:
    """That a key was logged at all, which each of its clauses says but one."""
    clause, condition = group[0]
    if clause.entity not in TABLES or all(each.op == "IS NULL" for each, _ in group):
        return None
    return _of_key(query, condition)


def _indexed(query: Query, group: Group) -> Part | None:
    """Clauses as a condition on rows ``f`` that an index answers; None when there is none for any of them."""
    values = [value for clause, _ in group if (value := _value(clause)) is not None]
    if not values:
        return None
    clause, condition = group[0]
    if clause.entity in TABLES:
        return search_sql.joint([_of_key(query, condition), *values])
    if clause.key == "run_id":  # found by its own index alone
        states = LIFECYCLES[query.view]
        inside = f"(f.experiment + 0) IN ({marks(query.experiments)}) AND (f.lifecycle || '') IN ({marks(states)})"
        return search_sql.joint([Part(inside, (*query.experiments, *states)), *values])
    return search_sql.joint([_inside(query), *values])


def _value(clause: Clause) -> Part | None:
    """What a clause says of a value in rows ``f``, in words that an index answers; None when there is none for it."""
    if clause.entity == "metric":
        return search_sql.comparison("f.value", clause.op, clause.value) if clause.op in COMPARED else None
    by_text = search_sql.answers_by_index(clause.op, clause.value)
    if clause.entity in TABLES:
        return search_sql.indexed_text("f.value", clause.op, clause.value) if by_text else None
    if clause.entity != "attribute":
        return None
    if clause.key == "run_name":
        return search_sql.indexed_text("f.name", clause.op, clause.value) if by_text else None
    if clause.key == "run_id":
        return search_sql.ranged_text("f.run_id", clause.op, clause.value) if by_text or clause.op == "IN" else None
    if clause.op in _FOUND_BY.get(clause.key, ()):
        return search_sql.comparison(f"f.{clause.key}", clause.op, search_sql.whole(clause.op, clause.value))
    return None


def _among_values(tx: Tx, query: Query, group: Group) -> Part | None:
    """Clauses on a text as a list of the values that satisfy them, when there are not many values.

    They are found by stepping from one to the next in their index.
    """
    clause, condition = group[0]
    wanted = [search_sql.comparison("value", each.op, each.value) for each, _ in group if "NULL" not in each.op]
    if not wanted:
        return None
    holds = search_sql.joint(wanted)
    if clause.entity in ("param", "tag"):
        column, table = f"substr(f.value, 1, {LETTERS})", TABLES[clause.entity]
        places = [Part("f.experiment = ? AND f.key = ?", (each, condition.params[0])) for each in query.experiments]
        inside = _of_key(query, condition)
    elif clause.key in ("status", "user_id") and clause.entity == "attribute":
        column, table = f"f.{clause.key}", RUNS
        places = [
            Part("f.experiment = ? AND f.lifecycle = ?", (part.experiments[0], *LIFECYCLES[part.view]))
            for part in parts(query)
            if len(part.experiments) == 1
        ]
        inside = _inside(query)
    else:
        return None
    if not 0 < len(places) <= _MOST_VALUES:
        return None
    satisfying: set[str] = set()
    for place in places:
        first = f"(SELECT {column} FROM {table} f WHERE {place.sql}{{}} ORDER BY {column} LIMIT 1)"
        found = tx.all(
            f"WITH RECURSIVE seen(value, n) AS (SELECT {first.format('')}, 1 UNION ALL "
            f"SELECT {first.format(f' AND {column} > seen.value')}, n + 1 FROM seen "
            "WHERE value IS NOT NULL AND n <= ?) "
            f"SELECT value, CASE WHEN {holds.sql} THEN 1 ELSE 0 END FROM seen WHERE value IS NOT NULL",
            (*place.params, *place.params, _MOST_VALUES, *holds.params),
        )
        if len(found) > _MOST_VALUES or (table != RUNS and any(len(value) >= LETTERS for value, _ in found)):
            return None
        satisfying |= {value for value, fits in found if fits}
    if not satisfying:
        return _NOTHING
    values = sorted(satisfying)
    return search_sql.joint([inside, Part(f"{column} IN ({marks(values)})", tuple(values))])


def _listed(tx: Tx, query: Query, group: Group) -> Driver | None:
    """The runs that satisfy a group, one by one, when it is soon known that they are few."""
    clause, condition = group[0]
    if clause.entity == "dataset" and clause.key != "context":
        return _these(_having_read(tx, query, clause))
    if clause.entity in TABLES and clause.op == "!=" and len(group) == 1:
        return _these(_unequal(tx, query, clause, condition))
    return None


def _read_through(tx: Tx, query: Query, group: Group) -> Driver | None:
    """The runs that satisfy a group, one by one, when they are few; it takes a whole index to know."""
    clause, condition = group[0]
    if clause.entity == "attribute" and clause.key in ("run_name", "run_id"):
        return _these(_named(tx, query, [each for each, _ in group]))
    if clause.entity == "dataset" and clause.key == "context":
        return _these(_having_read(tx, query, clause))
    if any(each.op == "IS NULL" for each, _ in group) and _everywhere(tx, query, clause, condition):
        return _these(set())
    return None


def _these(runs: set[int] | None) -> Driver | None:
    if runs is None:
        return None
    rows = tuple(sorted(runs))
    return Driver(rows=len(rows), table=RUNS, where=Part(f"f.id IN ({marks(rows)})", rows) if rows else _NOTHING)


def _named(tx: Tx, query: Query, clauses: Sequence[Clause]) -> set[int] | None:
    """The few runs whose names, or ids, are like something: read from their index, without the runs themselves."""
    if any(clause.op not in ("LIKE", "ILIKE") for clause in clauses):
        return None
    if clauses[0].key == "run_id":
        where = [search_sql.comparison("f.run_id", clause.op, clause.value) for clause in clauses]
    else:
        column = f"substr(f.name, 1, {LETTERS})"  # a longer name may have it further on
        likes = search_sql.joint([search_sql.comparison(column, each.op, each.value) for each in clauses])
        where = [Part(f"{column} >= '' AND ({likes.sql} OR length({column}) = {LETTERS})", likes.params)]
    return _some(tx, RUNS, "f.id", [_inside(query), *where])


def _unequal(tx: Tx, query: Query, clause: Clause, condition: Part) -> set[int] | None:
    """The few runs with another value of a key than the one that is excluded."""
    table, value = TABLES[clause.entity], clause.value
    if clause.entity == "metric":
        others = [Part("f.value < ?", (value,)), Part("f.value > ?", (value,)), Part("f.value IS NULL")]
    else:
        column, text = f"substr(f.value, 1, {LETTERS})", str(value)
        begun = text[:LETTERS]
        others = [Part(f"{column} < ?", (begun,)), Part(f"{column} > ?", (begun,))]
        if len(text) >= LETTERS:
            others.append(Part(f"{column} = ? AND f.value <> ?", (begun, text)))
    found: set[int] = set()
    for other in others:
        some = _some(tx, table, "f.run", [_of_key(query, condition), other])
        if some is None or len(found) + len(some) >= FEW:
            return None
        found |= some
    return found


def _having_read(tx: Tx, query: Query, clause: Clause) -> set[int] | None:
    """The few runs that have read a dataset of which this is true."""
    inside = Part(f"d.experiment IN ({marks(query.experiments)})", query.experiments)
    if clause.key == "context":
        context = search_sql.comparison("i.context", clause.op, clause.value)
        source = "input_datasets d CROSS JOIN run_inputs i"
        return _some(tx, source, "i.run", [inside, Part("i.dataset = d.id"), context])
    told = search_sql.comparison(f"d.{clause.key}", clause.op, clause.value)
    where = search_sql.joint([inside, told])
    sql = f"SELECT d.id FROM input_datasets d WHERE {where.sql} LIMIT {_MOST_DATASETS + 1}"
    datasets = [row[0] for row in tx.all(sql, where.params)]
    if not datasets or len(datasets) > _MOST_DATASETS:
        return None if datasets else set()
    return _some(tx, "run_inputs f", "f.run", [Part(f"f.dataset IN ({marks(datasets)})", tuple(datasets))])


def _some(tx: Tx, source: str, column: str, where: Sequence[Part]) -> set[int] | None:
    """A column of the few rows that satisfy some conditions."""
    every = search_sql.joint(where)
    source = source if " " in source else f"{source} f"
    found = tx.all(f"SELECT {column} FROM {source} WHERE {every.sql} LIMIT {FEW}", every.params)
    return {row[0] for row in found} if len(found) < FEW else None


def _everywhere(tx: Tx, query: Query, clause: Clause, condition: Part) -> bool:
    """Whether every run of the experiments, deleted or not, has a key."""
    key = _of_key(query, condition)
    have = tx.scalar(f"SELECT COUNT(*) FROM {TABLES[clause.entity]} f WHERE {key.sql}", key.params)
    sql = f"SELECT COUNT(*) FROM runs f WHERE f.experiment IN ({marks(query.experiments)})"
    return int(have) >= int(tx.scalar(sql, query.experiments))
