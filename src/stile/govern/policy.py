"""A policy: the rules, approvals and labels of one use case, read from YAML and checked before it counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec

from stile.govern.expression.bindings import APPROVALS, LABELS, RULES, MinimumN
from stile.govern.expression.compiler import Program, compile_rule, compile_value
from stile.govern.expression.errors import ExpressionError, suggestion
from stile.govern.expression.vocabulary import Vocabulary
from stile.kernel.canonical import digest_of
from stile.kernel.errors import Invalid
from stile.kernel.permission import APPROVING_ROLES

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LABEL = re.compile(r"[a-z0-9][a-z0-9_:.-]{0,62}")
_MACHINE_LABELS = ("champion", "superseded", "retired", "rejected", "waiting", "dominated-by", "held")
_CLOCK = re.compile(r"\b(?:now|age)\b")
_PERSIST = re.compile(r"\s*(\d{1,3})\s+of\s+(\d{1,3})\s*")


class PolicyError(Invalid):
    """A policy cannot be used; the message names the rule and the key, ``details["problems"]`` lists all found."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One check: an expression, in plain words what it is for, and when its numbers count.

    Attributes:
        id: its name in verdicts and labels.
        rule: the expression.
        says: what it means, in plain words.
        owner: the role that answers for it.
        min_n: a number from fewer rows (or positives) is unknown.
        max_age_days: older evidence is unknown.
        missing: what unknown counts as.
    """

    id: str
    rule: str
    says: str = ""
    owner: str = ""
    min_n: MinimumN | None = None
    max_age_days: float | None = None
    missing: Literal["unknown", "fail"] = "unknown"


class LiveRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"otherwise": "else"}):
    """A rule on windows of live traffic: broken when it fails in ``persist`` windows, and what happens then."""

    persist: str = "1 of 1"
    otherwise: Literal["open_decision", "alert"] = "alert"

    @property
    def needed(self) -> tuple[int, int]:
        """(k, n): broken when k of the last n windows fail."""
        match = _PERSIST.fullmatch(self.persist)
        if match is None:
            raise PolicyError(f"persist must read like '2 of 3', not {self.persist!r}.")
        return int(match[1]), int(match[2])


class ApprovalNeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role that must say yes, how many of its people, and when it is asked at all."""

    role: str
    quorum: int = 1
    when: str = ""


class LabelRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The standing of a version that is not chosen, when its condition holds."""

    label: str
    when: str


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole policy. Its digest is over its meaning, so comments and layout do not matter."""

    policy: str
    version: int = 1
    says: str = ""
    scope: str = ""
    require: list[Rule] = []
    warn: list[Rule] = []
    choose: list[str] = []
    approvals: list[ApprovalNeed] = []
    labels: list[LabelRule] = []
    live: list[LiveRule] = []
    on_missing: Literal["unknown"] = "unknown"
    apply: Literal["manual", "automatic"] = "manual"

    @property
    def digest(self) -> str:
        """``sha256:...`` of the canonical form."""
        return digest_of(self)


class CompiledPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy whose expressions are ready to run; made by ``compile_policy``.

    Attributes:
        reads_clock: the same evidence may get another verdict tomorrow.
    """

    policy: Policy
    digest: str
    rules: dict[str, Program]
    choose: list[Program]
    approvals: list[Program | None]
    labels: list[Program]
    reads_clock: bool


def parse_policy(text: str) -> Policy:
    """The policy written in ``text``, with every expression checked.

    Raises:
        PolicyError: names every broken rule with its key, place and what was expected.
        Invalid: it is not YAML, too large, or uses what a policy does not need.
    """
    from stile.govern.policy_yaml import load_yaml  # noqa: PLC0415  YAML is slow to import

    plain = load_yaml(text)
    if not isinstance(plain, dict):
        raise PolicyError("A policy is a YAML mapping that starts with 'policy: <name>'.")
    problems: list[str] = []
    policy = _converted(plain, problems)
    if policy is not None:
        problems.extend(_problems(policy))
    if problems or policy is None:
        raise PolicyError("The policy cannot be used:\n" + "\n".join(f"- {p}" for p in problems), problems=problems)
    return policy


def compile_policy(policy: Policy) -> CompiledPolicy:
    """The policy ready to run; the same policy is compiled once."""
    return _compiled(msgspec.json.encode(policy))


def rule_ids(policy: Policy) -> list[str]:
    """The ids of all rules that decide, in order."""
    return [rule.id for rule in policy.require]


@lru_cache(maxsize=256)
def _compiled(encoded: bytes) -> CompiledPolicy:
    policy = msgspec.json.decode(encoded, type=Policy)
    return CompiledPolicy(
        policy=policy,
        digest=policy.digest,
        rules={rule.id: compile_rule(rule.rule, RULES) for rule in (*policy.require, *policy.warn, *policy.live)},
        choose=[compile_value(source, RULES) for source in policy.choose],
        approvals=[compile_rule(need.when, APPROVALS) if need.when else None for need in policy.approvals],
        labels=[compile_rule(label.when, LABELS) for label in policy.labels],
        reads_clock=_reads_clock(policy),
    )


def _reads_clock(policy: Policy) -> bool:
    """Whether a rule, a warning or the choice may look at the time; words in texts count too, which is harmless."""
    asked = [*policy.require, *policy.warn]
    words = [rule.rule for rule in asked] + policy.choose
    return any(rule.max_age_days is not None for rule in asked) or any(_CLOCK.search(text) for text in words)


_LISTS: dict[str, type[Any]] = {
    "require": Rule, "warn": Rule, "live": LiveRule, "approvals": ApprovalNeed, "labels": LabelRule,
}  # fmt: skip


def _converted(plain: dict[str, Any], problems: list[str]) -> Policy | None:
    """The parts one by one, so that every broken one is named, not only the first."""
    known = set(Policy.__struct_encode_fields__)
    for key in plain:
        if key not in known:
            problems.append(f"{key!r} is not a key of a policy. {suggestion(str(key), known)}")
    parts: dict[str, Any] = {}
    for key, kind in _LISTS.items():
        items = plain.get(key)
        if items is None:
            continue
        if not isinstance(items, list):
            problems.append(f"{key}: must be a list")
            continue
        parts[key] = [_item(key, place, item, kind, problems) for place, item in enumerate(items, start=1)]
    if problems:
        return None
    flat = {key: value for key, value in plain.items() if key not in _LISTS and value is not None}
    try:
        return msgspec.convert({**flat, **{k: msgspec.to_builtins(v) for k, v in parts.items()}}, type=Policy)
    except msgspec.ValidationError as error:
        problems.append(str(error))
        return None


def _item(key: str, place: int, item: Any, kind: type[Any], problems: list[str]) -> Any:
    name = f"{key} {place}"
    if isinstance(item, dict):
        named = (item.get(word) for word in ("id", "role", "label"))
        name = next((f"{key} {word!r}" for word in named if isinstance(word, str)), name)
    try:
        return msgspec.convert(item, type=kind)
    except msgspec.ValidationError as error:
        hint = ""
        if isinstance(item, dict):
            fields = kind.__struct_encode_fields__
            odd = next((str(word) for word in item if word not in fields), None)
            hint = f" {suggestion(odd, fields)}" if odd else ""
        problems.append(f"{name}: {_readable(str(error))}.{hint}")
        return None


def _readable(message: str) -> str:
    """A msgspec message in the words of YAML."""
    message = message.replace("`", "'").replace("Object", "it").replace("str", "a text").replace("float", "a number")
    return re.sub(r" - at '\$\.?([^']*)'", lambda match: f" (key '{match[1]}')" if match[1] else "", message)


def _problems(policy: Policy) -> list[str]:
    found: list[str] = []
    if not _ID.fullmatch(policy.policy):
        found.append(f"policy: {policy.policy!r} is not a name (lower-case letters, digits, '-' and '_')")
    if not policy.require:
        found.append("require: a policy needs at least one rule, or it would promote anything")
    seen: set[str] = set()
    groups: dict[str, Sequence[Rule]] = {"require": policy.require, "warn": policy.warn, "live": policy.live}
    for key, rules in groups.items():
        for rule in rules:
            found.extend(_rule_problems(key, rule, seen))
    found.extend(_approval_problems(policy))
    for place, label in enumerate(policy.labels, start=1):
        if not _LABEL.fullmatch(label.label):
            found.append(f"labels {place}: {label.label!r} is not a label (lower-case letters, digits, - _ : .)")
        elif label.label.split(":")[0] in _MACHINE_LABELS:
            found.append(f"labels {label.label!r}: this label is given by the machine; choose another word")
        found.extend(_expression_problem(f"labels {label.label!r}, key 'when'", label.when, LABELS))
    for place, source in enumerate(policy.choose, start=1):
        try:
            compile_value(source, RULES)
        except ExpressionError as error:
            found.append(f"choose {place}: {error.message}")
    return found


def _rule_problems(key: str, rule: Rule, seen: set[str]) -> list[str]:
    found: list[str] = []
    where = f"{key} {rule.id!r}"
    if not _ID.fullmatch(rule.id):
        found.append(f"{where}, key 'id': use lower-case letters, digits, '-' and '_'")
    if rule.id in seen:
        found.append(f"{where}, key 'id': this id is used twice")
    seen.add(rule.id)
    found.extend(_expression_problem(f"{where}, key 'rule'", rule.rule, RULES))
    if rule.min_n is not None and (rule.min_n.rows < 0 or rule.min_n.positives < 0):
        found.append(f"{where}, key 'min_n': numbers of rows cannot be negative")
    if rule.max_age_days is not None and not rule.max_age_days > 0:
        found.append(f"{where}, key 'max_age_days': must be more than 0")
    if isinstance(rule, LiveRule):
        match = _PERSIST.fullmatch(rule.persist)
        if match is None or not 1 <= int(match[1]) <= int(match[2]) <= 100:
            found.append(f"{where}, key 'persist': must read like '2 of 3', not {rule.persist!r}")
    return found


def _approval_problems(policy: Policy) -> list[str]:
    found: list[str] = []
    roles: set[str] = set()
    for need in policy.approvals:
        where = f"approvals {need.role!r}"
        if need.role not in APPROVING_ROLES:
            known = [str(role) for role in APPROVING_ROLES]
            found.append(f"{where}, key 'role': nobody approves in this role. {suggestion(need.role, known)}")
        if need.role in roles:
            found.append(f"{where}: the role is listed twice; use quorum to ask for several people")
        roles.add(need.role)
        if not 1 <= need.quorum <= 20:
            found.append(f"{where}, key 'quorum': must be between 1 and 20")
        if need.when:
            found.extend(_expression_problem(f"{where}, key 'when'", need.when, APPROVALS))
    return found


def _expression_problem(where: str, source: str, vocabulary: Vocabulary) -> list[str]:
    try:
        compile_rule(source, vocabulary)
    except ExpressionError as error:
        return [f"{where}: {error.message}"]
    return []
