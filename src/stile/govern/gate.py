"""The gate: a policy applied to one candidate. Pure: the same inputs give the same verdict on any machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from stile.govern.expression.bindings import Bindings, Champion
from stile.govern.expression.compiler import Program
from stile.govern.expression.truth import TraceLine, Verdict
from stile.govern.expression.values import number_of
from stile.govern.policy import CompiledPolicy, Rule
from stile.govern.separation import ApprovalState
from stile.train.evidence import Evidence

Outcome = Literal["promote", "reject", "wait"]
EXIT_CODES: dict[Outcome, int] = {"promote": 0, "reject": 1, "wait": 2}


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version as rules and approvals see it.

    Attributes:
        authors: run owner, registrar and proposer: their yes does not count.
    """

    version: int
    digest: str
    run_id: str = ""
    registered_by: str = ""
    created_at: int = 0
    description: str = ""
    tags: dict[str, str] = {}
    authors: list[str] = []

    def facts(self) -> dict[str, Any]:
        """What ``candidate.*`` means in a rule."""
        return {
            "version": self.version, "digest": self.digest, "run_id": self.run_id,
            "registered_by": self.registered_by, "created_at": self.created_at, "tags": dict(self.tags),
        }  # fmt: skip


class RuleResult(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of one rule, explained.

    Attributes:
        kind: ``require``, ``warn`` or ``live``.
        sentence: the deciding comparison in words.
        observed, limit, margin, of: its numbers, and the element they belong to.
        trace: every comparison that was looked at.
        remedies: what would settle an unknown.
    """

    id: str
    kind: Literal["require", "warn", "live"]
    verdict: Verdict
    sentence: str
    says: str = ""
    owner: str = ""
    rule: str = ""
    observed: float | None = None
    limit: float | None = None
    margin: float | None = None
    of: str = ""
    trace: list[TraceLine] = []
    remedies: list[str] = []


class ScopeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The required rules on one segment alone; what is not measured per segment is taken over all rows."""

    scope: str
    verdict: Verdict
    failed: list[str]
    unknown: list[str]
    rules: list[RuleResult]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules alone say about a candidate."""

    rules: list[RuleResult]
    warnings: list[RuleResult]
    failed: list[str]
    unknown: list[str]
    scopes: list[ScopeVerdict]
    order: list[float | None]

    @property
    def passes(self) -> bool:
        """Whether every required rule passes."""
        return not self.failed and not self.unknown


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's answer for one candidate.

    Attributes:
        outcome: ``promote``, ``reject`` or ``wait``; ``exit_code`` says the same as 0, 1, 2.
        sentence: why, in one sentence.
        rules, warnings, scopes: the verdicts.
        approvals: where each required approval stands.
        waiting_for: roles whose yes is missing; ``evidence`` or ``proposal`` first when these are.
        refused_by: the role that said no.
        missing: what evidence to produce.
        dominated_by: the version that ``choose`` puts before this one.
        order: the values ``choose`` compares.
        policy, evidence, champion: digests of what was judged, under what, against whom.
        promotion: the open request, if any.
    """

    use_case: str
    version: int
    digest: str
    outcome: Outcome
    exit_code: int
    sentence: str
    rules: list[RuleResult]
    warnings: list[RuleResult]
    scopes: list[ScopeVerdict]
    failed: list[str]
    unknown: list[str]
    approvals: list[ApprovalState]
    waiting_for: list[str]
    missing: list[str]
    order: list[float | None]
    policy: str
    evidence: str
    champion: str = ""
    dominated_by: int | None = None
    refused_by: str = ""
    promotion: str = ""
    url: str = ""


def judge(
    compiled: CompiledPolicy,
    *,
    candidate: Candidate,
    evidence: Evidence | None,
    champion: Champion | None,
    use_case: Mapping[str, Any],
    now: int,
) -> Judged:
    """Apply every rule of the policy to one candidate.

    Args:
        compiled: the policy.
        candidate: the version.
        evidence: what was measured about it; None makes its rules unknown.
        champion: the model in production; None when there is none, or when the candidate is it.
        use_case: the charter's facts, for ``use_case.*``.
        now: ms since 1970 UTC.
    """
    names = {"use_case": dict(use_case), "candidate": candidate.facts(), "now": now}
    policy = compiled.policy

    def run(rule: Rule, kind: Literal["require", "warn"], scope: tuple[str, str] | None = None) -> RuleResult:
        bindings = Bindings(
            evidence, champion=champion, now=now, scope=scope, min_n=rule.min_n, max_age_days=rule.max_age_days
        )
        return rule_result(rule, kind, compiled.rules[rule.id], bindings, names)

    rules = [run(rule, "require") for rule in policy.require]
    scopes = []
    for value in _segments(policy.scope, evidence):
        inside = [run(rule, "require", (policy.scope, value)) for rule in policy.require]
        scopes.append(_scope_verdict(f"{policy.scope}={value}", inside))
    bindings = Bindings(evidence, champion=champion, now=now)
    return Judged(
        rules=rules,
        warnings=[run(rule, "warn") for rule in policy.warn],
        failed=_ids(rules, "fail"),
        unknown=_ids(rules, "unknown"),
        scopes=scopes,
        order=[_ordinal(program.value(bindings.functions, names)) for program in compiled.choose],
    )


def rule_result(
    rule: Rule,
    kind: Literal["require", "warn", "live"],
    program: Program,
    bindings: Bindings,
    names: Mapping[str, Any],
) -> RuleResult:
    """One rule on one set of evidence."""
    answer = program.answer(bindings.functions, names, positive=bindings.positive)
    verdict, sentence = answer.verdict, answer.sentence
    if verdict == "unknown" and rule.missing == "fail":
        verdict, sentence = "fail", f"{sentence} (this rule counts unknown as fail)"
    remedies = [line.remedy for line in answer.trace if line.decided and line.verdict == "unknown" and line.remedy]
    return RuleResult(
        id=rule.id, kind=kind, verdict=verdict, sentence=sentence, says=rule.says, owner=rule.owner, rule=rule.rule,
        observed=answer.observed, limit=answer.limit, margin=answer.margin, of=answer.of, trace=answer.trace,
        remedies=list(dict.fromkeys(remedies)),
    )  # fmt: skip


def approval_needs(
    compiled: CompiledPolicy, use_case: Mapping[str, Any], candidate: Candidate
) -> list[tuple[str, int]]:
    """(role, quorum) of every approval that applies here; an unknown condition asks for it."""
    names = {"use_case": dict(use_case), "candidate": candidate.facts(), "now": 0}
    needs = []
    for need, condition in zip(compiled.policy.approvals, compiled.approvals, strict=True):
        if condition is None or condition.truth({}, names).verdict != "fail":
            needs.append((need.role, need.quorum))
    return needs


def conclude(
    judged: Judged,
    *,
    use_case: str,
    candidate: Candidate,
    policy_digest: str,
    evidence_digest: str,
    champion_digest: str,
    approvals: Sequence[ApprovalState],
    promotion: str,
    dominated_by: int | None,
    standing: Literal["candidate", "champion", "former"] = "candidate",
    refused: tuple[str, str] = ("", ""),
    url: str = "",
) -> GateResult:
    """Rules, choice and approvals together: promote, reject or wait, and why.

    The champion needs no further approval: its answer says whether the rules still pass. A former champion comes
    back by a rollback only. ``refused``: role and words of a no that closed the last request and still stands.
    """
    waiting = [state.role for state in approvals if state.state == "waiting"]
    noes = [(state.role, state.sentence) for state in approvals if state.state == "no"]
    refused_by, refusal = noes[0] if noes else refused
    missing = list(dict.fromkeys(remedy for rule in judged.rules for remedy in rule.remedies))
    by_id = {rule.id: rule for rule in judged.rules}
    outcome: Outcome
    if judged.failed:
        more = f" (and {len(judged.failed) - 1} more)" if len(judged.failed) > 1 else ""
        outcome, sentence = "reject", f"{judged.failed[0]}: {by_id[judged.failed[0]].sentence}{more}"
    elif judged.unknown:
        outcome, sentence = "wait", f"waiting for evidence: {by_id[judged.unknown[0]].sentence}"
        waiting = ["evidence", *waiting]
    elif standing == "champion":
        outcome, sentence, waiting = "promote", "it is in production, and every rule still passes", []
    elif standing == "former":
        outcome, sentence, waiting = "wait", "it was in production before; to return to it, roll back", []
    elif refused_by:
        outcome, sentence = "reject", refusal
    elif dominated_by is not None:
        outcome, sentence = "reject", f"every rule passes, but version {dominated_by} is better by the policy's choice"
    elif not promotion:
        outcome, sentence = "wait", "every rule passes; nobody has proposed it yet"
        waiting = ["proposal", *waiting]
    elif waiting:
        outcome = "wait"
        sentence = "every rule passes; " + "; ".join(state.sentence for state in approvals if state.state == "waiting")
    else:
        outcome, sentence = "promote", "every rule passes and everybody asked has agreed"
    return GateResult(
        use_case=use_case, version=candidate.version, digest=candidate.digest, outcome=outcome,
        exit_code=EXIT_CODES[outcome], sentence=sentence, rules=judged.rules, warnings=judged.warnings,
        scopes=judged.scopes, failed=judged.failed, unknown=judged.unknown, approvals=list(approvals),
        waiting_for=[] if outcome == "reject" else waiting, refused_by=refused_by,
        missing=missing, order=judged.order, policy=policy_digest, evidence=evidence_digest,
        champion=champion_digest, dominated_by=dominated_by, promotion=promotion, url=url,
    )  # fmt: skip


def choose(orders: Mapping[int, Sequence[float | None]]) -> int | None:
    """The version with the lexicographic maximum; unknown is less than any number, a tie goes to the older."""
    if not orders:
        return None

    def rank(version: int) -> tuple[tuple[tuple[bool, float], ...], int]:
        return tuple((value is not None, value or 0.0) for value in orders[version]), -version

    return max(orders, key=rank)


def _segments(column: str, evidence: Evidence | None) -> list[str]:
    return [part.value for part in evidence.slices.get(column, [])] if column and evidence else []


def _scope_verdict(scope: str, rules: list[RuleResult]) -> ScopeVerdict:
    failed, unknown = _ids(rules, "fail"), _ids(rules, "unknown")
    verdict: Verdict = "fail" if failed else "unknown" if unknown else "pass"
    return ScopeVerdict(scope=scope, verdict=verdict, failed=failed, unknown=unknown, rules=rules)


def _ids(rules: Sequence[RuleResult], verdict: Verdict) -> list[str]:
    return [rule.id for rule in rules if rule.verdict == verdict]


def _ordinal(value: Any) -> float | None:
    number = number_of(value)
    try:
        return None if number is None else float(number)
    except OverflowError:
        return None
