"""The verb that takes in a trace from elsewhere: under its own id, with its spans and what was said about it.

It may be repeated: a trace that is here already stays as it is.
"""

from __future__ import annotations

import re

import msgspec

from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.train import assessment_records, assessments, experiments, run_records, spans, trace_records, traces
from stile.train.adoption import Adopted
from stile.train.moving.values import MovedTrace
from stile.train.span_check import checked
from stile.train.trace_values import ARTIFACTS_TAG, NAME_TAG, RUN_METADATA, SIZE_METADATA, SPANS_TAG, TraceDraft

_ASSESSMENT = re.compile(r"a-[0-9a-f]{32}")


def trace(tx: Tx, experiment_id: str, given: MovedTrace, *, by: str) -> Adopted:
    """The trace under its own id; runs it belonged to that are not here are left out.

    Nothing of it is written when it is refused.

    Raises:
        Missing: there is no such experiment.
        Invalid: something about it cannot be kept; says what.
    """
    experiment = experiments.get(tx, experiment_id)
    draft = TraceDraft(
        trace_id=given.trace_id, experiment_id=experiment_id, state=given.state, at=given.at, took=given.took,
        client_request_id=given.client_request_id, request=given.request, response=given.response,
        tags=given.tags, metadata=given.metadata,
    )  # fmt: skip
    traces.check(draft)
    found = {span.span_id: span for span in map(spans.read, map(checked, given.spans))}
    if len(found) > spans.SPANS_PER_TRACE:
        raise Invalid(f"It has more than {spans.SPANS_PER_TRACE} spans.")
    if any(traces.ID_PREFIX + span.trace_id != given.trace_id for span in found.values()):
        raise Invalid("A span of it belongs to another trace.")
    said = [msgspec.structs.replace(one, trace_id=given.trace_id, by=one.by or by) for one in given.assessments]
    assessments.check_all(said)
    for time in (time for one in said for time in (one.created_at, one.updated_at)):
        traces.check_time(time)
    root = traces.artifact_root(experiment, given.trace_id)
    name = given.tags.get(NAME_TAG, "")
    if not trace_records.add(tx, draft, experiment=experiment.row_id, name=name, finalized=True, by=by):
        return Adopted(id=given.trace_id, added=False, artifact_uri=root)
    row = trace_records.rows_of(tx, [given.trace_id])[given.trace_id]
    tags = {key: value for key, value in given.tags.items() if key != SPANS_TAG}
    trace_records.set_tags(tx, row, {**tags, ARTIFACTS_TAG: root})
    trace_records.set_metadata(tx, row, given.metadata)
    for run_id in dict.fromkeys([*given.runs, given.metadata.get(RUN_METADATA, "")]):
        if run_id and run_records.head(tx, run_id) is not None:
            trace_records.link(tx, row, run_id)
    trace_records.put_spans(tx, row, found.values())
    traces.say_where(tx, row, given.metadata.get(SIZE_METADATA, ""))
    for one in said:
        id = one.assessment_id
        if not _ASSESSMENT.fullmatch(id) or assessment_records.exists(tx, id):
            id = f"a-{tx.new_hex()}"
        assessment_records.add(tx, row, msgspec.structs.replace(one, assessment_id=id))
    return Adopted(id=given.trace_id, added=True, artifact_uri=root)
