"""Verbs on assessments: what people, judges and programs say about traces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from stile.kernel.errors import Invalid, Missing
from stile.store.database import Tx
from stile.train import assessment_records as records
from stile.train import limits, trace_records
from stile.train.trace_values import SOURCES, Assessment

BODY_LENGTH = 100_000
RATIONALE_LENGTH = 50_000
PER_TRACE = 1000
_METADATA = 100
_SPAN = re.compile(r"[0-9A-Za-z]{0,50}")


def create(tx: Tx, said: Assessment, *, by: str) -> Assessment:
    """Say something about a trace; what it overrides does not count any more.

    Raises:
        Missing: there is no such trace, or it has no such assessment to override.
        Invalid: something about it cannot be kept; says what.
    """
    trace = _trace(tx, said.trace_id)
    _check(said)
    if records.count(tx, trace) >= PER_TRACE:
        raise Invalid(f"The trace {said.trace_id} has {PER_TRACE} assessments already; that is the most it may have.")
    if said.overrides and not records.set_valid(tx, trace, said.overrides, valid=False):
        raise _none(said.trace_id, said.overrides)
    return _add(tx, trace, said, by)


def take(tx: Tx, trace: int, trace_id: str, given: Iterable[Assessment], *, by: str) -> None:
    """Assessments that come with a trace; those that came before are not kept twice."""
    known = {_mark(one) for one in records.of_traces(tx, [trace]).get(trace, [])}
    for one in given:
        said = msgspec.structs.replace(one, trace_id=trace_id, overrides="")
        _check(said)
        if _mark(said) not in known:
            if len(known) >= PER_TRACE:
                raise Invalid(f"A trace may have at most {PER_TRACE} assessments.")
            known.add(_mark(said))
            _add(tx, trace, said, by)


def check_all(given: Sequence[Assessment]) -> None:
    """Refuse assessments of a trace that cannot be kept.

    Raises:
        Invalid: one of them cannot, or there are more than a trace may have; says which.
    """
    if len(given) > PER_TRACE:
        raise Invalid(f"A trace may have at most {PER_TRACE} assessments.")
    for one in given:
        _check(one)


def get(tx: Tx, trace_id: str, assessment_id: str) -> Assessment:
    """The assessment of a trace.

    Raises:
        Missing: there is no such trace, or it has no such assessment.
    """
    found = records.find(tx, _trace(tx, trace_id), assessment_id)
    if found is None:
        raise _none(trace_id, assessment_id)
    return found


def update(
    tx: Tx,
    trace_id: str,
    assessment_id: str,
    *,
    name: str | None = None,
    kind: str | None = None,
    body: Mapping[str, Any] | None = None,
    rationale: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Assessment:
    """Change what was said. What is None stays; metadata is added to what is there.

    Raises:
        Invalid: a feedback would become an expectation, or the other way round.
    """
    before = get(tx, trace_id, assessment_id)
    if body is not None and kind != before.kind:
        raise Invalid(f"Cannot update {kind} value on a {before.kind} assessment.")
    after = msgspec.structs.replace(
        before,
        name=before.name if name is None else name,
        body=before.body if body is None else dict(body),
        rationale=before.rationale if rationale is None else rationale,
        metadata={**before.metadata, **(metadata or {})},
        updated_at=tx.now_ms(),
    )
    _check(after)
    records.change(tx, after)
    return after


def delete(tx: Tx, trace_id: str, assessment_id: str) -> None:
    """Take it back; what it had overridden counts again. One that is not there is no error."""
    trace = trace_records.head(tx, trace_id)
    found = None if trace is None else records.find(tx, trace.row, assessment_id)
    if trace is None or found is None:
        return
    if found.overrides:
        records.set_valid(tx, trace.row, found.overrides, valid=True)
    records.drop(tx, assessment_id)


def _add(tx: Tx, trace: int, said: Assessment, by: str) -> Assessment:
    now = tx.now_ms()
    made = msgspec.structs.replace(
        said,
        assessment_id=f"a-{tx.new_hex()}",
        valid=True,
        created_at=said.created_at or now,
        updated_at=said.updated_at or now,
        by=by,
    )
    records.add(tx, trace, made)
    return made


def _mark(said: Assessment) -> tuple[str, str, str, str, int]:
    return said.kind, said.name, said.source_id, said.span_id, said.created_at


def _trace(tx: Tx, trace_id: str) -> int:
    found = trace_records.head(tx, trace_id)
    if found is None:
        raise Missing(f"Trace with ID '{trace_id[:200]}' not found.")
    return found.row


def _none(trace_id: str, assessment_id: str) -> Missing:
    return Missing(f"Assessment with ID '{assessment_id[:200]}' not found for trace '{trace_id[:200]}'.")


def _check(said: Assessment) -> None:
    if not said.name:
        raise Invalid("Missing value for required parameter 'assessment_name'.")
    limits.check_length("Assessment name", said.name, limits.KEY_LENGTH)
    limits.check_length("Assessment value", json.dumps(said.body), BODY_LENGTH)
    limits.check_length("Rationale", said.rationale, RATIONALE_LENGTH)
    limits.check_length("Assessment source", said.source_id, limits.KEY_LENGTH)
    if said.source_type not in SOURCES:
        raise Invalid(f"Invalid assessment source type {said.source_type[:40]!r}. It is one of {', '.join(SOURCES)}.")
    if not _SPAN.fullmatch(said.span_id):
        raise Invalid(f"Invalid span ID: {said.span_id[:80]!r}.")
    if len(said.metadata) > _METADATA:
        raise Invalid(f"An assessment may have at most {_METADATA} metadata entries.")
    for key, value in said.metadata.items():
        limits.check_length("Assessment metadata key", key, limits.KEY_LENGTH)
        limits.check_length("Assessment metadata value", value, limits.TAG_VALUE_LENGTH)
