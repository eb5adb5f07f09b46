"""Verbs on deployments: what follows from the aliases is written down as a numbered document.

The guarded aliases say who is champion, challenger and shadow; the charter says segment and
positive outcome; the evidence a
version was decided on says its threshold; the contract says
what live rows must look like. Whenever any of these moves, the document gets a new revision.
"""

from __future__ import annotations

import msgspec

from stile.data import contracts
from stile.data.contract import Contract
from stile.deploy import deployment_records
from stile.deploy.deployment import ROLES, Deployment, FileRef, Role, Variant
from stile.deploy.deployment_records import Gateway
from stile.deploy.events import DeploymentChanged, GatewayReported
from stile.deploy.sources import GatewayReport
from stile.govern import decision_records, registry
from stile.govern.version_records import ModelVersion
from stile.kernel.canonical import digest_of
from stile.kernel.errors import Invalid
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import evidence_records
from stile.train.evidence import Evidence


def current(tx: Tx, use_case: str) -> Deployment:
    """The document in force; revision 0 without variants before the first promotion.

    Raises:
        Missing: no such use case.
    """
    found = deployment_records.latest(tx, use_case)
    if found is None:
        use_cases.get(tx, use_case)
        return Deployment(use_case=use_case, revision=0)
    return found[0]


def stale(tx: Tx, use_case: str) -> bool:
    """Whether the document in force no longer follows from the aliases, charter, evidence and contract."""
    found = deployment_records.latest(tx, use_case)
    derived = _derived(tx, use_case)
    if found is None:
        return bool(derived.variants)
    return _content_digest(derived) != found[1]


def refresh(tx: Tx, use_case: str) -> Deployment:
    """Put a new revision into force when something has moved; returns the document in force either way.

    Raises:
        Missing: no such use case.
    """
    derived = _derived(tx, use_case)
    digest = _content_digest(derived)
    found = deployment_records.latest(tx, use_case)
    if found is not None and found[1] == digest:
        return found[0]
    if found is None and not derived.variants:
        return derived
    made = msgspec.structs.replace(derived, revision=(found[0].revision if found else 0) + 1)
    deployment_records.insert(tx, made, digest)
    champion = made.variant("champion")
    tx.emit(DeploymentChanged(use_case=use_case, revision=made.revision, champion=champion.version if champion else 0))
    return made


def report(tx: Tx, *, use_case: str, report: GatewayReport) -> None:
    """Take down how a gateway fared with a deployment.

    Raises:
        Missing: no such use case.
        Invalid: the report is not of the known form.
    """
    use_cases.get(tx, use_case)
    if report.state not in ("serving", "failed") or len(report.gateway) > 100 or len(report.problems) > 50:
        raise Invalid("A gateway reports 'serving' or 'failed', under a name of at most 100 characters.")
    deployment_records.save_gateway(tx, use_case, report)
    tx.emit(
        GatewayReported(
            use_case=use_case, gateway=report.gateway, state=report.state, revision=report.revision,
            problems=[problem[:1000] for problem in report.problems],
        )
    )  # fmt: skip


def gateways(tx: Tx, use_case: str) -> list[Gateway]:
    """Every gateway of the use case that ever reported, the latest first."""
    return deployment_records.gateways(tx, use_case)


def _derived(tx: Tx, use_case: str) -> Deployment:
    charter = use_cases.get(tx, use_case)
    pointing = registry.aliases(tx, use_case)
    decisions = {move.alias: move.decision for move in reversed(registry.alias_history(tx, use_case))}
    variants = tuple(
        _variant(tx, use_case, role, pointing[role], decisions.get(role, "")) for role in ROLES if role in pointing
    )
    published = contracts.latest(tx, use_case)
    return Deployment(
        use_case=use_case, revision=0, variants=variants, segment=charter.segment, positive=charter.positive,
        contract=_for_live_rows(contracts.promises(published)),
    )  # fmt: skip


def _variant(tx: Tx, use_case: str, role: Role, number: int, decision: str) -> Variant:
    version = registry.version(tx, use_case, number)
    evidence = _judged_by(tx, use_case, version, decision)
    return Variant(
        role=role,
        version=number,
        digest=version.digest,
        files=tuple(FileRef(path=file.path, digest=file.digest, size=file.size) for file in version.files),
        threshold=evidence.threshold if evidence else None,
        decision=decision,
    )


def _judged_by(tx: Tx, use_case: str, version: ModelVersion, decision: str) -> Evidence | None:
    """The evidence the decision rests on: later evidence must not change what a decided version answers."""
    decided = decision_records.find(tx, decision) if decision else None
    if decided is not None and decided.version == version.version and decided.evidence:
        return evidence_records.find(tx, decided.evidence)
    return evidence_records.latest_for_version(tx, use_case, version.digest) if version.digest else None


def _for_live_rows(contract: Contract | None) -> Contract | None:
    """The contract without what only whole tables can keep."""
    if contract is None:
        return None
    return msgspec.structs.replace(contract, extra_columns=True, min_rows=0)


def _content_digest(deployment: Deployment) -> str:
    return digest_of(msgspec.structs.replace(deployment, revision=0))
