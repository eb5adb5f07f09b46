"""Whether what people see is still what was decided: aliases and decision records against the ledger."""

from __future__ import annotations

import msgspec

from stile.govern import aliases, decision_records
from stile.govern.history import fold
from stile.people import use_cases
from stile.store import ledger
from stile.store.database import Tx
from stile.store.ledger import Finding


def check(tx: Tx) -> list[Finding]:
    """Compare every guarded alias and every decision record with the ledger; an empty list means they agree.

    The ledger's own integrity is ``ledger.verify``'s business; here it is taken as the truth.
    """
    findings: list[Finding] = []
    decided: dict[str, list[dict[str, object]]] = {}
    for entry in ledger.walk(tx):
        if not entry.kind.startswith("decision_"):
            continue
        body = msgspec.json.decode(entry.body)
        decided.setdefault(entry.use_case, []).append(body)
        row = tx.one("SELECT body, hash FROM decisions WHERE id = ?", (body["decision"],))
        if row is None or bytes(row[0]) != bytes(entry.body) or row[1] != entry.hash:
            words = f"the record of decision {body['decision']} is not what the ledger says"
            findings.append(Finding(position=entry.position, problem=words))
    for use_case in use_cases.all_use_cases(tx):
        findings.extend(_aliases(tx, use_case.name, decided.get(use_case.name, [])))
    return findings


def _aliases(tx: Tx, use_case: str, decided: list[dict[str, object]]) -> list[Finding]:
    wanted = dict.fromkeys(aliases.GUARDED, 0)
    for body in decided:
        moves = msgspec.convert(body["aliases"], type=list[dict[str, int | str]])
        wanted.update({str(move["alias"]): int(move["after"]) for move in moves})
    past = fold((str(body["kind"]), msgspec.convert(body["version"], type=int)) for body in decided)
    held = aliases.of_model(tx, use_case)
    findings = []
    for alias, version in wanted.items():
        if held.get(alias, 0) != version:
            now = held.get(alias, 0) or "nothing"
            words = f"the alias {alias} of {use_case} names {now}, decided was {version or 'nothing'}"
            findings.append(Finding(position=0, problem=words))
    if past.champion != wanted["champion"]:
        findings.append(Finding(position=0, problem=f"the decisions of {use_case} do not lead to its champion"))
    if len(decision_records.outlines(tx, use_case)) != len(decided):
        findings.append(Finding(position=0, problem=f"{use_case} has decision records that are not in the ledger"))
    return findings
