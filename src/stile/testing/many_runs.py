"""A store filled with many runs in a moment: written by SQL, not through the API.

Run number ``i`` (from 1) has two metrics, two params and two tags whose values follow from ``i``, so a search finds the
same runs wherever the store was filled.
"""

from __future__ import annotations

from stile.store.database import Tx
from stile.store.migrations import Dialect

_METRICS = ("acc", "loss")
_PARAMS = {"model": "'m' || (id % 7)", "lr": "{fraction}"}
_TAGS = {"team": "'t' || (id % 5)", "owner": "'o' || (id / 20)"}
_FRACTION = "((id * 104729) % 10007) / 10007.0"
_TEXTS: dict[Dialect, dict[str, str]] = {
    "sqlite": {
        "run_id": "printf('%032x', i * 2654435761 % 4294967296)",
        "name": "printf('run-%05d', i)",
        "fraction": f"printf('%.4f', {_FRACTION})",
    },
    "postgres": {
        "run_id": "lpad(to_hex(i::bigint * 2654435761 % 4294967296), 32, '0')",
        "name": "'run-' || lpad(i::text, greatest(5, length(i::text)), '0')",
        "fraction": f"to_char({_FRACTION}, 'FM0.0000')",
    },
}


def seed(tx: Tx, runs: int, *, dialect: Dialect = "sqlite") -> None:
    """Fill the default experiment of an empty store with this many finished runs, a second apart."""
    texts = _TEXTS[dialect]
    tx.run(
        "INSERT INTO runs (run_id, experiment, name, user_id, status, start_time, end_time, artifact_uri, lifecycle, "
        "created_by) WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?) "
        f"SELECT {texts['run_id']}, 0, {texts['name']}, 'ada', 'FINISHED', "
        "1700000000000 + i * 1000, 1700000000500 + i * 1000, 'mlflow-artifacts:/0/x', 'active', 'ada' FROM n",
        (runs,),
    )
    for number, name in enumerate((*_METRICS, *_PARAMS, *_TAGS), start=1):
        tx.run("INSERT INTO run_keys (id, name) VALUES (?, ?)", (number, name))
        if name in _METRICS:
            spread = f"((id * 7919 * {number}) % 1000003) / 1000003.0"
            tx.run(
                "INSERT INTO latest (run, key, experiment, value, step, at, low, high) "
                f"SELECT id, {number}, 0, {spread}, 1, 1, {spread}, {spread} FROM runs ORDER BY id"
            )
            continue
        table, value = ("params", _PARAMS[name]) if name in _PARAMS else ("run_tags", _TAGS[name])
        tx.run(
            f"INSERT INTO {table} (run, key, experiment, value) "
            f"SELECT id, {number}, 0, {value.format(**texts)} FROM runs ORDER BY id"
        )
