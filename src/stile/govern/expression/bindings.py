"""What the names of the rule language mean for one candidate: its evidence, the champion's, the use case, the clock.

A rule sees nothing else. Every lookup answers with a value or with ``Unknown`` that says which
evidence to produce.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from stile.govern.expression.errors import suggestion
from stile.govern.expression.values import Quantity, Record, Unknown, clean, kind_of, mapping_record
from stile.govern.expression.vocabulary import Function, Vocabulary
from stile.people.use_cases import UseCase
from stile.train.evidence import Evidence, Metric, Paired, ScenarioResult, SliceValue

DAY_MS = 86_400_000

FUNCTIONS: dict[str, Function] = {
    "metric": Function(1, 1, 'metric("recall"): a metric with its interval'),
    "ci_low": Function(1, 1, 'ci_low(metric("recall")): the low end of the interval'),
    "ci_high": Function(1, 1, 'ci_high(metric("recall")): the high end of the interval'),
    "slices": Function(1, 1, 'slices("site"): the subgroups by a column, each with its metrics'),
    "scenario": Function(1, 1, 'scenario("name"): the metrics under a scenario'),
    "evidence": Function(1, 1, 'evidence("latency"): a recorded fact'),
    "better": Function(1, 1, 'better("auc"): difference to the champion on the same rows: .low .difference .p_better'),
    "champion": Function(0, 0, "champion(): the metrics of the model in production"),
    "no_champion": Function(0, 0, "no_champion(): nothing is in production yet", answers_yes_no=True),
    "worst": Function(1, 1, 'worst("psi"): the largest drift over all columns: psi, ks or missing_ratio'),
    "fairness": Function(2, 2, "fairness(column, measure): a measure of equal treatment"),
    "age": Function(1, 1, 'age("evidence") or age("champion"): days since it was computed'),
}

_EVERYWHERE = {"use_case": "the charter's facts", "now": "the time, in ms since 1970 UTC"}
_CANDIDATE = _EVERYWHERE | {"candidate": "the version: .version .digest .run_id .registered_by .tags"}
_AFTER_RULES = _CANDIDATE | {"failed": "ids of the rules that failed", "unknown": "ids of the rules that are unknown"}

_MEMBERS = {
    "use_case": frozenset(UseCase.__struct_fields__),
    "candidate": frozenset({"version", "digest", "run_id", "registered_by", "created_at", "tags"}),
}

RULES = Vocabulary(FUNCTIONS, _CANDIDATE, _MEMBERS)
"""What a rule and an order of choice may use."""
LABELS = Vocabulary(FUNCTIONS, _AFTER_RULES, _MEMBERS)
"""What the condition of a label may use."""
APPROVALS = Vocabulary({}, _CANDIDATE, _MEMBERS)
"""What the condition of an approval may use."""


class MinimumN(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fewest rows, and positive outcomes among them, that a number may rest on."""

    rows: int = 0
    positives: int = 0


class Champion(msgspec.Struct, frozen=True, kw_only=True):
    """The model in production, as rules see it."""

    version: int
    digest: str
    evidence: Evidence | None = None


class Bindings:
    """The functions of the language over one candidate.

    Args:
        evidence: what was measured about the candidate; None makes every lookup unknown.
        champion: the model in production, None when there is none.
        now: ms since 1970 UTC.
        scope: (column, value) to judge one segment only; its metrics are then those of the slice.
        min_n: below it a number is unknown.
        max_age_days: evidence older than this is unknown.
    """

    def __init__(
        self,
        evidence: Evidence | None,
        *,
        champion: Champion | None = None,
        now: int = 0,
        scope: tuple[str, str] | None = None,
        min_n: MinimumN | None = None,
        max_age_days: float | None = None,
    ) -> None:
        self._evidence = evidence
        self._champion = champion
        self._now = now
        self._scope = scope
        self._min_n = min_n or MinimumN()
        self._max_age_days = max_age_days
        self.positive = positive_word(evidence)
        self.functions: Mapping[str, Callable[..., Any]] = {
            "metric": self.metric, "ci_low": self.ci_low, "ci_high": self.ci_high, "slices": self.slices,
            "scenario": self.scenario, "evidence": self.fact, "better": self.better, "champion": self.champion,
            "no_champion": self.no_champion, "worst": self.worst, "fairness": self.fairness, "age": self.age,
        }  # fmt: skip

    def metric(self, name: Any) -> Any:
        """The metric of the whole, or of the slice in scope."""
        evidence = self._usable()
        if isinstance(evidence, Unknown):
            return evidence
        if self._scope is None:
            return self._measured(_found(evidence.metrics, name), name, evidence.metrics)
        column, value = self._scope
        part = next((one for one in evidence.slices.get(column, []) if one.value == value), None)
        if part is None:
            return Unknown(f"nothing was measured for {column}={value}", f"Evaluate again with slices by {column}.")
        return self._measured(_found(part.metrics, name), name, part.metrics, f"{column}={value}", part)

    def ci_low(self, value: Any) -> Any:
        """The low end of the interval of a metric (or of the metric so called)."""
        return self._end(value, "low")

    def ci_high(self, value: Any) -> Any:
        """The high end of the interval of a metric (or of the metric so called)."""
        return self._end(value, "high")

    def slices(self, column: Any) -> Any:
        """The subgroups by ``column``; within a scope of that column, only the one in scope."""
        evidence = self._usable()
        if isinstance(evidence, Unknown):
            return evidence
        parts = evidence.slices.get(column, []) if isinstance(column, str) else []
        if self._scope is not None and self._scope[0] == column:
            parts = [part for part in parts if part.value == self._scope[1]]
        if not parts:
            return Unknown(f"no slices by {column} were measured", f"Evaluate this version with slices by {column}.")
        return [self._slice(str(column), part) for part in parts]

    def scenario(self, name: Any) -> Any:
        """The metrics under a scenario; always over all rows."""
        evidence = self._usable()
        if isinstance(evidence, Unknown):
            return evidence
        result = _found(evidence.scenarios, name)
        if result is None:
            hint = f" {suggestion(str(name), evidence.scenarios)}" if evidence.scenarios else ""
            return Unknown(f"the scenario {name!r} was not run", f"Evaluate this version under {name!r}.{hint}")
        return self._metrics_record(f"scenario {name}", result.metrics, result)

    def fact(self, name: Any) -> Any:
        """A recorded fact, e.g. ``latency``; always over all rows."""
        evidence = self._usable()
        if isinstance(evidence, Unknown):
            return evidence
        fact = _found(evidence.facts, name)
        if fact is None:
            hint = f" {suggestion(str(name), evidence.facts)}" if evidence.facts else ""
            return Unknown(f"{name} was not measured", f"Evaluate this version so that {name} is measured.{hint}")
        n = fact.get("n")
        counted = {
            field: Quantity(value, n=n) if isinstance(n, int) and field != "n" and _is_number(value) else value
            for field, value in fact.items()
        }
        return mapping_record(str(name), counted, f"Evaluate this version so that {name} is measured.")

    def better(self, name: Any) -> Any:
        """The paired difference to the champion of today; one to an earlier champion counts as not measured."""
        evidence = self._usable()
        if isinstance(evidence, Unknown):
            return evidence
        if self._champion is None:
            return Unknown("there is no champion to compare with")
        against = f"Evaluate this version again, paired with the champion v{self._champion.version}."
        paired = evidence.paired
        if paired is None or paired.champion != self._champion.digest:
            other = "" if paired is None else " (only with an earlier one)"
            return Unknown(
                f"it was not compared with the champion v{self._champion.version} on the same rows{other}", against
            )
        difference = _found(paired.metrics, name)
        if difference is None:
            return Unknown(
                f"{name} was not compared with the champion. {suggestion(str(name), paired.metrics)}", against
            )
        return self._paired(str(name), difference, against)

    def champion(self) -> Any:
        """The champion's version, digest and metrics."""
        champion = self._champion
        if champion is None:
            return Unknown("there is no champion")
        facts = {"version": champion.version, "digest": champion.digest}
        metrics = champion.evidence.metrics if champion.evidence else {}
        remedy = f"Evaluate the champion v{champion.version}."

        def look(name: str) -> Any:
            if name in facts:
                return facts[name]
            return self._measured(metrics.get(name), f"the champion's {name}", metrics, remedy=remedy)

        return Record("the champion", look, (*facts, *metrics))

    def no_champion(self) -> bool:
        """Whether nothing is in production yet."""
        return self._champion is None

    def worst(self, measure: Any) -> Any:
        """The largest value of a drift measure, with its column; a column that was not measured makes it a floor."""
        evidence = self._usable()
        if isinstance(evidence, Unknown):
            return evidence
        if measure not in ("psi", "ks", "missing_ratio"):
            return Unknown(f"{measure!r} is not a drift measure; known are psi, ks and missing_ratio")
        values = [(getattr(drift, measure), drift) for drift in evidence.drift]
        known = [(value, drift) for value, drift in values if value is not None and math.isfinite(value)]
        if not known:
            return Unknown(f"no {measure} was measured", "It is measured on closed windows of live traffic.")
        unmeasured = [drift.column for value, drift in values if value is None]
        floor = None
        if unmeasured and measure != "ks":  # ks exists for numeric columns only
            floor = Unknown(
                f"{measure} could not be measured for {', '.join(unmeasured[:3])}", "Look at these columns."
            )
        fewest = min(drift.n for _, drift in known)
        if fewest < self._min_n.rows:
            reason = f"it rests on {fewest} rows, fewer than {self._min_n.rows}"
            return Unknown(reason, "A longer window settles it.", self._min_n.rows - fewest, "rows")
        value, drift = max(known, key=lambda pair: float(pair[0]))
        return Quantity(value, n=drift.n, of=drift.column, at_least=floor)

    def fairness(self, column: Any, measure: Any) -> Any:
        """A measure of equal treatment between the groups of a column."""
        evidence = self._usable()
        if isinstance(evidence, Unknown):
            return evidence
        measures = _found(evidence.fairness, column) or {}
        remedy = f"Evaluate this version with slices by {column}."
        return self._measured(_found(measures, measure), f"{measure} by {column}", measures, remedy=remedy)

    def age(self, what: Any) -> Any:
        """Days since the evidence of the candidate (or of the champion) was computed."""
        if what not in ("evidence", "champion"):
            return Unknown(f'the age of {what!r} is not known; ask for age("evidence") or age("champion")')
        evidence = self._evidence
        if what == "champion":
            evidence = self._champion.evidence if self._champion else None
        if evidence is None:
            return Unknown(f"there is no {what}")
        return (self._now - evidence.computed.at) / DAY_MS

    def _usable(self) -> Evidence | Unknown:
        if self._evidence is None:
            return Unknown("this version has no evidence", "Evaluate this version.")
        days = (self._now - self._evidence.computed.at) / DAY_MS
        if self._max_age_days is not None and days > self._max_age_days:
            limit = f"{self._max_age_days:g} days"
            return Unknown(f"the evidence is {days:.1f} days old, more than {limit}", "Evaluate this version again.")
        return self._evidence

    def _end(self, value: Any, end: str) -> Any:
        if isinstance(value, str):
            value = self.metric(value)
        if isinstance(value, Unknown):
            return value
        if not isinstance(value, Quantity):
            return Unknown(f"{kind_of(value)} has no interval")
        found = clean(getattr(value, end), f"the {end} end of the interval", "Evaluate this version with intervals.")
        if isinstance(found, Unknown):
            return found
        return Quantity(found, n=value.n, positives=value.positives, of=value.of)

    def _slice(self, column: str, part: SliceValue) -> Record:
        return self._metrics_record(f"{column}={part.value}", part.metrics, part, name=part.value)

    def _metrics_record(
        self, label: str, metrics: Mapping[str, Metric], rows: SliceValue | ScenarioResult, name: str | None = None
    ) -> Record:
        def look(asked: str) -> Any:
            if asked == "n":
                return rows.n
            if asked == "positives":
                return clean(rows.positives, f"the number of positives of {label}")
            if asked == "value" and name is not None:
                return name
            return self._measured(metrics.get(asked), asked, metrics, label, rows)

        return Record(label, look, ("n", "positives", *metrics))

    def _measured(
        self,
        metric: Metric | None,
        name: Any,
        known: Iterable[str],
        where: str = "",
        rows: SliceValue | ScenarioResult | None = None,
        *,
        remedy: str = "",
    ) -> Any:
        if metric is None:
            hint = suggestion(str(name), known) if list(known) else ""
            return Unknown(
                f"{name} was not measured", " ".join(filter(None, (remedy or "Evaluate this version.", hint)))
            )
        positives = metric.positives if metric.positives is not None or rows is None else rows.positives
        too_few = self._too_few(metric.n, positives, where, rows)
        if too_few is not None:
            return too_few
        value = clean(metric.value, str(name), "The rows it was computed from do not define it; add labelled rows.")
        if isinstance(value, Unknown):
            return value
        return Quantity(value, n=metric.n, positives=positives, low=metric.low, high=metric.high)

    def _too_few(
        self, n: int, positives: int | None, where: str, rows: SliceValue | ScenarioResult | None
    ) -> Unknown | None:
        wanted = self._min_n
        place = f" from {where}" if where else ""
        if wanted.positives and positives is None:
            return Unknown("it is not recorded how many positives it rests on", "Evaluate this version again.")
        if wanted.positives and positives is not None and positives < wanted.positives:
            more = wanted.positives - positives
            total, among = (rows.n, rows.positives) if rows is not None else (n, positives)
            estimate = ""
            if among:
                estimate = (
                    f" (about {math.ceil(more * max(total, among) / among)} more labelled rows at the present rate)"
                )
            reason = f"it rests on {positives} {self.positive} rows, fewer than {wanted.positives}"
            return Unknown(
                reason, f"Label {more} more {self.positive} rows{place}{estimate}.", more, self.positive, where
            )
        if n < wanted.rows:
            more = wanted.rows - n
            return Unknown(
                f"it rests on {n} rows, fewer than {wanted.rows}",
                f"Label {more} more rows{place}.",
                more,
                "rows",
                where,
            )
        return None

    def _paired(self, name: str, paired: Paired, remedy: str) -> Any:
        too_few = Unknown("too few rows were compared", remedy) if paired.n < self._min_n.rows else None

        def look(asked: str) -> Any:
            if asked in ("n",):
                return paired.n
            if asked not in ("difference", "low", "high", "p_better", "p_worse", "subject_value", "champion_value"):
                known = "difference, low, high, p_better, p_worse, subject_value, champion_value, n"
                return Unknown(f"better() has no {asked!r}; it has {known}")
            value = clean(getattr(paired, asked), f"{asked} of the difference in {name}", remedy)
            if too_few is not None:
                return too_few
            return (
                value if isinstance(value, Unknown) else Quantity(value, n=paired.n, low=paired.low, high=paired.high)
            )

        return Record(f"better({name})", look)


def positive_word(evidence: Evidence | None) -> str:
    """The word for positive outcomes in sentences: the outcome's own name unless it is a bare code."""
    word = evidence.positive if evidence else ""
    return word if word and not word.replace(".", "").isdigit() and word.lower() not in ("true", "yes") else "positive"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _found(table: Mapping[str, Any], name: Any) -> Any:
    return table.get(name) if isinstance(name, str) else None
