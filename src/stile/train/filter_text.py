"""Clauses back to text: what a click on a value adds to a filter, and how keys and values are written in one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stile.train.filters import Clause, Entity

_PLAIN_KEY = re.compile(r"[\w\-/.:]+")
_PREFIXES: dict[Entity, str] = {
    "metric": "metrics.", "param": "params.", "tag": "tags.", "attribute": "", "dataset": "dataset.",
}  # fmt: skip


def key_text(entity: Entity, key: str) -> str:
    """The left side of a comparison: ``metrics.auc``, ``params.`max depth```, ``status``."""
    return _PREFIXES[entity] + (key if _PLAIN_KEY.fullmatch(key) else f"`{key}`")


def value_text(value: str) -> str:
    """A text as the language writes it, in single quotes.

    The language has no way to write a text that ends with a backslash; such a one is cut there.
    """
    return "'" + value.rstrip("\\").replace("'", "''") + "'"


def clause_text(clause: Clause) -> str:
    """One clause; reading it gives the same clause again."""
    left = f"{key_text(clause.entity, clause.key)} {clause.op}"
    if clause.value is None:
        return left
    if isinstance(clause.value, tuple):
        return f"{left} ({', '.join(map(value_text, clause.value))})"
    if isinstance(clause.value, str):
        return f"{left} {value_text(clause.value)}"
    number = repr(float(clause.value))
    return f"{left} {number.removesuffix('.0')}"


def filter_text(clauses: Sequence[Clause]) -> str:
    """A whole filter."""
    return " and ".join(map(clause_text, clauses))


def chosen(clauses: Sequence[Clause], entity: Entity, key: str) -> str | None:
    """The value a filter asks a key to be equal to; None when it does not."""
    for clause in clauses:
        if clause.entity == entity and clause.key == key and clause.op == "=" and isinstance(clause.value, str):
            return clause.value
    return None


def without(clauses: Sequence[Clause], entity: Entity, key: str) -> list[Clause]:
    """The clauses without those that ask a key to be equal to something."""
    return [each for each in clauses if not (each.entity == entity and each.key == key and each.op == "=")]


def with_value(clauses: Sequence[Clause], entity: Entity, key: str, value: str) -> str:
    """The filter that also asks a key to be this value, instead of any other value it asked for."""
    return filter_text([*without(clauses, entity, key), Clause(entity=entity, key=key, op="=", value=value)])
