"""The tree of an expression, and its text for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

MacroKind = Literal["all", "exists", "exists_one", "filter", "map"]


@dataclass(frozen=True, slots=True)
class Node:
    """Any part of an expression.

    Attributes:
        at: character where it starts, for messages.
        depth: levels below and including this one.
        size: parts below and including this one.
    """

    at: int
    depth: int
    size: int


@dataclass(frozen=True, slots=True)
class Literal_(Node):  # noqa: N801 - `Literal` is typing's
    """A constant; ``text`` is how it was written."""

    value: bool | int | float | str | None
    text: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable: bound by a macro or given from outside."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``!x`` or ``-x``."""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Arithmetic."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """``== != < <= > >= in``."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """A chain of ``&&`` or of ``||``."""

    op: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """``test ? yes : no``."""

    test: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True)
class Member(Node):
    """``target.name``."""

    target: Node
    name: str


@dataclass(frozen=True, slots=True)
class Index(Node):
    """``target[index]``."""

    target: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    """``function(arguments)``."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Size(Node):
    """``size(x)`` or ``x.size()``."""

    target: Node


@dataclass(frozen=True, slots=True)
class Has(Node):
    """``has(target.name)``."""

    target: Node
    name: str


@dataclass(frozen=True, slots=True)
class Macro(Node):
    """``target.all(variable, body)`` and its kin."""

    kind: MacroKind
    target: Node
    variable: str
    body: Node


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    """``[a, b]``."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf(Node):
    """``{k: v}``."""

    pairs: tuple[tuple[Node, Node], ...]


def children(node: Node) -> tuple[Node, ...]:
    """The direct parts of a node."""
    match node:
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right) | Comparison(left=left, right=right):
            return (left, right)
        case Logic(operands=operands):
            return operands
        case Conditional(test=test, yes=yes, no=no):
            return (test, yes, no)
        case Member(target=target) | Size(target=target) | Has(target=target):
            return (target,)
        case Index(target=target, index=index):
            return (target, index)
        case Call(arguments=arguments):
            return arguments
        case Macro(target=target, body=body):
            return (target, body)
        case ListOf(items=items):
            return items
        case MapOf(pairs=pairs):
            return tuple(part for pair in pairs for part in pair)
    return ()


def phrase(node: Node, bound: frozenset[str] = frozenset()) -> str:
    """The expression in few words, for the trace: ``ci_low(recall)``, ``recall in scenario outage``.

    Args:
        node: what to say.
        bound: macro variables; their name is left out, since the trace names the element itself.
    """
    match node:
        case Literal_(text=text):
            return text
        case Name(name=name):
            return name
        case Unary(op=op, operand=operand):
            return f"{op}{_inner(operand, bound)}"
        case Binary(op=op, left=left, right=right) | Comparison(op=op, left=left, right=right):
            return f"{_inner(left, bound)} {op} {_inner(right, bound)}"
        case Logic(op=op, operands=operands):
            return f" {op} ".join(_inner(operand, bound) for operand in operands)
        case Conditional(test=test, yes=yes, no=no):
            return f"{_inner(test, bound)} ? {_inner(yes, bound)} : {_inner(no, bound)}"
        case Member(target=target, name=name):
            return _member(target, name, bound)
        case Index(target=target, index=index):
            return f"{_inner(target, bound)}[{phrase(index, bound)}]"
        case Call(function=function, arguments=arguments):
            return _call(function, arguments, bound)
        case Size(target=target):
            return f"size of {phrase(target, bound)}"
        case Has(target=target, name=name):
            return f"has({_member(target, name, bound)})"
        case Macro(kind=kind, target=target, variable=variable, body=body):
            return f"{_inner(target, bound)}.{kind}({variable}, {phrase(body, bound)})"
        case ListOf(items=items):
            return "[" + ", ".join(phrase(item, bound) for item in items) + "]"
        case MapOf(pairs=pairs):
            return "{" + ", ".join(f"{phrase(k, bound)}: {phrase(v, bound)}" for k, v in pairs) + "}"
    return "?"


def _inner(node: Node, bound: frozenset[str]) -> str:
    text = phrase(node, bound)
    return f"({text})" if isinstance(node, Binary | Comparison | Logic | Conditional) else text


def _member(target: Node, name: str, bound: frozenset[str]) -> str:
    match target:
        case Name(name=variable) if variable in bound:
            return name
        case Call(function="scenario", arguments=(Literal_(value=str(what)),)):
            return f"{name} in scenario {what}"
        case Call(function="evidence", arguments=(Literal_(value=str(what)),)):
            return f"{what}.{name}"
        case Call(function="champion", arguments=()):
            return f"the champion's {name}"
    return f"{_inner(target, bound)}.{name}"


def _call(function: str, arguments: tuple[Node, ...], bound: frozenset[str]) -> str:
    match function, arguments:
        case "metric", (Literal_(value=str(what)),):
            return what
        case "worst", (Literal_(value=str(what)),):
            return f"worst {what}"
    parts = [a.value if isinstance(a, Literal_) and isinstance(a.value, str) else phrase(a, bound) for a in arguments]
    return f"{function}({', '.join(parts)})"


def quoted(value: str) -> str:
    """Text as a literal of the language."""
    return json.dumps(value, ensure_ascii=False)
