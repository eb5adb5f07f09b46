"""SQL of stored predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from stile.deploy.prediction import Prediction
from stile.store.database import Row, Tx

_COLUMNS = (
    "p.position, p.id, p.at, p.role, p.version, p.digest, p.revision, c.names, p.inputs, p.output, p.score, "
    "p.latency_us, p.unit, p.segment, p.slices, p.broken, p.use_case, o.outcome, o.source, o.author, o.at"
)
_FROM = (
    "predictions p JOIN prediction_columns c ON c.id = p.columns_id "
    "LEFT JOIN accepted_outcomes o ON o.use_case = p.use_case AND o.prediction = p.id"
)


class StoredPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of one version, with the accepted truth about it where it is known.

    Attributes:
        position: grows in the order predictions arrived here.
        inputs: value by column.
        broken: contract checks the row breaks, as ``column:rule``.
        outcome: the accepted truth as text, None while unknown; ``source``, ``author``, ``outcome_at`` say whose.
    """

    position: int
    id: str
    use_case: str
    at: int
    role: str
    version: int
    digest: str
    revision: int
    inputs: dict[str, Any]
    output: Any
    score: float | None
    latency_us: int
    unit: str
    segment: str
    slices: dict[str, Any]
    broken: list[str]
    outcome: str | None = None
    source: str = ""
    author: str = ""
    outcome_at: int | None = None


def segment_next(tx: Tx, use_case: str, gateway: str, segment: str) -> int:
    """How many records of a gateway's segment are stored."""
    found = tx.scalar(
        "SELECT next FROM prediction_segments WHERE use_case = ? AND gateway = ? AND segment = ?",
        (use_case, gateway, segment),
    )
    return int(found or 0)


def move_segment(tx: Tx, use_case: str, gateway: str, segment: str, next: int) -> None:
    """Remember that the records before ``next`` are stored."""
    tx.run(
        "INSERT INTO prediction_segments (use_case, gateway, segment, next, at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (use_case, gateway, segment) DO UPDATE SET next = excluded.next, at = excluded.at",
        (use_case, gateway, segment, next, tx.now_ms()),
    )


def columns_id(tx: Tx, key: str, names: list[str]) -> int:
    """The number under which a list of column names is kept."""
    tx.run(
        "INSERT INTO prediction_columns (key, names) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
        (key, msgspec.json.encode(names).decode()),
    )
    return int(tx.scalar("SELECT id FROM prediction_columns WHERE key = ?", (key,)))


def insert(tx: Tx, use_case: str, columns: dict[str, int], predictions: Iterable[Prediction]) -> None:
    """Add predictions; ones that are here already stay as they are."""
    encode = msgspec.json.encode
    tx.many(
        "INSERT INTO predictions (id, use_case, at, role, version, digest, revision, columns_id, inputs, output, "
        "score, latency_us, unit, segment, slices, broken) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        [
            (
                p.id, use_case, p.at, p.role, p.version, p.digest, p.revision, columns[p.columns], encode(p.inputs),
                encode(p.output).decode(), p.score, p.latency_us, p.unit, p.segment,
                encode(p.slices).decode() if p.slices else "", encode(p.broken).decode() if p.broken else "",
            )
            for p in predictions
        ],
    )  # fmt: skip


def last_position(tx: Tx, use_case: str, role: str = "champion") -> int:
    """Position of the newest prediction in a role, 0 for none."""
    found = tx.scalar("SELECT MAX(position) FROM predictions WHERE use_case = ? AND role = ?", (use_case, role))
    return int(found or 0)


def of_id(tx: Tx, id: str) -> list[StoredPrediction]:
    """What every version said under this id, the answering one first."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM {_FROM} WHERE p.id = ? "
        "ORDER BY CASE p.role WHEN 'champion' THEN 0 WHEN 'challenger' THEN 1 ELSE 2 END, p.position",
        (id,),
    )
    return [_stored(row) for row in rows]


def use_cases_of(tx: Tx, ids: Sequence[str]) -> dict[str, str]:
    """Use case by id, for the ids that are stored."""
    found: dict[str, str] = {}
    for begin in range(0, len(ids), 500):
        part = list(ids[begin : begin + 500])
        marks = ", ".join("?" * len(part))
        found |= dict(tx.all(f"SELECT id, use_case FROM predictions WHERE id IN ({marks})", part))
    return found


def page(
    tx: Tx,
    use_case: str,
    *,
    role: str | None = "champion",
    after: int = 0,
    last: int | None = None,
    since: int | None = None,
    until: int | None = None,
    version: int | None = None,
    limit: int = 1000,
    newest: bool = False,
) -> list[StoredPrediction]:
    """Predictions by position, oldest first unless ``newest``; see ``predictions.window_rows`` for the limits."""
    where: list[str] = ["p.use_case = ?", "p.position > ?"]
    params: list[str | int] = [use_case, after]
    limits: list[tuple[str, str | int | None]] = [
        ("p.role = ?", role), ("p.position <= ?", last), ("p.at >= ?", since), ("p.at < ?", until),
        ("p.version = ?", version),
    ]  # fmt: skip
    for clause, value in limits:
        if value is not None:
            where.append(clause)
            params.append(value)
    order = "DESC" if newest else "ASC"
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(where)} ORDER BY p.position {order} LIMIT ?",
        [*params, limit],
    )
    return [_stored(row) for row in rows]


def counts(tx: Tx, use_case: str, *, role: str = "champion", after: int = 0) -> list[tuple[int, int, int, int, int]]:
    """(version, rows, first position, last position, first at) of the answers after a position, by version."""
    rows = tx.all(
        "SELECT version, COUNT(*), MIN(position), MAX(position), MIN(at) FROM predictions "
        "WHERE use_case = ? AND role = ? AND position > ? GROUP BY version ORDER BY MIN(position)",
        (use_case, role, after),
    )
    return [(int(v), int(n), int(first), int(last), int(at)) for v, n, first, last, at in rows]


def _stored(row: Row) -> StoredPrediction:
    (
        position, id, at, role, version, digest, revision, names, inputs, output, score, latency_us, unit, segment,
        slices, broken, use_case, outcome, source, author, outcome_at,
    ) = row  # fmt: skip
    decode = msgspec.json.decode
    return StoredPrediction(
        position=position, id=id, use_case=use_case, at=at, role=role, version=version, digest=digest,
        revision=revision, inputs=dict(zip(decode(names), decode(bytes(inputs)), strict=True)), output=decode(output),
        score=score, latency_us=latency_us, unit=unit, segment=segment, slices=decode(slices) if slices else {},
        broken=decode(broken) if broken else [], outcome=outcome, source=source or "", author=author or "",
        outcome_at=outcome_at,
    )  # fmt: skip
