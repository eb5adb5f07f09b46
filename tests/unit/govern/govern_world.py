"""A use case with a team, versions and evidence in a real store, for tests of the verbs."""

from __future__ import annotations

import msgspec
from govern_cases import NOW, POLICY, digest, evidence

from stile.govern import decisions, policies, promotions, registry
from stile.govern.promotions import Promotion
from stile.kernel.clock import FixedClock
from stile.kernel.permission import Principal, PrincipalKind, Role
from stile.people import accounts, use_cases
from stile.people.use_cases import Charter
from stile.store.database import Database, Tx
from stile.store.engines import open_database
from stile.train import artifacts, evidence_records
from stile.train.evidence import Evidence

USE_CASE = "early-detection"
TEAM = {
    "ada": [Role.DATA_SCIENTIST],
    "mel": [Role.ML_ENGINEER],
    "paula": [Role.PRODUCT_MANAGER],
    "dora": [Role.DOMAIN_EXPERT],
    "both": [Role.PRODUCT_MANAGER, Role.DOMAIN_EXPERT],
}


def fresh(path, store: str = "sqlite", *, solo: bool = False, policy: str = POLICY) -> Database:
    """A store with the use case, its people and the policy."""
    db = open_database(store, path, clock=FixedClock(NOW))

    def build(tx: Tx) -> None:
        charter = Charter(title="Early detection", positive="malignant", segment="site", solo=solo)
        use_cases.create(tx, name=USE_CASE, charter=charter, by="ada")
        for name, roles in TEAM.items():
            accounts.create(tx, name=name, by="ada")
            use_cases.set_roles(tx, name=USE_CASE, person=name, roles=roles, by="ada")
        policies.publish(tx, use_case=USE_CASE, yaml=policy, by="paula")
        registry.create_model(tx, name=USE_CASE, by="ada")

    db.write(build)
    return db


def person(name: str, kind: PrincipalKind = PrincipalKind.PERSON) -> Principal:
    """Somebody who is signed in."""
    return Principal(name=name, kind=kind, team_roles={USE_CASE: frozenset(TEAM.get(name, []))})


def register(tx: Tx, *, by: str = "ada", **measured) -> int:
    """The next version, with its own bytes, and with evidence unless ``measured`` is None."""
    number = len(registry.versions(tx, USE_CASE)) + 1
    folder = f"0/run{number}/artifacts/model"
    artifacts.bind(tx, path=f"{folder}/MLmodel", digest=digest(f"bytes-{number}"), size=10, by=by)
    made = registry.create_version(tx, name=USE_CASE, source=f"mlflow-artifacts:/{folder}", by=by)
    if measured.pop("evaluated", True):
        measure(tx, made.version, **measured)
    return made.version


def measure(tx: Tx, version: int, **measured) -> Evidence:
    """New evidence about a version."""
    found = registry.version(tx, USE_CASE, version)
    made = evidence(version=version, **measured)
    subject = msgspec.structs.replace(made.subject, digest=found.digest)
    made = msgspec.structs.replace(made, subject=subject)
    evidence_records.save(tx, made)
    return made


def propose(db: Database, version: int, by: str = "ada") -> Promotion:
    """Ask for a promotion."""
    return db.write(lambda tx: promotions.propose(tx, use_case=USE_CASE, version=version, reason="better", by=by))


def say(db: Database, promotion: str, name: str, role: str, *words: str) -> Promotion:
    """A word of somebody: verdict and reason, a yes when nothing is given."""
    verdict, reason = (*words, *("yes", "fine")[len(words) :])
    return db.write(
        lambda tx: promotions.approve(
            tx, promotion=promotion, role=role, verdict=verdict, reason=reason, by=person(name)
        )[0]
    )


def promote(db: Database, version: int):
    """The whole way: propose, two approvals, plan, apply."""
    asked = propose(db, version)
    say(db, asked.id, "paula", "product_manager")
    say(db, asked.id, "dora", "domain_expert")
    plan = db.write(lambda tx: decisions.plan(tx, use_case=USE_CASE, by="mel"))
    return db.write(lambda tx: decisions.apply(tx, use_case=USE_CASE, plan=plan.digest, by="mel"))
