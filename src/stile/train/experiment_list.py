"""Experiments as a list: how many runs each has, when the last of them began, the last active first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.store.database import Tx
from stile.train import experiment_records, search_sql
from stile.train.experiment_records import Experiment
from stile.train.run_keys import marks
from stile.train.search_sql import Part, SortKey

MOST_COUNTED = 1000
_LAST = "(SELECT MAX(r.start_time) FROM runs r WHERE r.experiment = e.id AND r.lifecycle = 'active')"
_ACTIVE = f"CASE WHEN {_LAST} > e.updated_at THEN {_LAST} ELSE e.updated_at END"


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment, its active runs (exactly, or ``more`` than the number says), and when the last one began."""

    experiment: Experiment
    runs: int
    more: bool
    last_run_at: int | None


class ListPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some experiments, and the tokens that lead on and back ('' where there is no more)."""

    experiments: list[Listed]
    preceding: str = ""
    following: str = ""


def page(
    tx: Tx, *, text: str = "", deleted: bool = False, limit: int = 50, after: str = "", before: str = ""
) -> ListPage:
    """Active experiments whose name has ``text`` in it, the last active first; or the deleted ones, the last first.

    Raises:
        Invalid: the token does not belong to this search.
    """
    question = search_sql.question("deleted experiments" if deleted else "experiments", text)
    token = search_sql.read_token(before or after, question)
    keys = [SortKey(_ACTIVE, bool(before)), SortKey("e.id", bool(before))]
    where = [Part("e.lifecycle = ?", ("deleted" if deleted else "active",))]
    if text:
        where.append(Part("lower(e.name) LIKE lower(?) ESCAPE '!'", (f"%{_plain(text)}%",)))
    if token is not None:
        where.append(search_sql.beyond(keys, token.values))
    found = tx.all(
        f"SELECT e.id, {_ACTIVE} FROM experiments e WHERE {' AND '.join(part.sql for part in where)} "
        f"ORDER BY {search_sql.order_by(keys)} LIMIT ?",
        [*(value for part in where for value in part.params), limit + 1],
    )
    more = len(found) > limit
    found = found[:limit]
    if before:
        found.reverse()
    ends = [search_sql.write_token(question, 0, [row[1], row[0]]) for row in (found[:1] + found[-1:])]
    return ListPage(
        experiments=listed(tx, [row[0] for row in found]),
        preceding=ends[0] if found and (more if before else bool(after)) else "",
        following=ends[-1] if found and (more or bool(before)) else "",
    )


def any_deleted(tx: Tx) -> bool:
    """Whether there are deleted experiments that are not purged yet."""
    return tx.one("SELECT 1 FROM experiments WHERE lifecycle = 'deleted' LIMIT 1") is not None


def listed(tx: Tx, ids: Sequence[int]) -> list[Listed]:
    """The experiments with these numbers, in this order."""
    if not ids:
        return []
    records = experiment_records.of_rows(
        tx, tx.all(f"SELECT {experiment_records.COLUMNS} FROM experiments e WHERE e.id IN ({marks(ids)})", ids)
    )
    counted = {
        row[0]: row[1:]
        for row in tx.all(
            f"SELECT e.id, (SELECT COUNT(*) FROM (SELECT 1 FROM runs r WHERE r.experiment = e.id "
            f"AND r.lifecycle = 'active' LIMIT ?) few), {_LAST} FROM experiments e WHERE e.id IN ({marks(ids)})",
            [MOST_COUNTED + 1, *ids],
        )
    }
    known = {each.row_id: each for each in records}
    return [
        Listed(
            experiment=known[id], runs=min(counted[id][0], MOST_COUNTED), more=counted[id][0] > MOST_COUNTED,
            last_run_at=counted[id][1],
        )
        for id in ids
        if id in known
    ]  # fmt: skip


def _plain(text: str) -> str:
    """The text as a pattern that matches itself alone."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
