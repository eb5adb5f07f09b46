"""How the runs of an experiment that match a filter spread over states, people, data and the few-valued keys.

Counting stops at a thousand, and says so: without a filter every count is read from an index up to
there; with one, the first thousand runs that match are found once and everything is counted in them.
A key the filter already fixes is counted as if it did not, so that another value is one click away.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import msgspec

from stile.store.database import Tx
from stile.train import column_choice, filter_text, logged_keys, run_search
from stile.train.filters import Clause, Entity, parse_filter
from stile.train.run_keys import marks
from stile.train.run_search import WORDS

MOST_COUNTED = 1000
MOST_VALUES = 12
MOST_FACETS = 10
_MOST_KEYS = 60
_MOST_STATES = 60
_SHOWN_TAGS = ("estimator_name", "mlflow.source.name", "mlflow.source.git.branch", "mlflow.autologging")
_States = list[tuple[str, str, int]]
_TABLES: dict[Entity, Literal["params", "run_tags"]] = {"param": "params", "tag": "run_tags"}


class FacetValue(msgspec.Struct, frozen=True, kw_only=True):
    """One value, and how many runs have it: exactly, or ``more`` than the count says."""

    value: str
    count: int
    more: bool = False


class Facet(msgspec.Struct, frozen=True, kw_only=True):
    """One key and its values, the most frequent first. ``chosen`` is the value the filter asks for, if it does."""

    entity: Entity
    key: str
    values: list[FacetValue]
    chosen: str | None = None


class Facets(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs match, exactly or ``more`` than that, and how they spread."""

    runs: int
    more: bool
    facets: list[Facet]


class _Key(msgspec.Struct, frozen=True, kw_only=True):
    entity: Entity
    key: str
    number: int = 0
    values: list[str] = []


class _Whole:
    """An experiment as a whole; what several facets need of it is read once."""

    def __init__(self, tx: Tx, experiment: int) -> None:
        self.tx = tx
        self.experiment = experiment

    @cached_property
    def states(self) -> _States:
        return _all_states(self.tx, self.experiment)

    @cached_property
    def deleted(self) -> list[int]:
        return _deleted(self.tx, self.experiment)


class Matching(msgspec.Struct, frozen=True, kw_only=True):
    """The first runs that match, and whether those are all."""

    rows: list[int]
    whole: bool


def facets(tx: Tx, experiment: int, filter: str, *, known: Matching | None = None) -> Facets:
    """The facets of an experiment under a filter; keys with one value or more than twelve are left out.

    Args:
        tx: the transaction.
        experiment: its number.
        filter: as in ``run_search``.
        known: the runs that match it, when they are known already.

    Raises:
        Invalid: the filter cannot be read.
    """
    clauses = parse_filter(filter, WORDS)
    matching = (known or _matching(tx, experiment, clauses)) if clauses else None
    keys = _few_valued(tx, experiment, clauses)
    whole = _Whole(tx, experiment)
    found = []
    for key in keys:
        chosen = filter_text.chosen(clauses, key.entity, key.key)
        inside = matching
        if chosen is not None:
            others = filter_text.without(clauses, key.entity, key.key)
            inside = _matching(tx, experiment, others) if others else None
        values = _counted(whole, key, inside)
        if chosen is not None and all(each.value != chosen for each in values):
            values.append(FacetValue(value=chosen, count=0))
        if len(values) > 1 or chosen is not None:
            found.append(Facet(entity=key.entity, key=key.key, values=values[:MOST_VALUES], chosen=chosen))
    runs = len(matching.rows) if matching else sum(count for *_, count in whole.states)
    more = not matching.whole if matching else any(count > MOST_COUNTED for *_, count in whole.states)
    return Facets(runs=min(runs, MOST_COUNTED), more=more or runs > MOST_COUNTED, facets=found[:MOST_FACETS])


def values(tx: Tx, experiment: int, entity: Entity, key: str) -> list[FacetValue]:
    """The values of one key in an experiment with their counts, the most frequent first; none when they are many."""
    found = _Key(entity=entity, key=key)
    if (entity, key) not in (("attribute", "status"), ("attribute", "user_id"), ("dataset", "name")):
        table = _TABLES.get(entity)
        number = logged_keys.keys(tx, table, experiment).get(key) if table else None
        if table is None or number is None:
            return []
        known = logged_keys.values(tx, table, experiment, number, most=MOST_VALUES + 1)
        if len(known) > MOST_VALUES:
            return []
        found = _Key(entity=entity, key=key, number=number, values=known)
    return _counted(_Whole(tx, experiment), found, None)


def _matching(tx: Tx, experiment: int, clauses: Sequence[Clause]) -> Matching:
    page = run_search.rows(
        tx, experiment_ids=[str(experiment)], filter=filter_text.filter_text(clauses), max_results=MOST_COUNTED
    )
    return Matching(rows=page.rows, whole=not page.following)


def _few_valued(tx: Tx, experiment: int, clauses: Sequence[Clause]) -> list[_Key]:
    """What is worth a facet: state, person, dataset, and the keys with few values, the fewest first."""
    found = []
    for entity, table in _TABLES.items():
        for name, number in logged_keys.keys(tx, table, experiment, most=_MOST_KEYS).items():
            if name.startswith("mlflow.") and name not in _SHOWN_TAGS:
                continue
            values = logged_keys.values(tx, table, experiment, number, most=MOST_VALUES + 1)
            fixed = filter_text.chosen(clauses, entity, name) is not None
            few = 2 <= len(values) <= MOST_VALUES and all(len(v) < logged_keys.SHOWN_LETTERS for v in values)
            if few or fixed:
                found.append(_Key(entity=entity, key=name, number=number, values=values[:MOST_VALUES]))
    found.sort(
        key=lambda key: (
            filter_text.chosen(clauses, key.entity, key.key) is None, column_choice.is_seed(key.key),
            key.entity != "param", len(key.values), key.key,
        )
    )  # fmt: skip
    always = [
        _Key(entity="attribute", key="status"),
        _Key(entity="attribute", key="user_id"),
        _Key(entity="dataset", key="name"),
    ]
    return always + found


def _counted(whole: _Whole, key: _Key, inside: Matching | None) -> list[FacetValue]:
    if inside is not None and not inside.rows:
        return []
    if key.entity == "attribute":
        pairs = _states(whole, key.key, inside)
    elif key.entity == "dataset":
        pairs = _datasets(whole.tx, whole.experiment, inside)
    elif inside is None:
        pairs = _indexed(whole, key)
    else:
        rows = whole.tx.all(
            f"SELECT substr(value, 1, 100), COUNT(*) FROM {_TABLES[key.entity]} "
            f"WHERE run IN ({marks(inside.rows)}) AND key = ? GROUP BY 1",
            [*inside.rows, key.number],
        )
        pairs = [(value, count) for value, count in rows]
    partial = inside is not None and not inside.whole
    found = [
        FacetValue(value=value, count=min(count, MOST_COUNTED), more=partial or count > MOST_COUNTED)
        for value, count in pairs
        if count
    ]
    return sorted(found, key=lambda each: (-each.count, each.value))


def _states(whole: _Whole, column: str, inside: Matching | None) -> list[tuple[str, int]]:
    """Runs by ``status`` or ``user_id``."""
    if inside is not None:
        rows = whole.tx.all(
            f"SELECT {column}, COUNT(*) FROM runs WHERE id IN ({marks(inside.rows)}) GROUP BY {column}", inside.rows
        )
        return [(value, count) for value, count in rows]
    found: dict[str, int] = {}
    for status, user, count in whole.states:
        value = status if column == "status" else user
        found[value] = found.get(value, 0) + count
    return list(found.items())


def _all_states(tx: Tx, experiment: int) -> _States:
    """Runs by status and user: both stand in one index, which is walked from pair to pair."""
    where = "experiment = ? AND lifecycle = 'active'"
    found: _States = []
    last: tuple[str, str] = ("", "")
    while len(found) < _MOST_STATES:
        pair = tx.one(
            f"SELECT status, user_id FROM runs WHERE {where} AND (status, user_id) > (?, ?) "
            "ORDER BY status, user_id LIMIT 1",
            (experiment, *last),
        )
        if pair is None:
            break
        last = (pair[0], pair[1])
        count = tx.scalar(
            f"SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE {where} AND status = ? AND user_id = ? LIMIT ?) few",
            (experiment, *last, MOST_COUNTED + 1),
        )
        found.append((*last, int(count)))
    return found


def _datasets(tx: Tx, experiment: int, inside: Matching | None) -> list[tuple[str, int]]:
    """Runs by the name of a dataset they have read."""
    if inside is not None:
        rows = tx.all(
            "SELECT d.name, COUNT(DISTINCT i.run) FROM run_inputs i JOIN input_datasets d ON d.id = i.dataset "
            f"WHERE i.run IN ({marks(inside.rows)}) GROUP BY d.name",
            inside.rows,
        )
        return [(name, count) for name, count in rows]
    names = tx.all(
        "SELECT DISTINCT name FROM input_datasets WHERE experiment = ? ORDER BY name LIMIT ?",
        (experiment, MOST_VALUES + 1),
    )
    counted = "SELECT DISTINCT i.run FROM input_datasets d JOIN run_inputs i ON i.dataset = d.id"
    return [
        (
            name,
            tx.scalar(
                f"SELECT COUNT(*) FROM ({counted} JOIN runs r ON r.id = i.run AND r.lifecycle = 'active' "
                "WHERE d.experiment = ? AND d.name = ? LIMIT ?) few",
                (experiment, name, MOST_COUNTED + 1),
            ),
        )
        for (name,) in names
    ]


def _indexed(whole: _Whole, key: _Key) -> list[tuple[str, int]]:
    """Runs by value, from the index by value alone; the few deleted ones among them are taken off."""
    table, deleted = _TABLES[key.entity], whole.deleted
    gone: dict[str, int] = {}
    if 0 < len(deleted) <= MOST_COUNTED:
        rows = whole.tx.all(
            f"SELECT substr(value, 1, 100), COUNT(*) FROM {table} WHERE run IN ({marks(deleted)}) AND key = ? "
            "GROUP BY 1",
            [*deleted, key.number],
        )
        gone = dict(rows)
    many = len(deleted) > MOST_COUNTED
    living = " AND EXISTS (SELECT 1 FROM runs r WHERE r.id = t.run AND r.lifecycle = 'active')" if many else ""
    rows = whole.tx.all(
        f"WITH v(value) AS (VALUES {', '.join(['(?)'] * len(key.values))}) "
        f"SELECT v.value, (SELECT COUNT(*) FROM (SELECT 1 FROM {table} t WHERE t.experiment = ? "
        f"AND t.key = ? AND substr(t.value, 1, 100) = v.value{living} LIMIT ?) few) FROM v",
        [*key.values, whole.experiment, key.number, MOST_COUNTED + 1 + max(gone.values(), default=0)],
    )
    return [(value, count - gone.get(value, 0)) for value, count in rows]


def _deleted(tx: Tx, experiment: int) -> list[int]:
    """Numbers of deleted runs, as many as it takes to know whether they are few."""
    sql = "SELECT id FROM runs WHERE experiment = ? AND lifecycle = 'deleted' LIMIT ?"
    return [row[0] for row in tx.all(sql, (experiment, MOST_COUNTED + 1))]
