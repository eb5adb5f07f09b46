"""The data contract held against live rows: broken promises are counted and recorded, never a reason not to answer."""

from __future__ import annotations

from typing import Any

from stile.deploy.deployment import ColumnCheck


class LiveChecks:
    """The checks of a deployment, compiled for one order of columns."""

    def __init__(self, checks: tuple[ColumnCheck, ...], names: list[str]) -> None:
        where = {name: position for position, name in enumerate(names)}
        self._checks = [(where[check.column], check) for check in checks if check.column in where]

    def broken(self, row: list[Any]) -> list[str]:
        """What a row breaks, as ``column:rule`` with the rules ``missing``, ``low``, ``high``, ``value``."""
        found = []
        for position, check in self._checks:
            value = row[position]
            if value is None:
                if not check.nullable:
                    found.append(f"{check.column}:missing")
            elif isinstance(value, int | float) and not isinstance(value, bool):
                if check.low is not None and value < check.low:
                    found.append(f"{check.column}:low")
                elif check.high is not None and value > check.high:
                    found.append(f"{check.column}:high")
                elif check.allowed and not _listed(value, check.allowed):
                    found.append(f"{check.column}:value")
            elif check.allowed and str(value) not in check.allowed:
                found.append(f"{check.column}:value")
        return found


def _listed(value: float, allowed: tuple[str, ...]) -> bool:
    return str(value) in allowed or (float(value).is_integer() and str(int(value)) in allowed)
