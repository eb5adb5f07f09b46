"""Alerts: raised by live rules, acknowledged with a cause, resolved when it is over."""

from __future__ import annotations

import msgspec

from stile.govern.events import DecisionTaken
from stile.kernel.errors import Conflict, Invalid, Missing
from stile.monitor import alert_records
from stile.monitor.alert_records import Alert
from stile.monitor.events import AlertAcknowledged, AlertRaised, AlertResolved
from stile.store import ledger
from stile.store.database import Tx

SYSTEM = "stile"


def get(tx: Tx, id: str) -> Alert:
    """An alert by id.

    Raises:
        Missing: there is none.
    """
    alert = alert_records.find(tx, id)
    if alert is None:
        raise Missing(f"There is no alert {id!r}.")
    return alert


def alerts(tx: Tx, use_case: str) -> list[Alert]:
    """Alerts of a use case, newest first."""
    return alert_records.of_use_case(tx, use_case)


def unresolved(tx: Tx, use_case: str) -> list[Alert]:
    """Alerts of a use case that are not over, oldest first."""
    return alert_records.unresolved(tx, use_case)


def raise_alert(
    tx: Tx, *, use_case: str, window: str, windows: list[str], version: int, rule: str, says: str, finding: str,
    action: str, decision: str = "",
) -> Alert:  # fmt: skip
    """Raise an alert, unless one of this rule is still unresolved: then that one learns of the new window."""
    known = alert_records.unresolved_of_rule(tx, use_case, rule)
    if known is not None:
        merged = [window, *(w for w in known.windows if w != window)]
        updated = msgspec.structs.replace(known, windows=merged, finding=finding, decision=known.decision or decision)
        alert_records.update(tx, updated)
        return updated
    alert = Alert(
        id=tx.new_id("alr"), use_case=use_case, window_id=window, windows=windows, version=version, rule=rule,
        says=says, finding=finding, action=action, decision=decision, raised_at=tx.now_ms(),
    )  # fmt: skip
    alert_records.insert(tx, alert)
    ledger.append(
        tx, kind="alert_raised", use_case=use_case, subject=alert.id,
        body={"rule": rule, "says": says, "finding": finding, "windows": windows, "version": version,
              "action": action, "decision": decision},
    )  # fmt: skip
    tx.emit(
        AlertRaised(
            use_case=use_case, alert=alert.id, window=window, version=version, rule=rule, says=says, decision=decision
        )
    )
    return alert


def acknowledge(tx: Tx, *, id: str, cause: str, by: str) -> Alert:
    """Say that one has looked and what is behind it.

    Raises:
        Invalid: no cause was given.
        Conflict: the alert is over already.
    """
    alert = get(tx, id)
    if not cause.strip():
        raise Invalid("Say what caused it, even if only 'unknown so far': others will read it.")
    if alert.state == "resolved":
        raise Conflict("This alert is over already, so there is nothing to acknowledge.")
    known = msgspec.structs.replace(
        alert, state="acknowledged", cause=cause.strip(), acknowledged_at=tx.now_ms(), acknowledged_by=by
    )
    alert_records.update(tx, known)
    ledger.append(
        tx, kind="alert_acknowledged", use_case=alert.use_case, subject=id, body={"cause": known.cause, "by": by}
    )
    tx.emit(AlertAcknowledged(use_case=alert.use_case, alert=id, cause=known.cause, by=by))
    return known


def resolve(tx: Tx, *, id: str, by: str) -> Alert:
    """Declare that it is over; resolving twice changes nothing."""
    alert = get(tx, id)
    if alert.state == "resolved":
        return alert
    over = msgspec.structs.replace(alert, state="resolved", resolved_at=tx.now_ms(), resolved_by=by)
    alert_records.update(tx, over)
    ledger.append(tx, kind="alert_resolved", use_case=alert.use_case, subject=id, body={"by": by})
    tx.emit(AlertResolved(use_case=alert.use_case, alert=id, by=by))
    return over


def resolve_rule(tx: Tx, *, use_case: str, rule: str) -> None:
    """The rule holds again: its alert is over."""
    known = alert_records.unresolved_of_rule(tx, use_case, rule)
    if known is not None:
        resolve(tx, id=known.id, by=SYSTEM)


def decision_taken(tx: Tx, event: DecisionTaken, at: int) -> None:  # noqa: ARG001
    """What was wrong with a version is over once another one is champion."""
    if event.kind not in ("promoted", "rolled_back"):
        return
    for alert in alert_records.unresolved(tx, event.use_case):
        if alert.version != event.champion:
            resolve(tx, id=alert.id, by=event.by)
