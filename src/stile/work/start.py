"""Everything that runs by itself, registered in one place: workflows, subscriptions, periodic work."""

from __future__ import annotations

from collections.abc import Callable

from stile.board import flow, telling
from stile.board.events import CommentAdded
from stile.data.events import ContractPublished
from stile.deploy import deployments
from stile.deploy.events import PredictionsStored
from stile.govern import registry
from stile.govern.events import DecisionTaken, PromotionProposed
from stile.govern.registry_events import AliasMoved, VersionRegistered
from stile.kernel.events import Event
from stile.monitor import alerts
from stile.monitor.events import AlertRaised, AlertResolved, WindowClosed, WindowCut
from stile.people import use_cases
from stile.people.events import UseCaseCreated
from stile.store.blobs import BlobStore
from stile.store.database import Database, Tx
from stile.train import evaluation_records, evaluations, summaries
from stile.train.evaluation_events import EvaluationFailed, EvaluationRequested, EvidenceRecorded
from stile.train.evaluation_workflow import evaluation_workflow
from stile.work import webhooks as webhook_verbs
from stile.work.background import Background
from stile.work.subscriptions import Subscriptions
from stile.work.topics import topics_of
from stile.work.watching import Watch
from stile.work.webhook_delivery import EVERY_S, Webhooks

LOOK_ROUND = "look-round"
"""Periodic work: cut windows that are due by time, restate those that late outcomes changed."""

SEND_WEBHOOKS = "send-webhooks"
"""Periodic work: send the messages that wait for webhooks."""

RESCUE = "rescue-evaluations"
"""Periodic work: evaluations without a workflow, as after a restore into another engine."""

SUM_UP = "sum-up-metrics"
"""Periodic work: the least and greatest values of series that an earlier version has stored. Once, after an upgrade."""

_LOOK_ROUND_S = 5.0
_RESCUE_S = 20.0
_SUM_UP_S = 10.0


def wire(
    *,
    db: Database,
    blobs: BlobStore,
    background: Background,
    announce: Callable[[str], None],
    webhooks: Webhooks | None = None,
) -> Subscriptions:
    """Register every workflow, subscription and periodic work of Stile; nothing runs yet.

    The caller starts the returned subscriptions and launches ``background`` once the server
    answers, and stops both before it closes the store.

    Args:
        db: the store everything works on.
        blobs: tables and models.
        background: where workflows run; not launched yet.
        announce: tells open pages that a topic has changed.
        webhooks: sends what waits for webhooks; without it, it goes on waiting.
    """
    subscriptions = Subscriptions(db)
    _govern(subscriptions)
    _evaluate(subscriptions, background, db, blobs)
    _deploy(subscriptions)
    _monitor(subscriptions, background, db)
    _keep_board(subscriptions)
    _tell_people(subscriptions)
    _tell_pages(subscriptions, announce)
    background.every(SUM_UP, _SUM_UP_S, lambda: _sum_up(db))
    webhook_verbs.subscribe(subscriptions)
    if webhooks is not None:
        background.every(SEND_WEBHOOKS, EVERY_S, webhooks.deliver)
    return subscriptions


def _sum_up(db: Database) -> None:
    summaries.catch_up(db)


def _govern(subscriptions: Subscriptions) -> None:
    """A model that was registered before its use case was chartered loses the aliases nobody decided on."""

    def begin(tx: Tx, event: UseCaseCreated, _: int) -> None:
        registry.begin_to_govern(tx, event.use_case, by=event.by)

    subscriptions.on("govern", UseCaseCreated, begin)


def _evaluate(subscriptions: Subscriptions, background: Background, db: Database, blobs: BlobStore) -> None:
    background.register(evaluations.WORKFLOW, evaluation_workflow(db, blobs))

    def begin(event: EvaluationRequested, _: int) -> None:
        background.start(evaluations.WORKFLOW, {"evaluation": event.evaluation}, key=event.evaluation)

    def rescue() -> None:
        """Begin what no workflow knows of: rows that came back without the work that was under way."""
        for evaluation in db.read(evaluation_records.unfinished):
            if background.status(evaluation).state == "unknown":
                background.start(evaluations.WORKFLOW, {"evaluation": evaluation}, key=evaluation)

    subscriptions.after_commit("start-evaluation", EvaluationRequested, begin)
    background.every(RESCUE, _RESCUE_S, rescue)


def _deploy(subscriptions: Subscriptions) -> None:
    """Gateways follow the aliases, the evidence (its threshold) and the contract."""

    def follow(tx: Tx, use_case: str) -> None:
        if use_cases.exists(tx, use_case):
            deployments.refresh(tx, use_case)

    subscriptions.on("deployments", AliasMoved, lambda tx, event, _: follow(tx, event.model))
    subscriptions.on("deployments", EvidenceRecorded, lambda tx, event, _: follow(tx, event.use_case))
    subscriptions.on("deployments", ContractPublished, lambda tx, event, _: follow(tx, event.use_case))


def _monitor(subscriptions: Subscriptions, background: Background, db: Database) -> None:
    watch = Watch(db, background)
    subscriptions.after_commit("measure-window", WindowCut, lambda event, _: watch.measure(event))
    subscriptions.after_commit("cut-windows", PredictionsStored, lambda event, _: watch.cut(event.use_case))
    subscriptions.after_commit("cut-windows", WindowClosed, lambda event, _: watch.cut(event.use_case))
    subscriptions.on("alerts", DecisionTaken, alerts.decision_taken)
    background.every(LOOK_ROUND, _LOOK_ROUND_S, watch.look_round)


def _keep_board(subscriptions: Subscriptions) -> None:
    subscriptions.on("board", UseCaseCreated, flow.use_case_created)
    subscriptions.on("board", VersionRegistered, flow.version_registered)
    subscriptions.on("board", PromotionProposed, flow.promotion_proposed)
    subscriptions.on("board", DecisionTaken, flow.decision_taken)
    subscriptions.on("board", AlertRaised, flow.alert_raised)
    subscriptions.on("board", AlertResolved, flow.alert_resolved)


def _tell_people(subscriptions: Subscriptions) -> None:
    subscriptions.on("notifications", PromotionProposed, telling.promotion_proposed)
    subscriptions.on("notifications", DecisionTaken, telling.decision_taken)
    subscriptions.on("notifications", AlertRaised, telling.alert_raised)
    subscriptions.on("notifications", EvaluationFailed, telling.evaluation_failed)
    subscriptions.on("notifications", CommentAdded, telling.comment_added)


def _tell_pages(subscriptions: Subscriptions, announce: Callable[[str], None]) -> None:
    def tell(event: Event, _: int) -> None:
        for topic in topics_of(event):
            announce(topic)

    subscriptions.watch("live-topics", tell)
