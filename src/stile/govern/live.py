"""The living gate: a policy's live rules on a closed window of traffic, with patience for single bad windows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from stile.govern.expression.bindings import Bindings, Champion
from stile.govern.gate import RuleResult, rule_result
from stile.govern.policy import CompiledPolicy, Policy, compile_policy
from stile.train.evidence import Evidence


class LiveResult(msgspec.Struct, frozen=True, kw_only=True):
    """One live rule on one window.

    Attributes:
        result: the verdict with its sentence and trace.
        broken: whether it has failed often enough to act.
        fails, seen: failing windows among the last ``seen`` (this one included), at most n of "k of n".
        needed, of: the k and n.
        otherwise: what to do when broken: ``open_decision`` or ``alert``.
        sentence: the same in words.
    """

    id: str
    result: RuleResult
    broken: bool
    fails: int
    seen: int
    needed: int
    of: int
    otherwise: Literal["open_decision", "alert"]
    sentence: str


def evaluate_live(
    policy: Policy | CompiledPolicy,
    window: Evidence,
    history: Sequence[Mapping[str, str]],
    use_case: Mapping[str, Any],
    now: int,
    *,
    champion: Champion | None = None,
) -> list[LiveResult]:
    """Every live rule on a window.

    Args:
        policy: the policy in force.
        window: evidence of the window.
        history: verdicts of earlier windows, oldest first, each ``{rule id: verdict}``.
        use_case: the charter's facts, for ``use_case.*``.
        now: ms since 1970 UTC.
        champion: the model in production with the evidence it was admitted on, for ``champion().recall``.

    Returns:
        One result per live rule. An unknown verdict never counts as failing, and never as passing.
    """
    compiled = compile_policy(policy) if isinstance(policy, Policy) else policy
    names = {"use_case": dict(use_case), "candidate": _subject(window), "now": now}
    found = []
    for rule in compiled.policy.live:
        bindings = Bindings(window, champion=champion, now=now, min_n=rule.min_n, max_age_days=rule.max_age_days)
        result = rule_result(rule, "live", compiled.rules[rule.id], bindings, names)
        needed, of = rule.needed
        recent = [past[rule.id] for past in history if rule.id in past][-(of - 1) :] if of > 1 else []
        verdicts = [*recent, result.verdict]
        fails = verdicts.count("fail")
        broken = fails >= needed and result.verdict == "fail"
        tail = f"failing in {fails} of the last {len(verdicts)} windows (acts at {needed} of {of})" if of > 1 else ""
        sentence = "; ".join(filter(None, (result.sentence, tail if fails else "")))
        found.append(
            LiveResult(
                id=rule.id,
                result=result,
                broken=broken,
                fails=fails,
                seen=len(verdicts),
                needed=needed,
                of=of,
                otherwise=rule.otherwise,
                sentence=sentence,
            )
        )
    return found


def _subject(window: Evidence) -> dict[str, Any]:
    return {
        "version": int(window.subject.version) if window.subject.version.isdigit() else 0,
        "digest": window.subject.digest,
        "run_id": window.subject.run_id,
        "registered_by": "",
        "created_at": 0,
        "tags": {},
    }
