"""Where every version stands, in the machine's words and with the margin. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stile.govern.expression.bindings import Bindings, Champion
from stile.govern.expression.values import show
from stile.govern.gate import Candidate, GateResult, RuleResult, choose
from stile.govern.policy import CompiledPolicy
from stile.train.evidence import Evidence


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The label of one version.

    Attributes:
        label: e.g. ``champion``, ``rejected:recall-floor``, ``dominated-by:v9``, ``waiting:product_manager``.
        text: the label with element and margin, e.g. ``rejected:every-site.site=B by 0.020``.
        sentence: why.
        rule, of, margin: the rule behind a rejection, the element that decided, and by how much.
    """

    version: int
    digest: str
    label: str
    text: str
    sentence: str
    rule: str = ""
    of: str = ""
    margin: float | None = None
    dominated_by: int | None = None


class Standings(msgspec.Struct, frozen=True, kw_only=True):
    """What the standings depend on besides each version's own gate result.

    Attributes:
        champion: the version in production (or about to be), 0 for none.
        holders: version -> ``challenger`` or ``shadow``, as given by the last decision.
        former: versions that were champion before.
        retired: versions taken out of service.
        held: the champion is on hold.
        best: the version the policy's choice puts first among those that pass, 0 for none.
    """

    champion: int = 0
    holders: dict[int, str] = {}
    former: list[int] = []
    retired: list[int] = []
    held: bool = False
    best: int = 0


def standing(
    compiled: CompiledPolicy,
    *,
    result: GateResult,
    candidate: Candidate,
    evidence: Evidence | None,
    champion: Champion | None,
    use_case: Mapping[str, Any],
    context: Standings,
    now: int,
) -> Standing:
    """The label of one version: what it is, else why it is not, else for whom it waits."""
    version = result.version
    if version == context.champion:
        champion_now = _plain(result, "champion", "it is the model in production")
        if not context.held:
            return champion_now
        sentence = "it is in production and on hold: roll back, or promote another version"
        return msgspec.structs.replace(champion_now, text="champion (on hold)", sentence=sentence)
    if version in context.retired:
        return _plain(result, "retired", "it was taken out of service")
    if version in context.former:
        return _plain(result, "superseded", "it was in production before")
    label = _label_rule(
        compiled,
        result=result,
        candidate=candidate,
        evidence=evidence,
        champion=champion,
        use_case=use_case,
        now=now,
    )
    if result.failed:
        return _failed(result, label)
    if result.refused_by:
        return _plain(result, f"rejected:{result.refused_by}", result.sentence)
    if result.unknown:
        kept = context.holders.get(version)
        return _plain(result, kept or "waiting:evidence", result.sentence)
    if version == context.best or (result.promotion and result.dominated_by is None):
        return _plain(result, f"waiting:{(result.waiting_for or ['apply'])[0]}", result.sentence)
    beaten = f"every rule passes, but version {context.best or context.champion} was preferred"
    by = context.best or context.champion or None
    word = label or context.holders.get(version)
    if word:
        return msgspec.structs.replace(_plain(result, word, beaten), dominated_by=by)
    if by is None:
        return _plain(result, "waiting:evidence", result.sentence)
    return msgspec.structs.replace(_plain(result, f"dominated-by:v{by}", beaten), dominated_by=by)


def alias_holders(standings: Sequence[Standing], orders: Mapping[int, Sequence[float | None]]) -> dict[str, int]:
    """Which version each of the aliases ``challenger`` and ``shadow`` points at: the best of those so labelled."""
    holders = {}
    for alias in ("challenger", "shadow"):
        labelled = {one.version: orders.get(one.version, []) for one in standings if one.label == alias}
        best = choose(labelled)
        if best is not None:
            holders[alias] = best
    return holders


def _label_rule(
    compiled: CompiledPolicy,
    *,
    result: GateResult,
    candidate: Candidate,
    evidence: Evidence | None,
    champion: Champion | None,
    use_case: Mapping[str, Any],
    now: int,
) -> str:
    names = {
        "use_case": dict(use_case), "candidate": candidate.facts(), "now": now,
        "failed": list(result.failed), "unknown": list(result.unknown),
    }  # fmt: skip
    bindings = Bindings(evidence, champion=champion, now=now)
    for rule, program in zip(compiled.policy.labels, compiled.labels, strict=True):
        if program.truth(bindings.functions, names).verdict == "pass":
            return rule.label
    return ""


def _failed(result: GateResult, label: str) -> Standing:
    rule = next(rule for rule in result.rules if rule.id == result.failed[0])
    word = label or f"rejected:{rule.id}"
    return Standing(
        version=result.version, digest=result.digest, label=word, text=_with_margin(f"rejected:{rule.id}", rule, label),
        sentence=f"{rule.id}: {rule.sentence}", rule=rule.id, of=rule.of, margin=rule.margin,
    )  # fmt: skip


def _with_margin(rejected: str, rule: RuleResult, label: str) -> str:
    of = f".{rule.of}" if rule.of else ""
    by = f" by {show(abs(rule.margin))}" if rule.margin is not None else ""
    return f"{label} ({rejected}{of}{by})" if label else f"{rejected}{of}{by}"


def _plain(result: GateResult, label: str, sentence: str) -> Standing:
    return Standing(version=result.version, digest=result.digest, label=label, text=label, sentence=sentence)
