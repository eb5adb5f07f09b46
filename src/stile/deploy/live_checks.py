"""The data contract held against live rows: broken promises are counted and recorded, never a reason not to answer."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.data.contract import Contract, row_check


class LiveChecks:
    """The part of a contract that is about a model's columns, prepared for rows in their order."""

    def __init__(self, contract: Contract | None, names: list[str]) -> None:
        self._names = names
        known = set(names)
        columns = [column for column in contract.columns if column.name in known] if contract else []
        self._check = row_check(msgspec.structs.replace(contract, columns=columns)) if contract and columns else None

    def broken(self, row: list[Any]) -> list[str]:
        """What a row breaks, as ``column:rule`` in the contract's rules."""
        if self._check is None:
            return []
        return [
            f"{violation.column}:{violation.rule}"
            for violation in self._check(dict(zip(self._names, row, strict=True)))
        ]
