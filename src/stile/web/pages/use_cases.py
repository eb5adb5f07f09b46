"""A use case: its charter, its team, and the value chain as a map; and the portfolio of all of them."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from stile.data import contracts, datasets
from stile.data.contract_records import ContractVersion
from stile.data.dataset_records import DatasetVersion
from stile.edge.call import Call
from stile.edge.route import Route
from stile.govern import decision_records, policy_records, registry
from stile.kernel.permission import Permission, Role
from stile.monitor import alerts
from stile.people import use_cases
from stile.people.use_cases import UseCase
from stile.store.database import Tx
from stile.train import evidence_records
from stile.train.evidence import Metric
from stile.web.pages.chain import Stop, chain
from stile.web.render import Crumb, Frame, Page, error_page, see_other

_HEADLINE = ("auc", "recall", "accuracy", "f1", "r2", "rmse")
"""The metric that stands for a model in a list: the first of these that was measured."""


class TeamMember(msgspec.Struct, frozen=True, kw_only=True):
    """A person and all roles held here."""

    person: str
    roles: list[Role]


class LastDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The newest decision, as lists show it."""

    id: str
    kind: str
    version: int
    by: str
    at: int


class UseCaseData(msgspec.Struct, frozen=True, kw_only=True):
    """Charter, team, data and rules of one use case.

    Attributes:
        policy: the rules in force in plain words; empty without a policy.
    """

    use_case: UseCase
    chain: list[Stop]
    team: list[TeamMember]
    datasets: list[DatasetVersion]
    contract: ContractVersion | None
    policy_name: str
    policy_version: int
    policy: list[str]
    last: LastDecision | None


class PortfolioRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the portfolio."""

    name: str
    title: str
    tier: str
    chain: list[Stop]
    champion: int
    metric: str
    value: Metric | None
    risks: list[str]
    last: LastDecision | None
    owners: list[str]


class PortfolioData(msgspec.Struct, frozen=True, kw_only=True):
    """Every use case, and registered models that belong to none."""

    rows: list[PortfolioRow]
    ungoverned: list[str]


def team_of(tx: Tx, use_case: str) -> list[TeamMember]:
    """The team by person."""
    roles: dict[str, list[Role]] = {}
    for member in use_cases.members(tx, use_case):
        roles.setdefault(member.person, []).append(member.role)
    return [TeamMember(person=person, roles=held) for person, held in roles.items()]


def last_decision(tx: Tx, use_case: str) -> LastDecision | None:
    """The newest decision of a use case."""
    found = decision_records.listing(tx, use_case, limit=1)
    if not found:
        return None
    newest = found[0]
    return LastDecision(id=newest.decision, kind=newest.kind, version=newest.version, by=newest.by, at=newest.at)


def headline(metrics: dict[str, Metric]) -> tuple[str, Metric | None]:
    """The metric that stands for a model in a list."""
    name = next((name for name in _HEADLINE if name in metrics), next(iter(metrics), ""))
    return name, metrics.get(name)


def _load(tx: Tx, call: Call) -> UseCaseData:
    name = call.path("use_case")
    policy = policy_records.newest(tx, name)
    return UseCaseData(
        use_case=use_cases.get(tx, name),
        chain=chain(tx, name),
        team=team_of(tx, name),
        datasets=datasets.versions(tx, name),
        contract=contracts.latest(tx, name),
        policy_name=policy.policy.policy if policy else "",
        policy_version=policy.version if policy else 0,
        policy=[rule.says or rule.rule for rule in policy.policy.require] if policy else [],
        last=last_decision(tx, name),
    )


def _frame(data: UseCaseData) -> Frame:
    return Frame(
        title=data.use_case.title or data.use_case.name,
        here="portfolio",
        crumbs=[Crumb("Portfolio", "/portfolio"), Crumb(data.use_case.name)],
        live=f"use-case:{data.use_case.name}",
    )


def _extras(data: UseCaseData, call: Call) -> dict[str, Any]:
    contract = contracts.promises(data.contract)
    return {"here": "", "contract": contract, "you": call.principal.name}


PAGE = Page("/use-cases/{use_case}", "use_case.html", _load, _frame, extras=_extras)


def _load_portfolio(tx: Tx, call: Call) -> PortfolioData:  # noqa: ARG001  the same for everybody
    known = use_cases.all_use_cases(tx)
    governed = {each.name for each in known}
    return PortfolioData(
        rows=[_row(tx, each) for each in known],
        ungoverned=[model.name for model in registry.models(tx) if model.name not in governed],
    )


def _row(tx: Tx, use_case: UseCase) -> PortfolioRow:
    champion = registry.aliases(tx, use_case.name).get("champion", 0)
    metric, value = "", None
    if champion:
        version = registry.version(tx, use_case.name, champion)
        evidence = evidence_records.latest_for_version(tx, use_case.name, version.digest)
        metric, value = headline(evidence.metrics) if evidence else ("", None)
    owners = [member.person for member in use_cases.members(tx, use_case.name) if member.role == Role.PRODUCT_MANAGER]
    return PortfolioRow(
        name=use_case.name,
        title=use_case.title or use_case.name,
        tier=use_case.tier,
        chain=chain(tx, use_case.name),
        champion=champion,
        metric=metric,
        value=value,
        risks=[alert.says or alert.rule for alert in alerts.unresolved(tx, use_case.name)],
        last=last_decision(tx, use_case.name),
        owners=owners,
    )


PORTFOLIO = Page(
    "/portfolio",
    "portfolio.html",
    _load_portfolio,
    lambda data: Frame(
        title="Portfolio", here="portfolio", live=" ".join(["people", *(f"use-case:{row.name}" for row in data.rows)])
    ),
)


async def _to_gate(call: Call) -> Response:
    return see_other(f"/models/{call.path('use_case')}/versions/{call.path('version')}/gate")


ROUTES = [
    Route("GET", "/use-cases/{use_case}/versions/{version:int}", Permission.READ, _to_gate, on_error=error_page),
    Route("GET", "/models/{use_case}/versions/{version:int}", Permission.READ, _to_gate, on_error=error_page),
    *PAGE.routes,
    *PORTFOLIO.routes,
]
