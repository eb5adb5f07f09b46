"""A first contract from a table: what it shows, with room around it, for people to edit."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np

from stile.data.contract import FALSE_WORDS, TRUE_WORDS, Contract, ContractColumn, Kind, Part, is_of_kind
from stile.data.table import Table

MAX_CATEGORIES = 50
_KEY_NAME = re.compile(r"(.*_)?(id|key|uuid)\Z", re.IGNORECASE)


def infer_contract(table: Table, *, name: str, target: str = "", key: str = "") -> Contract:
    """A contract that ``table`` keeps and tables like it should keep.

    Numbers get their range widened by half its width to each side (and cut at 0 when the table
    never crosses it); text with few distinct values gets them as the allowed ones;
    columns without missing values become required. A column named like an id whose values are all
    different becomes the key.

    Args:
        table: a table believed to be good.
        name: of the contract; usually the use case.
        target: the column with the outcome.
        key: the column that names rows; guessed when empty.
    """
    key = key or next((n for n in table.names if n != target and _looks_like_key(table, n)), "")
    columns = []
    for column in table.names:
        part: Part = "target" if column == target else "key" if column == key else "feature"
        columns.append(
            _infer_numbers(table, column, part) if table.is_numeric(column) else _infer_text(table, column, part)
        )
    return Contract(name=name, columns=columns)


def _infer_numbers(table: Table, name: str, part: Part) -> ContractColumn:
    values = table.columns[name]
    known = values[~np.isnan(values)]
    required = bool(known.size == table.rows)
    whole = bool(known.size) and bool(np.all(known == np.floor(known)))
    kind: Kind = "integer" if whole else "number"
    if part == "key":
        return ContractColumn(name=name, kind=kind, part=part, required=True, unique=True)
    distinct = np.unique(known)
    if whole and (part == "target" or distinct.size <= 2) and 0 < distinct.size <= 20:
        allowed = [str(int(value)) for value in distinct]
        return ContractColumn(name=name, kind="integer", part=part, required=required, allowed=allowed)
    if not known.size:
        return ContractColumn(name=name, kind="number", part=part)
    low, high = _widened(float(known.min()), float(known.max()))
    return ContractColumn(name=name, kind=kind, part=part, required=required, minimum=low, maximum=high)


def _infer_text(table: Table, name: str, part: Part) -> ContractColumn:
    known = [value for value in table.columns[name] if value is not None]
    required = len(known) == table.rows
    if part == "key":
        return ContractColumn(name=name, kind="string", part=part, required=True, unique=True)
    if known and all(value in TRUE_WORDS | FALSE_WORDS for value in known):
        return ContractColumn(name=name, kind="boolean", part=part, required=required)
    sample = known[:1000]
    times: tuple[Kind, ...] = ("date", "timestamp")
    for kind in times:
        if sample and all(is_of_kind(kind, value) for value in sample):
            return ContractColumn(name=name, kind=kind, part=part, required=required)
    counts = Counter(known)
    few = len(counts) <= MAX_CATEGORIES and (part == "target" or len(counts) <= max(2, len(known) // 5))
    allowed = sorted(counts) if few else []
    return ContractColumn(name=name, kind="string", part=part, required=required, allowed=allowed)


def _looks_like_key(table: Table, name: str) -> bool:
    if not _KEY_NAME.match(name) or not table.rows or table.missing(name).any():
        return False
    return len(set(table.texts(name).tolist())) == table.rows


def _widened(low: float, high: float) -> tuple[float, float]:
    room = (high - low) / 2 or max(abs(high), 1.0)
    below, above = _rounded(low - room, down=True), _rounded(high + room, down=False)
    if low >= 0:
        below = max(below, 0.0)
    if high <= 0:
        above = min(above, 0.0)
    return below, above


def _rounded(value: float, *, down: bool) -> float:
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    rounded = (math.floor(value / unit) if down else math.ceil(value / unit)) * unit
    return float(f"{rounded:.12g}")
