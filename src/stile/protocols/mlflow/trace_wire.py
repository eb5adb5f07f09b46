"""MLflow's messages about traces and assessments: requests decoded leniently, answers built from our values.

Times are RFC 3339 text and lengths of time are seconds with an ``s``, as protocol buffers write them in JSON.
Source: ``mlflow/protos/service.proto`` (TraceInfoV3, TraceInfo) and ``assessments.proto`` of MLflow 3.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from stile.kernel.errors import Invalid
from stile.protocols.mlflow.wire import Json, Pair, pairs
from stile.train.trace_values import SOURCES, STATES, Assessment, Kind, TraceDraft, TraceInfo
from stile.train.traces import Trace

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_LENGTH = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ExperimentIn(msgspec.Struct, frozen=True):
    """The experiment a trace lies in."""

    experiment_id: str = ""


class LocationIn(msgspec.Struct, frozen=True):
    """Where a trace lies."""

    mlflow_experiment: ExperimentIn = ExperimentIn()


class SourceIn(msgspec.Struct, frozen=True):
    """Who says it."""

    source_type: str | int = ""
    source_id: str = ""


class AssessmentIn(msgspec.Struct, frozen=True):
    """An assessment as sent."""

    assessment_name: str = ""
    trace_id: str = ""
    span_id: str = ""
    source: SourceIn = SourceIn()
    create_time: str = ""
    last_update_time: str = ""
    feedback: dict[str, Any] | None = None
    expectation: dict[str, Any] | None = None
    issue: dict[str, Any] | None = None
    rationale: str = ""
    metadata: dict[str, str] = {}
    overrides: str = ""

    def value(self) -> tuple[Kind, dict[str, Any]]:
        """(kind, value) of what is said.

        Raises:
            Invalid: not exactly one of feedback, expectation and issue is given.
        """
        kinds: tuple[Kind, ...] = ("feedback", "expectation", "issue")
        given = [(kind, body) for kind in kinds if (body := getattr(self, kind)) is not None]
        if len(given) != 1:
            raise Invalid("Exactly one of `expectation`, `feedback`, or `issue` should be specified.")
        return given[0]

    def read(self, trace_id: str) -> Assessment:
        """The assessment.

        Raises:
            Invalid: it says nothing, or a time cannot be read.
        """
        kind, body = self.value()
        source = self.source.source_type
        return Assessment(
            assessment_id="",
            trace_id=trace_id,
            kind=kind,
            name=self.assessment_name,
            body=body,
            rationale=self.rationale,
            source_type=_named(source, SOURCES) if source != "" else SOURCES[0],
            source_id=self.source.source_id,
            span_id=self.span_id,
            metadata=self.metadata,
            overrides=self.overrides,
            created_at=time_in(self.create_time) if self.create_time else 0,
            updated_at=time_in(self.last_update_time) if self.last_update_time else 0,
        )


class TraceInfoIn(msgspec.Struct, frozen=True):
    """A trace as a whole, as sent."""

    trace_id: str = ""
    client_request_id: str = ""
    trace_location: LocationIn = LocationIn()
    request_preview: str = ""
    response_preview: str = ""
    request_time: str = ""
    execution_duration: str = ""
    state: str | int = 0
    trace_metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    assessments: list[AssessmentIn] = []

    def read(self) -> TraceDraft:
        """The trace.

        Raises:
            Invalid: a time, a state or an assessment cannot be read.
        """
        return TraceDraft(
            trace_id=self.trace_id,
            experiment_id=self.trace_location.mlflow_experiment.experiment_id,
            state=state_in(self.state),
            at=time_in(self.request_time),
            took=length_in(self.execution_duration) if self.execution_duration else None,
            client_request_id=self.client_request_id,
            request=self.request_preview,
            response=self.response_preview,
            tags=self.tags,
            metadata=self.trace_metadata,
            assessments=[one.read(self.trace_id) for one in self.assessments],
        )


def state_in(state: str | int) -> str:
    """A trace's state by its name or number."""
    return _named(state, STATES)


def time_in(text: str) -> int:
    """Milliseconds since 1970 UTC of an RFC 3339 time.

    Raises:
        Invalid: it is none.
    """
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        moment = datetime.fromisoformat(match[1] + match[3])
        ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise Invalid(f"Invalid time {text[:60]!r}. Write it as 2026-01-31T12:00:00.000Z.") from None
    return ms + int((match[2] or "0").ljust(9, "0")[:3])


def time_out(ms: int) -> str:
    """The same the other way round."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"


def length_in(text: str) -> int:
    """Milliseconds of a length of time such as ``1.250s``.

    Raises:
        Invalid: it is none.
    """
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise Invalid(f"Invalid duration {text[:60]!r}. Write it as 1.250s.")
    ms = int(match[2]) * 1000 + int((match[3] or "0").ljust(9, "0")[:3])
    return -ms if match[1] else ms


def length_out(ms: int) -> str:
    """The same the other way round."""
    seconds, rest = divmod(abs(ms), 1000)
    return f"{'-' if ms < 0 else ''}{seconds}.{rest:03d}s"


def info(found: TraceInfo) -> Json:
    """A TraceInfoV3 message."""
    out: Json = {
        "trace_id": found.trace_id,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": found.experiment_id},
        },
        "request_time": time_out(found.at),
        "state": found.state,
        "trace_metadata": found.metadata,
        "tags": found.tags,
        "assessments": [assessment(one) for one in found.assessments],
    }
    if found.took is not None:
        out["execution_duration"] = length_out(found.took)
    optional = {
        "client_request_id": found.client_request_id,
        "request_preview": found.request,
        "response_preview": found.response,
    }
    return out | {name: value for name, value in optional.items() if value}


def info_v2(found: TraceInfo) -> Json:
    """A TraceInfo message of MLflow 2."""
    return {
        "request_id": found.trace_id,
        "experiment_id": found.experiment_id,
        "timestamp_ms": found.at,
        "status": found.state,
        "request_metadata": pairs(found.metadata),
        "tags": pairs(found.tags),
    } | ({} if found.took is None else {"execution_time_ms": found.took})


def whole(found: Trace) -> Json:
    """A Trace message: what it is as a whole, and its spans as they came."""
    return {"trace_info": info(found.info), "spans": [msgspec.Raw(span.body.encode()) for span in found.spans]}


def assessment(said: Assessment) -> Json:
    """An Assessment message."""
    out: Json = {
        "assessment_id": said.assessment_id,
        "assessment_name": said.name,
        "trace_id": said.trace_id,
        "source": {"source_type": said.source_type, "source_id": said.source_id},
        "create_time": time_out(said.created_at),
        "last_update_time": time_out(said.updated_at),
        said.kind: said.body,
        "metadata": said.metadata,
        "valid": said.valid,
    }
    optional = {"span_id": said.span_id, "rationale": said.rationale, "overrides": said.overrides}
    return out | {name: value for name, value in optional.items() if value}


def of_pairs(given: list[Pair]) -> dict[str, str]:
    """Tags or metadata of MLflow 2."""
    return {pair.key: pair.value for pair in given}


def _named(value: str | int, names: tuple[str, ...]) -> str:
    if isinstance(value, int) or value.isdecimal():
        number = int(value)
        return names[number] if 0 <= number < len(names) else "?"
    return value
