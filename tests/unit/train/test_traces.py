"""Traces: spans and descriptions in any order, searching with hostile words, deleting with all that belongs to them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from stile.kernel.errors import Invalid, Missing, StileError, TooLarge
from stile.store.database import Database
from stile.train import artifacts, assessments, experiments, purge, spans, trace_search, traces
from stile.train.spans import Span
from stile.train.trace_values import Assessment, TraceDraft

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
MS = 1_000_000
BEGIN = 1_700_000_000_000


def _span(number: int, parent: int = 0, *, trace: int = 1, at: int = 0, took: int = 5, **more: Any) -> Span:
    message = {
        "trace_id": base64.b64encode(trace.to_bytes(16)).decode(),
        "span_id": base64.b64encode(number.to_bytes(8)).decode(),
        "name": f"span {number}",
        "start_time_unix_nano": str((BEGIN + at) * MS),
        "end_time_unix_nano": str((BEGIN + at + took) * MS),
    }
    if parent:
        message["parent_span_id"] = base64.b64encode(parent.to_bytes(8)).decode()
    return spans.read(message | more)


def _draft(trace: int = 1, **more: Any) -> TraceDraft:
    return TraceDraft(
        **{"trace_id": f"tr-{trace:032x}", "experiment_id": "0", "state": "OK", "at": BEGIN, "took": 9} | more
    )


def _attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"string_value": value}}


def test_description_and_spans_in_either_order_give_the_same(db: Database) -> None:
    inputs = {"attributes": [_attribute("mlflow.spanInputs", "asked")]}
    for trace, steps in ((1, "sd"), (2, "ds"), (3, "sdds")):
        for step in steps:
            if step == "s":
                sent = [_span(1, trace=trace, **inputs), _span(2, 1, trace=trace, at=1, took=50)]
                db.write(lambda tx, sent=sent: traces.put_spans(tx, "0", sent, by="ada"))
            else:
                draft = _draft(trace, tags={"k": "v"}, request="said")
                db.write(lambda tx, draft=draft: traces.start(tx, draft, by="ada"))
    found = db.read(lambda tx: traces.whole(tx, [f"tr-{one:032x}" for one in (1, 2, 3)]))
    seen = {
        (one.info.state, one.info.at, one.info.took, one.info.request, one.info.name, len(one.spans)) for one in found
    }
    assert seen == {("OK", BEGIN, 9, "said", "span 1", 2)}
    assert all(one.info.tags["k"] == "v" and one.info.spans_here for one in found)


def test_times_grow_with_the_spans_until_the_client_says(db: Database) -> None:
    db.write(lambda tx: traces.put_spans(tx, "0", [_span(2, 1, at=10, took=20)], by="ada"))
    db.write(lambda tx: traces.put_spans(tx, "0", [_span(3, 1, at=5, took=1)], by="ada"))
    info = db.read(lambda tx: traces.get(tx, f"tr-{1:032x}"))
    assert (info.state, info.at, info.took) == ("IN_PROGRESS", BEGIN + 5, 25)
    db.write(lambda tx: traces.put_spans(tx, "0", [_span(1, status={"code": 2})], by="ada"))
    info = db.read(lambda tx: traces.get(tx, f"tr-{1:032x}"))
    assert (info.state, info.at, info.took) == ("ERROR", BEGIN, 30)


def test_a_trace_has_so_many_spans_at_most(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "SPANS_PER_TRACE", 3)
    db.write(lambda tx: traces.put_spans(tx, "0", [_span(n, 1) for n in (2, 3, 4)], by="ada"))
    with pytest.raises(TooLarge):
        db.write(lambda tx: traces.put_spans(tx, "0", [_span(5, 1)], by="ada"))
    assert len(db.read(lambda tx: traces.whole(tx, [f"tr-{1:032x}"]))[0].spans) == 3


def test_a_deleted_experiment_takes_no_traces_and_its_purge_takes_them_away(db: Database) -> None:
    made = db.write(lambda tx: experiments.create(tx, name="gone", by="ada")).experiment_id

    def fill(tx: Any) -> None:
        traces.put_spans(tx, made, [_span(1)], by="ada")
        traces.start(
            tx, _draft(experiment_id=made, tags={"a": "b"}, metadata={"m": "n", "mlflow.sourceRun": "r"}), by="ada"
        )
        assessments.create(tx, _said(), by="ada")
        artifacts.bind(tx, path=f"{made}/traces/tr-{1:032x}/artifacts/traces.json", digest="sha256:x", size=1, by="ada")
        experiments.delete(tx, made)

    db.write(fill)
    with pytest.raises(Invalid, match="active"):
        db.write(lambda tx: traces.start(tx, _draft(2, experiment_id=made), by="ada"))
    with pytest.raises(Invalid, match="active"):
        db.write(lambda tx: traces.put_spans(tx, made, [_span(1, trace=2)], by="ada"))
    assert db.write(lambda tx: purge.drop_empty(tx, [made])) == [made]
    for table in ("traces", "spans", "trace_tags", "trace_metadata", "trace_runs", "assessments", "artifacts"):
        assert db.read(lambda tx, table=table: tx.scalar(f"SELECT COUNT(*) FROM {table}")) == 0, table


def _said(**more: Any) -> Assessment:
    fields = {"assessment_id": "", "trace_id": f"tr-{1:032x}", "kind": "feedback", "name": "good", "body": {"value": 1}}
    return Assessment(**fields | more)


def test_assessments_that_come_twice_with_a_trace_are_kept_once(db: Database) -> None:
    draft = _draft(assessments=[_said(created_at=7), _said(created_at=8), _said(name="bad", created_at=7)])
    for _ in range(2):
        db.write(lambda tx: traces.start(tx, draft, by="ada"))
    found = db.read(lambda tx: traces.get(tx, draft.trace_id)).assessments
    assert [(one.name, one.created_at, one.by) for one in found] == [
        ("good", 7, "ada"),
        ("good", 8, "ada"),
        ("bad", 7, "ada"),
    ]
    with pytest.raises(Missing, match="not found"):
        db.write(lambda tx: assessments.create(tx, _said(overrides="a-none"), by="ada"))


_WORDS = [
    "'; DROP TABLE traces; --", "%", "_", "!", "!%", "a\\b", '"', "''", "a'b", "a\nb", "{",
    '","value":{"string_value":"x"}}', "ü", "☃",
]  # fmt: skip


@pytest.mark.parametrize("word", _WORDS)
def test_words_in_a_filter_are_only_words(word: str, db: Database) -> None:
    quoted = "'" + word.replace("'", "''") + "'"
    value = _attribute("key", word)
    db.write(lambda tx: traces.put_spans(tx, "0", [_span(1, attributes=[value])], by="ada"))
    db.write(lambda tx: traces.put_spans(tx, "0", [_span(1, trace=2, attributes=[_attribute("key", "zzz")])], by="ada"))
    db.write(lambda tx: traces.set_tag(tx, f"tr-{1:032x}", "t", word))

    def found(filter: str) -> list[str]:
        page = db.read(lambda tx: trace_search.search(tx, experiment_ids=["0"], filter=filter))
        return [one.trace_id[-1] for one in page.traces]

    assert found(f"span.attributes.key = {quoted}") == ["1"]
    assert found(f"span.attributes.key != {quoted}") == ["2"]
    assert found(f"tags.t = {quoted}") == ["1"]
    for filter in (f"name = {quoted}", f"feedback.x = {quoted}", f"metadata.`m` LIKE {quoted}", f"run_id = {quoted}"):
        assert found(filter) == []


@pytest.mark.parametrize(
    "filter",
    [
        "name RLIKE 'a'", "status > 'OK'", "timestamp_ms = 'x'", "timestamp_ms > 1e999", "span.unknown = 'x'",
        "text = ", "foo.bar = 'x'",
        "feedback.x > 'a'", "span.name IS NULL", "name = 5", "OR", "status = 'OK' OR name = 'x'", "tags. = 'x'",
        "(" * 200,
        " AND ".join(["name = 'x'"] * 80), "name IN ()", "feedback.a IN ('x')", "x" * 30_000,
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_read_says_why(filter: str, db: Database) -> None:
    with pytest.raises(StileError) as raised:
        db.read(lambda tx: trace_search.search(tx, experiment_ids=["0"], filter=filter))
    assert raised.value.code == "invalid"


def test_open_traces_sort_last_by_how_long_they_took(db: Database) -> None:
    for trace, took in ((1, 30), (2, None), (3, 10)):
        db.write(lambda tx, trace=trace, took=took: traces.start(tx, _draft(trace, took=took), by="ada"))
    for way, expected in (("ASC", ["3", "1", "2"]), ("DESC", ["1", "3", "2"])):
        token, seen = "", []
        while True:
            page = db.read(
                lambda tx, way=way, token=token: trace_search.search(
                    tx, experiment_ids=["0"], order_by=[f"execution_time_ms {way}"], max_results=1, page_token=token
                )
            )
            seen += [one.trace_id[-1] for one in page.traces]
            token = page.next_page_token
            if not token:
                break
        assert seen == expected


def test_prompts_are_linked_once(db: Database) -> None:
    draft = _draft()
    db.write(lambda tx: traces.start(tx, draft, by="ada"))
    for prompts in ([("p", "1")], [("p", "1"), ("q", "2")]):
        db.write(lambda tx, prompts=prompts: traces.link_prompts(tx, draft.trace_id, prompts))
    tags = db.read(lambda tx: traces.get(tx, draft.trace_id)).tags
    assert tags["mlflow.linkedPrompts"] == '[{"name": "p", "version": "1"}, {"name": "q", "version": "2"}]'
