"""What a window shows: evidence from its rows, against the profile archived with the version that answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stile import __version__
from stile.data.table import table_of
from stile.monitor import live_rows
from stile.monitor.closing import MonitorSettings, enough_outcomes
from stile.monitor.live_rows import WindowRows
from stile.monitor.settings import settings_of
from stile.monitor.window_records import Window
from stile.people import use_cases
from stile.people.use_cases import UseCase
from stile.store.database import Database, Tx
from stile.train import evidence_records
from stile.train.evidence import Computed, Evidence
from stile.train.latency import latency_fact
from stile.train.live import live_evidence

_BY = "stile"
_SEED = 0


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a window are measured against.

    Attributes:
        admitted: evidence the version was judged by before it went live; None when there is none.
    """

    use_case: UseCase
    settings: MonitorSettings
    admitted: Evidence | None
    now: int


def measure_window(db: Database, window: Window) -> tuple[Evidence, int, int]:
    """Evidence of a window as known now, how many of its predictions have an outcome, and the newest one's place."""

    def gather(tx: Tx) -> tuple[Basis, WindowRows]:
        basis = Basis(
            use_case=use_cases.get(tx, window.use_case),
            settings=settings_of(tx, window.use_case),
            admitted=evidence_records.latest_for_version(tx, window.use_case, window.digest),
            now=tx.now_ms(),
        )
        return basis, live_rows.rows_of(tx, window, segment=basis.use_case.segment)

    basis, rows = db.read(gather)
    known = sum(outcome is not None for outcome in rows.outcomes)
    return measure(window, rows, basis), known, rows.outcomes_seen


def measure(window: Window, rows: WindowRows, basis: Basis) -> Evidence:
    """Evidence of a window's rows.

    Below the coverage floor performance is left out, so that rules about it are unknown instead of
    resting on a handful of early outcomes; drift and the facts stay.
    """
    known = sum(outcome is not None for outcome in rows.outcomes)
    enough = enough_outcomes(basis.settings, rows=len(rows.outcomes), outcomes=known)
    admitted = basis.admitted
    scored = any(score is not None for score in rows.scores)
    evidence = live_evidence(
        use_case=window.use_case,
        version=str(window.version),
        digest=window.digest,
        window=window.id,
        features=table_of(rows.columns),
        scores=_numbers(rows.scores) if scored else None,
        predicted=rows.predicted,
        outcomes=rows.outcomes if enough else [None] * len(rows.outcomes),
        slices=rows.slices,
        threshold=admitted.threshold if admitted else None,
        positive=(admitted.positive if admitted else "") or basis.use_case.positive,
        reference=admitted.profile if admitted else None,
        # The time of the window, not of the computing: the same rows give the same evidence when measured again.
        computed=Computed(by=_BY, at=window.cut_at, code=f"stile {__version__}", seed=_SEED),
    )
    share = known / len(rows.outcomes) if rows.outcomes else 0.0
    coverage = {"n": len(rows.outcomes), "known": known, "enough": enough, "outcomes_ratio": share}
    facts = evidence.facts | {"coverage": coverage, "contract": _contract(rows), "latency": _latency(rows.latency_us)}
    return msgspec.structs.replace(evidence, facts={name: fact for name, fact in facts.items() if fact})


def _contract(rows: WindowRows) -> dict[str, Any]:
    """How many live rows break their contract, and which checks most."""
    broken = [checks for checks in rows.broken if checks]
    counts: dict[str, int] = {}
    for checks in broken:
        for check in checks:
            counts[check] = counts.get(check, 0) + 1
    worst = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10])
    total = len(rows.broken)
    return {"rows": len(broken), "n": total, "ratio": len(broken) / total if total else 0.0, "checks": worst}


def _latency(latency_us: Sequence[int]) -> dict[str, Any]:
    known = [value / 1000 for value in latency_us if value > 0]
    return latency_fact(known) if known else {}


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]
