"""What the gate page says about a candidate, worked out from the assessment. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from stile.govern.assess import Assessment, World, relabelled
from stile.govern.gate import GateResult, RuleResult
from stile.train.evidence import Evidence, Metric
from stile.web.charts.intervals import Estimate, Pair
from stile.web.words import number, plural, short, signed

_METRIC_IN_RULE = re.compile(r"""(?:metric|better)\(["']([\w.-]+)["']\)""")


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """One of the three numbers a decision is read by."""

    name: str
    value: str
    interval: str = ""
    note: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that would be different after a promotion."""

    what: str
    before: str
    after: str


def metric_of_rule(rule: str) -> str:
    """The first metric a rule asks for; empty when it asks for none."""
    found = _METRIC_IN_RULE.search(rule)
    return found[1] if found else ""


def three_numbers(evidence: Evidence | None, rules: Sequence[RuleResult]) -> list[Number]:
    """The metric of the first rule, the comparison with the champion (or the next metric), and how much was tested."""
    if evidence is None:
        return []
    first = next((name for rule in rules if (name := metric_of_rule(rule.rule)) in evidence.metrics), "")
    first = first or next(iter(evidence.metrics), "")
    numbers = [_metric(first, evidence.metrics[first])] if first else []
    numbers.append(_against_champion(evidence, first))
    rows = next((use.rows for use in evidence.datasets if use.role == "test"), 0)
    shown = evidence.metrics.get(first)
    positives = shown.positives if shown else None
    note = f"{positives} of them {_positive(evidence)}" if positives is not None else "the test set"
    numbers.append(Number(name="rows tested", value=number(rows), note=note))
    return [each for each in numbers if each.value]


def _positive(evidence: Evidence) -> str:
    """The positive outcome in a word people read: a bare code says nothing."""
    return evidence.positive if evidence.positive and not evidence.positive.isdecimal() else "positive"


def _metric(name: str, metric: Metric) -> Number:
    interval = f"[{number(metric.low)}, {number(metric.high)}]" if metric.low is not None else ""
    note = f"{metric.level:.0%} interval, {plural(metric.n, 'row')}" if interval else plural(metric.n, "row")
    return Number(name=name, value=number(metric.value), interval=interval, note=note)


def _against_champion(evidence: Evidence, first: str) -> Number:
    if evidence.paired is not None and evidence.paired.metrics:
        name = first if first in evidence.paired.metrics else next(iter(evidence.paired.metrics))
        paired = evidence.paired.metrics[name]
        interval = f"[{signed(paired.low)}, {signed(paired.high)}]" if paired.low is not None else ""
        against = (
            f"champion v{evidence.paired.champion_version}" if evidence.paired.champion_version else "the champion"
        )
        return Number(
            name=f"{name} against {against}", value=signed(paired.difference), interval=interval, note="same rows"
        )
    other = next((name for name in ("auc", *evidence.metrics) if name in evidence.metrics and name != first), "")
    if not other:
        return Number(name="", value="")
    return _metric(other, evidence.metrics[other])


def slice_pairs(candidate: Evidence, champion: Evidence | None, metric: str) -> list[Pair]:
    """The metric over all rows and on every slice, candidate beside champion."""
    pairs = []
    whole = candidate.metrics.get(metric)
    if whole is not None:
        theirs = champion.metrics.get(metric) if champion else None
        pairs.append(_pair("all rows", whole, theirs, whole.n, whole.positives))
    for column, values in candidate.slices.items():
        before = {each.value: each for each in champion.slices.get(column, [])} if champion else {}
        for each in values:
            own = each.metrics.get(metric)
            other = before[each.value].metrics.get(metric) if each.value in before else None
            pairs.append(_pair(f"{column} = {each.value}", own, other, each.n, each.positives))
    return pairs


def _pair(name: str, own: Metric | None, other: Metric | None, n: int, positives: int | None) -> Pair:
    return Pair(
        name=name,
        candidate=Estimate(own.value, own.low, own.high) if own else Estimate(None),
        champion=Estimate(other.value, other.low, other.high) if other else None,
        n=n,
        positives=positives,
    )


def if_promoted(world: World, before: Assessment, version: int) -> list[Change]:
    """What would be different if this version became champion now."""
    after = relabelled(world, before, version)
    champion = world.past.champion
    changes = [
        Change(what="alias champion", before=f"v{champion}" if champion else "nobody", after=f"v{version}"),
        Change(
            what="gateways", before=f"answer with v{champion}" if champion else "answer with nothing",
            after=f"swap to v{version} without a lost request",
        ),
    ]  # fmt: skip
    labels = {standing.version: standing.text for standing in before.standings}
    for standing in after.standings:
        if labels.get(standing.version) != standing.text:
            changes.append(
                Change(
                    what=f"label of v{standing.version}", before=labels.get(standing.version, "–"), after=standing.text
                )
            )
    changes.append(Change(what="live windows", before="", after="measured against this version's own reference"))
    return changes


def verdict_of(result: GateResult | None) -> tuple[str, str]:
    """(shape, word) of the gate's outcome."""
    if result is None:
        return "unknown", "not judged"
    return {"promote": ("pass", "ready to promote"), "reject": ("fail", "rejected"), "wait": ("wait", "waiting")}[
        result.outcome
    ]


def verdict_sentence(result: GateResult | None) -> str:
    """Why, in one sentence of plain words; the expression is one click away."""
    if result is None:
        return ""
    by_id = {rule.id: rule for rule in result.rules}
    decisive, verb = (result.failed, "fail") if result.failed else (result.unknown, "cannot be judged yet")
    if not decisive:
        return result.sentence
    first = by_id[decisive[0]]
    count = f"{len(decisive)} of {len(result.rules)} rules {verb}" if len(decisive) > 1 else f"one rule {verb}"
    if len(decisive) == 1 and result.failed:
        count = "one rule fails"
    seen = f" ({short(first.observed)}, limit {short(first.limit)})" if first.observed is not None else ""
    return f"{count}{', first' if len(decisive) > 1 else ''}: “{first.says or first.id}”{seen}"
