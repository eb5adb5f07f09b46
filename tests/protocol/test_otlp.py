"""Our reader of OpenTelemetry's messages against the genuine one, and against bytes made to hurt."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.protos.service_pb2 import GetTrace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from stile.kernel.errors import Invalid, TooLarge
from stile.protocols.mlflow import otlp, otlp_json, protobuf
from stile.testing.server import RunningServer, running_server
from stile.train import span_check, traces
from stile.train.spans import values

_texts = st.text(max_size=20)
_ids = st.binary(min_size=8, max_size=8).filter(any)
_whole = st.integers(-(2**63), 2**63 - 1)


def _any_values() -> st.SearchStrategy[AnyValue]:
    leaves = st.one_of(
        st.builds(AnyValue, string_value=_texts), st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=_whole), st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=9)), st.just(AnyValue()),
    )  # fmt: skip
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(lambda several: AnyValue(array_value=ArrayValue(values=several)), st.lists(inner, max_size=3)),
            st.builds(
                lambda pairs: AnyValue(
                    kvlist_value=KeyValueList(values=[KeyValue(key=key, value=value) for key, value in pairs])
                ),
                st.lists(st.tuples(_texts, inner), max_size=3),
            ),
        ),
        max_leaves=8,
    )


_pairs = st.lists(st.builds(lambda key, value: KeyValue(key=key, value=value), _texts, _any_values()), max_size=4)
_spans = st.builds(
    Span, trace_id=st.binary(min_size=16, max_size=16).filter(any), span_id=_ids, parent_span_id=st.just(b"") | _ids,
    name=_texts, kind=st.integers(0, 5), trace_state=_texts, start_time_unix_nano=st.integers(0, 2**63 - 1),
    end_time_unix_nano=st.integers(0, 2**63 - 1), attributes=_pairs, dropped_attributes_count=st.integers(0, 9),
    flags=st.integers(0, 2**32 - 1),
    events=st.lists(
        st.builds(Span.Event, name=_texts, time_unix_nano=st.integers(0, 2**63), attributes=_pairs), max_size=2
    ),
    links=st.lists(st.builds(Span.Link, trace_id=_ids, span_id=_ids, attributes=_pairs), max_size=2),
    status=st.builds(Status, code=st.integers(0, 2), message=_texts),
)  # fmt: skip


def _request(spans: list[Span]) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])


def _plain(message: Any) -> Any:
    """A genuine message's JSON without what we pass over, enumerations as numbers, defaults left out."""
    made = MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True)
    return _without(made, {"dropped_attributes_count", "flags"})


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        kept = {key: _without(item, names) for key, item in value.items() if key not in names}
        return {key: item for key, item in kept.items() if item not in ({}, [], "", 0, "0") or key.endswith("_value")}
    if isinstance(value, list):
        return [_without(item, names) for item in value]
    return value


@settings(max_examples=60, deadline=None)
@given(st.lists(_spans, max_size=3))
def test_messages_are_read_as_the_genuine_library_reads_them(spans: list[Span]) -> None:
    ours = protobuf.read_request(_request(spans).SerializeToString())
    assert [_without(span, set()) for span in ours] == [_plain(span) for span in spans]


@settings(max_examples=40, deadline=None)
@given(st.lists(_spans, min_size=1, max_size=2))
def test_the_json_form_says_the_same(spans: list[Span]) -> None:
    body = MessageToDict(_request(spans), use_integers_for_enums=True)
    for span, sent in zip(spans, body["resourceSpans"][0]["scopeSpans"][0]["spans"], strict=True):
        for name, raw in (("traceId", span.trace_id), ("spanId", span.span_id), ("parentSpanId", span.parent_span_id)):
            if raw:
                sent[name] = raw.hex()
        for link, raw_link in zip(sent.get("links", []), span.links, strict=True):
            link["traceId"], link["spanId"] = raw_link.trace_id.hex(), raw_link.span_id.hex()
    ours = otlp_json.read_request(json.dumps(body).encode())
    genuine = protobuf.read_request(_request(spans).SerializeToString())
    assert [_without(one, set()) for one in ours] == [_without(one, set()) for one in genuine]


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=200), st.lists(_spans, max_size=1), st.integers(0, 400))
def test_bytes_that_are_no_message_are_refused_or_read(noise: bytes, spans: list[Span], cut: int) -> None:
    for body in (noise, _request(spans).SerializeToString()[:cut], _request(spans).SerializeToString() + noise):
        with contextlib.suppress(Invalid):  # nothing else is ever raised
            assert isinstance(protobuf.read_request(body), list)


def test_depth_and_number_of_values_are_bounded() -> None:
    value = AnyValue(string_value="x")
    for _ in range(span_check.MAX_DEPTH - 1):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    deepest = Span(trace_id=b"1" * 16, span_id=b"2" * 8, attributes=[KeyValue(key="a", value=value)])
    message = protobuf.read_request(_request([deepest]).SerializeToString())[0]
    body = json.dumps({"trace": {"spans": [message]}})
    assert ParseDict(json.loads(body), GetTrace.Response()).trace.spans[0].attributes[0].key == "a"
    with pytest.raises(Invalid, match="levels deep"):
        protobuf.read_request(_nested(5000))
    many = AnyValue(array_value=ArrayValue(values=[AnyValue()] * (span_check.MAX_VALUES + 1)))
    wide = Span(trace_id=b"1" * 16, span_id=b"2" * 8, attributes=[KeyValue(key="a", value=many)])
    with pytest.raises(TooLarge):
        protobuf.read_request(_request([wide]).SerializeToString())


def _nested(levels: int) -> bytes:
    """A request whose one attribute is a list in a list in a list, deeper than the library would make it."""
    body = b""

    def part(number: int, inner: bytes) -> bytes:
        size, rest = b"", len(inner)
        while rest > 127:
            size, rest = size + bytes([rest & 127 | 128]), rest >> 7
        return bytes([number << 3 | 2]) + size + bytes([rest]) + inner

    for _ in range(levels):
        body = part(5, part(1, body))
    span = part(1, b"t" * 16) + part(2, b"s" * 8) + part(9, part(1, b"a") + part(2, body))
    return part(1, part(2, part(2, span)))


def test_plain_values_of_attributes() -> None:
    pairs = [
        KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=-3), AnyValue()]))),
        KeyValue(key="nan", value=AnyValue(double_value=float("nan"))),
    ]
    span = Span(trace_id=b"1" * 16, span_id=b"2" * 8, attributes=pairs)
    message = protobuf.read_request(_request([span]).SerializeToString())[0]
    assert values(message) == {"list": [-3, None], "nan": "NaN"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("otlp"), max_json_bytes=1 << 20) as running:
        yield running


def _span(**changed: Any) -> Span:
    now = time.time_ns()
    fields = {"trace_id": b"t" * 16, "span_id": b"s" * 8, "name": "x", "start_time_unix_nano": now,
              "end_time_unix_nano": now + 5}  # fmt: skip
    return Span(**(fields | changed))


def _post(server: RunningServer, body: bytes, **headers: str) -> httpx.Response:
    sent = {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": "0"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return httpx.post(f"{server.url}/v1/traces", content=body, headers={k: v for k, v in sent.items() if v})


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"trace_id": b""}, 400), ({"trace_id": b"\0" * 16}, 400), ({"span_id": b""}, 400),
        ({"trace_id": b"x" * 17}, 400),
        ({"parent_span_id": b"x" * 9}, 400), ({"name": "n" * 5000}, 400), ({"name": "nul \0"}, 200),
        ({"start_time_unix_nano": 2**63}, 400), ({"end_time_unix_nano": 2**64 - 1}, 400), ({"name": ""}, 200),
        ({"attributes": [KeyValue(key="mlflow.traceTag.../x", value=AnyValue(string_value="y"))]}, 400),
        ({"attributes": [KeyValue(key="mlflow.traceTag.ok", value=AnyValue(string_value="y"))]}, 200),
        ({"attributes": [KeyValue(key="mlflow.spanType", value=AnyValue(int_value=7))]}, 200),
    ],
)  # fmt: skip
def test_a_span_that_cannot_be_kept_is_refused(change: dict[str, Any], status: int, server: RunningServer) -> None:
    answer = _post(server, _request([_span(**change)]).SerializeToString())
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_span_with_a_nul_in_it_is_kept_by_both_engines(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    texts = {"mlflow.spanInputs": "in\0put", "mlflow.spanType": "A\0B", "mlflow.traceTag.t": "x\0y", "own": "q\0"}
    pairs = [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in texts.items()]
    content = _request([_span(name="nul \0", attributes=pairs)]).SerializeToString()
    url = store if store == "sqlite" else request.getfixturevalue("cluster").fresh()
    with running_server(tmp_path / "server", store=url) as server:
        answer = _post(server, content)
        assert answer.status_code == 200, answer.text
        trace_id = "tr-" + (b"t" * 16).hex()
        (whole,) = server.services.db.read(lambda tx: traces.whole(tx, [trace_id]))
    assert (whole.info.request, whole.info.tags["t"]) == ("in\ufffdput", "x\ufffdy")
    assert (whole.spans[0].name, whole.spans[0].type) == ("nul \ufffd", "A\ufffdB")
    assert values(json.loads(whole.spans[0].body))["own"] == "q\0"


def test_what_is_no_export_is_refused(server: RunningServer) -> None:
    good = _request([_span()]).SerializeToString()
    assert _post(server, good, x_mlflow_experiment_id="").status_code == 400
    assert _post(server, good, x_mlflow_experiment_id="4711").status_code == 404
    assert _post(server, good, x_mlflow_experiment_id="../0").status_code == 404
    assert _post(server, good, x_mlflow_run_id="none").status_code == 404
    assert _post(server, good, content_type="text/plain").status_code == 400
    assert _post(server, good, content_encoding="br").status_code == 400
    assert _post(server, good, content_encoding="gzip").status_code == 400
    assert _post(server, gzip.compress(good)[:-9], content_encoding="gzip").status_code == 400
    assert _post(server, b"").status_code == 400
    assert _post(server, b"{}", content_type="application/json").status_code == 400
    assert _post(server, b"[" * 100_000, content_type="application/json").status_code == 400
    assert _post(server, b"x" * (2 << 20)).status_code == 413
    bomb = gzip.compress(bytes(64 << 20))
    assert _post(server, bomb, content_encoding="gzip").status_code == 413
    for packed in (zlib.compress(good), zlib.compress(good)[2:-4]):
        assert _post(server, packed, content_encoding="deflate").status_code == 200
    assert _post(server, gzip.compress(good), content_encoding="gzip").content == b""


_ODD = [
    {"name": 5}, {"name": None}, {"name": "n\0"}, {"attributes": 5}, {"attributes": [5]}, {"attributes": [{"key": 5}]},
    {"attributes": [{"key": "a", "value": 5}]}, {"attributes": [{"key": "a", "value": {"intValue": "1e5"}}]},
    {"attributes": [{"key": "a", "value": {"doubleValue": "NaN"}}]}, {"events": [{"timeUnixNano": "x"}]},
    {"events": [5]},
    {"attributes": [{"key": "a", "value": {"arrayValue": {"values": [5]}}}]}, {"status": 5},
    {"status": {"code": "WHAT"}},
    {"events": [{"attributes": [{"key": "exception.type", "value": {"arrayValue": {}}}], "name": "exception"}]},
    {"status": {"code": 99, "message": 5}}, {"links": [{"traceId": "zz"}]}, {"kind": [1]}, {"traceId": 5},
    {"spanId": "b7" * 50},
    {"startTimeUnixNano": -5}, {"startTimeUnixNano": 1e30}, {"startTimeUnixNano": "9" * 30}, {"endTimeUnixNano": "1"},
    {"attributes": [{"key": "mlflow.traceTag.x", "value": {"stringValue": "b\0"}}]},
    {"parentSpanId": "b7ad6b7169203331"},
    {"attributes": [{"key": "mlflow.traceTag.mlflow.traceName", "value": {"kvlistValue": {}}}]},
    {"attributes": [{"key": "mlflow.spanInputs", "value": {"stringValue": "[" * 20_000}}]},
    {"attributes": [{"key": "mlflow.spanType", "value": {"stringValue": "b\0"}}]},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(_ODD)))
def test_an_odd_span_in_json_is_refused_or_shown(number: int, server: RunningServer) -> None:
    trace = f"{number + 1:032x}"
    span = {
        "traceId": trace,
        "spanId": "b7ad6b7169203331",
        "name": "x",
        "startTimeUnixNano": "5",
        "endTimeUnixNano": "9",
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span | _ODD[number]]}]}]}).encode()
    sent = _post(server, body, content_type="application/json")
    assert sent.status_code in (200, 400), sent.text
    if sent.status_code == 200:
        for path in ("/traces/tr-{}", "/traces/tr-{}.json", "/api/3.0/mlflow/traces/get?trace_id=tr-{}"):
            answer = httpx.get(server.url + path.format(trace), headers={"accept": "text/html"})
            assert answer.status_code == 200, (path, answer.text[:500])


def test_all_or_none_of_a_request_is_kept(server: RunningServer) -> None:
    body = _request([_span(trace_id=b"a" * 16), _span(trace_id=b"b" * 16, name="n" * 5000)]).SerializeToString()
    assert _post(server, body).status_code == 400
    assert httpx.get(f"{server.url}/api/3.0/mlflow/traces/tr-{(b'a' * 16).hex()}").status_code == 404


def test_spans_may_come_late_in_any_order_and_twice(server: RunningServer) -> None:
    trace_id, begin = b"c" * 16, 1_700_000_000_000_000_000
    root = _span(trace_id=trace_id, start_time_unix_nano=begin, end_time_unix_nano=begin + 9_000_000,
                 status=Status(code=2, message="bad"))  # fmt: skip
    child = _span(trace_id=trace_id, span_id=b"d" * 8, parent_span_id=b"s" * 8, name="late",
                  start_time_unix_nano=begin + 1_000_000, end_time_unix_nano=begin + 20_000_000)  # fmt: skip
    address = f"{server.url}/api/3.0/mlflow/traces/get?trace_id=tr-{trace_id.hex()}"
    assert _post(server, _request([child]).SerializeToString()).status_code == 200
    first = httpx.get(address).json()["trace"]["trace_info"]
    assert (first["state"], first["execution_duration"]) == ("IN_PROGRESS", "0.019s")
    for _ in range(2):
        assert _post(server, _request([root]).SerializeToString()).status_code == 200
    found = httpx.get(address).json()["trace"]
    assert (found["trace_info"]["state"], found["trace_info"]["execution_duration"]) == ("ERROR", "0.020s")
    assert [span["name"] for span in found["spans"]] == ["x", "late"]


def test_reading_spans_needs_no_server() -> None:
    body = _request([_span(), _span(span_id=b"u" * 8)]).SerializeToString()
    found = otlp.read(body, media="application/x-protobuf", encoding="", limit=1000)
    assert [span.span_id for span in found] == [(b"s" * 8).hex(), (b"u" * 8).hex()]
