"""Predictions, outcomes, feedback and deployments on a real store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stile.deploy import (
    deployment_records,
    deployments,
    feedback,
    outcome_records,
    outcomes,
    prediction_records,
    predictions,
    why,
)
from stile.deploy.events import DeploymentChanged, OutcomesRecorded, PredictionsStored
from stile.deploy.feedback import FeedbackOrder
from stile.deploy.outcomes import OutcomeOrder
from stile.deploy.prediction import Prediction
from stile.deploy.predictions import Delivery
from stile.deploy.sources import GatewayReport
from stile.govern import aliases, registry
from stile.kernel.errors import Conflict, Invalid, Missing
from stile.people import use_cases
from stile.people.use_cases import Charter
from stile.store import outbox
from stile.store.sqlite import SqliteDatabase

CASE = "early-detection"


@pytest.fixture
def store(db: SqliteDatabase) -> SqliteDatabase:
    db.write(lambda tx: use_cases.create(tx, name=CASE, charter=Charter(segment="site"), by="ada"))
    return db


def record(number: int, **fields: Any) -> Prediction:
    values: dict[str, Any] = {
        "id": f"pred_{number:04d}", "at": 1_000 + number, "role": "champion", "version": 1, "digest": "sha256:m",
        "revision": 1, "columns": "k", "inputs": [0.5, None], "output": 1, "score": 0.97,
    }  # fmt: skip
    return Prediction(**(values | fields))


def deliver(db: SqliteDatabase, records: list[Prediction], *, offset: int = 0, segment: str = "1.log") -> Any:
    delivery = Delivery(gateway="gw", segment=segment, offset=offset, columns={"k": ["a", "b"]}, records=records)
    return db.write(lambda tx: predictions.store(tx, use_case=CASE, delivery=delivery))


def events(db: SqliteDatabase, kind: type[Any]) -> list[Any]:
    return [posted.event for posted in db.read(lambda tx: outbox.after(tx, 0, 1000)) if isinstance(posted.event, kind)]


def test_delivery_is_stored_once_when_it_is_repeated_or_overlaps(store: SqliteDatabase) -> None:
    assert deliver(store, [record(0), record(1)]).next == 2
    again = deliver(store, [record(0), record(1)])
    assert (again.stored, again.next) == (0, 2)
    over = deliver(store, [record(1), record(2)], offset=1)
    assert (over.stored, over.next) == (1, 3)
    rows = store.read(lambda tx: predictions.window_rows(tx, CASE))
    assert [row.id for row in rows] == ["pred_0000", "pred_0001", "pred_0002"]
    assert rows[0].inputs == {"a": 0.5, "b": None} and rows[0].output == 1
    assert sum(event.count for event in events(store, PredictionsStored)) == 3


def test_gap_is_refused_and_says_where_to_begin(store: SqliteDatabase) -> None:
    deliver(store, [record(0)])
    with pytest.raises(Conflict) as refusal:
        deliver(store, [record(5)], offset=5)
    assert refusal.value.details["next"] == 1
    assert len(store.read(lambda tx: predictions.window_rows(tx, CASE))) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"inputs": [1.0]},
        {"columns": "unknown"},
        {"role": "king"},
        {"version": 0},
        {"id": "x"},
        {"id": "pred_" + "x" * 99},
    ],
)
def test_nothing_is_stored_when_one_record_is_not_well_formed(store: SqliteDatabase, broken: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="Record 1"):
        deliver(store, [record(0), record(1, **broken)])
    assert store.read(lambda tx: predictions.window_rows(tx, CASE)) == []


def test_challenger_shares_the_id_and_is_read_apart(store: SqliteDatabase) -> None:
    deliver(store, [record(0), record(0, role="challenger", version=2, score=0.2, output=0)])
    assert [row.role for row in store.read(lambda tx: predictions.everything(tx, "pred_0000"))] == [
        "champion",
        "challenger",
    ]
    assert len(store.read(lambda tx: predictions.window_rows(tx, CASE))) == 1
    assert len(store.read(lambda tx: predictions.window_rows(tx, CASE, role=None))) == 2
    with pytest.raises(Missing):
        store.read(lambda tx: predictions.get(tx, "pred_none"))


def tell(db: SqliteDatabase, prediction: str, outcome: Any, source: str = "lab", at: int | None = None) -> Any:
    order = OutcomeOrder(prediction=prediction, outcome=outcome, source=source, at=at)
    return db.write(lambda tx: outcomes.record(tx, use_case=CASE, orders=[order], by="labo"))


def test_outcome_waits_for_its_prediction_when_it_comes_first(store: SqliteDatabase) -> None:
    assert tell(store, "pred_0000", 1).pending == 1
    assert store.read(lambda tx: outcome_records.pending(tx, CASE)) == 1
    assert events(store, OutcomesRecorded) == []
    deliver(store, [record(0), record(1)])
    assert store.read(lambda tx: outcome_records.pending(tx, CASE)) == 0
    assert [row.outcome for row in store.read(lambda tx: predictions.window_rows(tx, CASE))] == ["1", None]
    assert [event.predictions for event in events(store, OutcomesRecorded)] == [["pred_0000"]]


def test_accepted_truth_is_what_became_known_last_and_repeating_adds_nothing(store: SqliteDatabase) -> None:
    deliver(store, [record(0)])
    assert tell(store, "pred_0000", 1, at=500).recorded == 1
    assert tell(store, "pred_0000", 1.0, at=900).repeated == 1
    tell(store, "pred_0000", 0, source="biopsy", at=700)
    tell(store, "pred_0000", 1, source="hearsay", at=600)
    found = store.read(lambda tx: predictions.get(tx, "pred_0000"))
    assert (found.outcome, found.source, found.author) == ("0", "biopsy", "labo")
    assert len(store.read(lambda tx: outcome_records.of_prediction(tx, CASE, "pred_0000"))) == 3
    assert len(events(store, OutcomesRecorded)) == 2


@pytest.mark.parametrize("wrong", [{"prediction": ""}, {"source": " "}, {"outcome": ""}, {"at": -1}, {"at": 2**60}])
def test_no_outcome_is_kept_when_one_is_not_well_formed(store: SqliteDatabase, wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"prediction": "pred_0000", "outcome": 1, "source": "lab"}
    orders = [OutcomeOrder(**good), OutcomeOrder(**(good | wrong))]
    with pytest.raises(Invalid, match="Outcome 1"):
        store.write(lambda tx: outcomes.record(tx, use_case=CASE, orders=orders, by="labo"))
    assert store.read(lambda tx: outcome_records.of_prediction(tx, CASE, "pred_0000")) == []


def say(db: SqliteDatabase, verdict: str, *, by: str = "eve", expert: bool = True, corrected: Any = None) -> Any:
    order = FeedbackOrder(verdict=verdict, corrected=corrected, reason="seen on the scan")
    return db.write(lambda tx: feedback.give(tx, prediction="pred_0000", order=order, by=by, expert=expert))


def test_word_of_an_expert_becomes_truth_and_uncertainty_does_not(store: SqliteDatabase) -> None:
    deliver(store, [record(0)])
    say(store, "unsure")
    assert store.read(lambda tx: predictions.get(tx, "pred_0000")).outcome is None
    say(store, "correct", by="pam", expert=False, corrected=0)
    assert store.read(lambda tx: predictions.get(tx, "pred_0000")).outcome is None
    say(store, "correct", corrected=0)
    found = store.read(lambda tx: predictions.get(tx, "pred_0000"))
    assert (found.outcome, found.source, found.author) == ("0", "expert", "eve")


def test_agreement_of_an_expert_confirms_the_answer(store: SqliteDatabase) -> None:
    deliver(store, [record(0)])
    say(store, "agree")
    assert store.read(lambda tx: predictions.get(tx, "pred_0000")).outcome == "1"


def test_feedback_is_refused_when_it_is_not_in_the_vocabulary_or_contradicts_itself(store: SqliteDatabase) -> None:
    deliver(store, [record(0)])
    for verdict, corrected, says in (
        ("nonsense", None, "agree, correct, unsure"),
        ("correct", None, "right answer"),
        ("agree", 0, "agrees"),
    ):
        with pytest.raises(Invalid, match=says):
            say(store, verdict, corrected=corrected)


def test_queue_names_its_reasons_skips_the_judged_and_is_the_same_twice(store: SqliteDatabase) -> None:
    records = [record(i) for i in range(60)]
    records[3] = record(3, score=0.52)
    records[4] = record(4, broken=["a:out_of_range"])
    records += [record(5, role="challenger", version=2, output=0, score=0.1)]
    deliver(store, records)
    found = store.read(lambda tx: feedback.queue(tx, CASE, person="eve"))
    assert [one.prediction for one in found[:3]] == ["pred_0005", "pred_0003", "pred_0004"]
    assert [one.reasons for one in found[:3]] == [["disagreement"], ["near_threshold"], ["unusual_inputs"]]
    assert "challenger (version 2)" in found[0].why and found[0].others == [("challenger", 2, 0, 0.1)]
    assert found == store.read(lambda tx: feedback.queue(tx, CASE, person="eve"))
    unsure = FeedbackOrder(verdict="unsure")
    store.write(lambda tx: feedback.give(tx, prediction="pred_0005", order=unsure, by="eve", expert=True))
    assert "pred_0005" not in [one.prediction for one in store.read(lambda tx: feedback.queue(tx, CASE, person="eve"))]
    assert "pred_0005" in [one.prediction for one in store.read(lambda tx: feedback.queue(tx, CASE, person="bob"))]
    tell(store, "pred_0003", 1)
    assert "pred_0003" not in [one.prediction for one in store.read(lambda tx: feedback.queue(tx, CASE, person="bob"))]
    count, oldest = store.read(lambda tx: feedback.waiting(tx, CASE))
    assert count == len(found) - 2 and oldest >= 1_000


def test_audit_share_is_about_what_it_says() -> None:
    from stile.deploy.review_queue import AUDIT_RATIO, _drawn

    drawn = sum(_drawn(f"pred_{i:08d}") for i in range(20_000))
    assert abs(drawn / 20_000 - AUDIT_RATIO) < 0.005


def version(db: SqliteDatabase) -> int:
    def make(tx: Any) -> int:
        if not registry.versions(tx, CASE):
            registry.create_model(tx, name=CASE, by="ada")
        return registry.create_version(tx, name=CASE, source="s3://bucket/model", by="ada").version

    return db.write(make)


def test_deployment_gets_a_new_revision_only_when_something_moves(store: SqliteDatabase) -> None:
    refresh = lambda: store.write(lambda tx: deployments.refresh(tx, CASE))  # noqa: E731
    assert refresh().revision == 0 and not store.read(lambda tx: deployments.stale(tx, CASE))
    first, second = version(store), version(store)
    store.write(lambda tx: aliases.set_alias(tx, CASE, "champion", first, "gov", "dec_1"))
    assert store.read(lambda tx: deployments.stale(tx, CASE))
    one = refresh()
    assert (one.revision, one.segment, one.variant("champion").version) == (1, "site", first)  # type: ignore[union-attr]
    assert one.variant("champion").decision == "dec_1"  # type: ignore[union-attr]
    assert refresh() == one and not store.read(lambda tx: deployments.stale(tx, CASE))
    store.write(lambda tx: aliases.set_alias(tx, CASE, "challenger", second, "gov"))
    assert refresh().revision == 2
    store.write(lambda tx: aliases.drop_alias(tx, CASE, "challenger", "gov"))
    assert refresh().revision == 3
    assert [event.revision for event in events(store, DeploymentChanged)] == [1, 2, 3]
    assert [d.revision for d, _ in store.read(lambda tx: deployment_records.history(tx, CASE))] == [3, 2, 1]


def test_gateway_report_is_remembered_with_its_problems(store: SqliteDatabase) -> None:
    report = GatewayReport(gateway="gw", state="failed", revision=2, serving=1, problems=["no MLmodel"])
    store.write(lambda tx: deployments.report(tx, use_case=CASE, report=report))
    found = store.read(lambda tx: deployments.gateways(tx, CASE))
    assert [(g.state, g.serving, g.problems) for g in found] == [("failed", 1, ["no MLmodel"])]
    with pytest.raises(Invalid):
        odd = msgspec.structs.replace(report, state="fine")
        store.write(lambda tx: deployments.report(tx, use_case=CASE, report=odd))


def test_why_names_its_gaps_when_records_are_not_here(store: SqliteDatabase) -> None:
    deliver(store, [record(0), record(0, role="shadow", version=2)])
    say(store, "agree")
    chain = store.read(lambda tx: why.why(tx, "pred_0000"))
    kinds = [link.kind for link in chain.links]
    assert kinds == [
        "prediction", "model", "deployment", "decision", "rules", "approvals", "evidence", "run", "data", "commit",
        "truth",
    ]  # fmt: skip
    assert not chain.complete
    assert {link.kind for link in chain.links if link.known} == {"prediction", "truth"}
    assert "turned out to be 1" in chain.links[-1].sentence
    with pytest.raises(Missing):
        store.read(lambda tx: why.why(tx, "pred_none"))


def test_pages_are_bounded_by_position_time_version_and_count(store: SqliteDatabase) -> None:
    deliver(store, [record(i, version=1 + i % 2) for i in range(10)])
    read = lambda **limits: [row.id[-1] for row in store.read(lambda tx: predictions.window_rows(tx, CASE, **limits))]  # noqa: E731
    assert read(after=2, last=5) == ["2", "3", "4"]
    assert read(since=1_003, until=1_006) == ["3", "4", "5"]
    assert read(version=2, limit=2) == ["1", "3"]
    newest = store.read(lambda tx: prediction_records.page(tx, CASE, limit=2, newest=True))
    assert [row.id[-1] for row in newest] == ["9", "8"]
