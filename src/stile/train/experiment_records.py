"""Rows of experiments and their tags."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.store.database import Row, Tx
from stile.train.run_keys import marks

COLUMNS = "e.id, e.name, e.artifact_location, e.lifecycle, e.created_at, e.updated_at, e.created_by"


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A named group of runs. ``lifecycle`` is ``active`` or ``deleted``."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle: str
    created_at: int
    updated_at: int
    created_by: str
    tags: dict[str, str] = {}

    @property
    def row_id(self) -> int:
        """The number the store knows it by."""
        return int(self.experiment_id)


def of_rows(tx: Tx, rows: Sequence[Row]) -> list[Experiment]:
    """Experiments of selected ``COLUMNS``, with their tags."""
    tags: dict[int, dict[str, str]] = {row[0]: {} for row in rows}
    if rows:
        ids = list(tags)
        for owner, key, value in tx.all(
            f"SELECT experiment, key, value FROM experiment_tags WHERE experiment IN ({marks(ids)})", ids
        ):
            tags[owner][key] = value
    return [
        Experiment(
            experiment_id=str(row[0]), name=row[1], artifact_location=row[2], lifecycle=row[3],
            created_at=row[4], updated_at=row[5], created_by=row[6], tags=tags[row[0]],
        )
        for row in rows
    ]  # fmt: skip


def by_id(tx: Tx, experiment: int) -> Experiment | None:
    """The experiment with this number."""
    return next(iter(of_rows(tx, tx.all(f"SELECT {COLUMNS} FROM experiments e WHERE e.id = ?", (experiment,)))), None)


def by_name(tx: Tx, name: str) -> Experiment | None:
    """The experiment of this name, deleted or not."""
    return next(iter(of_rows(tx, tx.all(f"SELECT {COLUMNS} FROM experiments e WHERE e.name = ?", (name,)))), None)


def add(tx: Tx, *, name: str, location: str, by: str) -> int:
    """A new experiment; its number."""
    now = tx.now_ms()
    return int(
        tx.scalar(
            "INSERT INTO experiments (name, artifact_location, lifecycle, created_at, updated_at, created_by) "
            "VALUES (?, ?, 'active', ?, ?, ?) RETURNING id",
            (name, location, now, now, by),
        )
    )


def set_location(tx: Tx, experiment: int, location: str) -> None:
    """Where its artifacts go."""
    tx.run("UPDATE experiments SET artifact_location = ? WHERE id = ?", (location, experiment))


def set_name(tx: Tx, experiment: int, name: str) -> None:
    """Its name."""
    tx.run("UPDATE experiments SET name = ?, updated_at = ? WHERE id = ?", (name, tx.now_ms(), experiment))


def set_lifecycle(tx: Tx, experiment: int, lifecycle: str) -> None:
    """``active`` or ``deleted``."""
    tx.run("UPDATE experiments SET lifecycle = ?, updated_at = ? WHERE id = ?", (lifecycle, tx.now_ms(), experiment))


def set_tag(tx: Tx, experiment: int, key: str, value: str) -> None:
    """One tag."""
    tx.run(
        "INSERT INTO experiment_tags (experiment, key, value) VALUES (?, ?, ?) "
        "ON CONFLICT (experiment, key) DO UPDATE SET value = excluded.value",
        (experiment, key, value),
    )
    tx.run("UPDATE experiments SET updated_at = ? WHERE id = ?", (tx.now_ms(), experiment))


def drop_tag(tx: Tx, experiment: int, key: str) -> bool:
    """Take a tag away; whether it was there."""
    return tx.run("DELETE FROM experiment_tags WHERE experiment = ? AND key = ?", (experiment, key)) > 0
