"""Rows that only taking in from elsewhere touches: times of their own, and what is here already."""

from __future__ import annotations

from collections.abc import Sequence

from stile.store.database import Tx
from stile.train.run_keys import marks

_BLOCK = 500


def set_experiment_times(tx: Tx, experiment: int, created_at: int, updated_at: int) -> None:
    """When an experiment was made and changed, elsewhere."""
    tx.run(
        "UPDATE experiments SET created_at = ?, updated_at = ? WHERE id = ?",
        (created_at, updated_at or created_at, experiment),
    )


def known_runs(tx: Tx, run_ids: Sequence[str]) -> list[str]:
    """Those of the ids that are runs."""
    found: list[str] = []
    for start in range(0, len(run_ids), _BLOCK):
        part = run_ids[start : start + _BLOCK]
        found += [row[0] for row in tx.all(f"SELECT run_id FROM runs WHERE run_id IN ({marks(part)})", part)]
    return found


def logged_model(tx: Tx, model_id: str) -> tuple[int, str] | None:
    """(number, lifecycle) of a logged model, deleted or not."""
    row = tx.one("SELECT id, lifecycle FROM logged_models WHERE model_id = ?", (model_id,))
    return None if row is None else (int(row[0]), str(row[1]))


def logged_model_uri(tx: Tx, model: int) -> str:
    """Where its files belong."""
    return str(tx.scalar("SELECT artifact_uri FROM logged_models WHERE id = ?", (model,)))


def logged_model_tags(tx: Tx, model: int) -> set[str]:
    """The keys of its tags."""
    return {row[0] for row in tx.all("SELECT key FROM logged_model_tags WHERE model = ?", (model,))}


def set_logged_model_times(tx: Tx, model: int, created_at: int, updated_at: int) -> None:
    """When a model was made and changed, elsewhere."""
    tx.run("UPDATE logged_models SET created_at = ?, updated_at = ? WHERE id = ?", (created_at, updated_at, model))
