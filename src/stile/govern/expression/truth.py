"""Three-valued answers that carry the comparisons they came from.

A ``Truth`` is pass, fail or unknown. It keeps the checks that decided it (``deciding``) apart from
those that were looked at but did not matter (``others``): the sentence is made of the first, the
full trace of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from stile.govern.expression.values import Quantity, Unknown, kind_of, number_of, show

Verdict = Literal["pass", "fail", "unknown"]

_OPPOSITE = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "==", "in": "not in", "not in": "in"}
_SWAPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_NOT: dict[Verdict, Verdict] = {"pass": "fail", "fail": "pass", "unknown": "unknown"}
_MOST_NAMED = 3


class TraceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of the trace.

    Attributes:
        sentence: the whole in words, e.g. ``recall 0.941 >= 0.93: pass by 0.011 (n = 171, 64 malignant)``.
        operand: what was compared, e.g. ``ci_low(recall)``.
        of: the element it belongs to, e.g. ``site=B``; empty for the whole.
        operator, limit_text: what it was compared with, as written.
        observed, limit: both sides where they are numbers.
        margin: distance to the limit; negative when it fails.
        n, positives: rows behind the observed value.
        decided: whether this comparison decided the answer.
        reason, remedy, more, counted: for unknown: why, what would settle it, and how many more labelled rows.
    """

    sentence: str
    verdict: Verdict
    operand: str
    of: str = ""
    operator: str = ""
    limit_text: str = ""
    observed: float | None = None
    limit: float | None = None
    margin: float | None = None
    n: int | None = None
    positives: int | None = None
    decided: bool = True
    reason: str = ""
    remedy: str = ""
    more: int | None = None
    counted: str = ""


class Check(msgspec.Struct, frozen=True):
    """One comparison as it happened; see ``TraceLine`` for its form outside."""

    verdict: Verdict
    operand: str
    operator: str = ""
    limit_text: str = ""
    observed: Any = None
    limit: Any = None
    margin: float | None = None
    of: str = ""
    unknown: Unknown | None = None

    def inverted(self) -> Check:
        """The same comparison under ``!``."""
        margin = None if self.margin is None else -self.margin
        operator = _OPPOSITE.get(self.operator, self.operator)
        operand = self.operand
        if not self.operator:
            operand = operand[4:] if operand.startswith("not ") else f"not {operand}"
        return replace(self, verdict=_NOT[self.verdict], operator=operator, operand=operand, margin=margin)

    def line(self, positive: str, decided: bool) -> TraceLine:
        """The trace line, counting positives in the word ``positive``."""
        unknown = self.unknown
        behind = self.observed if isinstance(self.observed, Quantity) else None
        return TraceLine(
            sentence=self.sentence(positive), verdict=self.verdict, operand=self.operand, of=self.of,
            operator=self.operator, limit_text=self.limit_text,
            observed=_plain(self.observed), limit=_plain(self.limit),
            margin=self.margin, n=behind.n if behind else None, positives=behind.positives if behind else None,
            decided=decided, reason=unknown.reason if unknown else "", remedy=unknown.remedy if unknown else "",
            more=unknown.more if unknown else None, counted=unknown.counted if unknown else "",
        )  # fmt: skip

    def sentence(self, positive: str) -> str:
        """The comparison in words."""
        start = f"{self.of} " if self.of else ""
        if self.unknown is not None:
            tail = f" {self.operator} {self.limit_text}" if self.operator else ""
            remedy = f". {self.unknown.remedy}" if self.unknown.remedy else ""
            return f"{start}{self.operand}{tail}: unknown: {self.unknown.reason}{remedy}"
        if not self.operator:
            return f"{start}{self.operand}: {self.verdict}"
        decimals = _decimals(self.margin)
        by = f" by {self._distance(self.margin, decimals)}" if self.margin is not None else ""
        seen = show(self.observed, decimals)
        value = "" if seen == self.operand else f" {seen}"
        compared = f"{start}{self.operand}{value} {self.operator} {self._limit(decimals)}"
        return f"{compared}: {self.verdict}{by}{self._behind(positive)}"

    def _distance(self, margin: float, decimals: int) -> str:
        whole = isinstance(number_of(self.observed), int) and isinstance(number_of(self.limit), int)
        return str(abs(int(margin))) if whole else show(abs(margin), decimals)

    def _limit(self, decimals: int) -> str:
        number = number_of(self.limit)
        if number is None or _is_number(self.limit_text):
            return self.limit_text
        return f"{self.limit_text} ({show(number, decimals)})"

    def _behind(self, positive: str) -> str:
        if not isinstance(self.observed, Quantity) or self.observed.n is None:
            return ""
        counted = "" if self.observed.positives is None else f", {self.observed.positives} {positive}"
        return f" (n = {self.observed.n}{counted})"


class Truth(msgspec.Struct, frozen=True):
    """An answer with its reasons; ``note`` ends the sentence."""

    verdict: Verdict
    deciding: tuple[Check, ...] = ()
    others: tuple[Check, ...] = ()
    note: str = ""

    @property
    def margin(self) -> float | None:
        """The smallest margin among the deciding checks."""
        return min((check.margin for check in self.deciding if check.margin is not None), default=None)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Everything that was looked at."""
        return self.deciding + self.others

    def sentence(self, positive: str = "positive") -> str:
        """The answer in words."""
        named = [check.sentence(positive) for check in self.deciding[:_MOST_NAMED]]
        hidden = len(self.deciding) - len(named)
        if hidden:
            named.append(f"and {hidden} more")
        return "; ".join(named or [self.verdict]) + (f"; {self.note}" if self.note else "")

    def of(self, label: str) -> Truth:
        """The same answer, its checks naming the element they belong to."""
        return replace(self, deciding=_labelled(self.deciding, label), others=_labelled(self.others, label))


PASS = Truth("pass")
FAIL = Truth("fail")


def unknown_truth(unknown: Unknown, operand: str) -> Truth:
    """The unknown answer to ``operand``."""
    return Truth("unknown", (Check("unknown", operand, unknown=unknown),))


def stated(answer: bool, operand: str) -> Truth:
    """A yes/no fact called ``operand``."""
    verdict: Verdict = "pass" if answer else "fail"
    return Truth(verdict, (Check(verdict, operand),))


def negation(truth: Truth) -> Truth:
    """``!truth``: unknown stays unknown."""
    return Truth(
        _NOT[truth.verdict],
        tuple(check.inverted() for check in truth.deciding),
        tuple(check.inverted() for check in truth.others),
        truth.note,
    )


def conjunction(parts: Sequence[Truth]) -> Truth:
    """``a && b``: one fail fails, else one unknown leaves it unknown, else it passes."""
    return _folded(parts, decides="fail", otherwise="pass")


def disjunction(parts: Sequence[Truth]) -> Truth:
    """``a || b``: one pass passes, else one unknown leaves it unknown, else it fails."""
    return _folded(parts, decides="pass", otherwise="fail")


def _folded(parts: Sequence[Truth], *, decides: Verdict, otherwise: Verdict) -> Truth:
    verdicts = {part.verdict for part in parts}
    verdict: Verdict = decides if decides in verdicts else "unknown" if "unknown" in verdicts else otherwise
    deciding: list[Check] = []
    others: list[Check] = []
    notes: list[str] = []
    for part in parts:
        if part.verdict == verdict:
            deciding.extend(part.deciding)
            notes.extend([part.note] if part.note else [])
        else:
            others.extend(part.deciding)
        others.extend(part.others)
    return Truth(verdict, tuple(deciding), tuple(others), "; ".join(dict.fromkeys(notes)))


def over_elements(parts: Sequence[Truth], *, every: bool) -> Truth:
    """``all`` (``every``) or ``exists`` over elements; a decided answer names the element nearest to the other side.

    A failing ``all`` names its worst element and counts the failing ones, a passing one its narrowest pass.
    """
    folded = conjunction(parts) if every else disjunction(parts)
    if folded.verdict == "unknown" or not parts:
        return folded
    alike = [part for part in parts if part.verdict == folded.verdict]
    named = min(alike, key=lambda part: math.inf if part.margin is None else part.margin)
    if folded.verdict == "pass" and not every:
        named = max(alike, key=lambda part: -math.inf if part.margin is None else part.margin)
    rest = tuple(check for part in parts if part is not named for check in part.checks)
    word = {"fail": "fail", "pass": "pass", "unknown": "unknown"}[folded.verdict]
    note = f"{len(alike)} of {len(parts)} {word}" if len(parts) > 1 else ""
    return Truth(folded.verdict, named.deciding, named.others + rest, "; ".join(filter(None, (named.note, note))))


def compare(op: str, left: Any, right: Any, texts: tuple[str, str], constants: tuple[bool, bool]) -> Truth:
    """``left op right``; ``texts`` are both sides in words, ``constants`` whether a side is a written constant."""
    if constants[0] and not constants[1] and op in _SWAPPED:
        op, left, right, texts = _SWAPPED[op], right, left, (texts[1], texts[0])
    operand, limit_text = texts
    if isinstance(left, Quantity) and left.of:
        operand = f"{operand} ({left.of})"
    for side in (left, right):
        if isinstance(side, Unknown):
            return Truth("unknown", (Check("unknown", operand, op, limit_text, unknown=side),))
    answer = membership(left, right) if op == "in" else related(op, left, right)
    if isinstance(answer, bool) and _only_a_floor(op, left, answer):
        answer = left.at_least
    if isinstance(answer, Unknown):
        return Truth("unknown", (Check("unknown", operand, op, limit_text, left, right, unknown=answer),))
    verdict: Verdict = "pass" if answer else "fail"
    return Truth(verdict, (Check(verdict, operand, op, limit_text, left, right, _margin(op, left, right, answer)),))


def related(op: str, left: Any, right: Any) -> bool | Unknown:
    """Whether ``left op right`` holds for known values; comparing different kinds is unknown."""
    a, b = number_of(left), number_of(right)
    if a is None or b is None:
        if op in ("==", "!="):
            same = equal(left, right)
            return same if isinstance(same, Unknown) else same is (op == "==")
        if not (isinstance(left, str) and isinstance(right, str)):
            return _mismatch(left, right)
        a, b = left, right  # type: ignore[assignment]
    if op == "==":
        return bool(a == b)
    if op == "!=":
        return bool(a != b)
    if op == "<":
        return bool(a < b)  # type: ignore[operator]
    if op == "<=":
        return bool(a <= b)  # type: ignore[operator]
    if op == ">":
        return bool(a > b)  # type: ignore[operator]
    return bool(a >= b)  # type: ignore[operator]


def equal(left: Any, right: Any) -> bool | Unknown:
    """Equality of two values, element by element for lists and maps."""
    for side in (left, right):
        if isinstance(side, Unknown):
            return side
    left, right = _as_plain(left), _as_plain(right)
    if isinstance(left, Truth) or isinstance(right, Truth):
        return _mismatch(left, right)
    a, b = number_of(left), number_of(right)
    if a is not None and b is not None:
        return a == b
    if type(left) is not type(right) or not isinstance(left, bool | str | list | dict):
        return _mismatch(left, right)
    if isinstance(left, list):
        return len(left) == len(right) and _every(equal(x, y) for x, y in zip(left, right, strict=True))
    if isinstance(left, dict):
        return left.keys() == right.keys() and _every(equal(left[key], right[key]) for key in left)
    return bool(left == right)


def membership(item: Any, container: Any) -> bool | Unknown:
    """``item in container`` for lists (by equality) and maps (by key)."""
    if isinstance(container, dict):
        return item in container if isinstance(item, str) else Unknown("only a text can be a key")
    if not isinstance(container, list):
        return Unknown(f"{kind_of(container)} has no elements to be 'in'")
    unsure: Unknown | None = None
    for element in container:
        same = equal(item, element)
        if same is True:
            return True
        if isinstance(same, Unknown):
            unsure = same
    return False if unsure is None else unsure


def _every(answers: Any) -> bool | Unknown:
    unsure: Unknown | None = None
    for answer in answers:
        if answer is False:
            return False
        if isinstance(answer, Unknown):
            unsure = answer
    return True if unsure is None else unsure


def _as_plain(value: Any) -> Any:
    if isinstance(value, Truth) and value.verdict != "unknown":
        return value.verdict == "pass"
    return list(value) if isinstance(value, tuple) else value


def _mismatch(left: Any, right: Any) -> Unknown:
    return Unknown(f"{kind_of(left)} cannot be compared with {kind_of(right)}")


def _only_a_floor(op: str, left: Any, answer: bool) -> bool:
    """Whether the answer rests on a value that may really be higher."""
    if not isinstance(left, Quantity) or left.at_least is None:
        return False
    return (op in ("<", "<=") and answer) or (op in (">", ">=") and not answer) or op in ("==", "!=")


def _margin(op: str, left: Any, right: Any, answer: bool) -> float | None:
    a, b = number_of(left), number_of(right)
    if a is None or b is None:
        return None
    try:
        if op in (">", ">="):
            return float(a - b)
        if op in ("<", "<="):
            return float(b - a)
        return -float(abs(a - b)) if op == "==" and not answer else None
    except OverflowError:
        return None


def _labelled(checks: tuple[Check, ...], label: str) -> tuple[Check, ...]:
    return tuple(check if check.of else replace(check, of=label) for check in checks)


def _decimals(margin: float | None) -> int:
    """Decimals that keep a narrow margin visible."""
    if not margin or abs(margin) >= 0.001:
        return 3
    return min(9, 1 + math.ceil(-math.log10(abs(margin))))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> float | None:
    number = number_of(value)
    if number is None:
        return None
    try:
        return float(number)
    except OverflowError:
        return None
