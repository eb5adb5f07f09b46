"""A store filled with many runs in a moment: written by SQL, not through the API.

Run number ``i`` (from 1) has two metrics, two params and two tags whose values follow from ``i``, so a search finds the
same runs wherever the store was filled.
"""

from __future__ import annotations

from stile.store.database import Tx

_METRICS = ("acc", "loss")
_PARAMS = {"model": "'m' || (id % 7)", "lr": "printf('%.4f', ((id * 104729) % 10007) / 10007.0)"}
_TAGS = {"team": "'t' || (id % 5)", "owner": "'o' || (id / 20)"}


def seed(tx: Tx, runs: int) -> None:
    """Fill the default experiment of an empty SQLite store with this many finished runs, a second apart."""
    tx.run(
        "INSERT INTO runs (run_id, experiment, name, user_id, status, start_time, end_time, artifact_uri, lifecycle, "
        "created_by) WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?) "
        "SELECT printf('%032x', i * 2654435761 % 4294967296), 0, printf('run-%05d', i), 'ada', 'FINISHED', "
        "1700000000000 + i * 1000, 1700000000500 + i * 1000, 'mlflow-artifacts:/0/x', 'active', 'ada' FROM n",
        (runs,),
    )
    for number, name in enumerate((*_METRICS, *_PARAMS, *_TAGS), start=1):
        tx.run("INSERT INTO run_keys (id, name) VALUES (?, ?)", (number, name))
        if name in _METRICS:
            spread = "((id * 7919 * ?) % 1000003) / 1000003.0"
            tx.run(
                "INSERT INTO latest (run, key, experiment, value, step, at, low, high) "
                f"SELECT id, ?, 0, {spread}, 1, 1, {spread}, {spread} FROM runs ORDER BY id",
                (number, number, number, number),
            )
            continue
        table, value = ("params", _PARAMS[name]) if name in _PARAMS else ("run_tags", _TAGS[name])
        tx.run(
            f"INSERT INTO {table} (run, key, experiment, value) SELECT id, ?, 0, {value} FROM runs ORDER BY id",
            (number,),
        )
