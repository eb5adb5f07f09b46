"""From stored predictions to windows, verdicts, alerts, holds and cards, with the real storeys below."""

from __future__ import annotations

import numpy as np
import pytest

from stile.board import card_records
from stile.data.profiling import build_profile
from stile.data.table import table_of
from stile.deploy import deployments, outcomes, predictions
from stile.deploy.deployment import Deployment
from stile.deploy.outcomes import OutcomeOrder
from stile.deploy.prediction import Prediction, columns_key
from stile.deploy.predictions import Delivery
from stile.govern import decision_records, decisions, policies, promotions, registry
from stile.kernel.canonical import digest_bytes
from stile.kernel.clock import FixedClock
from stile.kernel.errors import Conflict, Invalid, Missing
from stile.monitor import alerts, views, windows
from stile.monitor.closing import MonitorSettings
from stile.monitor.settings import change_settings
from stile.people import use_cases
from stile.people.use_cases import Charter
from stile.store import ledger
from stile.store.engines import open_database
from stile.train import artifacts, evidence_records
from stile.train.evidence import Computed, Evidence, Metric, Subject
from stile.work.inline import InlineBackground
from stile.work.start import LOOK_ROUND, wire

CASE = "early-detection"
HOUR = 3_600_000
POLICY = """
policy: early-detection
says: Promote what misses few.
require:
  - {id: recall-floor, rule: metric("recall") >= 0.5}
live:
  - id: live-recall
    says: Misses few in production
    rule: metric("recall") >= 0.9
    persist: 1 of 2
    else: open_decision
  - {id: inputs-moved, says: The inputs look as in training, rule: worst("psi") < 0.25, persist: 2 of 3, else: alert}
"""


class World:
    """A use case with a champion in production, and traffic on demand."""

    def __init__(self, path, blobs, store) -> None:
        self.clock = FixedClock()
        self.db = open_database(store, path, clock=self.clock)
        self.blobs = blobs
        self.random = np.random.default_rng(1)
        self.sent = 0
        self.ids: list[str] = []
        self.truth: list[int] = []
        self.restart()
        self.db.write(lambda tx: use_cases.create(tx, name=CASE, charter=Charter(solo=True, segment="site"), by="ana"))
        self.db.write(lambda tx: policies.publish(tx, use_case=CASE, yaml=POLICY, by="ana"))
        self.db.write(lambda tx: registry.create_model(tx, name=CASE, by="ana"))
        self.settings(window_rows=100, window_hours=1.0, minimum_rows=10, coverage_floor=0.5)
        self.subscriptions.drain()

    def restart(self) -> None:
        self.background = InlineBackground()
        self.subscriptions = wire(db=self.db, blobs=self.blobs, background=self.background, announce=lambda topic: None)

    def settings(self, **values) -> None:
        self.db.write(lambda tx: change_settings(tx, use_case=CASE, settings=MonitorSettings(**values), by="ana"))

    def promote(self) -> int:
        """Register a version with evidence and make it champion."""

        def register(tx):
            number = len(registry.versions(tx, CASE)) + 1
            folder = f"0/run{number}/artifacts/model"
            artifacts.bind(tx, path=f"{folder}/MLmodel", digest=digest_bytes(b"%d" % number), size=1, by="ana")
            return registry.create_version(tx, name=CASE, source=f"mlflow-artifacts:/{folder}", by="ana")

        made = self.db.write(register)
        x = self.random.normal(size=2000)
        evidence = Evidence(
            subject=Subject(kind="model_version", use_case=CASE, version=str(made.version), digest=made.digest),
            computed=Computed(by="ana", at=made.version, code="t"), positive="1", threshold=0.5,
            metrics={"recall": Metric(value=0.95, n=2000, low=0.9, high=0.99)},
            profile=build_profile(table_of({"x": x, "score": 1 / (1 + np.exp(-x))})),
        )  # fmt: skip
        self.db.write(lambda tx: evidence_records.save(tx, evidence))
        self.db.write(lambda tx: promotions.propose(tx, use_case=CASE, version=made.version, reason="r", by="ana"))
        plan = self.db.write(lambda tx: decisions.plan(tx, use_case=CASE, by="ana"))
        self.db.write(lambda tx: decisions.apply(tx, use_case=CASE, plan=plan.digest, by="ana"))
        self.subscriptions.drain()
        return made.version

    def send(self, count: int, version: int, *, shift: float = 0.0, gateway: str = "g") -> list[str]:
        digest = self.db.read(lambda tx: registry.version(tx, CASE, version)).digest
        key = columns_key(["x"])
        records = []
        for place in range(count):
            x = float(self.random.normal() + shift)
            score = float(1 / (1 + np.exp(-x)))
            self.ids.append(f"pred_{self.sent + place:026d}")
            self.truth.append(int(x > 0))
            records.append(
                Prediction(
                    id=self.ids[-1], at=self.clock.now_ms() + place, role="champion", version=version, digest=digest,
                    revision=1, columns=key, inputs=[x], output=int(score >= 0.5), score=score, latency_us=900 + place,
                    segment="A" if place % 2 else "B", broken=["x:range"] if place == 0 else [],
                )
            )  # fmt: skip
        delivery = Delivery(gateway=gateway, segment=f"s{self.sent}", offset=0, columns={key: ["x"]}, records=records)
        self.db.write(lambda tx: predictions.store(tx, use_case=CASE, delivery=delivery))
        self.sent += count
        self.subscriptions.drain()
        return [record.id for record in records]

    def tell(self, ids: list[str], *, wrong: bool = False) -> None:
        """Say what turned out true (or, with ``wrong``, that every positive answer was missed)."""
        places = [self.ids.index(id) for id in ids]
        orders = [
            OutcomeOrder(prediction=self.ids[i], outcome=1 if wrong else self.truth[i], source="system") for i in places
        ]
        self.db.write(lambda tx: outcomes.record(tx, use_case=CASE, orders=orders, by="ana"))
        self.look_round()

    def look_round(self) -> None:
        self.subscriptions.drain()
        self.background.tick(LOOK_ROUND)
        self.subscriptions.drain()

    def windows(self):
        """Oldest first."""
        return list(reversed(self.db.read(lambda tx: windows.windows(tx, CASE))))

    def verdicts(self, number: int) -> dict[str, str]:
        return {one.id: one.result.verdict for one in self.windows()[number - 1].verdicts}

    def alerts(self):
        return self.db.read(lambda tx: alerts.alerts(tx, CASE))


@pytest.fixture
def world(tmp_path, blobs, store_url):
    made = World(tmp_path, blobs, store_url)
    yield made
    made.db.close()


def test_windows_close_by_size_with_evidence_and_leave_the_rest_waiting(world):
    version = world.promote()
    world.send(250, version)
    first, second = world.windows()
    assert [(w.rows, w.state, w.reason, w.version) for w in (first, second)] == [(100, "closed", "rows", version)] * 2
    assert second.first_position == first.last_position + 1
    view = world.db.read(lambda tx: views.window_view(tx, first.id))
    assert view.evidence.subject.window == first.id
    assert view.evidence.datasets[0].rows == 100
    assert view.evidence.facts["coverage"] == {"n": 100, "known": 0, "enough": False, "outcomes_ratio": 0.0}
    assert view.evidence.facts["contract"]["rows"] == 1
    assert view.evidence.facts["latency"]["n"] == 100
    assert view.coverage.startswith("Not enough outcomes: 0 of 100")
    assert world.verdicts(1) == {"live-recall": "unknown", "inputs-moved": "pass"}
    assert world.alerts() == []


def test_a_window_closes_by_time_when_few_predictions_come(world):
    version = world.promote()
    world.send(30, version)
    world.look_round()
    assert world.windows() == []
    world.clock.advance(HOUR)
    world.look_round()
    assert [(w.rows, w.reason) for w in world.windows()] == [(30, "time")]


def test_a_window_holds_one_version_when_another_takes_over(world):
    old = world.promote()
    world.send(40, old)
    new = world.promote()
    world.send(5, new)
    world.send(3, old, gateway="late")
    world.send(100, new)
    world.look_round()
    found = sorted((w.version, w.rows, w.state) for w in world.windows())
    assert found == [(old, 3, "skipped"), (old, 40, "closed"), (new, 100, "closed")]


def test_too_few_answers_of_a_succeeded_version_are_passed_over(world):
    old = world.promote()
    world.send(4, old)
    new = world.promote()
    world.send(100, new)
    world.look_round()
    assert [(w.version, w.state) for w in world.windows()] == [(old, "skipped"), (new, "closed")]


def test_an_alert_is_raised_when_inputs_move_in_two_windows_and_resolved_when_they_return(world):
    version = world.promote()
    world.send(100, version, shift=2.0)
    assert world.verdicts(1)["inputs-moved"] == "fail"
    assert world.alerts() == []
    world.send(100, version, shift=2.0)
    (alert,) = world.alerts()
    assert (alert.rule, alert.state, alert.action, alert.version) == ("inputs-moved", "open", "alert", version)
    assert len(alert.windows) == 2
    assert "psi" in alert.finding.lower()
    card = world.db.read(lambda tx: card_records.of_version(tx, CASE, version))
    assert (card.column, card.flag, card.alert) == ("incident", "incident", alert.id)
    world.send(100, version, shift=2.0)
    assert len(world.alerts()) == 1
    assert len(world.alerts()[0].windows) == 3
    for _ in range(3):
        world.send(100, version)
    assert world.alerts()[0].state == "resolved"
    assert world.db.read(lambda tx: card_records.of_version(tx, CASE, version)).column == "champion"


def test_a_window_is_restated_and_a_decision_opened_when_late_outcomes_show_misses(world):
    version = world.promote()
    ids = world.send(100, version)
    assert world.verdicts(1)["live-recall"] == "unknown"
    world.tell(ids[:20], wrong=True)
    assert world.verdicts(1)["live-recall"] == "unknown", "20 of 100 is below the floor"
    world.tell(ids, wrong=True)
    (window,) = world.windows()
    assert window.evidence != window.evidence_first
    assert (window.outcomes_first, window.outcomes) == (0, 100)
    assert world.verdicts(1)["live-recall"] == "fail"
    (alert,) = world.alerts()
    held = world.db.read(lambda tx: decision_records.find(tx, alert.decision))
    assert (held.kind, held.version, held.evidence) == ("held", version, window.evidence)
    assert [result.id for result in held.verdicts] == ["live-recall", "inputs-moved"]
    assert "Misses few in production" in held.reason
    (point,) = world.db.read(lambda tx: views.metric_over_windows(tx, CASE, "recall"))
    assert point.first is None and point.value.n == 100 and point.value.value < 0.9
    assert world.db.read(lambda tx: views.metric_names(tx, CASE))[0:1] != []
    assert world.db.read(ledger.verify) == []


def test_performance_is_stated_and_right_when_enough_outcomes_are_known(world):
    version = world.promote()
    ids = world.send(100, version)
    world.tell(ids[:60])
    (point,) = world.db.read(lambda tx: views.metric_over_windows(tx, CASE, "recall"))
    assert point.enough and point.value.value == 1.0
    assert point.says == "60 of 100 predictions have an outcome."
    assert world.verdicts(1)["live-recall"] == "pass"


def test_a_window_is_restated_when_an_outcome_is_corrected(world):
    version = world.promote()
    ids = world.send(100, version)
    world.tell(ids)
    before = world.windows()[0]
    truth = world.truth[0]
    order = OutcomeOrder(prediction=ids[0], outcome=1 - truth, source="expert")
    world.db.write(lambda tx: outcomes.record(tx, use_case=CASE, orders=[order], by="eva"))
    world.look_round()
    after = world.windows()[0]
    assert after.outcomes == before.outcomes == 100
    assert after.evidence != before.evidence
    world.look_round()
    assert world.windows()[0] == after


def test_an_older_measurement_never_replaces_one_that_knew_more(world):
    version = world.promote()
    ids = world.send(100, version)
    world.tell(ids)
    known = world.windows()[0]
    late = world.db.write(
        lambda tx: windows.close(
            tx, id=known.id, evidence=known.evidence_first, outcomes=0, seen=0, results=[], policy=""
        )
    )
    assert late == known == world.windows()[0]


def test_a_window_left_half_closed_is_measured_when_its_workflow_was_lost(world):
    version = world.promote()
    world.send(7, version)
    world.db.write(lambda tx: windows.cut_now(tx, use_case=CASE, by="mel"))
    world.db.write(lambda tx: tx.run("DELETE FROM outbox WHERE name = 'WindowCut'"))
    assert world.windows()[0].state == "closing"
    world.look_round()
    assert world.windows()[0].state == "closed"


def test_alerts_end_when_another_version_becomes_champion(world):
    version = world.promote()
    for _ in range(2):
        world.send(100, version, shift=2.0)
    assert world.alerts()[0].state == "open"
    world.promote()
    assert (world.alerts()[0].state, world.alerts()[0].resolved_by) == ("resolved", "ana")


def test_an_alert_is_acknowledged_with_a_cause_once_it_is_looked_into(world):
    version = world.promote()
    for _ in range(2):
        world.send(100, version, shift=2.0)
    (alert,) = world.alerts()
    with pytest.raises(Invalid, match="Say what caused it"):
        world.db.write(lambda tx: alerts.acknowledge(tx, id=alert.id, cause=" ", by="mel"))
    known = world.db.write(lambda tx: alerts.acknowledge(tx, id=alert.id, cause="scanner recalibrated", by="mel"))
    assert (known.state, known.cause, known.acknowledged_by) == ("acknowledged", "scanner recalibrated", "mel")
    world.db.write(lambda tx: alerts.resolve(tx, id=alert.id, by="mel"))
    with pytest.raises(Conflict, match="over already"):
        world.db.write(lambda tx: alerts.acknowledge(tx, id=alert.id, cause="late", by="mel"))


def test_a_window_is_cut_on_demand_and_refused_when_nothing_is_new(world):
    version = world.promote()
    with pytest.raises(Invalid, match="no new predictions"):
        world.db.write(lambda tx: windows.cut_now(tx, use_case=CASE, by="mel"))
    with pytest.raises(Missing):
        world.db.write(lambda tx: windows.cut_now(tx, use_case="other", by="mel"))
    world.send(7, version)
    cut = world.db.write(lambda tx: windows.cut_now(tx, use_case=CASE, by="mel"))
    with pytest.raises(Conflict, match="still being closed"):
        world.db.write(lambda tx: windows.cut_now(tx, use_case=CASE, by="mel"))
    world.subscriptions.drain()
    (window,) = world.windows()
    assert (window.id, window.state, window.reason, window.rows, window.cut_by) == (cut.id, "closed", "asked", 7, "mel")


def test_the_drift_matrix_and_a_histogram_show_what_moved(world):
    version = world.promote()
    world.send(100, version)
    world.send(100, version, shift=2.0)
    matrix = world.db.read(lambda tx: views.drift_matrix(tx, CASE))
    assert set(matrix.columns) == {"x", "score"}
    assert [column.number for column in matrix.windows] == [1, 2]
    assert not any(cell.beyond_noise for cell in matrix.windows[0].cells)
    assert all(cell.beyond_noise for cell in matrix.windows[1].cells)
    assert "2 of 2 columns moved" in matrix.finding
    shown = world.db.read(lambda tx: views.column_histogram(tx, world.windows()[1].id, "x"))
    assert sum(bar.window for bar in shown.bars) == 100
    assert sum(bar.reference for bar in shown.bars) == 2000
    assert shown.finding.startswith("x moved")
    state = world.db.read(lambda tx: views.summary(tx, CASE))
    assert (state.windows, state.failing, state.newest.number) == (2, ["inputs-moved"], 2)


def test_the_next_windows_go_on_when_one_cannot_be_measured(world):
    version = world.promote()
    world.db.write(lambda tx: tx.run("DELETE FROM evidence"))
    world.send(100, version)
    (window,) = world.windows()
    assert window.state == "closed"
    assert (
        world.db.read(lambda tx: views.drift_matrix(tx, CASE)).finding == "Window 1 has no reference to compare with."
    )
    with pytest.raises(Missing, match="no archived reference"):
        world.db.read(lambda tx: views.column_histogram(tx, window.id, "x"))


def test_the_deployment_follows_the_decision(world):
    version = world.promote()
    current: Deployment = world.db.read(lambda tx: deployments.current(tx, CASE))
    assert current.variant("champion").version == version
