"""Who is told what: one function per event, each ``(tx, event, posted_at)``. Nobody is told of their own act."""

from __future__ import annotations

from collections.abc import Iterable

from stile.board import comment_records, inbox_records
from stile.board.events import CommentAdded
from stile.board.places import card_page, decision_page, monitor_page, version_page
from stile.govern.events import DecisionTaken, PromotionProposed
from stile.kernel.permission import GRANTS, Permission, Role
from stile.monitor.events import AlertRaised
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import evaluations
from stile.train.evaluation_events import EvaluationFailed

_WATCHES_ALERTS = GRANTS[Permission.MONITOR] | {Role.PRODUCT_MANAGER}
_WORDS = {
    "promoted": "is champion now",
    "rejected": "was rejected",
    "held": "is held",
    "rolled_back": "is champion again: rolled back",
    "demoted": "was demoted",
    "waived": "has a waiver",
}


def promotion_proposed(tx: Tx, event: PromotionProposed, at: int) -> None:  # noqa: ARG001
    """Everybody whose yes counts."""
    _tell(
        tx, event.people, event.use_case, kind="approval", about=event.promotion, by=event.by,
        text=f"{event.by} proposes version {event.version} of {event.use_case}: {event.reason}",
        url=version_page(event.use_case, event.version),
    )  # fmt: skip


def decision_taken(tx: Tx, event: DecisionTaken, at: int) -> None:  # noqa: ARG001
    """The whole team."""
    said = _WORDS.get(event.kind, event.kind.replace("_", " "))
    _tell(
        tx, _team(tx, event.use_case, None), event.use_case, kind="decision", about=event.decision, by=event.by,
        text=f"Version {event.version} of {event.use_case} {said}. {event.reason}".strip(),
        url=decision_page(event.decision),
    )  # fmt: skip


def alert_raised(tx: Tx, event: AlertRaised, at: int) -> None:  # noqa: ARG001
    """Everybody who can look into it, and who answers for the product."""
    _tell(
        tx, _team(tx, event.use_case, _WATCHES_ALERTS), event.use_case, kind="alert", about=event.alert, by="",
        text=f"{event.use_case}, version {event.version}: {event.says or event.rule}",
        url=monitor_page(event.use_case),
    )  # fmt: skip


def evaluation_failed(tx: Tx, event: EvaluationFailed, at: int) -> None:  # noqa: ARG001
    """Whoever handed the predictions in."""
    asked_by = evaluations.get(tx, event.evaluation).by
    _tell(
        tx, [asked_by], event.use_case, kind="evaluation", about=event.evaluation, by="",
        text=f"The evaluation of version {event.version} of {event.use_case} failed: {event.error}",
        url=version_page(event.use_case, event.version),
    )  # fmt: skip


def comment_added(tx: Tx, event: CommentAdded, at: int) -> None:  # noqa: ARG001
    """Everybody addressed in it."""
    comment = next((c for c in comment_records.of_card(tx, event.card) if c.id == event.comment), None)
    if comment is not None:
        _tell(
            tx, event.mentions, event.use_case, kind="mention", about=event.comment, by=event.by,
            text=f"{event.by}: {comment.text[:200]}", url=card_page(event.card),
        )  # fmt: skip


def _team(tx: Tx, use_case: str, roles: frozenset[Role] | None) -> list[str]:
    if not use_cases.exists(tx, use_case):
        return []
    return [m.person for m in use_cases.members(tx, use_case) if roles is None or m.role in roles]


def _tell(tx: Tx, people: Iterable[str], use_case: str, *, kind: str, about: str, by: str, text: str, url: str) -> None:
    for person in dict.fromkeys(people):
        if person and person != by:
            inbox_records.notify(tx, person=person, use_case=use_case, kind=kind, text=text, url=url, about=about)
