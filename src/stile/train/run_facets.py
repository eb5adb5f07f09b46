"""How the runs of an experiment that match a filter spread over states, people, data and the few-valued keys.

Counting stops at a thousand, and says so: without a filter every count is read from an index up to
there; with one, the first thousand runs that match are found once and everything is counted in them
(see ``run_counts``).
A key the filter already fixes is counted as if it did not, so that another value is one click away.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.store.database import Tx
from stile.train import column_choice, filter_text, logged_keys, run_counts, run_search
from stile.train.filters import Clause, Entity, parse_filter
from stile.train.run_clauses import View
from stile.train.run_counts import TABLES, Among, CountedKey, Everywhere
from stile.train.run_search import WORDS

MOST_VALUES = 12
MOST_FACETS = 10
_MOST_KEYS = 60
_SHOWN_TAGS = ("estimator_name", "mlflow.source.name", "mlflow.source.git.branch", "mlflow.autologging")


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


class Matching(msgspec.Struct, frozen=True, kw_only=True):
    """The first runs that match, and whether those are all."""

    rows: list[int]
    whole: bool


def facets(
    tx: Tx, experiment: int, filter: str, *, view: View = "ACTIVE_ONLY", known: Matching | None = None
) -> Facets:
    """The facets of an experiment under a filter; keys with one value or more than twelve are left out.

    Args:
        tx: the transaction.
        experiment: its number.
        filter: as in ``run_search``.
        view: which runs are counted: those that are not deleted, the deleted ones, or all.
        known: the runs that match it, when they are known already.

    Raises:
        Invalid: the filter cannot be read.
    """
    clauses = parse_filter(filter, WORDS)
    found_first = bool(clauses) or view != "ACTIVE_ONLY"  # the indexes count active runs alone
    matching = (known or _matching(tx, experiment, clauses, view)) if found_first else None
    keys = _few_valued(tx, experiment, clauses)
    everywhere = Everywhere(tx, experiment)
    place = Among(tx, matching.rows, keys, partial=not matching.whole) if matching else everywhere
    found = []
    for key in keys:
        chosen = filter_text.chosen(clauses, key.entity, key.key)
        if chosen is None:
            values = _counted(place, key)
        else:
            others = filter_text.without(clauses, key.entity, key.key)
            wider = _matching(tx, experiment, others, view) if others or view != "ACTIVE_ONLY" else None
            values = _counted(Among(tx, wider.rows, [key], partial=not wider.whole) if wider else everywhere, key)
            if all(each.value != chosen for each in values):
                values.append(FacetValue(value=chosen, count=0))
        if len(values) > 1 or chosen is not None:
            found.append(Facet(entity=key.entity, key=key.key, values=values[:MOST_VALUES], chosen=chosen))
    most = run_counts.MOST_COUNTED
    runs = len(matching.rows) if matching else sum(count for *_, count in everywhere.states)
    more = not matching.whole if matching else any(count > most for *_, count in everywhere.states)
    return Facets(runs=min(runs, most), more=more or runs > most, facets=found[:MOST_FACETS])


def values(tx: Tx, experiment: int, entity: Entity, key: str) -> list[FacetValue]:
    """The values of one key in an experiment with their counts, the most frequent first; none when they are many."""
    found = CountedKey(entity=entity, key=key)
    if (entity, key) not in (("attribute", "status"), ("attribute", "user_id"), ("dataset", "name")):
        table = TABLES.get(entity)
        number = logged_keys.keys(tx, table, experiment).get(key) if table else None
        if table is None or number is None:
            return []
        known = logged_keys.values(tx, table, experiment, number, most=MOST_VALUES + 1)
        if len(known) > MOST_VALUES:
            return []
        found = CountedKey(entity=entity, key=key, number=number, values=known)
    return _counted(Everywhere(tx, experiment), found)


def _matching(tx: Tx, experiment: int, clauses: Sequence[Clause], view: View) -> Matching:
    page = run_search.rows(
        tx,
        experiment_ids=[str(experiment)],
        filter=filter_text.filter_text(clauses),
        view=view,
        max_results=run_counts.MOST_COUNTED,
    )
    return Matching(rows=page.rows, whole=not page.following)


def _few_valued(tx: Tx, experiment: int, clauses: Sequence[Clause]) -> list[CountedKey]:
    """What is worth a facet: state, person, dataset, and the keys with few values, the fewest first."""
    found = []
    for entity, table in TABLES.items():
        for name, number in logged_keys.keys(tx, table, experiment, most=_MOST_KEYS).items():
            if name.startswith("mlflow.") and name not in _SHOWN_TAGS:
                continue
            values = logged_keys.values(tx, table, experiment, number, most=MOST_VALUES + 1)
            fixed = filter_text.chosen(clauses, entity, name) is not None
            few = 2 <= len(values) <= MOST_VALUES and all(len(v) < logged_keys.SHOWN_LETTERS for v in values)
            if few or fixed:
                found.append(CountedKey(entity=entity, key=name, number=number, values=values[:MOST_VALUES]))
    found.sort(
        key=lambda key: (
            filter_text.chosen(clauses, key.entity, key.key) is None, column_choice.is_seed(key.key),
            key.entity != "param", len(key.values), key.key,
        )
    )  # fmt: skip
    always = [
        CountedKey(entity="attribute", key="status"),
        CountedKey(entity="attribute", key="user_id"),
        CountedKey(entity="dataset", key="name"),
    ]
    return always + found


def _counted(place: Everywhere | Among, key: CountedKey) -> list[FacetValue]:
    most = run_counts.MOST_COUNTED
    found = [
        FacetValue(value=value, count=min(count, most), more=place.partial or count > most)
        for value, count in place.pairs(key)
        if count
    ]
    return sorted(found, key=lambda each: (-each.count, each.value))
