"""Rows of the registry that only taking in from elsewhere touches: numbers and times of their own."""

from __future__ import annotations

from stile.store.database import Tx


def raise_last_version(tx: Tx, model: int, version: int) -> None:
    """Never give a number again that was given elsewhere."""
    tx.run("UPDATE registered_models SET last_version = ? WHERE id = ? AND last_version < ?", (version, model, version))


def set_model_times(tx: Tx, model: int, created_at: int, updated_at: int) -> None:
    """When a model was made and changed, elsewhere."""
    tx.run("UPDATE registered_models SET created_at = ?, updated_at = ? WHERE id = ?", (created_at, updated_at, model))


def set_version_times(tx: Tx, model: int, version: int, times: tuple[int, int]) -> None:
    """When a version was made and changed, elsewhere."""
    sql = "UPDATE model_versions SET created_at = ?, updated_at = ? WHERE model = ? AND version = ?"
    tx.run(sql, (*times, model, version))
