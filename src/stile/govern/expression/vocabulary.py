"""Which names an expression may use; everything else is an error when it is published, not when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stile.govern.expression.errors import expression_error, suggestion
from stile.govern.expression.syntax import (
    Binary,
    Call,
    Comparison,
    Conditional,
    Has,
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
    children,
)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language: how many arguments it takes, whether it answers yes or no, what it means."""

    least: int
    most: int
    says: str
    answers_yes_no: bool = False


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The functions and names known in one place of a policy, and the members of names that have a fixed set."""

    functions: Mapping[str, Function] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)


def check_names(source: str, node: Node, vocabulary: Vocabulary) -> None:
    """Make sure that every name is known and every function gets what it takes.

    Raises:
        ExpressionError: with a suggestion.
    """
    _check(source, node, vocabulary, frozenset())


def _check(source: str, node: Node, vocabulary: Vocabulary, bound: frozenset[str]) -> None:
    match node:
        case Name(name=name, at=at):
            if name not in bound and name not in vocabulary.names:
                if name in vocabulary.functions:
                    raise expression_error(source, at, f"{name!r} is a function; write {name}(...)")
                known = set(vocabulary.names) | bound
                raise expression_error(source, at, f"{name!r} is not known here. {suggestion(name, known)}")
        case Call(function=function, arguments=arguments, at=at):
            known_function = vocabulary.functions.get(function)
            if known_function is None:
                hint = suggestion(function, vocabulary.functions)
                raise expression_error(source, at, f"there is no function {function!r}. {hint}")
            if not known_function.least <= len(arguments) <= known_function.most:
                raise expression_error(source, at, _count(function, known_function, len(arguments)))
        case Member(target=Name(name=owner), name=name, at=at) if owner in vocabulary.members and owner not in bound:
            if name not in vocabulary.members[owner]:
                hint = suggestion(name, vocabulary.members[owner])
                raise expression_error(source, at, f"{owner} has no {name!r}. {hint}")
        case Macro(variable=variable, target=target, body=body, at=at):
            if variable in vocabulary.names:
                raise expression_error(source, at, f"{variable!r} already has a meaning here; choose another name")
            _check(source, target, vocabulary, bound)
            _check(source, body, vocabulary, bound | {variable})
            return
    for part in children(node):
        _check(source, part, vocabulary, bound)


def expect_yes_no(source: str, node: Node, vocabulary: Vocabulary) -> None:
    """Refuse what can never be a yes/no answer, such as a bare metric."""
    match node:
        case Literal_(value=bool()) | Comparison() | Logic() | Has() | Unary(op="!"):
            return
        case Macro(kind="all" | "exists" | "exists_one"):
            return
        case Conditional(yes=yes, no=no):
            expect_yes_no(source, yes, vocabulary)
            expect_yes_no(source, no, vocabulary)
            return
        case Call(function=function) if not vocabulary.functions[function].answers_yes_no:
            problem = f"{function}(...) is a value, not a yes/no answer; compare it, as in {function}(...) >= 0.9"
            raise expression_error(source, node.at, problem)
        case Literal_() | Binary() | Unary() | Size() | ListOf() | MapOf() | Macro():
            raise expression_error(source, node.at, "this is a value, not a yes/no answer; compare it with a limit")


def expect_value(source: str, node: Node) -> None:
    """Refuse what can never be a number to order by."""
    if isinstance(node, Comparison | Logic | Has | ListOf | MapOf) or (isinstance(node, Unary) and node.op == "!"):
        raise expression_error(source, node.at, "this is not a number to order candidates by")


def _count(name: str, function: Function, given: int) -> str:
    if function.least == function.most:
        takes = "nothing" if function.most == 0 else f"{function.most} value" + ("s" if function.most > 1 else "")
    else:
        takes = f"{function.least} to {function.most} values"
    return f"{name}() takes {takes}, not {given}: {function.says}"
