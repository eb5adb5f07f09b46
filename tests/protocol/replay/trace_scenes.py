"""Scenes about traces and their assessments."""

from __future__ import annotations

from typing import Any

from conversation import Conversation
from scenes import T0, scene

V3 = "/api/3.0/mlflow/"
_MOMENT = "2020-09-13T12:26:4{}Z"  # T0 plus so many seconds


def _trace(experiment: str, number: int, state: str = "OK", **more: Any) -> dict[str, Any]:
    info = {
        "trace_id": f"tr-{number:032x}",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": _MOMENT.format(number),
        "execution_duration": f"0.{number}00s",
        "state": state,
        "trace_metadata": {"mlflow.trace_schema.version": "3", "kind": ("even", "odd")[number % 2]},
        "tags": {"mlflow.traceName": f"answer {number}", "team": ("Text", "text")[number % 2]},
        "request_preview": f"question {number}",
        "response_preview": f"answer {number}",
        **more,
    }
    return {"trace": {"trace_info": info}}


@scene
def traces(talk: Conversation) -> None:
    experiment: str = talk.post("experiments/create", name="traced")["experiment_id"]
    for number, state in enumerate(("OK", "ERROR", "OK", "IN_PROGRESS", "STATE_UNSPECIFIED")):
        talk.post(V3 + "traces", **_trace(experiment, number, state))
    first = f"tr-{0:032x}"
    talk.get(f"{V3}traces/{first}")
    talk.get(f"{V3}traces/tr-ffffffffffffffffffffffffffffffff")
    talk.post(V3 + "traces", **_trace("987654321", 7))
    talk.post(V3 + "traces", trace={"trace_info": {"trace_id": "tr-1"}})
    talk.post(V3 + "traces")
    talk.patch(f"{V3}traces/{first}/tags", key="owner", value="ada")
    talk.patch(f"{V3}traces/{first}/tags", key="owner", value="max")
    talk.patch(f"{V3}traces/tr-ffffffffffffffffffffffffffffffff/tags", key="owner", value="ada")
    talk.get(f"{V3}traces/{first}")
    talk.ask("DELETE", f"{V3}traces/{first}/tags", body={"key": "owner"})
    talk.ask("DELETE", f"{V3}traces/{first}/tags", body={"key": "owner"})
    where = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}]

    def search(**more: Any) -> Any:
        return talk.post(V3 + "traces/search", locations=where, **more)

    for filter in (
        "",
        "status = 'OK'",
        "status != 'OK'",
        "trace.status = 'ERROR'",
        "attributes.status = 'OK'",
        "name = 'answer 1'",
        "name LIKE 'answer%'",
        "name ILIKE 'ANSWER %'",
        "name LIKE 'ANSWER%'",
        "tags.team = 'text'",
        "tag.team = 'Text'",
        "tags.team LIKE 'T%'",
        "metadata.kind = 'odd'",
        "request_metadata.kind = 'even'",
        f"timestamp_ms > {T0 + 2000}",
        f"timestamp <= {T0 + 1000}",
        "execution_time_ms > 150",
        "execution_time < 300",
        "tags.team = 'text' AND status = 'ERROR'",
        f"request_id = '{first}'",
        f"trace_id = '{first}'",
        "nope = 'x'",
        "status > 'A'",
        "timestamp_ms = 'x'",
        "name =",
        "status = 'OK' OR status = 'ERROR'",
    ):
        search(filter=filter, order_by=["timestamp_ms ASC"])
    for order in (["timestamp_ms DESC"], ["execution_time ASC"], ["name DESC"], ["status", "timestamp_ms"], ["nope"]):
        search(order_by=order)
    page = search(max_results=2, order_by=["timestamp_ms ASC"])
    search(max_results=2, order_by=["timestamp_ms ASC"], page_token=page.get("next_page_token"))
    talk.post(V3 + "traces/search", locations=[])
    talk.post(V3 + "traces/search", locations=where, max_results=501)
    delete = V3 + "traces/delete-traces"
    talk.post(delete, experiment_id=experiment, request_ids=[first])
    talk.post(delete, experiment_id=experiment, request_ids=[first])
    talk.post(delete, experiment_id=experiment, max_timestamp_millis=T0 + 2000, max_traces=1)
    talk.post(delete, experiment_id=experiment, max_timestamp_millis=T0 + 9000)
    talk.post(delete, experiment_id=experiment)
    search()


@scene
def assessments(talk: Conversation) -> None:
    experiment: str = talk.post("experiments/create", name="assessed")["experiment_id"]
    number = 6
    talk.post(V3 + "traces", **_trace(experiment, number))
    trace = f"{V3}traces/tr-{number:032x}"
    source = {"source_type": "HUMAN", "source_id": "ada"}
    right = {"assessment_name": "right", "source": source, "rationale": "seen", "feedback": {"value": True}}
    made = talk.post(f"{trace}/assessments", assessment=right)["assessment"]["assessment_id"]
    talk.get(f"{trace}/assessments/{made}")
    expected = {"assessment_name": "truth", "source": source, "expectation": {"value": "42"}}
    talk.post(f"{trace}/assessments", assessment=expected)
    talk.post(f"{trace}/assessments", assessment={"assessment_name": "neither", "source": source})
    talk.get(f"{trace}/assessments/a-none")
    change = {"assessment": {"assessment_id": made, "feedback": {"value": False}}, "update_mask": "feedback"}
    talk.patch(f"{trace}/assessments/{made}", **change)
    talk.get(f"{trace}/assessments/{made}")
    talk.get(trace)
    talk.ask("DELETE", f"{trace}/assessments/{made}")
    talk.get(f"{trace}/assessments/{made}")
    talk.ask("DELETE", f"{trace}/assessments/{made}")
    talk.get(trace)
    talk.post(f"{trace}/assessments", assessment={**right, "assessment_name": ""})
