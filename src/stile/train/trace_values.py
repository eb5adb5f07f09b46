"""A trace as it is read: what it is as a whole, its spans, and what was said about it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

State = Literal["OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED"]
STATES: tuple[str, ...] = ("STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS")
"""By the number that protocol buffers give them."""

Kind = Literal["feedback", "expectation", "issue"]
SOURCES: tuple[str, ...] = ("SOURCE_TYPE_UNSPECIFIED", "HUMAN", "LLM_JUDGE", "CODE")

NAME_TAG = "mlflow.traceName"
ARTIFACTS_TAG = "mlflow.artifactLocation"
SPANS_TAG = "mlflow.trace.spansLocation"
SPANS_HERE = "TRACKING_STORE"
PROMPTS_TAG = "mlflow.linkedPrompts"
RUN_METADATA = "mlflow.sourceRun"
SIZE_METADATA = "mlflow.trace.sizeStats"

INPUTS = "mlflow.spanInputs"
OUTPUTS = "mlflow.spanOutputs"
SPAN_TYPE = "mlflow.spanType"
TAG_PREFIX = "mlflow.traceTag."


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said about a trace.

    Attributes:
        body: the value in the form it was sent in: ``{"value": ..., "error": {...}}`` for feedback,
            ``{"value": ...}`` or ``{"serialized_value": {...}}`` for an expectation, ``{"issue_name": ...}``.
        source_type: HUMAN, LLM_JUDGE or CODE; ``source_id`` is what the client claims, ``by`` the account.
        overrides: the assessment this one takes the place of; that one is not ``valid`` any more.
        created_at, updated_at: ms since 1970 UTC.
    """

    assessment_id: str
    trace_id: str
    kind: Kind
    name: str
    body: dict[str, Any]
    rationale: str = ""
    source_type: str = "SOURCE_TYPE_UNSPECIFIED"
    source_id: str = ""
    span_id: str = ""
    metadata: dict[str, str] = {}
    overrides: str = ""
    valid: bool = True
    created_at: int = 0
    updated_at: int = 0
    by: str = ""

    @property
    def value(self) -> Any:
        """The value itself; a serialised one as the text it was sent as."""
        serialized = self.body.get("serialized_value")
        if isinstance(serialized, dict):
            return serialized.get("value")
        return self.body.get("value", self.body.get("issue_name"))

    @property
    def error(self) -> str:
        """Why a judge could give no value; '' when it could."""
        error = self.body.get("error")
        if not isinstance(error, dict):
            return ""
        return str(error.get("error_message") or error.get("error_code") or "")


class TraceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace is as a whole. ``at`` is ms since 1970 UTC, ``took`` is ms (None while it is open)."""

    row: int
    trace_id: str
    experiment_id: str
    name: str
    state: str
    at: int
    took: int | None
    client_request_id: str
    request: str
    response: str
    finalized: bool
    created_by: str
    tags: dict[str, str]
    metadata: dict[str, str]
    runs: list[str]
    assessments: list[Assessment]

    @property
    def spans_here(self) -> bool:
        """Whether its spans were sent to the store, and not (only) put into an artifact."""
        return self.tags.get(SPANS_TAG) == SPANS_HERE


class TraceDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A trace as a client describes it when it has ended."""

    trace_id: str
    experiment_id: str
    state: str
    at: int
    took: int | None = None
    client_request_id: str = ""
    request: str = ""
    response: str = ""
    tags: dict[str, str] = {}
    metadata: dict[str, str] = {}
    assessments: list[Assessment] = []
