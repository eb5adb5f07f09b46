"""Counting runs by value: everywhere in an experiment from its indexes, or among the runs that were found.

Counting stops at a thousand: nobody reads further, and further would cost with the size of the experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import msgspec

from stile.store.database import Tx
from stile.train.filters import Entity
from stile.train.run_keys import marks

MOST_COUNTED = 1000
_MOST_STATES = 60
_MOST_DATASETS = 20
TABLES: dict[Entity, Literal["params", "run_tags"]] = {"param": "params", "tag": "run_tags"}

Pairs = list[tuple[str, int]]


class CountedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to count by: ``status``, ``user_id``, the name of a dataset, or a parameter or tag with its values."""

    entity: Entity
    key: str
    number: int = 0
    values: list[str] = []


class Everywhere:
    """All active runs of an experiment, counted from indexes; what several keys need is read once."""

    partial = False

    def __init__(self, tx: Tx, experiment: int) -> None:
        self._tx = tx
        self._experiment = experiment

    def pairs(self, key: CountedKey) -> Pairs:
        """(value, runs) of a key; a count above a thousand means: more than that."""
        if key.entity == "attribute":
            return _sums(self.states, key.key)
        return self._datasets() if key.entity == "dataset" else self._texts(key)

    @cached_property
    def states(self) -> list[tuple[str, str, int]]:
        """Runs by status and user: both stand in one index, which is walked from pair to pair."""
        where = "experiment = ? AND lifecycle = 'active'"
        step = f"SELECT status, user_id FROM runs WHERE {where} AND {{}} ORDER BY status, user_id LIMIT 1"
        found: list[tuple[str, str, int]] = []
        last: tuple[str, str] = ("", "")
        while len(found) < _MOST_STATES:
            pair = self._tx.one(step.format("status = ? AND user_id > ?"), (self._experiment, *last)) if found else None
            pair = pair or self._tx.one(step.format("status > ?"), (self._experiment, last[0]))
            if pair is None:
                break
            last = (pair[0], pair[1])
            count = self._tx.scalar(
                f"SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE {where} AND status = ? AND user_id = ? LIMIT ?) few",
                (self._experiment, *last, MOST_COUNTED + 1),
            )
            found.append((*last, int(count)))
        return found

    @cached_property
    def _deleted(self) -> list[int]:
        """Numbers of deleted runs, as many as it takes to know whether they are few."""
        sql = "SELECT id FROM runs WHERE experiment = ? AND lifecycle = 'deleted' LIMIT ?"
        return [row[0] for row in self._tx.all(sql, (self._experiment, MOST_COUNTED + 1))]

    def _texts(self, key: CountedKey) -> Pairs:
        """Runs by value, from the index by value alone; the few deleted ones among them are taken off."""
        table, deleted = TABLES[key.entity], self._deleted
        gone: dict[str, int] = {}
        if 0 < len(deleted) <= MOST_COUNTED:
            rows = self._tx.all(
                f"SELECT substr(value, 1, 100), COUNT(*) FROM {table} WHERE run IN ({marks(deleted)}) AND key = ? "
                "GROUP BY 1",
                [*deleted, key.number],
            )
            gone = dict(rows)
        many = len(deleted) > MOST_COUNTED
        living = " AND EXISTS (SELECT 1 FROM runs r WHERE r.id = t.run AND r.lifecycle = 'active')" if many else ""
        rows = self._tx.all(
            f"WITH v(value) AS (VALUES {', '.join(['(?)'] * len(key.values))}) "
            f"SELECT v.value, (SELECT COUNT(*) FROM (SELECT 1 FROM {table} t WHERE t.experiment = ? "
            f"AND t.key = ? AND substr(t.value, 1, 100) = v.value{living} LIMIT ?) few) FROM v",
            [*key.values, self._experiment, key.number, MOST_COUNTED + 1 + max(gone.values(), default=0)],
        )
        return [(value, count - gone.get(value, 0)) for value, count in rows]

    def _datasets(self) -> Pairs:
        """Runs by the name of a dataset they have read."""
        names = self._tx.all(
            "SELECT DISTINCT name FROM input_datasets WHERE experiment = ? ORDER BY name LIMIT ?",
            (self._experiment, _MOST_DATASETS),
        )
        counted = "SELECT DISTINCT i.run FROM input_datasets d JOIN run_inputs i ON i.dataset = d.id"
        living = " JOIN runs r ON r.id = i.run AND r.lifecycle = 'active'" if self._deleted else ""
        return [
            (
                name,
                self._tx.scalar(
                    f"SELECT COUNT(*) FROM ({counted}{living} WHERE d.experiment = ? AND d.name = ? LIMIT ?) few",
                    (self._experiment, name, MOST_COUNTED + 1),
                ),
            )
            for (name,) in names
        ]


class Among:
    """Runs that were found, all counted in; ``partial`` when there are more of them."""

    def __init__(self, tx: Tx, rows: Sequence[int], keys: Sequence[CountedKey], *, partial: bool) -> None:
        self.partial = partial
        self._tx = tx
        self._rows = rows
        self._keys = keys

    def pairs(self, key: CountedKey) -> Pairs:
        """(value, runs) of a key."""
        if not self._rows:
            return []
        if key.entity == "attribute":
            return _sums(self._states, key.key)
        return self._datasets if key.entity == "dataset" else self._texts.get((key.entity, key.number), [])

    @cached_property
    def _states(self) -> list[tuple[str, str, int]]:
        rows = self._tx.all(
            f"SELECT status, user_id, COUNT(*) FROM runs WHERE id IN ({marks(self._rows)}) GROUP BY status, user_id",
            self._rows,
        )
        return [(status, user, count) for status, user, count in rows]

    @cached_property
    def _texts(self) -> dict[tuple[str, int], Pairs]:
        """Every key in one statement per table: a list of a thousand runs is dear to hand over."""
        found: dict[tuple[str, int], Pairs] = {}
        for entity, table in TABLES.items():
            numbers = [each.number for each in self._keys if each.entity == entity]
            if not numbers:
                continue
            rows = self._tx.all(
                f"SELECT key, substr(value, 1, 100), COUNT(*) FROM {table} WHERE run IN ({marks(self._rows)}) "
                f"AND key IN ({marks(numbers)}) GROUP BY 1, 2",
                [*self._rows, *numbers],
            )
            for number, value, count in rows:
                found.setdefault((entity, number), []).append((value, count))
        return found

    @cached_property
    def _datasets(self) -> Pairs:
        rows = self._tx.all(
            "SELECT d.name, COUNT(DISTINCT i.run) FROM run_inputs i JOIN input_datasets d ON d.id = i.dataset "
            f"WHERE i.run IN ({marks(self._rows)}) GROUP BY d.name",
            self._rows,
        )
        return [(name, count) for name, count in rows]


def _sums(states: Sequence[tuple[str, str, int]], column: str) -> Pairs:
    """Runs by ``status`` or ``user_id``, from those by both."""
    found: dict[str, int] = {}
    for status, user, count in states:
        value = status if column == "status" else user
        found[value] = found.get(value, 0) + count
    return list(found.items())
