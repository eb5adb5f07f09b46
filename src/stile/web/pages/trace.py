"""One trace: its spans as a tree in time, what went in and came out of each, and what was said about it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from markupsafe import Markup

from stile.edge.call import Call
from stile.kernel.errors import Missing
from stile.store.database import Tx
from stile.train import artifact_records, experiments, spans, traces
from stile.train.artifact_paths import ours
from stile.train.artifact_records import Artifact
from stile.train.experiment_records import Experiment
from stile.train.spans import Span
from stile.train.trace_values import INPUTS, OUTPUTS, TraceInfo
from stile.web.charts.svg import el
from stile.web.pages.trace_facts import facts
from stile.web.render import Crumb, Frame, Page

_SHOWN_SPANS = 300
_SHOWN_LEVELS = 8
_SHOWN_TEXT = 12_000
_SPANS_FILE = "traces.json"


class SpanEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in a span, ``at`` ns since 1970 UTC."""

    name: str
    at: int
    attributes: dict[str, Any]


class SpanView(msgspec.Struct, frozen=True, kw_only=True):
    """A span as it is shown: its place in the tree and in time (fractions of the whole), and its values.

    ``message`` says why it failed; ``attributes`` are those that are neither inputs nor outputs.
    """

    span_id: str
    parent_id: str
    name: str
    type: str
    status: str
    message: str
    started: int
    ended: int
    level: int
    start: float
    width: float
    inputs: Any
    outputs: Any
    attributes: dict[str, Any]
    events: list[SpanEvent]

    @property
    def took_ms(self) -> float | None:
        """How long it took; None while it is open."""
        return (self.ended - self.started) / 1e6 if self.ended else None


class TraceData(msgspec.Struct, frozen=True, kw_only=True):
    """A trace with its spans, each before its children; ``file`` is where its spans are when they are not here."""

    trace: TraceInfo
    experiment: Experiment
    spans: list[SpanView]
    file: Artifact | None
    chosen: str


def _load(tx: Tx, call: Call) -> TraceData:
    trace_id = call.path("trace_id")
    found = traces.whole(tx, [trace_id])
    if not found:
        raise Missing(f"Trace with ID {trace_id[:200]} is not found.")
    info = found[0].info
    experiment = experiments.get(tx, info.experiment_id)
    viewed = [_view(branch) for branch in spans.tree(found[0].spans)]
    asked = call.query("span")
    chosen = next((one.span_id for one in viewed if one.span_id == asked), viewed[0].span_id if viewed else "")
    return TraceData(
        trace=info,
        experiment=experiment,
        spans=viewed,
        file=None if info.spans_here else _file(tx, experiment, trace_id),
        chosen=chosen,
    )


def _view(branch: spans.Branch) -> SpanView:
    span: Span = branch.span
    message = msgspec.json.decode(span.body)
    values = spans.values(message)
    status = message.get("status")
    events = message.get("events")
    return SpanView(
        span_id=span.span_id, parent_id=span.parent_id, name=span.name, type=span.type, status=span.status,
        message=str(status.get("message") or "") if isinstance(status, dict) else "",
        started=span.started, ended=span.ended, level=branch.depth, start=branch.start, width=branch.width,
        inputs=values.pop(INPUTS, None), outputs=values.pop(OUTPUTS, None), attributes=values,
        events=[
            SpanEvent(name=str(one.get("name", "")), at=int(one.get("time_unix_nano", 0)), attributes=spans.values(one))
            for one in (events if isinstance(events, list) else [])
        ],
    )  # fmt: skip


def _file(tx: Tx, experiment: Experiment, trace_id: str) -> Artifact | None:
    root = ours(traces.artifact_root(experiment, trace_id))
    return artifact_records.find(tx, f"{root}/{_SPANS_FILE}") if root else None


def _frame(data: TraceData) -> Frame:
    here = f"/experiments/{data.experiment.experiment_id}"
    name = data.trace.name or data.trace.trace_id
    return Frame(
        title=name,
        here="runs",
        crumbs=[
            Crumb("Runs", "/experiments"),
            Crumb(data.experiment.name, here),
            Crumb("Traces", f"{here}/traces"),
            Crumb(name),
        ],
    )


def _extras(data: TraceData, call: Call) -> dict[str, Any]:  # noqa: ARG001  all is in the data
    chosen = next((one for one in data.spans if one.span_id == data.chosen), None)
    shown = data.spans[:_SHOWN_SPANS]
    return {
        "shown": [(one, min(one.level, _SHOWN_LEVELS), _bar(one)) for one in shown],
        "chosen": chosen,
        "parts": _parts(chosen) if chosen else [],
        "exceptions": [one for one in chosen.events if one.name == "exception"] if chosen else [],
        "failure": next((one.message for one in data.spans if one.status == "ERROR" and one.message), ""),
        "facts": facts(data.trace.metadata, f"/experiments/{data.experiment.experiment_id}/traces"),
        "shown_tags": [(k, v) for k, v in sorted(data.trace.tags.items()) if not k.startswith("mlflow.")],
        "assessed": [(one, as_text(one.value)) for one in data.trace.assessments],
    }


def _parts(span: SpanView) -> list[tuple[str, str, bool]]:
    """(name, text, whether it was cut) of what a span has to show."""
    found = [("Inputs", span.inputs), ("Outputs", span.outputs), ("Attributes", _own(span.attributes))]
    return [(name, text[:_SHOWN_TEXT], len(text) > _SHOWN_TEXT) for name, value in found if (text := as_text(value))]


def _own(attributes: dict[str, Any]) -> dict[str, Any] | None:
    return {key: value for key, value in attributes.items() if not key.startswith("mlflow.")} or None


def as_text(value: Any) -> str:
    """A value for reading: text as it is (JSON inside it laid out), everything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = value
        if text[:1] not in ("{", "["):
            return text
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
    return json.dumps(value, indent=2, ensure_ascii=False)


def _bar(span: SpanView) -> Markup:
    """Where a span lies in the trace's time; at least a sliver, so that short ones are seen."""
    width = max(0.6, span.width * 100)
    start = min(span.start * 100, 100 - width)
    kind = "c-bad c-fill" if span.status == "ERROR" else "c-new c-fill" if span.ended else "c-old c-fill"
    return el(
        "svg",
        el("path", d="M0 10H100", class_="c-line"),
        el("rect", x=start, y=5, width=width, height=10, class_=kind),
        class_="inline", viewBox="0 0 100 20", preserveAspectRatio="none", aria_hidden="true",
    )  # fmt: skip


PAGE = Page("/traces/{trace_id}", "trace.html", _load, _frame, extras=_extras)

ROUTES = PAGE.routes
