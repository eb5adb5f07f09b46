"""Windows of live traffic: cut when they are due, closed with evidence and verdicts, restated by late outcomes."""

from __future__ import annotations

import msgspec

from stile.govern import decisions, registry
from stile.govern.live import LiveResult
from stile.kernel.errors import Conflict, Invalid, Missing
from stile.monitor import alerts, live_rows, window_records
from stile.monitor.closing import Waiting, due
from stile.monitor.events import LiveRuleBroken, WindowClosed, WindowCut
from stile.monitor.settings import settings_of
from stile.monitor.window_records import Window
from stile.people import use_cases
from stile.store.database import Tx

SYSTEM = "stile"
CLOSE_WORKFLOW = "close-window"
RESTATE_WORKFLOW = "restate-windows"
TOO_FEW = "too-few"


def get(tx: Tx, id: str) -> Window:
    """A window by id.

    Raises:
        Missing: there is none.
    """
    window = window_records.find(tx, id)
    if window is None:
        raise Missing(f"There is no window {id!r}.")
    return window


def windows(tx: Tx, use_case: str, limit: int = 50) -> list[Window]:
    """Windows of a use case, newest first.

    Raises:
        Missing: no such use case.
    """
    use_cases.get(tx, use_case)
    return window_records.of_use_case(tx, use_case, limit)


def is_due(tx: Tx, use_case: str) -> bool:
    """Whether ``cut_due`` would cut a window now; only reads."""
    return _due(tx, use_case) is not None


def cut_due(tx: Tx, use_case: str) -> Window | None:
    """Cut the next window of a use case if it is due; one at a time, so that verdicts come in order."""
    found = _due(tx, use_case)
    if found is None:
        return None
    run, reason = found
    return _cut(tx, run, reason, SYSTEM)


def cut_now(tx: Tx, *, use_case: str, by: str, until: int | None = None) -> Window:
    """Cut a window of what there is, however little.

    Args:
        tx: the transaction.
        use_case: whose traffic.
        by: who asks.
        until: only predictions made up to this time (ms since 1970 UTC).

    Raises:
        Missing: no such use case.
        Conflict: the window before is still being closed.
        Invalid: there are no new predictions.
    """
    use_cases.get(tx, use_case)
    newest = window_records.newest(tx, use_case)
    if newest is not None and newest.state == "closing":
        raise Conflict(f"Window {newest.number} is still being closed. Try again in a moment.")
    run = live_rows.next_run(tx, use_case, until=until)
    if run is None:
        raise Invalid("There are no new predictions to close a window over. Send some through the gateway first.")
    return _cut(tx, run, "asked", by)


def close(
    tx: Tx, *, id: str, evidence: str, outcomes: int, seen: int, results: list[LiveResult], policy: str
) -> Window:
    """Give a window its evidence and verdicts, and raise what they ask for; safe to repeat.

    Args:
        tx: the transaction.
        id: the window.
        evidence: digest of what was measured.
        outcomes: how many of its predictions had an outcome then.
        seen: place of the newest of these outcomes.
        results: what the live rules say.
        policy: digest of the policy they belong to; empty for none.
    """
    window = get(tx, id)
    if window.state == "closed" and seen < window.outcomes_seen:
        return window  # overtaken by a measurement that knew more
    if window.state == "closed" and window.evidence == evidence:
        same = msgspec.structs.replace(window, outcomes=outcomes, outcomes_seen=seen)
        if same != window:
            window_records.update(tx, same)
        return same
    now, restated = tx.now_ms(), window.state == "closed"
    changed = msgspec.structs.replace(
        window,
        state="closed",
        closed_at=window.closed_at or now,
        evidence=evidence,
        evidence_first=window.evidence_first or evidence,
        outcomes=outcomes,
        outcomes_seen=seen,
        outcomes_first=window.outcomes_first if restated else outcomes,
        restated_at=now if restated else None,
        verdicts=results,
        problem="",
    )
    window_records.update(tx, changed)
    tx.emit(
        WindowClosed(
            use_case=window.use_case, window=id, number=window.number, version=window.version, evidence=evidence,
            restated=restated,
        )
    )  # fmt: skip
    for result in results:
        _act(tx, changed, result, policy)
    return changed


def fail(tx: Tx, *, id: str, problem: str) -> None:
    """Note that a window could not be measured; the next ones go on."""
    window = get(tx, id)
    if window.state == "closing":
        window_records.update(tx, msgspec.structs.replace(window, state="failed", problem=problem))


def verdict_history(tx: Tx, window: Window, limit: int = 100) -> list[dict[str, str]]:
    """Verdicts of the windows of the same version before this one, oldest first, as the living gate takes them."""
    before = [one for one in window_records.closed_before(tx, window, limit + 1) if one.id != window.id]
    return [{result.id: result.result.verdict for result in one.verdicts} for one in reversed(before)]


def to_restate(tx: Tx) -> dict[str, list[tuple[str, int]]]:
    """Windows with outcomes they do not know: by use case, (window id, place of the newest outcome), in order."""
    found: dict[str, list[tuple[str, int]]] = {}
    horizons: dict[str, float] = {}
    for window in window_records.closed(tx):
        days = horizons.setdefault(window.use_case, settings_of(tx, window.use_case).restate_days)
        if tx.now_ms() - (window.closed_at or 0) > days * 86_400_000:
            continue
        newest = live_rows.newest_outcome(tx, window)
        if newest > window.outcomes_seen:
            found.setdefault(window.use_case, []).append((window.id, newest))
    return found


def restate_marker(tx: Tx) -> tuple[int, int]:
    """What ``to_restate`` depends on: while it stays the same, there is nothing new to restate."""
    return live_rows.outcomes_told(tx), window_records.last_closed_at(tx)


def _due(tx: Tx, use_case: str) -> tuple[live_rows.Run, str] | None:
    newest = window_records.newest(tx, use_case)
    if newest is not None and newest.state == "closing":
        return None
    run = live_rows.next_run(tx, use_case)
    if run is None:
        return None
    settings = settings_of(tx, use_case)
    waiting = Waiting(rows=run.rows, first_at=run.first_at, last_at=run.last_at, succeeded=run.succeeded)
    reason = due(settings, waiting, tx.now_ms())
    if reason:
        return live_rows.first_rows(tx, run, settings.window_rows), reason
    # Too few for a window of their own, and no more will come from this version: they stay unjudged.
    return (run, TOO_FEW) if run.succeeded else None


def _cut(tx: Tx, run: live_rows.Run, reason: str, by: str) -> Window:
    newest = window_records.newest(tx, run.use_case)
    window = Window(
        id=tx.new_id("win"), use_case=run.use_case, number=newest.number + 1 if newest else 1, version=run.version,
        digest=run.digest, state="skipped" if reason == TOO_FEW else "closing", reason=reason,
        first_position=run.first_position, last_position=run.last_position, first_at=run.first_at,
        last_at=run.last_at, rows=run.rows, cut_at=tx.now_ms(), cut_by=by,
    )  # fmt: skip
    window_records.insert(tx, window)
    if window.state == "closing":
        tx.emit(WindowCut(use_case=run.use_case, window=window.id))
    return window


def _act(tx: Tx, window: Window, result: LiveResult, policy: str) -> None:
    if not result.broken:
        if result.result.verdict == "pass" and window_records.newest_closed(tx, window.use_case) == window.id:
            alerts.resolve_rule(tx, use_case=window.use_case, rule=result.id)
        return
    if registry.aliases(tx, window.use_case).get("champion") != window.version:
        return  # another version answers by now: the verdict stays on record, but nobody has to act
    if _passed_since(tx, window, result.id):
        return  # late outcomes tell of the past; the rule holds again meanwhile
    past = window_records.closed_before(tx, window, result.of)
    decision = _hold(tx, window, result, policy) if result.otherwise == "open_decision" else ""
    alert = alerts.raise_alert(
        tx, use_case=window.use_case, window=window.id, version=window.version, rule=result.id,
        windows=[one.id for one in past if _verdict(one, result.id) == "fail"], says=result.result.says,
        finding=result.sentence, action=result.otherwise, decision=decision,
    )  # fmt: skip
    tx.emit(
        LiveRuleBroken(
            use_case=window.use_case, window=window.id, version=window.version, rule=result.id,
            says=result.result.says, action=result.otherwise, alert=alert.id,
        )
    )  # fmt: skip


def _hold(tx: Tx, window: Window, result: LiveResult, policy: str) -> str:
    """Open a decision about the champion."""
    reason = f"{result.result.says or result.id} (window {window.number}): {result.sentence}"
    held = decisions.open_hold(
        tx, use_case=window.use_case, reason=reason, evidence_digest=window.evidence, policy_digest=policy,
        results=[one.result for one in window.verdicts],
    )  # fmt: skip
    return held.decision


def _passed_since(tx: Tx, window: Window, rule: str) -> bool:
    return any(_verdict(one, rule) == "pass" for one in window_records.closed_after(tx, window))


def _verdict(window: Window, rule: str) -> str:
    return next((one.result.verdict for one in window.verdicts if one.id == rule), "unknown")
