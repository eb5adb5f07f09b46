"""Rows of registered models and their tags."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.store.database import Row, Tx
from stile.train.run_keys import marks

COLUMNS = "m.id, m.name, m.description, m.last_version, m.created_at, m.updated_at, m.created_by"


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A named line of versions. ``aliases`` maps alias to version."""

    row: int
    name: str
    description: str
    last_version: int
    created_at: int
    updated_at: int
    created_by: str
    tags: dict[str, str]
    aliases: dict[str, int]


def of_rows(tx: Tx, rows: Sequence[Row]) -> list[RegisteredModel]:
    """Models of selected ``COLUMNS``, with tags and aliases."""
    tags: dict[int, dict[str, str]] = {row[0]: {} for row in rows}
    aliases: dict[int, dict[str, int]] = {row[0]: {} for row in rows}
    if rows:
        ids = list(tags)
        where = f"IN ({marks(ids)})"
        for model, key, value in tx.all(
            f"SELECT model, key, value FROM registered_model_tags WHERE model {where} ORDER BY key", ids
        ):
            tags[model][key] = value
        for model, alias, version in tx.all(
            f"SELECT model, alias, version FROM model_aliases WHERE model {where} ORDER BY alias", ids
        ):
            aliases[model][alias] = version
    return [
        RegisteredModel(
            row=row[0], name=row[1], description=row[2], last_version=row[3], created_at=row[4],
            updated_at=row[5], created_by=row[6], tags=tags[row[0]], aliases=aliases[row[0]],
        )
        for row in rows
    ]  # fmt: skip


def find(tx: Tx, name: str) -> RegisteredModel | None:
    """The model of this name."""
    rows = tx.all(f"SELECT {COLUMNS} FROM registered_models m WHERE m.name = ?", (name,))
    return next(iter(of_rows(tx, rows)), None)


def row_of(tx: Tx, name: str) -> int | None:
    """Its number alone."""
    found = tx.scalar("SELECT id FROM registered_models WHERE name = ?", (name,))
    return None if found is None else int(found)


def add(tx: Tx, *, name: str, description: str, by: str) -> int:
    """A new model without versions; its number."""
    now = tx.now_ms()
    return int(
        tx.scalar(
            "INSERT INTO registered_models (name, description, last_version, created_at, updated_at, created_by) "
            "VALUES (?, ?, 0, ?, ?, ?) RETURNING id",
            (name, description, now, now, by),
        )
    )


def next_version(tx: Tx, model: int) -> int:
    """A version number never used before."""
    return int(
        tx.scalar(
            "UPDATE registered_models SET last_version = last_version + 1, updated_at = ? WHERE id = ? "
            "RETURNING last_version",
            (tx.now_ms(), model),
        )
    )


def set_description(tx: Tx, model: int, description: str) -> None:
    """What it is for."""
    tx.run(
        "UPDATE registered_models SET description = ?, updated_at = ? WHERE id = ?", (description, tx.now_ms(), model)
    )


def set_name(tx: Tx, model: int, name: str) -> None:
    """Its name; versions and aliases stay."""
    tx.run("UPDATE registered_models SET name = ?, updated_at = ? WHERE id = ?", (name, tx.now_ms(), model))


def set_tag(tx: Tx, model: int, key: str, value: str) -> None:
    """One tag."""
    tx.run(
        "INSERT INTO registered_model_tags (model, key, value) VALUES (?, ?, ?) "
        "ON CONFLICT (model, key) DO UPDATE SET value = excluded.value",
        (model, key, value),
    )


def drop_tag(tx: Tx, model: int, key: str) -> None:
    """Take a tag away; an absent one is no error."""
    tx.run("DELETE FROM registered_model_tags WHERE model = ? AND key = ?", (model, key))


def drop(tx: Tx, model: int) -> None:
    """Forget the model and all its versions."""
    for table in ("version_tags", "model_aliases", "alias_history", "model_versions", "registered_model_tags"):
        tx.run(f"DELETE FROM {table} WHERE model = ?", (model,))
    tx.run("DELETE FROM registered_models WHERE id = ?", (model,))
