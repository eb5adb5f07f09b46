"""Verbs on traces: take what clients send, describe, tag, link to runs, delete, read.

A client sends spans as they end and, at the end, what the trace is as a whole. Either may come
first and both may come twice; the result is the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from stile.kernel.errors import Exists, Invalid, Missing, TooLarge
from stile.store.database import Tx
from stile.train import artifact_records, assessments, experiments, limits, run_records, spans, trace_records
from stile.train.artifact_paths import joined, ours
from stile.train.experiment_records import Experiment
from stile.train.spans import Span
from stile.train.trace_records import Head
from stile.train.trace_values import (
    ARTIFACTS_TAG,
    INPUTS,
    NAME_TAG,
    OUTPUTS,
    PROMPTS_TAG,
    RUN_METADATA,
    SIZE_METADATA,
    SPANS_HERE,
    SPANS_TAG,
    STATES,
    TAG_PREFIX,
    TraceDraft,
    TraceInfo,
)

ID_PREFIX = "tr-"
TAG_VALUE_LENGTH = 8000
PREVIEW_LENGTH = 10_000
PAIRS = 250
LINKS_PER_CALL = 100
DELETED_PER_CALL = 10_000
_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,127}", re.ASCII)
_MOST_MS = 253_402_300_799_999  # the last of the year 9999, which timestamps on the wire end with


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A trace with its spans, by start."""

    info: TraceInfo
    spans: list[Span]

    @property
    def complete(self) -> bool:
        """Whether all spans have come that the client counted."""
        return len(self.spans) >= _number(self.info.metadata.get(SIZE_METADATA, ""))


def start(tx: Tx, draft: TraceDraft, *, by: str) -> TraceInfo:
    """What a trace is as a whole, said when it has ended. Said again, the newer one counts.

    Raises:
        Missing: there is no such experiment.
        Invalid: it is deleted, or something about the trace cannot be kept; says what.
    """
    experiment = experiments.active(tx, draft.experiment_id)
    check(draft)
    name = draft.tags.get(NAME_TAG, "")
    if not trace_records.add(tx, draft, experiment=experiment.row_id, name=name, finalized=True, by=by):
        before = _head(tx, draft.trace_id)
        trace_records.finish(tx, before.row, draft, experiment=experiment.row_id, name=name)
    row = _head(tx, draft.trace_id).row
    trace_records.set_tags(tx, row, {**draft.tags, ARTIFACTS_TAG: artifact_root(experiment, draft.trace_id)})
    trace_records.set_metadata(tx, row, draft.metadata)
    if draft.metadata.get(RUN_METADATA):
        trace_records.link(tx, row, draft.metadata[RUN_METADATA])
    assessments.take(tx, row, draft.trace_id, draft.assessments, by=by)
    say_where(tx, row, draft.metadata.get(SIZE_METADATA, ""))
    return trace_records.load(tx, [row])[0]


def begin(tx: Tx, draft: TraceDraft, *, by: str) -> TraceInfo:
    """A trace that has begun and is described further by ``end``, as MLflow 2 did it; its id must be new.

    Raises:
        Exists: the id is taken.
    """
    experiment = experiments.active(tx, draft.experiment_id)
    check(draft)
    name = draft.tags.get(NAME_TAG, "")
    if not trace_records.add(tx, draft, experiment=experiment.row_id, name=name, finalized=False, by=by):
        raise Exists(f"Trace with ID {draft.trace_id} already exists.")
    row = _head(tx, draft.trace_id).row
    trace_records.set_tags(tx, row, {**draft.tags, ARTIFACTS_TAG: artifact_root(experiment, draft.trace_id)})
    trace_records.set_metadata(tx, row, draft.metadata)
    if draft.metadata.get(RUN_METADATA):
        trace_records.link(tx, row, draft.metadata[RUN_METADATA])
    return trace_records.load(tx, [row])[0]


def end(
    tx: Tx, trace_id: str, *, state: str, at: int, metadata: Mapping[str, str], tags: Mapping[str, str]
) -> TraceInfo:
    """The end (ms) of a trace that was begun, and what is known of it now; the other half of ``begin``."""
    before = _head(tx, trace_id)
    _check_state(state)
    check_time(at)
    _check_pairs("metadata", metadata)
    _check_pairs("tag", tags)
    trace_records.set_times(tx, before.row, state=state, at=before.at, took=at - before.at)
    trace_records.set_metadata(tx, before.row, metadata)
    trace_records.set_tags(tx, before.row, tags)
    if tags.get(NAME_TAG):
        trace_records.set_name(tx, before.row, tags[NAME_TAG])
    return trace_records.load(tx, [before.row])[0]


def put_spans(tx: Tx, experiment_id: str, given: Sequence[Span], *, by: str, run_id: str = "") -> list[str]:
    """Keep spans of one or several traces; traces that are not there yet begin with them. Returns the trace ids.

    Raises:
        Missing: there is no such experiment or run.
        Invalid: the experiment is deleted.
        TooLarge: a trace would have more than ``spans.SPANS_PER_TRACE`` spans.
    """
    experiment = experiments.active(tx, experiment_id)
    if run_id and run_records.head(tx, run_id) is None:
        raise Missing(f"Run with id={run_id} not found.")
    by_trace: dict[str, dict[str, Span]] = {}
    for span in given:
        by_trace.setdefault(ID_PREFIX + span.trace_id, {})[span.span_id] = span
    for trace_id in sorted(by_trace):  # always in the same order: two servers do not wait for each other
        row = _put(tx, experiment, trace_id, list(by_trace[trace_id].values()), by=by)
        if run_id:
            trace_records.link(tx, row, run_id)
    return list(by_trace)


def get(tx: Tx, trace_id: str) -> TraceInfo:
    """The trace without its spans.

    Raises:
        Missing: there is none with this id.
    """
    return trace_records.load(tx, [_head(tx, trace_id).row])[0]


def whole(tx: Tx, trace_ids: Sequence[str]) -> list[Trace]:
    """Traces with their spans, in the order asked for; those that are not there are left out."""
    rows = trace_records.rows_of(tx, list(dict.fromkeys(trace_ids)))
    wanted = [rows[one] for one in dict.fromkeys(trace_ids) if one in rows]
    found = trace_records.spans(tx, wanted)
    return [Trace(info=info, spans=found.get(info.row, [])) for info in trace_records.load(tx, wanted)]


def infos(tx: Tx, trace_ids: Sequence[str]) -> list[TraceInfo]:
    """Traces without their spans, in the order asked for; those that are not there are left out."""
    rows = trace_records.rows_of(tx, list(dict.fromkeys(trace_ids)))
    return trace_records.load(tx, [rows[one] for one in dict.fromkeys(trace_ids) if one in rows])


def set_tag(tx: Tx, trace_id: str, key: str, value: str) -> None:
    """One tag; the tag ``mlflow.traceName`` is the trace's name."""
    _check_pairs("tag", {key: value})
    row = _head(tx, trace_id).row
    trace_records.set_tags(tx, row, {key: value})
    if key == NAME_TAG:
        trace_records.set_name(tx, row, value)


def drop_tag(tx: Tx, trace_id: str, key: str) -> None:
    """Take a tag away.

    Raises:
        Missing: the trace has no such tag.
    """
    if not trace_records.drop_tag(tx, _head(tx, trace_id).row, key):
        raise Missing(f"No trace tag with key '{key}' for trace with ID '{trace_id}'.")


def link_to_run(tx: Tx, trace_ids: Sequence[str], run_id: str) -> None:
    """Say that traces belong to a run; ids that are not there are left out.

    Raises:
        Missing: there is no such run.
        Invalid: more than ``LINKS_PER_CALL`` traces.
    """
    if len(trace_ids) > LINKS_PER_CALL:
        raise Invalid(
            f"Cannot link more than {LINKS_PER_CALL} traces to a run in a single request. Provided {len(trace_ids)}."
        )
    if run_records.head(tx, run_id) is None:
        raise Missing(f"Run with id={run_id} not found.")
    for row in trace_records.rows_of(tx, trace_ids).values():
        trace_records.link(tx, row, run_id)


def link_prompts(tx: Tx, trace_id: str, prompts: Iterable[tuple[str, str]]) -> None:
    """Say which versions of prompts a trace used: kept in the tag ``mlflow.linkedPrompts``."""
    row = _head(tx, trace_id).row
    before = trace_records.tag(tx, row, PROMPTS_TAG)
    try:
        listed = json.loads(before) if before else []
    except ValueError:
        listed = []
    known = [(one.get("name"), one.get("version")) for one in listed if isinstance(one, dict)]
    for prompt in prompts:
        if prompt not in known:
            known.append(prompt)
    text = json.dumps([{"name": name, "version": version} for name, version in known])
    set_tag(tx, trace_id, PROMPTS_TAG, text)


def delete(
    tx: Tx,
    experiment_id: str,
    *,
    trace_ids: Sequence[str] = (),
    up_to: int | None = None,
    most: int | None = None,
) -> int:
    """Take traces of an experiment away for good: those named, or the oldest up to a time (ms). Returns how many.

    An experiment that is not there has none.

    Raises:
        Invalid: both or neither are given, or ``most`` makes no sense.
    """
    if (up_to is None) == (not trace_ids):
        raise Invalid("Either `max_timestamp_millis` or `trace_ids` must be specified, not both.")
    if most is not None and (trace_ids or most <= 0):
        raise Invalid("`max_traces` must be a positive number, and only with `max_timestamp_millis`.")
    if len(trace_ids) > DELETED_PER_CALL:
        raise Invalid(f"At most {DELETED_PER_CALL} traces can be deleted in one request.")
    try:
        experiment = experiments.get(tx, experiment_id)
    except Missing:
        return 0
    bound = DELETED_PER_CALL if most is None else min(most, DELETED_PER_CALL)
    found = trace_records.selected(tx, experiment.row_id, trace_ids=trace_ids, up_to=up_to, most=bound)
    _drop(tx, experiment, found)
    return len(found)


def among(tx: Tx, experiment_ids: Sequence[str]) -> list[str]:
    """Those of the experiments that have traces, in their order."""
    return [id for id in experiment_ids if trace_records.any_of(tx, int(id))]


def drop_all(tx: Tx, experiment_id: str) -> int:
    """Take every trace of an experiment away, when it is purged. Returns how many."""
    experiment = experiments.get(tx, experiment_id)
    gone = 0
    while found := trace_records.selected(tx, experiment.row_id, up_to=_MOST_MS, most=DELETED_PER_CALL):
        _drop(tx, experiment, found)
        gone += len(found)
    return gone


def artifact_root(experiment: Experiment, trace_id: str) -> str:
    """Where the files of a trace go: attachments, and spans that were too large to be sent."""
    return joined(experiment.artifact_location, "traces", trace_id, "artifacts")


def _drop(tx: Tx, experiment: Experiment, found: Sequence[tuple[int, str]]) -> None:
    for _, trace_id in found:
        folder = ours(joined(experiment.artifact_location, "traces", trace_id))
        if folder is not None:
            artifact_records.drop(tx, folder)
    trace_records.drop(tx, [row for row, _ in found])


def _put(tx: Tx, experiment: Experiment, trace_id: str, given: Sequence[Span], *, by: str) -> int:
    first = spans.root(given)
    begin = min(span.started for span in given) // 1_000_000
    stop = max(span.ended for span in given) // 1_000_000
    state = "IN_PROGRESS" if first is None or not first.ended else "ERROR" if first.status == "ERROR" else "OK"
    draft = TraceDraft(
        trace_id=trace_id,
        experiment_id=experiment.experiment_id,
        state=state,
        at=begin,
        took=stop - begin if stop else None,
    )
    made = trace_records.add(tx, draft, experiment=experiment.row_id, name="", finalized=False, by=by)
    found = _head(tx, trace_id)
    tags: dict[str, str] = {}
    if made:
        tags[ARTIFACTS_TAG] = artifact_root(experiment, trace_id)
    elif not found.finalized:
        at = min(found.at, begin)
        before = found.at + found.took if found.took is not None else 0
        last = max(before, stop)
        trace_records.set_times(
            tx, found.row, state=found.state if first is None else state, at=at, took=last - at if last else None
        )
    if first is not None:
        said = spans.values(msgspec.json.decode(first.body))
        own = {
            k.removeprefix(TAG_PREFIX): spans.searchable(str(v)) for k, v in said.items() if k.startswith(TAG_PREFIX)
        }
        _check_pairs("tag", own)
        tags |= own
        trace_records.set_root(
            tx,
            found.row,
            name=own.get(NAME_TAG, first.name),
            request=spans.preview(first, INPUTS),
            response=spans.preview(first, OUTPUTS),
        )
    trace_records.put_spans(tx, found.row, given)
    if len(given) > 1 or first is None:
        _check_count(tx, found, trace_id)
    trace_records.set_tags(tx, found.row, tags)
    said_size = trace_records.metadata(tx, found.row, SIZE_METADATA) if found.finalized else ""
    say_where(tx, found.row, said_size or "")
    return found.row


def say_where(tx: Tx, row: int, size_stats: str) -> None:
    """Tell by a tag whether all spans are here, as far as they were counted.

    A client that does not find the tag puts all spans into a file, so none is lost that was too large to be sent.
    """
    here = trace_records.spans_of(tx, row)
    if here and here >= _number(size_stats):
        trace_records.set_tags(tx, row, {SPANS_TAG: SPANS_HERE})
    else:
        trace_records.drop_tag(tx, row, SPANS_TAG)


def _check_count(tx: Tx, found: Head, trace_id: str) -> None:
    if trace_records.spans_of(tx, found.row) > spans.SPANS_PER_TRACE:
        raise TooLarge(
            f"The trace {trace_id} would have more than {spans.SPANS_PER_TRACE} spans. Nothing was stored; "
            "begin another trace.",
            limit=spans.SPANS_PER_TRACE,
        )


def _head(tx: Tx, trace_id: str) -> Head:
    found = trace_records.head(tx, trace_id)
    if found is None:
        raise Missing(f"Trace with ID {trace_id[:200]} is not found.")
    return found


def _number(size_stats: str) -> int:
    """How many spans the client has counted; 0 when it does not say."""
    try:
        said = json.loads(size_stats or "{}")
        return int(said.get("num_spans", 0)) if isinstance(said, dict) else 0
    except (TypeError, ValueError, OverflowError, RecursionError):
        return 0


def check(draft: TraceDraft) -> None:
    """Refuse what cannot be kept of a trace.

    Raises:
        Invalid: says what.
    """
    if not _ID.fullmatch(draft.trace_id):
        raise Invalid(f"Invalid trace ID: {draft.trace_id[:80]!r}. Use letters, digits, '_', '-' and '.'.")
    _check_state(draft.state)
    check_time(draft.at)
    if draft.took is not None and abs(draft.took) > _MOST_MS:
        raise Invalid(f"Invalid execution duration: {draft.took} ms.")
    limits.check_length("Client request ID", draft.client_request_id, 250)
    limits.check_length("Request preview", draft.request, PREVIEW_LENGTH)
    limits.check_length("Response preview", draft.response, PREVIEW_LENGTH)
    _check_pairs("metadata", draft.metadata)
    _check_pairs("tag", draft.tags)


def _check_state(state: str) -> None:
    if state not in STATES:
        raise Invalid(f"Invalid trace state {state[:40]!r}. It is one of {', '.join(STATES)}.")


def check_time(at: int) -> None:
    """Refuse a time (ms) that no calendar has.

    Raises:
        Invalid: it is before 1970 or after the year 9999.
    """
    if not 0 <= at <= _MOST_MS:
        raise Invalid(f"Invalid time of a trace: {at}. It is milliseconds since 1970, up to the year 9999.")


def _check_pairs(what: str, pairs: Mapping[str, str]) -> None:
    if len(pairs) > PAIRS:
        raise Invalid(f"A trace may have at most {PAIRS} {what} entries in one request; got {len(pairs)}.")
    for key, value in pairs.items():
        limits.check_key(what, key)
        limits.check_length(f"Trace {what} value", value, TAG_VALUE_LENGTH)
