"""Checking a whole table against its contract: every broken promise once, with counts and examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from stile.data import patterns
from stile.data.contract import (
    EXAMPLES,
    Contract,
    ContractColumn,
    Rule,
    Violation,
    is_of_kind,
    length_fits,
    length_text,
    range_text,
)
from stile.data.table import Flags, Table


def check_table(contract: Contract, table: Table, *, needs_target: bool = True) -> list[Violation]:
    """Every promise of ``contract`` that ``table`` breaks, in the contract's column order; empty when it keeps all.

    Args:
        contract: the promise.
        table: what was delivered.
        needs_target: whether the target column must be there (live data has none yet).
    """
    found: list[Violation] = []
    for column in contract.columns:
        if column.name not in table:
            if column.part == "ignored" or (column.part == "target" and not needs_target):
                continue
            message = f"The column {column.name} ({column.kind}) is missing."
            found.append(Violation(column=column.name, rule="missing_column", message=message))
        else:
            found += _check_column(column, table)
    if not contract.extra_columns:
        for name in table.names:
            if contract.column(name) is None:
                message = f"The column {name} is not in the contract. Remove it, or add it to the contract."
                found.append(Violation(column=name, rule="extra_column", message=message))
    if table.rows < contract.min_rows:
        message = f"The table has {table.rows} rows; at least {contract.min_rows} were promised."
        found.append(Violation(column="", rule="too_few_rows", message=message, rows=table.rows))
    return found


def _check_column(column: ContractColumn, table: Table) -> list[Violation]:
    missing = table.missing(column.name)
    found: list[Violation] = []
    if column.required and missing.any():
        found.append(_violation(column, "null_not_allowed", np.flatnonzero(missing), None, "no value may be missing"))
    values = table.columns[column.name]
    wrong = _wrong_type(column, table) & ~missing
    if wrong.any():
        found.append(_violation(column, "wrong_type", np.flatnonzero(wrong), values, f"must be of type {column.kind}"))
    good = ~missing & ~wrong
    if column.kind in ("number", "integer") and (column.minimum is not None or column.maximum is not None):
        outside = good.copy()
        numbers = np.asarray(values[good], dtype=np.float64)
        low = -np.inf if column.minimum is None else column.minimum
        high = np.inf if column.maximum is None else column.maximum
        outside[good] = (numbers < low) | (numbers > high)
        if outside.any():
            promise = f"must be {range_text(column)}"
            found.append(_violation(column, "out_of_range", np.flatnonzero(outside), values, promise))
    found += _check_texts(column, table, good)
    return found


def _check_texts(column: ContractColumn, table: Table, good: Flags) -> list[Violation]:
    by_length = column.kind == "string" and (column.min_length is not None or column.max_length is not None)
    if not (column.allowed or column.pattern or column.unique or by_length):
        return []
    texts = table.texts(column.name)
    found: list[Violation] = []

    def check(rule: Rule, bad: Iterable[bool], promise: str) -> None:
        rows = np.flatnonzero(np.fromiter(bad, dtype=np.bool_, count=table.rows) & good)
        if rows.size:
            found.append(_violation(column, rule, rows, texts, promise))

    if column.allowed:
        allowed = frozenset(column.allowed)
        promise = f"must be one of: {', '.join(column.allowed[:20])}"
        check("unknown_category", (text not in allowed for text in texts), promise)
    if column.pattern:
        pattern = patterns.compiled(column.pattern)
        check("pattern", (not patterns.matches(pattern, text or "") for text in texts), f"must match {column.pattern}")
    if by_length:
        check("length", (not length_fits(column, text or "") for text in texts), length_text(column))
    if column.unique:
        counts = Counter(texts.tolist())
        check("duplicate_key", (counts[text] > 1 for text in texts), "no value may occur twice")
    return found


def _wrong_type(column: ContractColumn, table: Table) -> Flags:
    values = table.columns[column.name]
    if table.is_numeric(column.name):
        if column.kind in ("number", "string"):
            return np.zeros(table.rows, dtype=np.bool_)
        if column.kind == "integer":
            return np.asarray(values != np.floor(values), dtype=np.bool_)
        if column.kind == "boolean":
            return np.asarray((values != 0) & (values != 1), dtype=np.bool_)
        return np.ones(table.rows, dtype=np.bool_)  # dates are text
    if column.kind == "string":
        return np.zeros(table.rows, dtype=np.bool_)
    return np.fromiter((not is_of_kind(column.kind, v) for v in values), dtype=np.bool_, count=table.rows)


def _violation(column: ContractColumn, rule: Rule, rows: Any, values: Any, promise: str) -> Violation:
    shown = [f"row {i + 1}" if values is None else f"row {i + 1}: {_cell(values[i])}" for i in rows[:EXAMPLES]]
    count = len(rows)
    more = ", ..." if count > EXAMPLES else ""
    who = "1 row breaks it" if count == 1 else f"{count} rows break it"
    message = f"{column.name}: {promise}; {who} ({', '.join(shown)}{more})."
    return Violation(column=column.name, rule=rule, message=message, rows=count, examples=shown)


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)[:60]
