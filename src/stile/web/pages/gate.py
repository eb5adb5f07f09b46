"""The gate: one candidate, judged. A document one would sign: verdict, numbers, rules with proofs, people, effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stile.edge.call import Call
from stile.govern import decision_records, policies, promotions, registry, snapshot
from stile.govern.assess import Assessment, World, assess
from stile.govern.decision_values import Decision
from stile.govern.gate import GateResult, RuleResult
from stile.govern.labels import Standing
from stile.govern.plan import make_plan
from stile.govern.promotions import Promotion
from stile.govern.separation import ApprovalState, refusal
from stile.govern.version_records import ModelVersion
from stile.kernel.errors import Missing
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import evidence_records, runs
from stile.train.evidence import Evidence
from stile.web.charts.calibration import calibration
from stile.web.charts.chart import Key
from stile.web.charts.intervals import common_range, interval_bars, slices_finding
from stile.web.charts.lineage import Node, lineage
from stile.web.pages.chain import Stop, chain
from stile.web.pages.gate_view import (
    Change,
    Number,
    if_promoted,
    metric_of_rule,
    slice_pairs,
    three_numbers,
    verdict_of,
    verdict_sentence,
)
from stile.web.render import Crumb, Frame, Page


class GateData(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the page of one version says.

    Attributes:
        title: of the use case.
        result: the gate's answer; None without a policy in force.
        policy_says, policy_version: of the policy in force.
        evidence, champion_evidence: what was measured, of the candidate and of the model in production.
        champion: the version in production, 0 for none; ``held``: it is on hold.
        standing: where the version stands.
        promotion: the open request about it.
        numbers, changes: the three numbers; what a promotion would change.
        your_roles: roles in which the caller may say yes or no now.
        your_refusals: why not, in the roles the policy asks for.
        plan: digest of the plan that would promote it now; empty when it may not be promoted yet.
        decisions: taken about it, newest first.
        run_name: of the run it came from.
    """

    use_case: str
    title: str
    chain: list[Stop]
    version: ModelVersion
    result: GateResult | None
    policy_name: str
    policy_says: str
    policy_version: int
    policy_digest: str
    evidence: Evidence | None
    champion_evidence: Evidence | None
    champion: int
    held: bool
    standing: Standing | None
    promotion: Promotion | None
    numbers: list[Number]
    changes: list[Change]
    people: list[ApprovalState]
    promoted: Decision | None
    your_roles: list[str]
    your_refusals: dict[str, str]
    plan: str
    decisions: list[Decision]
    run_name: str
    solo: bool


def load_gate(tx: Tx, call: Call) -> GateData:
    """The page's data."""
    name, number = call.path("name"), int(call.path("version"))
    use_case = use_cases.get(tx, name)
    version = registry.version(tx, name, number)
    evidence = evidence_records.latest_for_version(tx, name, version.digest) if version.digest else None
    run_name = runs.info(tx, version.run_id).name if version.run_id else ""
    taken = [each for each in decision_records.listing(tx, name) if each.version == number]
    shared: dict[str, Any] = {
        "use_case": name, "title": use_case.title or name, "chain": chain(tx, name), "version": version,
        "evidence": evidence, "decisions": taken, "run_name": run_name, "solo": use_case.solo,
    }  # fmt: skip
    compiled = policies.compiled_in_force(tx, name)
    if compiled is None:
        return GateData(
            **shared, result=None, policy_name="", policy_says="", policy_version=0, policy_digest="",
            champion_evidence=None, champion=0, held=False, standing=None, promotion=None,
            numbers=three_numbers(evidence, []),
            changes=[], people=[], promoted=None, your_roles=[], your_refusals={}, plan="",
        )  # fmt: skip
    world = snapshot.read_world(tx, name)
    assessment = assess(world)
    result = assessment.result(number)
    if result is None:
        raise Missing(f"{name} has no version {number}.")
    champion = world.past.champion
    allowed, refused = _your_say(world, result, call)
    # What was said for the version in production belongs to the decision that put it there.
    promoted = next((each for each in taken if each.kind == "promoted"), None) if champion == number else None
    promoted = None if result.promotion else promoted
    return GateData(
        **shared,
        result=result,
        policy_name=world.policy.policy.policy,
        policy_says=world.policy.policy.says,
        policy_version=world.policy_version,
        policy_digest=world.policy.digest,
        champion_evidence=world.champion.evidence if world.champion and champion != number else None,
        champion=champion,
        held=world.past.held,
        standing=next((each for each in assessment.standings if each.version == number), None),
        promotion=promotions.get(tx, result.promotion) if result.promotion else None,
        numbers=three_numbers(evidence, result.rules),
        changes=if_promoted(world, assessment, number) if result.outcome != "reject" and champion != number else [],
        people=promoted.approvals if promoted else result.approvals,
        promoted=promoted,
        your_roles=allowed,
        your_refusals=refused,
        plan=_plan(world, assessment, number),
    )


def _your_say(world: World, result: GateResult, call: Call) -> tuple[list[str], dict[str, str]]:
    """(roles in which the caller may vote, why not in the others)."""
    case = world.case(result.version)
    authors = case.candidate.authors if case else []
    allowed, refused = [], {}
    for state in result.approvals:
        why_not = refusal(call.principal, state.role, world.team, authors, result.approvals)
        if why_not is None:
            allowed.append(state.role)
        else:
            refused[state.role] = why_not
    return allowed, refused


def _plan(world: World, assessment: Assessment, version: int) -> str:
    made, _ = make_plan(world, assessment)
    promotes = any(one.kind == "promoted" and one.version == version for one in made.decisions)
    return made.digest if promotes else ""


def _frame(data: GateData) -> Frame:
    return Frame(
        title=f"v{data.version.version} of {data.title}",
        here="portfolio",
        crumbs=[
            Crumb("Portfolio", "/portfolio"),
            Crumb(data.use_case, f"/use-cases/{data.use_case}"),
            Crumb("Model", f"/models/{data.use_case}"),
            Crumb(f"v{data.version.version}"),
        ],
        live=f"govern:{data.use_case} train:{data.use_case}",
    )


def _extras(data: GateData, call: Call) -> dict[str, Any]:
    shape, word = verdict_of(data.result)
    if data.champion == data.version.version:
        shape, word = ("wait", "on hold") if data.held else ("pass", "in production")
    return {
        "here": "govern",
        "shape": shape,
        "word": word,
        "sentence": verdict_sentence(data.result),
        "strip": _strip(data),
    } | evidence_extras(
        data.evidence, data.champion_evidence, call.query("metric"), data.result.rules if data.result else []
    )


def evidence_extras(
    evidence: Evidence | None, champion: Evidence | None, asked: str, rules: Sequence[RuleResult]
) -> dict[str, Any]:
    """The drawings of an evidence document, slices by the asked metric (else that of the first rule)."""
    if evidence is None:
        return {"pairs": [], "metric": "", "slice_metrics": [], "calibration": None, "pair_keys": [], "finding": ""}
    by_rule = next((name for rule in rules if (name := metric_of_rule(rule.rule)) in evidence.metrics), "")
    metric = asked if asked in evidence.metrics else by_rule or next(iter(evidence.metrics), "")
    pairs = slice_pairs(evidence, champion, metric) if metric else []
    limit = next(
        (r.limit for r in rules if metric_of_rule(r.rule) == metric and r.limit is not None and "ci_low" not in r.rule),
        None,
    )
    span = common_range(pairs, limit)
    keys = [Key("new", "candidate")] + ([Key("old", "champion")] if champion else [])
    return {
        "metric": metric,
        "slice_metrics": list(evidence.metrics),
        "pairs": [(pair, interval_bars(pair, span, limit)) for pair in pairs],
        "pair_keys": keys + ([Key("limit", f"limit {limit:g}")] if limit is not None else []),
        "finding": slices_finding(metric, pairs[1:] or pairs),
        "calibration": calibration(evidence.calibration) if evidence.calibration else None,
    }


def _strip(data: GateData) -> Any:
    uses = data.evidence.datasets if data.evidence else []
    version = data.version
    latest = data.decisions[0] if data.decisions else None
    return lineage(
        [
            [
                Node(f"{use.role} data", use.name or use.digest[7:19], "both", f"/use-cases/{data.use_case}#data")
                for use in uses
            ],
            [Node("run", data.run_name, "ds", f"/runs/{version.run_id}")] if version.run_id else [],
            [Node("version", f"v{version.version}", "ds")],
            [Node("evidence", data.result.evidence[7:17], "ds", "#evidence")]
            if data.result and data.result.evidence
            else [],
            [Node("decision", latest.kind.replace("_", " "), "both", f"/decisions/{latest.decision}")]
            if latest
            else [],
        ]
    )


PAGE = Page("/models/{name}/versions/{version:int}/gate", "gate.html", load_gate, _frame, extras=_extras)

ROUTES = PAGE.routes
