"""Walking an index in its order when many runs share a place in it, as with a parameter of few values.

An index by value tells nothing about the order inside a value. Where few runs share one, they are read and
sorted; where many do, runs are walked by their start and those with the value are picked, which finds a page of
them soon. Should they not be among the first runs that are looked at, they are all read after all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from stile.store.database import Row, Tx
from stile.train.search_sql import LETTERS, Part, joint

FEW = 2000
"""So many rows are read and sorted, or looked at one by one, without a second thought."""
_AHEAD = 4
_LOOKED_AT = 8
_LEAST_LOOKED_AT = 5000
_ENOUGH = 4


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An index that has the order asked for.

    Attributes:
        source: the table ``runs r``, or one of logged values ``o``, with its alias.
        where: the conditions that the index begins with.
        place: what it is ordered by; '' when all of these runs are in one place.
        same: ``place``, so written that no index answers a comparison with it.
        counted: whether the index tells how many are in the one place; otherwise it is taken for many.
        up: its direction.
        newest_first: the direction inside a place.
        keys: how many of a row's sort values belong to the place.
        runs: the conditions on runs ``r`` that the index of their start begins with.
        inside: reads the runs of one place in the order of further sort keys; None when start and id follow.
        nested: it leads through one place of another line.
    """

    source: str
    where: Part
    place: str
    same: str
    counted: bool = True
    up: bool
    newest_first: bool
    keys: int
    runs: Part
    inside: Inside | None = None
    nested: bool = False


class Inside(Protocol):
    """Reads the next runs of one place, as ``Walk`` does."""

    def __call__(self, place: Any, *, after: Sequence[Any] | None, limit: int) -> list[Row]:
        """Those whose further sort values are beyond ``after``.

        Raises:
            TooFar: they are not among those that are soon found.
        """
        ...


class TooFar(Exception):
    """So many runs were looked at that it is better to read the whole place and sort it."""


class Walk(Protocol):
    """Reads the next runs of a search: (run, sort values...)."""

    def __call__(
        self, *, after: Sequence[Any] | None, limit: int, within: Part | None = None, by_start: bool = False
    ) -> list[Row]:
        """Those beyond ``after`` that satisfy ``within``; with ``by_start`` they are in one place of the order."""
        ...


def along(
    tx: Tx, line: Line, walk: Walk, *, after: Sequence[Any] | None, limit: int, patient: bool = True
) -> list[Row]:
    """The next ``limit`` runs of the line that ``walk`` finds, from the one with the sort values ``after`` on.

    Raises:
        TooFar: ``patient`` is false, and they are not among the first runs that were looked at.
    """
    if not line.place and line.counted:
        sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {line.source} WHERE {line.where.sql} LIMIT {FEW}) few"
        if tx.scalar(sql, line.where.params) < FEW:
            return walk(after=after, limit=limit)
    if not line.place:
        return _shared(tx, line, walk, None, after=after, limit=limit, patient=patient)
    onwards, beyond = (">=", ">") if line.up else ("<=", "<")
    begin = None if after is None else Part(f"{line.place} {onwards} ?", (after[0],))
    found: list[Row] = []
    ahead = min(_AHEAD * limit, FEW)
    left = _most(limit)
    while len(found) < limit:
        if left < 0 and not patient and not is_near(found, limit):
            raise TooFar
        left -= ahead
        first, last = _window(tx, line, begin, ahead)
        further = ahead
        while first is not None and first == last and further < FEW:
            further = min(_AHEAD * further, FEW)
            first, last = _window(tx, line, begin, further)
        ahead = min(2 * ahead, FEW)
        rest = limit - len(found)
        if first is None or last is None:
            return found if first is None else found + walk(after=after, limit=rest, within=begin)
        if first == last:
            found += _shared(tx, line, walk, first, after=after, limit=rest, patient=patient)
            begin = Part(f"{line.place} {beyond} ?", (first,))
        else:
            window = Part(f"{line.place} {'<' if line.up else '>'} ?", (last,))
            found += walk(after=after, limit=rest, within=window if begin is None else joint([begin, window]))
            begin = Part(f"{line.place} {onwards} ?", (last,))
    return found


def _window(tx: Tx, line: Line, begin: Part | None, rows: int) -> tuple[Any, Any]:
    """The first place from ``begin`` on, and the one so many rows further; None where there is none."""
    where = line.where if begin is None else joint([line.where, begin])
    sql = (
        f"SELECT {line.place} FROM {line.source} WHERE {where.sql} "
        f"ORDER BY {line.place} {'ASC' if line.up else 'DESC'} LIMIT 1"
    )
    found = tx.one(f"SELECT ({sql}), ({sql} OFFSET {rows})", (*where.params, *where.params))
    return (None, None) if found is None else (found[0], found[1])


def _most(limit: int) -> int:
    """How many runs are looked at one by one before they are all read."""
    return max(_LEAST_LOOKED_AT, _LOOKED_AT * limit)


def _shared(
    tx: Tx, line: Line, walk: Walk, place: Any, *, after: Sequence[Any] | None, limit: int, patient: bool
) -> list[Row]:
    """Runs in one place that many share."""
    exactly = Part(f"{line.place} = ?", (place,)) if line.place else None
    if isinstance(place, str) and len(place) >= LETTERS:  # the index has the beginning only: they may differ
        return walk(after=after, limit=limit, within=exactly)
    mark = after if after is not None and (not line.place or after[0] == place) else None
    if line.inside is not None:
        if line.nested and exactly is not None and _is_small(tx, line, exactly, _most(limit)):
            return walk(after=mark, limit=limit, within=exactly)
        try:
            return line.inside(place, after=None if mark is None else mark[line.keys :], limit=limit)
        except TooFar:
            if not patient and not line.nested:
                raise
            return walk(after=mark, limit=limit, within=exactly)
    within = [Part(f"{line.same} = ?", (place,))] if line.place else []
    start = None if mark is None else mark[line.keys]
    end = end_of_walk(tx, line.runs, newest_first=line.newest_first, start=start, limit=limit)
    if end is not None:
        within.append(Part(f"r.start_time {'>=' if line.newest_first else '<='} ?", (end,)))
    found = walk(after=mark, limit=limit, within=joint(within) if within else None, by_start=True)
    if len(found) == limit or end is None:
        return found
    if is_near(found, limit):
        return walk(after=mark, limit=limit, within=joint(within[:-1]) if within[:-1] else None, by_start=True)
    if not patient:
        raise TooFar
    return walk(after=mark, limit=limit, within=exactly)


def is_near(found: Sequence[Row], limit: int) -> bool:
    """Whether so many were found among the first runs that the others cannot be far."""
    return _ENOUGH * len(found) >= limit


def _is_small(tx: Tx, line: Line, place: Part, most: int) -> bool:
    """Whether a place has so few runs that all of them are read at once."""
    where = joint([line.where, place])
    sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {line.source} WHERE {where.sql} LIMIT {most}) few"
    return int(tx.scalar(sql, where.params)) < most


def end_of_walk(tx: Tx, runs: Part, *, newest_first: bool, start: int | None, limit: int) -> int | None:
    """The start at which a walk by start has looked at as many runs as it should; None when there are not so many.

    Args:
        tx: the transaction.
        runs: the conditions on runs ``r`` that the index of their start begins with.
        newest_first: the direction of the walk.
        start: where it begins; None for the first run.
        limit: how many runs it should find.
    """
    begin = "" if start is None else f"AND r.start_time {'<=' if newest_first else '>='} ? "
    found = tx.scalar(
        f"SELECT r.start_time FROM runs r WHERE {runs.sql} {begin}"
        f"ORDER BY r.start_time {'DESC' if newest_first else 'ASC'} LIMIT 1 OFFSET ?",
        (*runs.params, *(() if start is None else (start,)), _most(limit)),
    )
    return None if found is None else int(found)
