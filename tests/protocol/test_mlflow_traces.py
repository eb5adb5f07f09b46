"""Traces and assessments through the unmodified mlflow client, and through OpenTelemetry's own protocol."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from typing import Any

import httpx
import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import AssessmentError, AssessmentSource, Feedback, SpanType, Trace
from mlflow.exceptions import MlflowException

from stile.testing.server import RunningServer

pytestmark = pytest.mark.usefixtures("shared")
TRACES = "/api/3.0/mlflow/traces"
HERE = {"locations": [{"mlflow_experiment": {"experiment_id": "0"}}]}
NONE = "/api/3.0/mlflow/traces/tr-none"


@pytest.fixture
def client(shared: RunningServer) -> MlflowClient:
    return MlflowClient(shared.url)


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> str:
    return mlflow.set_experiment(request.node.name).experiment_id


@mlflow.trace(span_type=SpanType.CHAIN, attributes={"model": "tree", "depth": 3})
def _answer(question: str, *, fails: bool = False) -> dict[str, Any]:
    with mlflow.start_span("retrieve", span_type=SpanType.RETRIEVER) as span:
        span.set_inputs({"query": question})
        span.set_outputs([{"id": 1, "score": 0.25}, {"id": 2, "score": float("nan")}])
        _embed(question)
    if fails:
        raise ValueError("no answer")
    return {"answer": f"about {question}", "ünï": [1, None, True]}


@mlflow.trace(span_type=SpanType.TOOL)
def _embed(text: str) -> list[float]:
    return [0.5, float(len(text))]


def _traced(*questions: str, failing: int = -1) -> list[str]:
    """Ids of traces, one after the other, all of them sent."""
    ids = []
    for index, question in enumerate(questions):
        with contextlib.suppress(ValueError):
            _answer(question, fails=index == failing)
        ids.append(str(mlflow.get_last_active_trace_id()))
        time.sleep(0.002)  # each has a time of its own
    mlflow.flush_trace_async_logging()
    return ids


def _code(raised: pytest.ExceptionInfo[MlflowException]) -> str:
    return str(raised.value.error_code)


def test_nested_spans_come_back_as_they_were(experiment: str, client: MlflowClient) -> None:
    [trace_id] = _traced("what is äöü?")
    trace = client.get_trace(trace_id)
    assert trace.info.experiment_id == experiment
    assert trace.info.state == "OK"
    assert trace.info.tags["mlflow.traceName"] == "_answer"
    assert trace.info.tags["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    assert json.loads(trace.info.request_preview) == {"question": "what is äöü?", "fails": False}
    by_name = {span.name: span for span in trace.data.spans}
    assert set(by_name) == {"_answer", "retrieve", "_embed"}
    root, inner, tool = by_name["_answer"], by_name["retrieve"], by_name["_embed"]
    assert root.parent_id is None
    assert (inner.parent_id, tool.parent_id) == (root.span_id, inner.span_id)
    assert root.span_type == "CHAIN"
    assert root.outputs == {"answer": "about what is äöü?", "ünï": [1, None, True]}
    assert (root.get_attribute("model"), root.get_attribute("depth")) == ("tree", 3)
    assert tool.outputs == [0.5, 12.0]
    assert root.start_time_ns <= inner.start_time_ns <= tool.start_time_ns
    assert tool.end_time_ns <= inner.end_time_ns <= root.end_time_ns
    assert trace.info.execution_duration == pytest.approx((root.end_time_ns - root.start_time_ns) / 1e6, abs=2)
    assert Trace.from_json(trace.to_json()).data.spans[0].name == trace.data.spans[0].name


def test_an_error_and_its_stack_are_kept(experiment: str, client: MlflowClient) -> None:
    trace = client.get_trace(*_traced("fails", failing=0))
    assert trace.info.state == "ERROR"
    root = next(span for span in trace.data.spans if span.parent_id is None)
    assert root.status.status_code == "ERROR"
    assert root.events[0].name == "exception"
    assert root.events[0].attributes["exception.message"] == "no answer"
    found = client.search_traces(locations=[experiment], filter_string="trace.status = 'ERROR'")
    assert [one.info.trace_id for one in found] == [trace.info.trace_id]


def test_traces_are_searched_in_every_way(experiment: str, client: MlflowClient) -> None:
    ids = _traced(*(f"question {index}" for index in range(4)), failing=3)
    run = client.create_run(experiment)
    client.set_trace_tag(ids[0], "team", "vision")
    client.set_trace_tag(ids[1], "team", "speech")
    client.link_traces_to_run([ids[2], "tr-unknown"], run.info.run_id)
    mlflow.log_feedback(trace_id=ids[1], name="score", value=0.75)
    mlflow.log_feedback(trace_id=ids[2], name="score", value=0.25)
    mlflow.log_feedback(trace_id=ids[2], name="kind", value="good")
    mlflow.log_expectation(trace_id=ids[0], name="right", value=True)

    def found(filter_string: str) -> list[str]:
        traces = client.search_traces(locations=[experiment], filter_string=filter_string, include_spans=False)
        return sorted(one.info.trace_id for one in traces)

    def these(*which: int) -> list[str]:
        return sorted(ids[index] for index in which)

    at = client.get_trace(ids[1]).info.request_time
    assert found("status = 'OK'") == these(0, 1, 2)
    assert found("tags.team = 'vision'") == these(0)
    assert found("tag.team != 'vision'") == these(1)
    assert found("tag.team LIKE 's%'") == these(1)
    assert found("tag.team IS NULL") == these(2, 3)
    assert found("name = '_answer' AND tag.team IS NOT NULL") == these(0, 1)
    assert found("name = 'other'") == []
    assert found(f"timestamp_ms > {at}") == these(2, 3)
    assert found(f"timestamp_ms <= {at} AND execution_time_ms >= 0") == these(0, 1)
    assert found(f"end_time_ms < {at}") in ([], these(0))
    assert found(f"request_id IN ('{ids[0]}', '{ids[3]}')") == these(0, 3)
    assert found(f"run_id = '{run.info.run_id}'") == these(2)
    assert found(f"metadata.`mlflow.sourceRun` = '{run.info.run_id}'") == these(2)
    assert found("metadata.`mlflow.trace.sizeStats` LIKE '%num_spans%'") == these(0, 1, 2, 3)
    assert found("feedback.score > 0.5") == these(1)
    assert found("feedback.score = 0.25") == these(2)
    assert found("feedback.kind = 'good'") == these(2)
    assert found("feedback.kind IS NULL AND feedback.score IS NOT NULL") == these(1)
    assert found("expectation.right = 'true'") == these(0)
    assert found("span.name = '_embed' AND span.type = 'TOOL'") == these(0, 1, 2, 3)
    assert found("span.name = '_embed' AND span.type = 'CHAIN'") == []
    assert found("span.status = 'ERROR'") == these(3)
    assert found("trace.text LIKE '%question 2%'") == these(2)
    assert found("span.attributes.model = 'tree' AND span.attributes.depth = '3'") == these(0, 1, 2, 3)
    assert found("span.attributes.model = 'tre_'") == []
    assert found("span.attributes.model LIKE 'tr%'") == these(0, 1, 2, 3)


def test_traces_come_in_pages_that_stay_put(experiment: str, client: MlflowClient) -> None:
    ids = _traced(*(f"page {index}" for index in range(5)))
    first = client.search_traces(locations=[experiment], max_results=2, order_by=["timestamp_ms ASC"])
    _traced("in between")
    client.delete_traces(experiment, trace_ids=[ids[0]])
    rest = client.search_traces(
        locations=[experiment], max_results=10, order_by=["timestamp_ms ASC"], page_token=first.token
    )
    assert [one.info.trace_id for one in first] == ids[:2]
    assert [one.info.trace_id for one in rest][:3] == ids[2:]
    assert rest.token is None
    newest = client.search_traces(locations=[experiment], max_results=1)
    assert "in between" in newest[0].info.request_preview
    ordered = client.search_traces(locations=[experiment], order_by=["tag.mlflow.traceName DESC", "execution_time ASC"])
    assert len(ordered) == 5
    with pytest.raises(MlflowException) as raised:
        client.search_traces(locations=[experiment], filter_string="status = 'OK'", page_token=first.token)
    assert _code(raised) == "INVALID_PARAMETER_VALUE"


def test_a_table_of_traces(experiment: str) -> None:
    _traced("in a table")
    table = mlflow.search_traces(locations=[experiment], filter_string="name = '_answer'")
    assert table["request"][0]["question"] == "in a table"
    assert len(table["spans"][0]) == 3


def test_a_trace_inside_a_run_belongs_to_it(experiment: str, client: MlflowClient) -> None:
    with mlflow.start_run() as run:
        [inside] = _traced("inside")
    _traced("outside")
    found = mlflow.search_traces(locations=[experiment], run_id=run.info.run_id, return_type="list")
    assert [one.info.trace_id for one in found] == [inside]
    assert found[0].info.trace_metadata["mlflow.sourceRun"] == run.info.run_id


def test_tags_and_metadata_of_a_trace(experiment: str, client: MlflowClient) -> None:
    with mlflow.start_span("job") as span:
        mlflow.update_current_trace(
            tags={"a": "1"}, metadata={"mlflow.trace.session": "s1"}, client_request_id="req-7", request_preview="seen"
        )
        trace_id = span.trace_id
    mlflow.flush_trace_async_logging()
    client.set_trace_tag(trace_id, "b", "zwei")
    client.delete_trace_tag(trace_id, "a")
    info = client.get_trace(trace_id).info
    assert "a" not in info.tags
    assert (info.tags["b"], info.client_request_id, info.request_preview) == ("zwei", "req-7", "seen")
    assert info.trace_metadata["mlflow.trace.session"] == "s1"
    found = client.search_traces(locations=[experiment], filter_string="client_request_id = 'req-7'")
    assert [one.info.trace_id for one in found] == [trace_id]
    with pytest.raises(MlflowException) as raised:
        client.delete_trace_tag(trace_id, "a")
    assert _code(raised) == "RESOURCE_DOES_NOT_EXIST"


def test_traces_are_deleted_by_id_and_by_time(experiment: str, client: MlflowClient) -> None:
    ids = _traced(*(f"old {index}" for index in range(4)))
    mlflow.log_feedback(trace_id=ids[0], name="seen", value=True)
    times = [client.get_trace(one).info.request_time for one in ids]
    assert client.delete_traces(experiment, trace_ids=[ids[0], "tr-unknown"]) == 1
    assert client.delete_traces(experiment, max_timestamp_millis=times[3], max_traces=1) == 1
    assert client.delete_traces(experiment, max_timestamp_millis=times[2]) == 1
    left = client.search_traces(locations=[experiment])
    assert [one.info.trace_id for one in left] == [ids[3]]
    with pytest.raises(MlflowException):
        client.get_trace(ids[0])


def test_feedback_is_changed_overridden_and_taken_back(experiment: str, client: MlflowClient) -> None:
    [trace_id] = _traced("assessed")
    source = AssessmentSource(source_type="LLM_JUDGE", source_id="judge-1")
    first = mlflow.log_feedback(
        trace_id=trace_id, name="correct", value=False, rationale="wrong year", source=source, metadata={"model": "m"}
    )
    assert first.assessment_id
    changed = mlflow.update_assessment(
        trace_id, first.assessment_id, Feedback(name="correct", value=True, rationale="right", metadata={"more": "1"})
    )
    assert (changed.value, changed.rationale, changed.metadata) == (True, "right", {"model": "m", "more": "1"})
    assert changed.source.source_id == "judge-1"
    human = mlflow.override_feedback(
        trace_id=trace_id, assessment_id=first.assessment_id, value=False, rationale="no",
        source=AssessmentSource(source_type="HUMAN", source_id="ada"),
    )  # fmt: skip
    assert mlflow.get_assessment(trace_id, first.assessment_id).valid is False
    assert mlflow.get_assessment(trace_id, human.assessment_id).overrides == first.assessment_id
    found = client.search_traces(locations=[experiment], filter_string="feedback.correct = 'true'")
    assert list(found) == []  # what was overridden does not count
    mlflow.delete_assessment(trace_id, human.assessment_id)
    mlflow.delete_assessment(trace_id, human.assessment_id)
    assert mlflow.get_assessment(trace_id, first.assessment_id).valid is True
    with pytest.raises(MlflowException) as raised:
        mlflow.get_assessment(trace_id, human.assessment_id)
    assert _code(raised) == "RESOURCE_DOES_NOT_EXIST"


def test_every_kind_of_assessment_value_comes_back(experiment: str, client: MlflowClient) -> None:
    trace = client.get_trace(*_traced("values"))
    trace_id, span_id = trace.info.trace_id, trace.data.spans[0].span_id
    values: list[Any] = [True, 0.5, 7, "text", ["a", 1], {"a": 0.5, "b": "x"}]
    for index, value in enumerate(values):
        mlflow.log_feedback(trace_id=trace_id, name=f"f{index}", value=value)
        mlflow.log_expectation(trace_id=trace_id, name=f"e{index}", value=value, span_id=span_id)
    mlflow.log_feedback(trace_id=trace_id, name="none", error=AssessmentError(error_code="RATE", error_message="busy"))
    said = {one.name: one for one in client.get_trace(trace_id).info.assessments}
    assert [said[f"f{index}"].value for index in range(len(values))] == values
    assert [said[f"e{index}"].value for index in range(len(values))] == values
    assert said["e0"].span_id == span_id
    assert said["none"].error.error_message == "busy"
    with pytest.raises(MlflowException) as raised:
        mlflow.update_assessment(trace_id, said["e0"].assessment_id, Feedback(name="e0", value=1))
    assert _code(raised) == "INVALID_PARAMETER_VALUE"


def test_assessments_that_come_with_a_trace(experiment: str, client: MlflowClient) -> None:
    with mlflow.start_span("judged") as span:
        mlflow.log_feedback(trace_id=span.trace_id, name="inline", value="fine")
        trace_id = span.trace_id
    mlflow.flush_trace_async_logging()
    assert [one.name for one in client.get_trace(trace_id).info.assessments] == ["inline"]


def test_spans_of_another_sender_make_a_trace(shared: RunningServer, experiment: str, client: MlflowClient) -> None:
    now = time.time_ns()
    ids = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"}
    attributes = [
        {"key": "mlflow.spanInputs", "value": {"stringValue": '{"q": 1}'}},
        {"key": "n", "value": {"intValue": "42"}},
        {"key": "deep", "value": {"kvlistValue": {"values": [
            {"key": "l", "value": {"arrayValue": {"values": [{"doubleValue": 0.5}, {"boolValue": True}]}}}
        ]}}},
    ]  # fmt: skip
    span = {**ids, "name": "GET /x", "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 7_000_000),
            "attributes": attributes, "status": {"code": 1}, "kind": 2}  # fmt: skip
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    headers = {"content-type": "application/json", "x-mlflow-experiment-id": experiment, "content-encoding": "gzip"}
    for _ in range(2):  # sent again, kept once
        assert httpx.post(f"{shared.url}/v1/traces", content=gzip.compress(body), headers=headers).status_code == 200
    trace = client.get_trace("tr-0af7651916cd43dd8448eb211c80319c")
    assert (trace.info.state, trace.info.execution_duration, trace.info.request_preview) == ("OK", 7, '{"q": 1}')
    assert trace.data.spans[0].get_attribute("n") == 42
    assert trace.data.spans[0].get_attribute("deep") == {"l": [0.5, True]}
    assert len(trace.data.spans) == 1


def test_spans_too_large_to_be_sent_come_back_from_a_file(
    shared: RunningServer, experiment: str, client: MlflowClient
) -> None:
    with mlflow.start_span("large") as root:
        root.set_inputs({"text": "x" * (9 << 20)})
        with mlflow.start_span("small") as inner:
            inner.set_outputs("y")
    mlflow.flush_trace_async_logging()
    trace = client.get_trace(root.trace_id)
    assert sorted(span.name for span in trace.data.spans) == ["large", "small"]
    assert len(trace.data.spans[0].inputs["text"]) == 9 << 20
    assert trace.info.state == "OK"
    page = httpx.get(f"{shared.url}/traces/{root.trace_id}", headers={"accept": "text/html"}).text
    assert "traces.json" in page
    client.delete_traces(experiment, trace_ids=[root.trace_id])
    left = shared.services.db.read(
        lambda tx: tx.scalar("SELECT COUNT(*) FROM artifacts WHERE path LIKE ?", (f"%{root.trace_id}%",))
    )
    assert left == 0


def test_a_trace_of_mlflow_2(shared: RunningServer, experiment: str, client: MlflowClient) -> None:
    with httpx.Client(base_url=f"{shared.url}/api/2.0/mlflow") as http:
        begun = http.post("/traces", json={"experiment_id": experiment, "timestamp_ms": 1000, "tags": [],
                          "request_metadata": [{"key": "k", "value": "v"}]}).json()["trace_info"]  # fmt: skip
        ended = http.patch(f"/traces/{begun['request_id']}", json={
            "timestamp_ms": 1500, "status": "OK", "tags": [{"key": "mlflow.traceName", "value": "old"}]
        }).json()["trace_info"]  # fmt: skip
        assert (ended["execution_time_ms"], ended["status"]) == (500, "OK")
        assert http.get(f"/traces/{begun['request_id']}/info").json()["trace_info"] == ended
        found = http.get("/traces", params={"experiment_ids": [experiment], "filter": "name = 'old'"}).json()
        assert found["traces"] == [ended]
    assert client.search_traces(locations=[experiment], include_spans=False)[0].info.request_time == 1000


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", TRACES, {}, 400),
        ("POST", TRACES, {"trace": {"trace_info": {"trace_id": "../x", "trace_location": {}}}}, 400),
        ("POST", f"{TRACES}/search", {"locations": []}, 200),
        ("POST", f"{TRACES}/search", {"locations": None}, 400),
        ("POST", f"{TRACES}/search", {"locations": "x"}, 400),
        ("POST", f"{TRACES}/search", HERE | {"filter": "x ="}, 400),
        ("POST", f"{TRACES}/search", HERE | {"filter": "name RLIKE '(a+)+$'"}, 400),
        ("POST", f"{TRACES}/search", HERE | {"max_results": 501}, 400),
        ("POST", f"{TRACES}/search", HERE | {"order_by": ["text ASC"]}, 400),
        ("POST", f"{TRACES}/search", HERE | {"order_by": ["feedback.x ASC"]}, 400),
        ("POST", f"{TRACES}/search", HERE | {"page_token": "bm90"}, 400),
        ("GET", NONE, None, 404),
        ("GET", f"{TRACES}/get?trace_id=tr-none", None, 404),
        ("GET", f"{TRACES}/get", None, 400),
        ("GET", f"{TRACES}/batchGet", None, 400),
        ("PATCH", f"{NONE}/tags", {"key": "a", "value": "b"}, 404),
        ("PATCH", f"{NONE}/tags", {"key": "../a", "value": "b"}, 400),
        ("DELETE", f"{NONE}/tags", {"key": "a"}, 404),
        ("POST", f"{TRACES}/delete-traces", {"experiment_id": "0"}, 400),
        ("POST", f"{TRACES}/delete-traces",
         {"experiment_id": "0", "max_timestamp_millis": 5, "request_ids": ["a"]}, 400),
        ("POST", f"{TRACES}/delete-traces", {"experiment_id": "0", "max_timestamp_millis": 5, "max_traces": 0}, 400),
        ("POST", f"{TRACES}/delete-traces", {"experiment_id": "99999", "max_timestamp_millis": 5}, 200),
        ("POST", f"{NONE}/assessments", {"assessment": {"assessment_name": "a", "feedback": {"value": 1}}}, 404),
        ("POST", f"{NONE}/assessments", {"assessment": {"assessment_name": "a"}}, 400),
        ("PATCH", f"{NONE}/assessments/a-1", {"assessment": {}, "update_mask": "source"}, 400),
        ("GET", f"{NONE}/assessments/a-1", None, 404),
        ("DELETE", f"{NONE}/assessments/a-1", None, 200),
        ("POST", f"{TRACES}/link-to-run", {"trace_ids": ["a"], "run_id": "none"}, 404),
        ("POST", f"{TRACES}/link-to-run", {"trace_ids": ["a"] * 101, "run_id": "none"}, 400),
        ("POST", f"{TRACES}/link-prompts",
         {"trace_id": "tr-none", "prompt_versions": [{"name": "p", "version": "1"}]}, 404),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_what_is_not_there_is_no_error(
    method: str, path: str, body: dict[str, Any] | None, status: int, shared: RunningServer
) -> None:
    answer = httpx.request(method, shared.url + path, json=body)
    assert answer.status_code == status, answer.text
    assert status == 200 or len(answer.json()["message"]) > 10


@pytest.mark.parametrize(
    "change",
    [
        {"trace_id": "tr-" + "a" * 300}, {"state": 9}, {"state": "FINE"}, {"request_time": "yesterday"},
        {"request_time": "1901-01-01T00:00:00Z"}, {"request_time": "2026-13-01T00:00:00Z"},
        {"execution_duration": "long"}, {"tags": {"../x": "y"}}, {"tags": {"x": "y" * 9000}},
        {"trace_metadata": {"": "y"}},
        {"tags": {f"k{i}": "v" for i in range(300)}}, {"request_preview": "x" * 20_000},
        {"client_request_id": "x" * 300},
        {"trace_location": {"mlflow_experiment": {"experiment_id": "777"}}},
        {"assessments": [{"assessment_name": "a"}]},
        {"assessments": [{"assessment_name": "", "feedback": {"value": 1}}]},
        {"assessments": [{"assessment_name": "a", "feedback": {"value": "x" * 200_000}}]},
        {"assessments": [{"assessment_name": "a", "feedback": {"value": 1}, "source": {"source_type": "GOD"}}]},
    ],
)  # fmt: skip
def test_a_trace_that_cannot_be_kept_is_refused_whole(change: dict[str, Any], shared: RunningServer) -> None:
    info = {
        "trace_id": "tr-refused", "trace_location": {"mlflow_experiment": {"experiment_id": "0"}},
        "request_time": "2026-01-01T00:00:00Z", "state": "OK",
    } | change  # fmt: skip
    answer = httpx.post(shared.url + TRACES, json={"trace": {"trace_info": info}})
    assert answer.status_code in (400, 404), answer.text
    assert httpx.get(f"{shared.url}{TRACES}/tr-refused").status_code == 404
