"""Messages: fields by either of their names; metrics packed on the way in and rendered on the way out."""

from __future__ import annotations

import json
import math

import msgspec
import pytest

from stile.kernel.errors import Invalid
from stile.protocols.mlflow import wire
from stile.train.points import Columns, Point, unpack


def test_a_long_answer_is_whole_json_when_encoded_in_parts() -> None:
    count = 25_001
    values = [math.nan if index == 3 else index / 7 for index in range(count)]
    body = wire.metrics(wire.points("loss", Columns(range(count), range(count), values), "r1"), "next")
    answer = json.loads(body)
    assert answer["next_page_token"] == "next"
    assert [metric["step"] for metric in answer["metrics"]] == list(range(count))
    assert answer["metrics"][3]["value"] == "NaN"
    assert answer["metrics"][7] == {"key": "loss", "value": 1.0, "timestamp": 7, "step": 7, "run_id": "r1"}


def test_an_answer_without_points_is_an_empty_list() -> None:
    assert json.loads(wire.metrics([])) == {"metrics": []}


def test_zero_is_sent_when_step_and_time_are_zero() -> None:
    found = wire.metrics(wire.points("m", Columns([0], [0], [0.0])))
    assert json.loads(found) == {"metrics": [{"key": "m", "value": 0.0, "timestamp": 0, "step": 0}]}


def test_values_are_numbers_however_they_are_spelled() -> None:
    sent = [wire.MetricIn(key="m", value=value, step=step) for step, value in enumerate([1, 2.5, "3", "NaN", "-inf"])]
    made = wire.pieces(sent)["m"]
    assert [point.value for point in unpack(made.body)[:3]] == [1.0, 2.5, 3.0]
    assert math.isnan(unpack(made.body)[3].value)
    assert made.newest == Point(0, 4, -1.7976931348623157e308)


@pytest.mark.parametrize("value", ["", "x", 10**400])
def test_a_value_is_refused_when_it_is_no_number(value: object) -> None:
    with pytest.raises(Invalid):
        wire.pieces([wire.MetricIn(key="m", value=value)])  # type: ignore[arg-type]


class _Part(msgspec.Struct):
    source_type: str = ""


class _Asked(msgspec.Struct):
    run_id: str = ""
    max_results: int = 10
    tags: dict[str, str] = {}
    parts: list[_Part] = []
    key: str = ""


_SNAKE = '{"run_id": "r", "max_results": "5", "tags": {"runId": "x"}, "parts": [{"source_type": "s"}], "key": "k"}'
_CAMEL = '{"runId": "r", "maxResults": 5, "tags": {"runId": "x"}, "parts": [{"sourceType": "s"}], "key": "k"}'


@pytest.mark.parametrize("body", [_SNAKE, _CAMEL, json.dumps(_SNAKE), json.dumps(_CAMEL)])
def test_fields_go_by_either_name_and_keys_of_a_map_stay(body: str) -> None:
    wanted = _Asked(run_id="r", max_results=5, tags={"runId": "x"}, parts=[_Part("s")], key="k")
    assert wire.decode(body.encode(), _Asked) == wanted


def test_the_name_of_the_protocol_counts_when_both_are_sent() -> None:
    assert wire.decode(b'{"runId": "no", "run_id": "r", "key": null}', _Asked) == _Asked(run_id="r")


@pytest.mark.parametrize("body", [b'"{"', b'"1"', b'"[]"', b'"\\"x\\""', b"[]", b"null", b"3"])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        wire.decode(body, _Asked)
