"""SQL of decisions, plans and standings."""

from __future__ import annotations

import msgspec

from stile.govern.decision_values import Decided, Decision, Plan
from stile.govern.labels import Standing
from stile.store.database import Tx
from stile.store.ledger import Entry

_SELECT = "SELECT body, position, prev_hash, hash FROM decisions"


class Outline(msgspec.Struct, frozen=True):
    """The few facts about a decision that later ones are made from."""

    id: str
    kind: str
    version: int
    subject: str
    policy: str
    evidence: str


def insert(tx: Tx, decided: Decided, entry: Entry) -> None:
    """Record a decision beside its ledger entry."""
    tx.run(
        "INSERT INTO decisions (id, use_case, scope, kind, subject_version, subject_digest, previous_version, "
        "policy_digest, evidence_digest, plan, reason, by_name, at, body, position, prev_hash, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            decided.decision, decided.use_case, decided.scope, decided.kind, decided.version, decided.subject,
            decided.previous.version if decided.previous else None, decided.policy, decided.evidence, decided.plan,
            decided.reason, decided.by, decided.at, bytes(entry.body), entry.position, entry.prev_hash, entry.hash,
        ),
    )  # fmt: skip


def find(tx: Tx, id: str) -> Decision | None:
    """The decision with this id."""
    row = tx.one(f"{_SELECT} WHERE id = ?", (id,))
    return _decision(row) if row else None


def listing(tx: Tx, use_case: str, *, limit: int = 200) -> list[Decision]:
    """Decisions of a use case, newest first."""
    rows = tx.all(f"{_SELECT} WHERE use_case = ? ORDER BY position DESC LIMIT ?", (use_case, limit))
    return [_decision(row) for row in rows]


def by_plan(tx: Tx, use_case: str, plan: str) -> list[Decision]:
    """What was decided by carrying out the plan, in order."""
    rows = tx.all(f"{_SELECT} WHERE use_case = ? AND plan = ? ORDER BY position", (use_case, plan))
    return [_decision(row) for row in rows]


def outlines(tx: Tx, use_case: str) -> list[Outline]:
    """Every decision of a use case in few words, oldest first."""
    rows = tx.all(
        "SELECT id, kind, subject_version, subject_digest, policy_digest, evidence_digest FROM decisions "
        "WHERE use_case = ? ORDER BY position",
        (use_case,),
    )
    return [Outline(*row) for row in rows]


def save_plan(tx: Tx, plan: Plan, by: str) -> None:
    """Remember a plan that was shown to somebody."""
    tx.run(
        "INSERT INTO plans (use_case, digest, body, at, by_name) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (plan.use_case, plan.digest, msgspec.json.encode(plan), tx.now_ms(), by),
    )


def find_plan(tx: Tx, use_case: str, digest: str) -> Plan | None:
    """A plan as it was shown."""
    row = tx.one("SELECT body FROM plans WHERE use_case = ? AND digest = ?", (use_case, digest))
    return msgspec.json.decode(bytes(row[0]), type=Plan) if row else None


def save_labels(tx: Tx, use_case: str, standings: list[Standing], decision: str) -> None:
    """The standings as a decision leaves them."""
    tx.many(
        "INSERT INTO labels (use_case, subject_version, label, body, decision, at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (use_case, subject_version) DO UPDATE SET label = excluded.label, body = excluded.body, "
        "decision = excluded.decision, at = excluded.at",
        [(use_case, one.version, one.label, msgspec.json.encode(one), decision, tx.now_ms()) for one in standings],
    )


def labels(tx: Tx, use_case: str) -> list[Standing]:
    """The standings as the last decision left them, by version."""
    rows = tx.all("SELECT body FROM labels WHERE use_case = ? ORDER BY subject_version", (use_case,))
    return [msgspec.json.decode(bytes(row[0]), type=Standing) for row in rows]


def _decision(row: tuple[object, ...]) -> Decision:
    body, position, prev_hash, hash = row
    values = msgspec.json.decode(bytes(body))  # type: ignore[call-overload]
    place = {"position": position, "prev_hash": prev_hash, "hash": hash}
    url = f"/use-cases/{values['use_case']}/decisions/{values['decision']}"
    return msgspec.convert(values | place | {"url": url}, type=Decision)
