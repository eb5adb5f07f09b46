"""Trees into closures, compiled once and run on many contexts; every run has a step budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stile.govern.expression.parser import parse
from stile.govern.expression.syntax import (
    Binary,
    Call,
    Comparison,
    Conditional,
    Has,
    Index,
    ListOf,
    Literal_,
    Logic,
    Macro,
    MapOf,
    Member,
    Name,
    Node,
    Size,
    Unary,
    phrase,
)
from stile.govern.expression.truth import (
    FAIL,
    PASS,
    TraceLine,
    Truth,
    Verdict,
    compare,
    conjunction,
    disjunction,
    negation,
    over_elements,
    stated,
    unknown_truth,
)
from stile.govern.expression.values import (
    MAX_ITEMS,
    OutOfSteps,
    Quantity,
    Record,
    Unknown,
    arithmetic,
    clean,
    kind_of,
    negated,
    number_of,
    show,
)
from stile.govern.expression.vocabulary import Vocabulary, check_names, expect_value, expect_yes_no

DEFAULT_STEPS = 100_000
_MOST_LINES = 200


@dataclass(slots=True)
class Environment:
    """What one run sees: functions, names, and how many steps are left."""

    functions: Mapping[str, Callable[..., Any]]
    names: dict[str, Any]
    steps: int = DEFAULT_STEPS

    def spend(self, steps: int) -> None:
        """Use up steps."""
        self.steps -= steps
        if self.steps < 0:
            raise OutOfSteps


Closure = Callable[[Environment], Any]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one expression: verdict, sentence, the deciding numbers, and the whole trace."""

    verdict: Verdict
    sentence: str
    observed: float | None = None
    limit: float | None = None
    margin: float | None = None
    of: str = ""
    trace: list[TraceLine] = []


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression. Thread-safe: a run keeps its state in its environment."""

    source: str
    text: str
    closure: Closure

    def answer(
        self,
        functions: Mapping[str, Callable[..., Any]],
        names: Mapping[str, Any],
        *,
        positive: str = "positive",
        steps: int = DEFAULT_STEPS,
    ) -> Answer:
        """Run as a yes/no question.

        Args:
            functions: the functions the expression may call.
            names: the variables it may use.
            positive: the word for positive outcomes in sentences.
            steps: budget; an expression that needs more is unknown.
        """
        truth = self.truth(functions, names, steps=steps)
        key = next(
            (check for check in truth.deciding if check.margin == truth.margin and check.margin is not None), None
        )
        key = key or (truth.deciding[0] if truth.deciding else None)
        lines = [check.line(positive, True) for check in truth.deciding[:_MOST_LINES]]
        lines += [check.line(positive, False) for check in truth.others[: _MOST_LINES - len(lines)]]
        first = key.line(positive, True) if key else None
        return Answer(
            verdict=truth.verdict, sentence=truth.sentence(positive), observed=first.observed if first else None,
            limit=first.limit if first else None, margin=first.margin if first else None, of=first.of if first else "",
            trace=lines,
        )  # fmt: skip

    def truth(
        self, functions: Mapping[str, Callable[..., Any]], names: Mapping[str, Any], *, steps: int = DEFAULT_STEPS
    ) -> Truth:
        """Run as a yes/no question and keep the inner form of the answer."""
        return as_truth(self.value(functions, names, steps=steps), self.text)

    def value(
        self, functions: Mapping[str, Callable[..., Any]], names: Mapping[str, Any], *, steps: int = DEFAULT_STEPS
    ) -> Any:
        """Run for the value: a number, Quantity, text, list, map, Record, Truth or Unknown."""
        try:
            return self.closure(Environment(functions, dict(names), steps))
        except OutOfSteps:
            return Unknown(f"it takes more than {steps} steps", "Write the rule so that it looks at fewer elements.")


def compile_rule(source: str, vocabulary: Vocabulary) -> Program:
    """An expression that answers yes or no.

    Raises:
        ExpressionError: syntax, an unknown name, or a value where a yes/no answer is needed.
    """
    node = parse(source)
    check_names(source, node, vocabulary)
    expect_yes_no(source, node, vocabulary)
    return Program(source, phrase(node), _compile(node, frozenset()))


def compile_value(source: str, vocabulary: Vocabulary) -> Program:
    """An expression that gives a number.

    Raises:
        ExpressionError: syntax, an unknown name, or a yes/no answer where a number is needed.
    """
    node = parse(source)
    check_names(source, node, vocabulary)
    expect_value(source, node)
    return Program(source, phrase(node), _compile(node, frozenset()))


def as_truth(value: Any, text: str) -> Truth:
    """A value used as a yes/no answer."""
    if isinstance(value, Truth):
        return value
    if isinstance(value, bool):
        return stated(value, text)
    if isinstance(value, Unknown):
        return unknown_truth(value, text)
    return unknown_truth(Unknown(f"{kind_of(value)} is not a yes/no answer"), text)


def _compile(node: Node, bound: frozenset[str]) -> Closure:
    match node:
        case Literal_(value=value):
            constant: Any = Unknown("null has no value") if value is None else value
            if isinstance(value, bool):
                constant = PASS if value else FAIL
            return lambda _env: constant
        case Name(name=name):
            return lambda env: env.names[name]
        case Unary(op=op, operand=operand):
            return _unary(op, operand, bound)
        case Binary(op=op, left=left, right=right):
            first, second = _compile(left, bound), _compile(right, bound)
            return lambda env: arithmetic(op, first(env), second(env))
        case Comparison():
            return _comparison(node, bound)
        case Logic(op=op, operands=operands):
            return _logic(op, operands, bound)
        case Conditional():
            return _conditional(node, bound)
        case Member(target=target, name=name):
            inner = _compile(target, bound)
            return lambda env: member(inner(env), name)
        case Has(target=target, name=name):
            return _has(target, name, phrase(node, bound), bound)
        case Index(target=target, index=index):
            inner, key = _compile(target, bound), _compile(index, bound)
            return lambda env: element(inner(env), key(env))
        case Call():
            return _call(node, bound)
        case Size(target=target):
            inner = _compile(target, bound)
            return lambda env: size(inner(env))
        case Macro():
            return _macro(node, bound)
        case ListOf(items=items):
            closures = [_compile(item, bound) for item in items]
            return lambda env: [_stored(closure(env)) for closure in closures]
        case MapOf(pairs=pairs):
            compiled = [(_compile(k, bound), _compile(v, bound)) for k, v in pairs]
            return lambda env: _map_of([(k(env), v(env)) for k, v in compiled])
    raise AssertionError(f"no meaning for {type(node).__name__}")


def _unary(op: str, operand: Node, bound: frozenset[str]) -> Closure:
    inner, text = _compile(operand, bound), phrase(operand, bound)
    if op == "!":
        return lambda env: negation(as_truth(inner(env), text))
    return lambda env: negated(inner(env))


def _comparison(node: Comparison, bound: frozenset[str]) -> Closure:
    op = node.op
    left, right = _compile(node.left, bound), _compile(node.right, bound)
    texts = (phrase(node.left, bound), phrase(node.right, bound))
    constants = (isinstance(node.left, Literal_ | ListOf), isinstance(node.right, Literal_ | ListOf))
    return lambda env: compare(op, _stored(left(env)), _stored(right(env)), texts, constants)


def _logic(op: str, operands: tuple[Node, ...], bound: frozenset[str]) -> Closure:
    parts = [(_compile(operand, bound), phrase(operand, bound)) for operand in operands]
    fold = conjunction if op == "&&" else disjunction
    return lambda env: fold([as_truth(closure(env), text) for closure, text in parts])


def _conditional(node: Conditional, bound: frozenset[str]) -> Closure:
    test, text = _compile(node.test, bound), phrase(node.test, bound)
    yes, no = _compile(node.yes, bound), _compile(node.no, bound)

    def run(env: Environment) -> Any:
        truth = as_truth(test(env), text)
        if truth.verdict == "unknown":
            return truth.deciding[0].unknown or Unknown("its condition is unknown")
        chosen = yes(env) if truth.verdict == "pass" else no(env)
        if isinstance(chosen, Truth):
            return Truth(chosen.verdict, chosen.deciding, chosen.others + truth.checks, chosen.note)
        return chosen

    return run


def _has(target: Node, name: str, text: str, bound: frozenset[str]) -> Closure:
    inner = _compile(target, bound)
    return lambda env: stated(not isinstance(member(inner(env), name), Unknown), text)


def _call(node: Call, bound: frozenset[str]) -> Closure:
    name, text = node.function, phrase(node, bound)
    closures = [_compile(argument, bound) for argument in node.arguments]

    def run(env: Environment) -> Any:
        env.spend(1)
        arguments = [closure(env) for closure in closures]
        for argument in arguments:
            if isinstance(argument, Unknown):
                return argument
        result = env.functions[name](*arguments)
        return stated(result, text) if isinstance(result, bool) else result

    return run


def _macro(node: Macro, bound: frozenset[str]) -> Closure:
    kind, variable, cost = node.kind, node.variable, node.body.size
    target = _compile(node.target, bound)
    inside = bound | {variable}
    body, text = _compile(node.body, inside), phrase(node.body, inside)

    def run(env: Environment) -> Any:
        items = _elements(target(env))
        if isinstance(items, Unknown):
            return items
        shadowed = env.names.get(variable)
        results: list[Any] = []
        for item in items:
            env.spend(cost)
            env.names[variable] = item
            results.append(body(env))
        env.names[variable] = shadowed
        if kind == "map":
            return [_stored(result) for result in results]
        truths = [
            as_truth(result, text).of(_label(variable, item)) for result, item in zip(results, items, strict=True)
        ]
        return _gathered(kind, truths, items)

    return run


def _gathered(kind: str, truths: list[Truth], items: list[Any]) -> Any:
    if kind in ("all", "exists"):
        return over_elements(truths, every=kind == "all")
    unknown = next((truth for truth in truths if truth.verdict == "unknown"), None)
    if kind == "filter":
        if unknown is not None:
            return unknown.deciding[0].unknown or Unknown("it is unknown for one element")
        return [item for item, truth in zip(items, truths, strict=True) if truth.verdict == "pass"]
    passing = [truth for truth in truths if truth.verdict == "pass"]
    checks = tuple(check for truth in truths for check in truth.checks)
    if len(passing) > 1:
        return Truth("fail", tuple(c for t in passing for c in t.deciding), (), f"{len(passing)} elements, not one")
    if unknown is not None:
        return Truth("unknown", unknown.deciding, tuple(check for check in checks if check not in unknown.deciding))
    return Truth("pass" if passing else "fail", passing[0].deciding if passing else checks)


def _elements(value: Any) -> list[Any] | Unknown:
    if isinstance(value, Unknown):
        return value
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, dict):
        return sorted(value)
    return Unknown(f"{kind_of(value)} has no elements")


def _label(variable: str, item: Any) -> str:
    return item.label if isinstance(item, Record) else f"{variable}={show(item)}"


def _stored(value: Any) -> Any:
    """A yes/no answer as a plain value where it is an element or an operand; unknown stays unknown."""
    if not isinstance(value, Truth):
        return value
    if value.verdict == "unknown":
        return (value.deciding[0].unknown if value.deciding else None) or Unknown("it is unknown")
    return value.verdict == "pass"


def _map_of(pairs: list[tuple[Any, Any]]) -> Any:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            return key if isinstance(key, Unknown) else Unknown("only a text can be a key")
        result[key] = _stored(value)
    return result


def member(value: Any, name: str) -> Any:
    """``value.name``."""
    if isinstance(value, Unknown):
        return value
    if isinstance(value, Record):
        return value.look(name)
    if isinstance(value, dict):
        return clean(value[name], name) if name in value else Unknown(f"there is no {name!r}")
    if isinstance(value, Quantity):
        return _part(value, name)
    return Unknown(f"{kind_of(value)} has no member {name!r}")


def _part(quantity: Quantity, name: str) -> Any:
    parts: dict[str, Any] = {
        "value": quantity.value, "low": quantity.low, "high": quantity.high,
        "n": quantity.n, "positives": quantity.positives,
    }  # fmt: skip
    if name not in parts:
        return Unknown(f"a metric has no {name!r}; it has {', '.join(parts)}")
    found = clean(parts[name], name)
    if isinstance(found, float) and name in ("low", "high"):
        return Quantity(found, n=quantity.n, positives=quantity.positives)
    return found


def element(value: Any, index: Any) -> Any:
    """``value[index]``: a position from 0 in a list, a key of a map or record."""
    for side in (value, index):
        if isinstance(side, Unknown):
            return side
    if isinstance(index, str) and isinstance(value, dict | Record):
        return member(value, index)
    position = number_of(index)
    if isinstance(value, list) and isinstance(position, int):
        if 0 <= position < len(value):
            return clean(value[position], f"element {position}")
        return Unknown(f"there is no element {position} in a list of {len(value)}")
    return Unknown(f"{kind_of(value)} cannot be indexed with {kind_of(index)}")


def size(value: Any) -> Any:
    """Number of elements, keys or characters."""
    if isinstance(value, Unknown):
        return value
    if isinstance(value, list | dict | str):
        return min(len(value), MAX_ITEMS)
    return Unknown(f"{kind_of(value)} has no size")
