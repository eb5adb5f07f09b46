"""Reads the snapshot of a use case that decisions rest on."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.govern import decision_records, policies, promotion_records, registry
from stile.govern.assess import Case, World, binding_of, rejection_key
from stile.govern.expression.bindings import Champion
from stile.govern.gate import Candidate
from stile.govern.history import fold
from stile.govern.policy import CompiledPolicy, compile_policy
from stile.govern.promotion_records import PromotionRow
from stile.govern.registry import ModelVersion
from stile.govern.separation import Approval, Binding, Team
from stile.kernel.errors import Missing
from stile.people import use_cases
from stile.people.use_cases import UseCase
from stile.store.database import Tx
from stile.train import artifact_records, evidence_records, run_records


def read_world(tx: Tx, use_case: str, *, policy: CompiledPolicy | None = None) -> World:
    """The snapshot, under the policy in force or under the given draft.

    Raises:
        Missing: no such use case, or no policy and no draft.
    """
    charter = use_cases.get(tx, use_case)
    number = 0
    if policy is None:
        published = policies.in_force(tx, use_case)
        policy, number = compile_policy(published.policy), published.version
    outlines = decision_records.outlines(tx, use_case)
    past = fold((one.kind, one.version) for one in outlines)
    promotions = promotion_records.listing(tx, use_case)
    versions = sorted(registry.versions(tx, use_case), key=lambda one: one.version)
    cases = [_case(tx, version, promotions, policy.digest) for version in versions]
    champion = next((case for case in cases if case.candidate.version == past.champion), None)
    return World(
        use_case=use_case,
        facts=charter_facts(charter),
        policy=policy,
        policy_version=number,
        cases=cases,
        champion=_champion(champion),
        champion_evidence=champion.evidence_digest if champion else "",
        aliases=registry.aliases(tx, use_case),
        past=past,
        rejected=[rejection_key(o.subject, o.policy, o.evidence) for o in outlines if o.kind == "rejected"],
        last_decision=outlines[-1].id if outlines else "",
        team=team_of(tx, charter),
        now=tx.now_ms(),
    )


def charter_facts(charter: UseCase) -> dict[str, Any]:
    """What ``use_case.*`` means in a rule."""
    facts: dict[str, Any] = msgspec.to_builtins(charter)
    return facts


def team_of(tx: Tx, charter: UseCase) -> Team:
    """Who holds which role, read now."""
    roles: dict[str, list[str]] = {}
    for member in use_cases.members(tx, charter.name):
        roles.setdefault(str(member.role), []).append(member.person)
    return Team(roles=roles, solo=charter.solo)


def candidate_of(tx: Tx, version: ModelVersion, proposer: str = "") -> Candidate:
    """A registered version with its authors: run owner, whoever uploaded its files, registrar, proposer."""
    run = run_records.info(tx, version.run_id) if version.run_id else None
    people = [run.created_by, run.user_id] if run else []
    if version.snapshot:
        people += artifact_records.people_below(tx, version.snapshot)
    return Candidate(
        version=version.version,
        digest=version.digest,
        run_id=version.run_id,
        registered_by=version.created_by,
        created_at=version.created_at,
        description=version.description,
        tags=version.tags,
        authors=sorted({person for person in (*people, version.created_by, proposer) if person}),
    )


def version_of(tx: Tx, use_case: str, version: int) -> ModelVersion:
    """A registered version of the use case's model.

    Raises:
        Missing: there is none; the message lists those that exist.
    """
    known = {one.version: one for one in registry.versions(tx, use_case)}
    if version not in known:
        listed = ", ".join(str(number) for number in sorted(known)) or "none yet"
        raise Missing(f"{use_case} has no version {version} (registered are: {listed}).")
    return known[version]


def _case(tx: Tx, version: ModelVersion, promotions: list[PromotionRow], policy_digest: str) -> Case:
    own = [row for row in promotions if row.version == version.version]
    opened = next((row for row in own if row.state == "open"), None)
    digest, evidence = "", None
    if version.digest:
        digest, evidence = evidence_records.latest_with_digest(tx, version.name, version.digest)
    case = Case(
        candidate=candidate_of(tx, version, opened.by if opened else ""),
        evidence=evidence,
        evidence_digest=digest,
        promotion=opened.id if opened else "",
        approvals=promotion_records.approvals(tx, opened.id) if opened else [],
    )
    if opened is None and own and own[0].state == "rejected":
        return _with_refusal(case, promotion_records.approvals(tx, own[0].id), binding_of(case, policy_digest))
    return case


def _with_refusal(case: Case, said: list[Approval], binding: Binding) -> Case:
    """The case of a version whose last request was closed: a no about the very same bytes still stands."""
    latest = {(one.role, one.person): one for one in said}
    no = next((one for one in latest.values() if one.verdict == "no" and one.over == binding), None)
    if no is None:
        return case
    words = f"{no.role}: {no.person} said no" + (f": {no.reason}" if no.reason else "")
    return msgspec.structs.replace(case, refused_by=no.role, refusal=words)


def _champion(case: Case | None) -> Champion | None:
    if case is None:
        return None
    return Champion(version=case.candidate.version, digest=case.candidate.digest, evidence=case.evidence)
