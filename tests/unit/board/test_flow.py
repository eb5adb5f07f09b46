"""Cards follow what happens to versions; events go through the real outbox and subscriptions."""

from __future__ import annotations

import pytest

from stile.board import card_records, cards, flow, inbox_records
from stile.board.card_records import Card
from stile.govern.events import DecisionTaken, PromotionProposed
from stile.govern.registry_events import VersionRegistered
from stile.kernel.permission import Role
from stile.monitor.events import AlertRaised, AlertResolved
from stile.people import accounts, use_cases
from stile.people.use_cases import Charter
from stile.work.inline import InlineBackground
from stile.work.start import wire

CASE = "early-detection"


class Story:
    """Emits events and shows where the cards are."""

    def __init__(self, db, blobs) -> None:
        self.db = db
        self.topics: list[str] = []
        self.subscriptions = wire(db=db, blobs=blobs, background=InlineBackground(), announce=self.topics.append)

    def tell(self, *events) -> None:
        for event in events:
            self.db.write(lambda tx, e=event: tx.emit(e))
        self.subscriptions.drain()

    def card(self, version: int) -> Card:
        card = self.db.read(lambda tx: card_records.of_version(tx, CASE, version))
        assert card is not None
        return card

    def registered(self, version: int) -> None:
        self.tell(VersionRegistered(model=CASE, version=version, digest="", by="ana"))


def decision(kind: str, version: int, labels: dict[str, str], *, champion: int, previous: int = 0) -> DecisionTaken:
    return DecisionTaken(
        use_case=CASE, decision=f"dec_{kind}_{version}", kind=kind, version=version, digest="", champion=champion,
        previous=previous, reason="because", by="pia", labels=labels,
    )  # fmt: skip


@pytest.fixture
def story(db, blobs):
    def prepare(tx):
        use_cases.create(tx, name=CASE, charter=Charter(), by="ana")
        for person, role in (("ana", Role.DATA_SCIENTIST), ("pia", Role.PRODUCT_MANAGER), ("eva", Role.DOMAIN_EXPERT)):
            accounts.create(tx, name=person, by="root")
            use_cases.set_roles(tx, name=CASE, person=person, roles=[role], by="root")

    db.write(prepare)
    return Story(db, blobs)


def test_a_version_gets_a_card_in_training_once_when_registered(story):
    story.registered(1)
    story.registered(1)
    assert (story.card(1).column, story.card(1).owner) == ("training", "ana")
    assert len(story.db.read(lambda tx: card_records.of_use_case(tx, CASE))) == 1


def test_models_without_a_use_case_get_no_card(story):
    story.tell(VersionRegistered(model="playground", version=1, digest="", by="ana"))
    assert story.db.read(lambda tx: card_records.of_use_case(tx, "playground")) == []


def test_cards_go_where_the_decision_says_when_one_is_promoted(story):
    for version in (1, 2, 3):
        story.registered(version)
    story.tell(
        PromotionProposed(
            use_case=CASE,
            promotion="prm_1",
            version=2,
            reason="better",
            roles=["product_manager"],
            people=["pia"],
            by="ana",
        )
    )
    assert (story.card(2).column, story.card(2).promotion) == ("gate", "prm_1")
    labels = {"1": "challenger", "2": "champion", "3": "rejected:honest-test"}
    story.tell(decision("promoted", 2, labels, champion=2))
    assert [story.card(v).column for v in (1, 2, 3)] == ["shadow", "champion", "training"]
    assert story.card(3).label == "rejected:honest-test"
    assert story.card(2).decision == "dec_promoted_2"
    because = [move.because for move in story.db.read(lambda tx: cards.story(tx, story.card(2).id)).moves]
    assert because == ["registered", "proposed: better; waiting for product_manager", "promoted: because"]


def test_a_rejected_proposal_goes_back_to_training_with_its_label(story):
    story.registered(1)
    story.tell(
        PromotionProposed(use_case=CASE, promotion="p", version=1, reason="r", roles=[], people=[], by="ana"),
        decision("rejected", 1, {"1": "rejected:recall-floor"}, champion=0),
    )
    assert (story.card(1).column, story.card(1).label) == ("training", "rejected:recall-floor")


def test_an_alert_makes_an_incident_of_the_champion_until_it_is_resolved(story):
    story.registered(1)
    story.tell(decision("promoted", 1, {"1": "champion"}, champion=1))
    alert = AlertRaised(
        use_case=CASE, alert="alr_1", window="win_1", version=1, rule="inputs-moved", says="Inputs moved", decision=""
    )
    story.tell(alert)
    card = story.card(1)
    assert (card.column, card.flag, card.flag_reason, card.came_from) == (
        "incident",
        "incident",
        "Inputs moved",
        "champion",
    )
    story.registered(2)
    story.tell(decision("rejected", 2, {"1": "champion", "2": "rejected:x"}, champion=1))
    assert story.card(1).column == "incident"
    story.tell(AlertResolved(use_case=CASE, alert="alr_1", by="ben"))
    assert (story.card(1).column, story.card(1).flag) == ("champion", "")


def test_a_rolled_back_version_leaves_the_incident_column_by_its_label(story):
    story.registered(1)
    story.registered(2)
    story.tell(decision("promoted", 2, {"1": "superseded", "2": "champion"}, champion=2, previous=1))
    assert story.card(1).column == "retired"
    alert = AlertRaised(use_case=CASE, alert="a", window="w", version=2, rule="r", says="", decision="")
    story.tell(alert, decision("rolled_back", 1, {"1": "champion", "2": "superseded"}, champion=1, previous=2))
    story.tell(AlertResolved(use_case=CASE, alert="a", by="stile"))
    assert [story.card(v).column for v in (1, 2)] == ["champion", "retired"]
    assert story.card(2).flag == ""


def test_a_held_version_is_an_incident(story):
    story.registered(1)
    story.tell(decision("promoted", 1, {"1": "champion"}, champion=1))
    story.tell(decision("held", 1, {"1": "champion"}, champion=1, previous=1))
    assert (story.card(1).column, story.card(1).came_from) == ("incident", "champion")


def test_people_are_told_once_and_never_of_their_own_act(story):
    def told(person):
        return [n.kind for n in story.db.read(lambda tx: inbox_records.notifications(tx, person))]

    story.registered(1)
    proposal = PromotionProposed(
        use_case=CASE, promotion="prm", version=1, reason="r", roles=["domain_expert"], people=["eva", "ana"], by="ana"
    )
    story.tell(proposal, proposal, decision("promoted", 1, {"1": "champion"}, champion=1))
    assert told("eva") == ["decision", "approval"]
    assert told("ana") == ["decision"]
    assert told("pia") == []
    assert f"govern:{CASE}" in story.topics and f"board:{CASE}" in story.topics


@pytest.mark.parametrize(
    ("label", "column"),
    [("rejected:rule", "training"), ("dominated-by:v9", "training"), ("champion", "champion"), ("odd", None)],
)
def test_a_label_names_a_column_when_it_moves_cards(label, column):
    assert flow.column_of_label(label) == column
