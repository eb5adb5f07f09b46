"""Rows of traces, their spans, tags, metadata and runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from stile.store.database import Row, Tx
from stile.train import assessment_records
from stile.train.run_keys import blocks, marks
from stile.train.spans import Span
from stile.train.trace_values import TraceDraft, TraceInfo

_INFO = "id, trace_id, experiment, name, status, at, took, client_request_id, request, response, finalized, created_by"
_PARTS = ("spans", "trace_tags", "trace_metadata", "trace_runs", "assessments")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What writing to a trace needs to know of it."""

    row: int
    experiment: int
    state: str
    at: int
    took: int | None
    finalized: bool


def head(tx: Tx, trace_id: str) -> Head | None:
    """The trace with this id."""
    row = tx.one("SELECT id, experiment, status, at, took, finalized FROM traces WHERE trace_id = ?", (trace_id,))
    if row is None:
        return None
    return Head(row=row[0], experiment=row[1], state=row[2], at=row[3], took=row[4], finalized=bool(row[5]))


def add(tx: Tx, draft: TraceDraft, *, experiment: int, name: str, finalized: bool, by: str) -> bool:
    """A new trace; False when another writer was faster."""
    return (
        tx.run(
            "INSERT INTO traces (trace_id, experiment, name, status, at, took, client_request_id, request, response, "
            "finalized, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trace_id) DO NOTHING",
            (
                draft.trace_id, experiment, name, draft.state, draft.at, draft.took, draft.client_request_id,
                draft.request, draft.response, int(finalized), by,
            ),
        )
        > 0
    )  # fmt: skip


def finish(tx: Tx, row: int, draft: TraceDraft, *, experiment: int, name: str) -> None:
    """What the client says of the whole; previews and a name that it does not say stay."""
    tx.run(
        "UPDATE traces SET experiment = ?, name = CASE WHEN ? = '' THEN name ELSE ? END, status = ?, at = ?, took = ?, "
        "client_request_id = ?, request = CASE WHEN ? = '' THEN request ELSE ? END, "
        "response = CASE WHEN ? = '' THEN response ELSE ? END, finalized = 1 WHERE id = ?",
        (
            experiment, name, name, draft.state, draft.at, draft.took, draft.client_request_id,
            draft.request, draft.request, draft.response, draft.response, row,
        ),
    )  # fmt: skip


def set_times(tx: Tx, row: int, *, state: str, at: int, took: int | None) -> None:
    """State and time, as far as its spans tell."""
    tx.run("UPDATE traces SET status = ?, at = ?, took = ? WHERE id = ?", (state, at, took, row))


def set_root(tx: Tx, row: int, *, name: str, request: str, response: str) -> None:
    """Name and previews from the root span, where nothing is known yet."""
    tx.run(
        "UPDATE traces SET name = CASE WHEN name = '' THEN ? ELSE name END, "
        "request = CASE WHEN request = '' THEN ? ELSE request END, "
        "response = CASE WHEN response = '' THEN ? ELSE response END WHERE id = ?",
        (name, request, response, row),
    )


def set_name(tx: Tx, row: int, name: str) -> None:
    """Its name."""
    tx.run("UPDATE traces SET name = ? WHERE id = ?", (name, row))


def put_spans(tx: Tx, row: int, spans: Iterable[Span]) -> None:
    """Spans, new or sent again."""
    tx.many(
        "INSERT INTO spans (trace, span_id, parent_id, name, type, status, started, ended, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trace, span_id) DO UPDATE SET "
        "parent_id = excluded.parent_id, name = excluded.name, type = excluded.type, status = excluded.status, "
        "started = excluded.started, ended = excluded.ended, body = excluded.body",
        [
            (row, s.span_id, s.parent_id, s.name, s.type, s.status, s.started, s.ended, s.body)
            for s in sorted(spans, key=lambda one: one.span_id)
        ],
    )


def any_of(tx: Tx, experiment: int) -> bool:
    """Whether an experiment has traces."""
    return tx.one("SELECT 1 FROM traces WHERE experiment = ? LIMIT 1", (experiment,)) is not None


def spans_of(tx: Tx, row: int) -> int:
    """How many spans a trace has."""
    return int(tx.scalar("SELECT COUNT(*) FROM spans WHERE trace = ?", (row,)))


def spans(tx: Tx, rows: Sequence[int]) -> dict[int, list[Span]]:
    """The spans of some traces, each trace's by start."""
    found: defaultdict[int, list[Span]] = defaultdict(list)
    for part in blocks(list(rows)):
        for row in tx.all(
            "SELECT s.trace, t.trace_id, s.span_id, s.parent_id, s.name, s.type, s.status, s.started, s.ended, s.body "
            f"FROM spans s JOIN traces t ON t.id = s.trace WHERE s.trace IN ({marks(part)}) "
            "ORDER BY s.trace, s.started, s.span_id",
            part,
        ):
            found[row[0]].append(
                Span(
                    trace_id=row[1].removeprefix("tr-"), span_id=row[2], parent_id=row[3], name=row[4], type=row[5],
                    status=row[6], started=row[7], ended=row[8], body=row[9],
                )
            )  # fmt: skip
    return found


def set_tags(tx: Tx, row: int, tags: Mapping[str, str]) -> None:
    """Tags, new or changed."""
    _put(tx, "trace_tags", row, tags)


def set_metadata(tx: Tx, row: int, metadata: Mapping[str, str]) -> None:
    """Metadata, new or changed."""
    _put(tx, "trace_metadata", row, metadata)


def tag(tx: Tx, row: int, key: str) -> str | None:
    """The value of a tag, if it is set."""
    found = tx.scalar("SELECT value FROM trace_tags WHERE trace = ? AND key = ?", (row, key))
    return None if found is None else str(found)


def metadata(tx: Tx, row: int, key: str) -> str | None:
    """The value of a piece of metadata, if it is there."""
    found = tx.scalar("SELECT value FROM trace_metadata WHERE trace = ? AND key = ?", (row, key))
    return None if found is None else str(found)


def drop_tag(tx: Tx, row: int, key: str) -> bool:
    """Take a tag away; whether it was there."""
    return tx.run("DELETE FROM trace_tags WHERE trace = ? AND key = ?", (row, key)) > 0


def link(tx: Tx, row: int, run_id: str) -> None:
    """Say that a trace belongs to a run; saying it again changes nothing."""
    tx.run("INSERT INTO trace_runs (run_id, trace) VALUES (?, ?) ON CONFLICT (run_id, trace) DO NOTHING", (run_id, row))


def rows_of(tx: Tx, trace_ids: Sequence[str]) -> dict[str, int]:
    """Trace id -> row, of those that are there."""
    found: dict[str, int] = {}
    for start in range(0, len(trace_ids), 500):
        part = trace_ids[start : start + 500]
        found.update(tx.all(f"SELECT trace_id, id FROM traces WHERE trace_id IN ({marks(part)})", part))
    return found


def selected(
    tx: Tx, experiment: int, *, trace_ids: Sequence[str] = (), up_to: int | None = None, most: int
) -> list[tuple[int, str]]:
    """(row, id) of an experiment's traces: those named, or the oldest up to a time (ms)."""
    if trace_ids:
        found: list[tuple[int, str]] = []
        for start in range(0, len(trace_ids), 500):
            part = trace_ids[start : start + 500]
            sql = f"SELECT id, trace_id FROM traces WHERE experiment = ? AND trace_id IN ({marks(part)})"
            found += [(row[0], row[1]) for row in tx.all(sql, [experiment, *part])]
        return found
    sql = "SELECT id, trace_id FROM traces WHERE experiment = ? AND at <= ? ORDER BY at, trace_id LIMIT ?"
    return [(row[0], row[1]) for row in tx.all(sql, (experiment, up_to, most))]


def drop(tx: Tx, rows: Sequence[int]) -> None:
    """Take traces away with all that belongs to them."""
    for part in blocks(list(rows)):
        for table in _PARTS:
            tx.run(f"DELETE FROM {table} WHERE trace IN ({marks(part)})", part)
        tx.run(f"DELETE FROM traces WHERE id IN ({marks(part)})", part)


def load(tx: Tx, rows: Sequence[int]) -> list[TraceInfo]:
    """The traces in these rows, in this order, without their spans."""
    heads: dict[int, Row] = {}
    tags: defaultdict[int, dict[str, str]] = defaultdict(dict)
    extra: defaultdict[int, dict[str, str]] = defaultdict(dict)
    runs: defaultdict[int, list[str]] = defaultdict(list)
    said = assessment_records.of_traces(tx, rows)
    for part in blocks(list(rows)):
        where = f"IN ({marks(part)})"
        for row in tx.all(f"SELECT {_INFO} FROM traces WHERE id {where}", part):
            heads[row[0]] = row
        for trace, key, value in tx.all(f"SELECT trace, key, value FROM trace_tags WHERE trace {where}", part):
            tags[trace][key] = value
        for trace, key, value in tx.all(f"SELECT trace, key, value FROM trace_metadata WHERE trace {where}", part):
            extra[trace][key] = value
        for trace, run_id in tx.all(f"SELECT trace, run_id FROM trace_runs WHERE trace {where} ORDER BY run_id", part):
            runs[trace].append(run_id)
    return [
        TraceInfo(
            row=row, trace_id=h[1], experiment_id=str(h[2]), name=h[3], state=h[4], at=h[5], took=h[6],
            client_request_id=h[7], request=h[8], response=h[9], finalized=bool(h[10]), created_by=h[11],
            tags=tags[row], metadata=extra[row], runs=runs[row], assessments=said.get(row, []),
        )
        for row in rows
        if (h := heads.get(row)) is not None
    ]  # fmt: skip


def _put(tx: Tx, table: str, row: int, pairs: Mapping[str, str]) -> None:
    tx.many(
        f"INSERT INTO {table} (trace, key, value) VALUES (?, ?, ?) "
        "ON CONFLICT (trace, key) DO UPDATE SET value = excluded.value",
        [(row, key, pairs[key]) for key in sorted(pairs)],
    )
