"""What waits for whom; and the board over HTTP."""

from __future__ import annotations

import pytest

from stile.board import cards, inbox
from stile.deploy import predictions
from stile.deploy.prediction import Prediction, columns_key
from stile.deploy.predictions import Delivery
from stile.govern import policies, promotions, registry
from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import Invalid
from stile.kernel.permission import LOCAL_USER, Principal, PrincipalKind, Role
from stile.monitor import alerts
from stile.people import accounts, use_cases
from stile.people.use_cases import Charter
from stile.train import artifacts, evidence_records
from stile.train.evidence import Computed, Evidence, Metric, Subject

CASE = "early-detection"
POLICY = """
policy: early-detection
require:
  - {id: recall-floor, rule: metric("recall") >= 0.5}
approvals:
  - {role: product_manager}
  - {role: domain_expert}
"""
TEAM = {
    "ana": Role.DATA_SCIENTIST, "pia": Role.PRODUCT_MANAGER, "eva": Role.DOMAIN_EXPERT, "mel": Role.ML_ENGINEER,
}  # fmt: skip


def who(name: str) -> Principal:
    return Principal(name=name, kind=PrincipalKind.PERSON, team_roles={CASE: frozenset({TEAM[name]})})


@pytest.fixture
def store(db):
    def build(tx):
        use_cases.create(tx, name=CASE, charter=Charter(), by="ana")
        for person, role in TEAM.items():
            accounts.create(tx, name=person, by="root")
            use_cases.set_roles(tx, name=CASE, person=person, roles=[role], by="root")
        policies.publish(tx, use_case=CASE, yaml=POLICY, by="pia")
        registry.create_model(tx, name=CASE, by="ana")
        artifacts.bind(tx, path="0/r/artifacts/model/MLmodel", digest=digest_bytes(b"1"), size=1, by="ana")
        made = registry.create_version(tx, name=CASE, source="mlflow-artifacts:/0/r/artifacts/model", by="ana")
        evidence_records.save(
            tx,
            Evidence(
                subject=Subject(kind="model_version", use_case=CASE, version="1", digest=made.digest),
                computed=Computed(by="ana", at=1, code="t"), metrics={"recall": Metric(value=0.9, n=100)},
            ),
        )  # fmt: skip

    db.write(build)
    return db


def kinds(store, name: str, **options) -> list[str]:
    return [item.kind for item in store.read(lambda tx: inbox.inbox(tx, who(name), **options))]


def test_an_approval_waits_for_the_role_asked_and_nobody_else_until_it_is_given(store):
    asked = store.write(lambda tx: promotions.propose(tx, use_case=CASE, version=1, reason="better", by="ana"))
    assert {name: kinds(store, name) for name in TEAM} == {
        "ana": [], "pia": ["approval"], "eva": ["approval"], "mel": []
    }  # fmt: skip
    (item,) = store.read(lambda tx: inbox.inbox(tx, who("pia")))
    assert (item.role, item.subject, item.version, item.text) == ("product_manager", asked.id, 1, "ana: better")
    store.write(
        lambda tx: promotions.approve(
            tx, promotion=asked.id, role="product_manager", verdict="yes", reason="ok", by=who("pia")
        )
    )
    assert kinds(store, "pia") == []
    assert kinds(store, "eva") == ["approval"]


def test_an_alert_waits_for_those_who_can_look_and_decisions_for_those_who_decide(store):
    alert = store.write(
        lambda tx: alerts.raise_alert(
            tx,
            use_case=CASE,
            window="w",
            windows=["w"],
            version=1,
            rule="r",
            says="Misses few",
            finding="0.5 < 0.9",
            action="open_decision",
        )
    )
    assert {name: kinds(store, name) for name in TEAM} == {
        "ana": ["alert"], "pia": ["decision"], "eva": [], "mel": ["alert", "decision"]
    }  # fmt: skip
    store.write(lambda tx: alerts.acknowledge(tx, id=alert.id, cause="known", by="mel"))
    assert kinds(store, "ana") == []
    assert kinds(store, "pia") == ["decision"]
    assert len(store.read(lambda tx: inbox.inbox(tx, LOCAL_USER))) == 1


def test_predictions_near_the_threshold_wait_for_the_expert(store):
    key = columns_key(["x"])
    records = [
        Prediction(
            id=f"pred_{i}", at=1000 + i, role="champion", version=1, digest="sha256:" + "1" * 64, revision=1,
            columns=key, inputs=[1.0], output=1, score=0.5,
        )
        for i in range(3)
    ]  # fmt: skip
    delivery = Delivery(gateway="g", segment="s", offset=0, columns={key: ["x"]}, records=records)
    store.write(lambda tx: predictions.store(tx, use_case=CASE, delivery=delivery))
    (item,) = store.read(lambda tx: inbox.inbox(tx, who("eva")))
    assert (item.kind, item.count, item.since) == ("feedback", 3, 1000)
    assert kinds(store, "ana") == []


def test_a_mention_waits_until_it_is_marked_and_can_be_opened_again(store):
    card = store.write(lambda tx: cards.create(tx, use_case=CASE, title="Look", by="ana"))
    store.write(lambda tx: cards.comment(tx, card=card.id, text="@mel please", by="ana"))
    (item,) = store.read(lambda tx: inbox.inbox(tx, who("mel")))
    assert item.kind == "mention" and "ana mentions you" in item.title
    store.write(lambda tx: inbox.mark(tx, who("mel"), item=item.item, done=True))
    assert kinds(store, "mel") == []
    assert kinds(store, "mel", with_done=True) == ["mention"]
    store.write(lambda tx: inbox.mark(tx, who("mel"), item=item.item, done=False))
    assert kinds(store, "mel") == ["mention"]
    with pytest.raises(Invalid, match="nothing called"):
        store.write(lambda tx: inbox.mark(tx, who("ana"), item=item.item, done=True))


def test_the_oldest_comes_first(store):
    card = store.write(lambda tx: cards.create(tx, use_case=CASE, title="Look", by="ana"))
    for text in ("@mel one", "@mel two", "@mel three"):
        store.write(lambda tx, t=text: cards.comment(tx, card=card.id, text=t, by="ana"))
    items = store.read(lambda tx: inbox.inbox(tx, who("mel")))
    assert [item.since for item in items] == sorted(item.since for item in items)
    assert all(item.age_ms >= 0 for item in items)
