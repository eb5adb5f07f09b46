"""How cards follow what happens to versions: one function per event, each ``(tx, event, posted_at)``.

The columns are a view of the value chain. A version enters at Training, goes to the Gate when
somebody proposes it, and where the decision's labels say from there. An alert takes the card of
the version in production to Incident until it is resolved.
"""

from __future__ import annotations

from stile.board import card_records, cards
from stile.board.card_records import Card
from stile.board.columns import CHAMPION, GATE, INCIDENT, RETIRED, SHADOW, TRAINING
from stile.govern import registry
from stile.govern.events import DecisionTaken, PromotionProposed
from stile.govern.registry_events import VersionRegistered
from stile.monitor.events import AlertRaised, AlertResolved
from stile.people import use_cases
from stile.people.events import UseCaseCreated
from stile.store.database import Tx

SYSTEM = "stile"
FLAG = "incident"

_COLUMN_OF_LABEL = {
    "champion": CHAMPION,
    "challenger": SHADOW,
    "shadow": SHADOW,
    "rejected": TRAINING,
    "dominated-by": TRAINING,
    "waiting": GATE,
    "held": INCIDENT,
    "superseded": RETIRED,
    "retired": RETIRED,
}


def column_of_label(label: str) -> str | None:
    """Where the card of a version with this label belongs; None when the label moves nothing."""
    return _COLUMN_OF_LABEL.get(label.split(":", maxsplit=1)[0])


def use_case_created(tx: Tx, event: UseCaseCreated, at: int) -> None:  # noqa: ARG001
    """Versions may have been registered before their use case was chartered: give them their cards."""
    for version in registry.versions(tx, event.use_case):
        _card(tx, event.use_case, version.version, by=version.created_by)


def version_registered(tx: Tx, event: VersionRegistered, at: int) -> None:  # noqa: ARG001
    """A new version of a governed model gets a card in Training."""
    if use_cases.exists(tx, event.model):
        _card(tx, event.model, event.version, by=event.by)


def promotion_proposed(tx: Tx, event: PromotionProposed, at: int) -> None:  # noqa: ARG001
    """The version stands at the gate."""
    card = _card(tx, event.use_case, event.version, by=event.by)
    waiting = ", ".join(event.roles) or "nobody"
    cards.move(
        tx, card, to=GATE, by=event.by, because=f"proposed: {event.reason}; waiting for {waiting}",
        promotion=event.promotion,
    )  # fmt: skip


def decision_taken(tx: Tx, event: DecisionTaken, at: int) -> None:  # noqa: ARG001
    """Every version's card goes where the decision's labels put it, and carries its label."""
    labels = dict(event.labels)
    if event.kind == "held":
        labels[str(event.version)] = "held"
    elif event.version:
        labels.setdefault(str(event.version), "champion" if event.version == event.champion else event.kind)
    for name, label in labels.items():
        version = int(name)
        subject = version == event.version
        known = card_records.of_version(tx, event.use_case, version)
        if known is None and not subject:
            continue
        card = known or _card(tx, event.use_case, version, by=event.by)
        _follow(tx, card, event, label, subject=subject)


def alert_raised(tx: Tx, event: AlertRaised, at: int) -> None:  # noqa: ARG001
    """The version that answered while the rule broke is an incident now."""
    card = _card(tx, event.use_case, event.version, by=SYSTEM)
    came_from = card.came_from if card.column == INCIDENT else card.column
    cards.move(
        tx, card, to=INCIDENT, by=SYSTEM, because=f"{event.rule}: {event.says}" if event.says else event.rule,
        flag=FLAG, flag_reason=event.says or event.rule, alert=event.alert, came_from=came_from,
        decision=event.decision or card.decision,
    )  # fmt: skip


def alert_resolved(tx: Tx, event: AlertResolved, at: int) -> None:  # noqa: ARG001
    """The incident is over: the card goes back to where it was, unless a decision moved it meanwhile."""
    for card in card_records.with_alert(tx, event.alert):
        back = (card.came_from or CHAMPION) if card.column == INCIDENT else card.column
        cleared = {"flag": "", "flag_reason": "", "alert": "", "came_from": ""}
        if back == card.column:
            cards.edit(tx, card, by=event.by, **cleared)
        else:
            cards.move(tx, card, to=back, by=event.by, because="the alert is resolved", **cleared)


def _follow(tx: Tx, card: Card, event: DecisionTaken, label: str, *, subject: bool) -> None:
    target = column_of_label(label)
    fields = {"label": label}
    if subject:
        fields["decision"] = event.decision
    if target is None or (target == GATE and card.column != GATE):
        # "waiting" describes a version at the gate; it does not bring one there.
        target = card.column
    if target == INCIDENT and card.column != INCIDENT:
        fields |= {"came_from": card.column, "flag": FLAG, "flag_reason": event.reason}
    elif card.flag and card.column == INCIDENT and target == CHAMPION:
        # It answers still, but the incident is not over.
        fields["came_from"], target = CHAMPION, INCIDENT
    elif card.column == INCIDENT and target != INCIDENT:
        fields |= {"flag": "", "flag_reason": "", "came_from": ""}
    because = f"{event.kind.replace('_', ' ')}: {event.reason}" if subject else f"now {label}"
    if target == card.column and card.label == label and not subject:
        return
    cards.move(tx, card, to=target, by=event.by, because=because, **fields)


def _card(tx: Tx, use_case: str, version: int, *, by: str) -> Card:
    """The card of a version; made when there is none."""
    known = card_records.of_version(tx, use_case, version)
    if known is not None:
        return known
    return cards.add(
        tx, use_case=use_case, title=f"Version {version}", column=TRAINING, by=by, owner=by, version=version,
        because="registered",
    )  # fmt: skip
