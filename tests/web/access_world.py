"""Two use cases, an account per role in the first, and one of every record that has an address of its own."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit" / "govern"))

from govern_cases import POLICY, evidence
from govern_world import measure

from stile.board import cards
from stile.edge.services import Services
from stile.govern import policies, promotions, registry
from stile.kernel.permission import PrincipalKind, Role
from stile.monitor import alerts
from stile.people import accounts, use_cases
from stile.people.use_cases import Charter
from stile.store.database import Tx
from stile.train import artifacts, experiments

HOME, AWAY = "early-detection", "elsewhere"
TEAM_ROLES = (
    "viewer", "data_scientist", "ml_engineer", "data_engineer", "product_manager", "domain_expert",
    "compliance", "service",
)  # fmt: skip
"""One account called ``a-<role>`` each, with that role in ``HOME``."""


@dataclass
class Access:
    """What was made: tokens by account, and ids by kind of record."""

    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def headers(self, name: str) -> dict[str, str]:
        """What this account sends; nothing for ``nobody``."""
        return {"Authorization": f"Bearer {self.tokens[name]}"} if name in self.tokens else {}


def build(services: Services) -> Access:
    """Everything, in one transaction."""
    access = Access()
    services.db.write(lambda tx: _build(tx, services, access))
    return access


def _account(tx: Tx, access: Access, name: str, roles: list[str], *, where: str = HOME, **fields: object) -> None:
    accounts.create(tx, name=name, by="setup", **fields)  # type: ignore[arg-type]
    if roles:
        use_cases.set_roles(tx, name=where, person=name, roles=[Role(role) for role in roles], by="setup")
    access.tokens[name] = accounts.issue_token(tx, person=name, label="test").token


def _build(tx: Tx, services: Services, access: Access) -> None:
    for name in (HOME, AWAY):
        use_cases.create(tx, name=name, charter=Charter(title=name, positive="malignant", segment="site"), by="setup")
        policies.publish(
            tx, use_case=name, yaml=POLICY.replace("policy: early-detection", f"policy: {name}"), by="setup"
        )
        registry.create_model(tx, name=name, by="setup")
    for role in TEAM_ROLES:
        kind = PrincipalKind.SERVICE if role == "service" else PrincipalKind.PERSON
        _account(tx, access, f"a-{role}", [role], kind=kind)
    _account(tx, access, "no-role", [])
    _account(tx, access, "an-operator", [], system_roles=[Role.OPERATOR])
    _account(tx, access, "an-auditor", [], system_roles=[Role.AUDITOR])
    _account(tx, access, "a-machine", list(TEAM_ROLES), kind=PrincipalKind.SERVICE)
    _account(tx, access, "a-stranger", list(TEAM_ROLES), where=AWAY)
    version(tx, services, HOME, by="a-data_scientist")
    access.ids |= {
        "promotion": promotions.propose(tx, use_case=HOME, version=1, reason="better", by="a-data_scientist").id,
        "card": cards.create(tx, use_case=HOME, title="a card", by="setup").id,
        "alert": _alert(tx),
        "experiment": experiments.create(
            tx, name="an experiment", by="setup", artifact_location="", tags={}
        ).experiment_id,
    }


def _alert(tx: Tx) -> str:
    return alerts.raise_alert(
        tx, use_case=HOME, window="win_1", windows=["win_1"], version=1, rule="r", says="s", finding="f", action="alert"
    ).id


def version(tx: Tx, services: Services, use_case: str, *, by: str, text: str = "") -> int:
    """A registered version whose evidence passes the policy."""
    content = (text or f"{use_case} {time.time_ns()}").encode()
    folder = f"0/{time.time_ns()}/artifacts/model"
    artifacts.bind(tx, path=f"{folder}/MLmodel", digest=services.blobs.put(content), size=len(content), by=by)
    made = registry.create_version(tx, name=use_case, source=f"mlflow-artifacts:/{folder}", by=by)
    if use_case == HOME:
        measure(tx, made.version)
    return made.version


__all__ = ["AWAY", "HOME", "TEAM_ROLES", "Access", "build", "evidence", "version"]
