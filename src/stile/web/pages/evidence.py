"""One evidence document: what was measured about a version or a window, as it is kept under its digest."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.edge.call import Call
from stile.store.database import Tx
from stile.train import evidence_records
from stile.train.evidence import Evidence
from stile.web.pages.gate import evidence_extras
from stile.web.pages.gate_view import Number, three_numbers
from stile.web.render import Crumb, Frame, Page


class EvidenceData(msgspec.Struct, frozen=True, kw_only=True):
    """The document and its digest."""

    digest: str
    evidence: Evidence
    numbers: list[Number]


def _load(tx: Tx, call: Call) -> EvidenceData:
    digest = call.path("digest")
    evidence = evidence_records.load(tx, digest)
    return EvidenceData(digest=digest, evidence=evidence, numbers=three_numbers(evidence, []))


def _frame(data: EvidenceData) -> Frame:
    name = data.evidence.subject.use_case
    return Frame(
        title="Evidence",
        here="decisions",
        crumbs=[Crumb("Portfolio", "/portfolio"), Crumb(name, f"/use-cases/{name}"), Crumb("Evidence")],
    )


def _extras(data: EvidenceData, call: Call) -> dict[str, Any]:
    return evidence_extras(data.evidence, None, call.query("metric"), [])


PAGE = Page("/evidence/{digest}", "evidence.html", _load, _frame, extras=_extras)

ROUTES = PAGE.routes
