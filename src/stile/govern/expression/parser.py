"""Tokens into a tree: a Pratt parser with CEL's precedence, bounded in depth and size."""

from __future__ import annotations

from typing import NoReturn, cast, get_args

from stile.govern.expression.errors import ExpressionError, expression_error
from stile.govern.expression.lexer import Token, tokens
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
    MacroKind,
    MapOf,
    Member,
    Name,
    Node,
    Size,
    Unary,
)

MAX_DEPTH = 48
MAX_SIZE = 2_000

_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_POWER = {"?": 1, "||": 2, "&&": 3, **dict.fromkeys(_COMPARISONS, 4), "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}
_UNARY_POWER = 7
_MACROS = frozenset(get_args(MacroKind))


def parse(source: str) -> Node:
    """The tree of an expression.

    Raises:
        ExpressionError: it is not an expression of this language; names line, column and what was expected.
    """
    if not source.strip():
        raise expression_error(source, 0, "the expression is empty")
    return _Parser(source).whole()


class _Parser:
    """One pass over the tokens of one source."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = tokens(source)
        self.position = 0
        self.level = 0

    def whole(self) -> Node:
        node = self.expression(0)
        if self.now.kind != "end":
            self.unexpected("the end, or an operator such as && || == >= +")
        return node

    @property
    def now(self) -> Token:
        return self.tokens[self.position]

    def next(self) -> Token:
        token = self.now
        self.position += 1
        return token

    def fail(self, at: int, problem: str) -> ExpressionError:
        return expression_error(self.source, at, problem)

    def unexpected(self, expected: str) -> NoReturn:
        token = self.now
        what = "the expression ends here" if token.kind == "end" else f"unexpected {token.text!r}"
        raise self.fail(token.at, f"{what}; expected {expected}")

    def at_op(self, text: str) -> bool:
        return self.now.kind == "op" and self.now.text == text

    def expect(self, text: str, why: str) -> Token:
        if not self.at_op(text):
            self.unexpected(f"{text!r} {why}")
        return self.next()

    def measure(self, at: int, parts: tuple[Node, ...]) -> tuple[int, int, int]:
        """(at, depth, size) of a node made of ``parts``, within the limits."""
        depth = 1 + max((part.depth for part in parts), default=0)
        size = 1 + sum(part.size for part in parts)
        if depth > MAX_DEPTH:
            raise self.fail(at, f"nested more than {MAX_DEPTH} levels deep")
        if size > MAX_SIZE:
            raise self.fail(at, f"an expression may have at most {MAX_SIZE} parts")
        return at, depth, size

    def expression(self, power: int) -> Node:
        self.level += 1
        if self.level > MAX_DEPTH:
            raise self.fail(self.now.at, f"nested more than {MAX_DEPTH} levels deep")
        left = self.prefix()
        while True:
            token = self.now
            binds = _POWER.get(token.text, 0) if token.kind in ("op", "word") else 0
            if binds <= power:
                break
            left = self.infix(left, token, binds)
        self.level -= 1
        return left

    def infix(self, left: Node, token: Token, binds: int) -> Node:
        self.next()
        op = token.text
        if op == "?":
            yes = self.expression(0)
            self.expect(":", "between the two values of '?'")
            no = self.expression(0)
            return Conditional(*self.measure(token.at, (left, yes, no)), left, yes, no)
        if op in _COMPARISONS:
            right = self.expression(binds)
            if self.now.text in _COMPARISONS and self.now.kind in ("op", "word"):
                raise self.fail(self.now.at, "comparisons cannot be chained; write 'a < b && b < c'")
            return Comparison(*self.measure(token.at, (left, right)), op, left, right)
        right = self.expression(binds)
        if op in ("&&", "||"):
            operands = (*left.operands, right) if isinstance(left, Logic) and left.op == op else (left, right)
            return Logic(*self.measure(token.at, operands), op, operands)
        return Binary(*self.measure(token.at, (left, right)), op, left, right)

    def prefix(self) -> Node:
        token = self.now
        if token.kind == "op" and token.text in ("!", "-"):
            self.next()
            operand = self.expression(_UNARY_POWER - 1)
            if token.text == "-" and isinstance(operand, Literal_) and type(operand.value) in (int, float):
                value = -cast("float", operand.value)
                return Literal_(token.at, 1, 1, value, "-" + operand.text)
            return Unary(*self.measure(token.at, (operand,)), token.text, operand)
        return self.postfix(self.primary())

    def postfix(self, node: Node) -> Node:
        while True:
            if self.at_op("."):
                self.next()
                node = self.member(node)
            elif self.at_op("["):
                at = self.next().at
                index = self.expression(0)
                self.expect("]", "to close the index")
                node = Index(*self.measure(at, (node, index)), node, index)
            else:
                return node

    def member(self, target: Node) -> Node:
        token = self.now
        if token.kind != "name":
            self.unexpected("a name after '.'")
        self.next()
        if not self.at_op("("):
            return Member(*self.measure(token.at, (target,)), target, token.text)
        if token.text == "size":
            self.next()
            self.expect(")", "because size() takes nothing")
            return Size(*self.measure(token.at, (target,)), target)
        if token.text not in _MACROS:
            raise self.fail(
                token.at, f"{token.text!r} cannot be called on a value; known are: {', '.join(sorted(_MACROS))}, size"
            )
        self.next()
        variable = self.now
        if variable.kind != "name":
            self.unexpected(f"a name for each element, as in {token.text}(s, ...)")
        self.next()
        self.expect(",", f"after the name, as in {token.text}({variable.text}, ...)")
        body = self.expression(0)
        self.expect(")", f"to close {token.text}(")
        kind = cast("MacroKind", token.text)
        return Macro(*self.measure(token.at, (target, body)), kind, target, variable.text, body)

    def primary(self) -> Node:
        token = self.now
        if token.kind in ("int", "float", "string"):
            self.next()
            return Literal_(token.at, 1, 1, cast("int | float | str", token.value), token.text)
        if token.kind == "word" and token.text != "in":
            self.next()
            return Literal_(token.at, 1, 1, {"true": True, "false": False, "null": None}[token.text], token.text)
        if token.kind == "name":
            self.next()
            return self.call(token) if self.at_op("(") else Name(token.at, 1, 1, token.text)
        if self.at_op("("):
            self.next()
            node = self.expression(0)
            self.expect(")", "to close the bracket")
            return node
        if self.at_op("["):
            at = self.next().at
            items = self.several("]")
            return ListOf(*self.measure(at, items), items)
        if self.at_op("{"):
            return self.map()
        return self.unexpected("a value: a number, a text in quotes, a name or '('")

    def call(self, token: Token) -> Node:
        self.next()
        arguments = self.several(")")
        if token.text in ("size", "has") and len(arguments) != 1:
            raise self.fail(token.at, f"{token.text}() takes one value")
        if token.text == "size":
            return Size(*self.measure(token.at, arguments), arguments[0])
        if token.text == "has":
            asked = arguments[0]
            if not isinstance(asked, Member):
                raise self.fail(asked.at, 'has() asks for a member, as in has(evidence("latency").p99_ms)')
            return Has(*self.measure(token.at, (asked.target,)), asked.target, asked.name)
        return Call(*self.measure(token.at, arguments), token.text, arguments)

    def several(self, closing: str) -> tuple[Node, ...]:
        """Values separated by commas up to and including ``closing``; a last comma is allowed in lists."""
        found: list[Node] = []
        while not self.at_op(closing):
            found.append(self.expression(0))
            if self.at_op(closing):
                break
            self.expect(",", f"or {closing!r}")
            if closing == ")" and self.at_op(")"):
                self.unexpected("another value after ','")
        self.next()
        return tuple(found)

    def map(self) -> Node:
        at = self.next().at
        pairs: list[tuple[Node, Node]] = []
        while not self.at_op("}"):
            key = self.expression(0)
            self.expect(":", "between a key and its value")
            pairs.append((key, self.expression(0)))
            if self.at_op("}"):
                break
            self.expect(",", "or '}'")
        self.next()
        return MapOf(*self.measure(at, tuple(part for pair in pairs for part in pair)), tuple(pairs))
