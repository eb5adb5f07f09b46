"""The durable workflows that close and restate windows, step by recorded step.

A step leaves its effect in the store, under ids that are known before it begins, so running it
twice after a kill changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from stile.govern import policies
from stile.govern.live import LiveResult, evaluate_live
from stile.govern.snapshot import charter_facts
from stile.kernel.errors import StileError, Unavailable
from stile.kernel.workflow import Steps, Workflow
from stile.monitor import windows
from stile.people import use_cases
from stile.store.database import Database, Tx
from stile.train import evidence_records

_log = logging.getLogger("stile.monitor")


def close_workflow(db: Database) -> Workflow:
    """The workflow ``windows.CLOSE_WORKFLOW``; its argument is ``{"window": id}``."""

    def run(steps: Steps, arguments: dict[str, Any]) -> dict[str, Any]:
        return _measure(db, steps, str(arguments["window"]), "")

    return run


def restate_workflow(db: Database) -> Workflow:
    """The workflow ``windows.RESTATE_WORKFLOW``; its argument is ``{"windows": [id, ...]}``, oldest first."""

    def run(steps: Steps, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        return [_measure(db, steps, str(id), f"-{id}") for id in arguments["windows"]]

    return run


def _measure(db: Database, steps: Steps, id: str, suffix: str) -> dict[str, Any]:
    """Evidence, verdicts, consequences of one window."""
    measured = steps.step(f"evidence{suffix}", lambda: _or_problem(db, id, lambda: _evidence(db, id)))
    if "problem" in measured:
        return {"window": id, "problem": measured["problem"]}
    judged = steps.step(f"gate{suffix}", lambda: _or_problem(db, id, lambda: _judge(db, id, measured["evidence"])))
    if "problem" in judged:
        return {"window": id, "problem": judged["problem"]}
    results = msgspec.convert(judged["results"], list[LiveResult])

    def conclude() -> dict[str, Any]:
        closed = db.write(
            lambda tx: windows.close(
                tx,
                id=id,
                evidence=measured["evidence"],
                outcomes=measured["outcomes"],
                seen=measured["seen"],
                results=results,
                policy=judged["policy"],
            )
        )
        return {"window": id, "number": closed.number, "broken": [one.id for one in results if one.broken]}

    concluded: dict[str, Any] = steps.step(f"close{suffix}", conclude)
    return concluded


def _or_problem(db: Database, id: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A refusal is a result too: it ends the window with one message instead of leaving it open for ever."""
    try:
        return work()
    except Unavailable:
        raise
    except Exception as error:
        if not isinstance(error, StileError):
            _log.exception("Window %s could not be measured.", id)
        problem = error.message if isinstance(error, StileError) else f"It could not be measured ({error})."
        db.write(lambda tx: windows.fail(tx, id=id, problem=problem))
        return {"problem": problem}


def _evidence(db: Database, id: str) -> dict[str, Any]:
    from stile.monitor.measuring import measure_window  # noqa: PLC0415  numpy: only where windows are measured

    window = db.read(lambda tx: windows.get(tx, id))
    evidence, outcomes, seen = measure_window(db, window)
    digest = db.write(lambda tx: evidence_records.save(tx, evidence))
    return {"evidence": digest, "outcomes": outcomes, "seen": seen}


def _judge(db: Database, id: str, evidence: str) -> dict[str, Any]:
    def judge(tx: Tx) -> tuple[str, list[LiveResult]]:
        window = windows.get(tx, id)
        policy = policies.compiled_in_force(tx, window.use_case)
        if policy is None:
            return "", []
        return policy.digest, evaluate_live(
            policy,
            evidence_records.load(tx, evidence),
            windows.verdict_history(tx, window),
            charter_facts(use_cases.get(tx, window.use_case)),
            tx.now_ms(),
        )

    policy, results = db.read(judge)
    return {"policy": policy, "results": msgspec.to_builtins(results)}
