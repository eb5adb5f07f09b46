"""Rows of assessments: what was said about traces."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence

from stile.store.database import Row, Tx
from stile.train.run_keys import blocks, marks
from stile.train.trace_values import Assessment

_COLUMNS = (
    "a.assessment_id, t.trace_id, a.kind, a.name, a.body, a.rationale, a.source_type, a.source_id, a.span_id, "
    "a.metadata, a.overrides, a.valid, a.created_at, a.updated_at, a.by_name, a.trace"
)


def add(tx: Tx, trace: int, said: Assessment) -> None:
    """A new assessment."""
    text, number = searchable(said)
    tx.run(
        "INSERT INTO assessments (assessment_id, trace, kind, name, body, text, number, rationale, source_type, "
        "source_id, span_id, metadata, overrides, valid, created_at, updated_at, by_name) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            said.assessment_id, trace, said.kind, said.name, json.dumps(said.body), text, number, said.rationale,
            said.source_type, said.source_id, said.span_id, json.dumps(said.metadata), said.overrides,
            int(said.valid), said.created_at, said.updated_at, said.by,
        ),
    )  # fmt: skip


def change(tx: Tx, said: Assessment) -> None:
    """Name, value, rationale and metadata of an assessment that is there."""
    text, number = searchable(said)
    tx.run(
        "UPDATE assessments SET name = ?, body = ?, text = ?, number = ?, rationale = ?, metadata = ?, updated_at = ? "
        "WHERE assessment_id = ?",
        (
            said.name, json.dumps(said.body), text, number, said.rationale, json.dumps(said.metadata),
            said.updated_at, said.assessment_id,
        ),
    )  # fmt: skip


def set_valid(tx: Tx, trace: int, assessment_id: str, *, valid: bool) -> bool:
    """Whether it counts; False when the trace has no such assessment."""
    sql = "UPDATE assessments SET valid = ? WHERE trace = ? AND assessment_id = ?"
    return tx.run(sql, (int(valid), trace, assessment_id)) > 0


def drop(tx: Tx, assessment_id: str) -> None:
    """Take it away."""
    tx.run("DELETE FROM assessments WHERE assessment_id = ?", (assessment_id,))


def find(tx: Tx, trace: int, assessment_id: str) -> Assessment | None:
    """The assessment of a trace with this id."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM assessments a JOIN traces t ON t.id = a.trace "
        "WHERE a.trace = ? AND a.assessment_id = ?",
        (trace, assessment_id),
    )
    return None if row is None else _of(row)


def exists(tx: Tx, assessment_id: str) -> bool:
    """Whether any trace has an assessment with this id."""
    return tx.one("SELECT 1 FROM assessments WHERE assessment_id = ?", (assessment_id,)) is not None


def count(tx: Tx, trace: int) -> int:
    """How many a trace has."""
    return int(tx.scalar("SELECT COUNT(*) FROM assessments WHERE trace = ?", (trace,)))


def of_traces(tx: Tx, traces: Sequence[int]) -> dict[int, list[Assessment]]:
    """All assessments of some traces, each trace's in the order they were made."""
    found: defaultdict[int, list[Assessment]] = defaultdict(list)
    for part in blocks(list(traces)):
        for row in tx.all(
            f"SELECT {_COLUMNS} FROM assessments a JOIN traces t ON t.id = a.trace "
            f"WHERE a.trace IN ({marks(part)}) ORDER BY a.id",
            part,
        ):
            found[row[15]].append(_of(row))
    return found


def searchable(said: Assessment) -> tuple[str, float | None]:
    """(text, number) of a value: a text as it is, everything else as JSON; the number only of numbers."""
    value = said.value
    if isinstance(value, str):
        return value, None
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return json.dumps(value), number if number is not None and math.isfinite(number) else None


def _of(row: Row) -> Assessment:
    return Assessment(
        assessment_id=row[0], trace_id=row[1], kind=row[2], name=row[3], body=json.loads(row[4]), rationale=row[5],
        source_type=row[6], source_id=row[7], span_id=row[8], metadata=json.loads(row[9]), overrides=row[10],
        valid=bool(row[11]), created_at=row[12], updated_at=row[13], by=row[14],
    )  # fmt: skip
