"""Searching runs: the question is compiled to the cheapest of three plans.

- A clause that few rows satisfy (found by a bounded count over its index) drives the query (``run_drivers``).
- Otherwise the first sort key is walked in the order of its index (``run_places``): when it was logged, first
  the runs that have a number or text, then those with NaN, then those without the key.
- Otherwise runs are walked in their own order and every clause is looked up by primary key.

When a walk has looked at some thousand runs and not found a page, the clause that the fewest runs satisfy drives
after all. So the work grows with the page and with how rare the answers are, not with the store:
``tests/unit/train/test_search_plans.py`` counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Protocol

import msgspec

from stile.kernel.errors import Invalid
from stile.store.database import Row, Tx
from stile.train import limits, run_clauses, run_drivers, run_phases, run_records, search_sql
from stile.train.filters import Vocabulary, parse_filter, parse_orders
from stile.train.metric_summary import parse_order
from stile.train.run_clauses import Query, View
from stile.train.run_drivers import Driver
from stile.train.run_places import TooFar
from stile.train.run_values import Run

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

_LEAST_SHARE = 10
_MOST_TRIED = 20
"""In so many experiments a page is looked for before it is found out what few runs satisfy."""


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the runs asked for, and the token that leads to the rest ('' at the end)."""

    runs: list[Run]
    next_page_token: str = ""


class RowPage(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of some of the runs asked for, and the tokens that lead on and back ('' where there is no more)."""

    rows: list[int]
    preceding: str = ""
    following: str = ""


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
    orders = parse_orders(order_by, WORDS, parse_order)
    question = search_sql.question(sorted(experiment_ids), filter, view, list(order_by))
    token = search_sql.read_token(before or after, question)
    tx.walk_indexes(in_order=True)
    query = run_clauses.resolved(tx, experiment_ids, view, clauses, orders)
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
    tx: Tx, query: Query, token: search_sql.Token | None, *, backwards: bool, limit: int
) -> list[tuple[int, int, list[Any]]]:
    """(run, phase, sort values) of runs from a token on, in the order of the query or against it."""
    if token is not None:
        if token.phase not in run_phases.phases(query):
            raise search_sql.bad_token()
        search_sql.check(run_phases.sort_keys(query, token.phase)[1], token.values)
    driver = run_drivers.few(tx, query)
    if driver is None and query.conditions and len(run_clauses.parts(query)) > _MOST_TRIED:
        driver = run_drivers.fewer(tx, query)
    elif driver is None and query.conditions:
        try:
            return _phases(tx, query, None, token, backwards=backwards, limit=limit, patient=False)
        except TooFar:
            driver = run_drivers.fewer(tx, query)
    return _phases(tx, query, driver, token, backwards=backwards, limit=limit)


def _phases(
    tx: Tx, query: Query, driver: Driver | None, token: search_sql.Token | None, *,
    backwards: bool, limit: int, patient: bool = True,
) -> list[tuple[int, int, list[Any]]]:  # fmt: skip
    """As ``_walk``, from the rows of the driver, or without one in the order of an index.

    Raises:
        TooFar: as in ``run_phases.walk``.
    """
    found: list[tuple[int, int, list[Any]]] = []
    if driver is not None:
        if not driver.rows:
            return []
        tx.walk_indexes()
    phases = run_phases.phases(query)
    for phase in reversed(phases) if backwards else phases:
        if token is not None and (phase > token.phase if backwards else phase < token.phase):
            continue
        mark = token.values if token is not None and token.phase == phase else None
        rest = limit - len(found)
        if driver is not None:
            rows = run_phases.read(tx, query, driver, phase, after=mark, limit=rest, backwards=backwards)
        else:
            walks = [
                partial(run_phases.walk, tx, part, phase, backwards=backwards, patient=patient)
                for part in run_clauses.parts(query)
            ]
            ways = [key.ascending != backwards for key in run_phases.sort_keys(query, phase)[1]]
            rows = _merged(walks, ways, after=mark, limit=rest)
        found += [(row[0], phase, list(row[1:])) for row in rows]
        if len(found) >= limit:
            break
    return found


class _Walk(Protocol):
    def __call__(self, *, after: Sequence[Any] | None, limit: int) -> list[Row]: ...


def _merged(walks: Sequence[_Walk], ways: Sequence[bool], *, after: Sequence[Any] | None, limit: int) -> list[Row]:
    """The next rows (run, sort values...) of several walks in one order; ``ways`` says which values go up.

    Of each walk a share of them is read, and more of those that a share was too small for.
    """
    share = limit if len(walks) == 1 else max(_LEAST_SHARE, 2 * limit // len(walks))
    found = [walk(after=after, limit=share) for walk in walks]
    if len(walks) == 1:
        return found[0]
    unfinished = {place: share for place, rows in enumerate(found) if len(rows) == share}
    while True:
        rows = [row for part in found for row in part]
        for value, up in reversed(list(enumerate(ways, start=1))):
            rows.sort(key=itemgetter(value), reverse=not up)
        ends = {found[place][-1][0]: place for place in unfinished}
        first = next((at for at, row in enumerate(rows[:limit]) if row[0] in ends), None)
        if first is None or first == limit - 1:
            return rows[:limit]
        place = ends[rows[first][0]]
        unfinished[place] = min(2 * unfinished[place], limit)
        more = walks[place](after=list(found[place][-1][1:]), limit=unfinished[place])
        found[place] += more
        if len(more) < unfinished[place]:
            del unfinished[place]
