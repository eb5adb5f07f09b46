"""SQL of alerts."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.store.database import Tx


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A breach somebody has to look at.

    Attributes:
        window_id, windows: the window that raised it, and all that failed with it.
        version: the model version that answered.
        rule, says: the live rule and its plain words.
        finding: the numbers, in one sentence.
        action: ``alert``, or ``open_decision`` when the policy asks for a decision.
        decision: id of the decision that was opened; empty for none.
        state: ``open``, ``acknowledged`` or ``resolved``.
        cause: what the person who acknowledged it says is behind it.
    """

    id: str
    use_case: str
    window_id: str
    windows: list[str]
    version: int
    rule: str
    says: str
    finding: str
    action: str
    decision: str = ""
    state: str = "open"
    raised_at: int
    acknowledged_at: int | None = None
    acknowledged_by: str = ""
    cause: str = ""
    resolved_at: int | None = None
    resolved_by: str = ""


_FIELDS = Alert.__struct_fields__
_COLUMNS = ", ".join(_FIELDS)


def insert(tx: Tx, alert: Alert) -> None:
    """Add an alert."""
    tx.run(f"INSERT INTO alerts ({_COLUMNS}) VALUES ({', '.join('?' for _ in _FIELDS)})", _values(alert))


def update(tx: Tx, alert: Alert) -> None:
    """Write an alert back, found by its id."""
    values = _values(alert)
    tx.run(f"UPDATE alerts SET {', '.join(f'{f} = ?' for f in _FIELDS[1:])} WHERE id = ?", [*values[1:], values[0]])


def find(tx: Tx, id: str) -> Alert | None:
    """An alert by id."""
    row = tx.one(f"SELECT {_COLUMNS} FROM alerts WHERE id = ?", (id,))
    return None if row is None else _alert(row)


def unresolved_of_rule(tx: Tx, use_case: str, rule: str) -> Alert | None:
    """The alert of this rule that is not over."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM alerts WHERE use_case = ? AND rule = ? AND state <> 'resolved' "
        "ORDER BY raised_at DESC LIMIT 1",
        (use_case, rule),
    )
    return None if row is None else _alert(row)


def of_use_case(tx: Tx, use_case: str, limit: int = 100) -> list[Alert]:
    """Alerts of a use case, newest first."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM alerts WHERE use_case = ? ORDER BY raised_at DESC, id DESC LIMIT ?", (use_case, limit)
    )
    return [_alert(row) for row in rows]


def unresolved(tx: Tx, use_case: str) -> list[Alert]:
    """Alerts of a use case that are not over, oldest first."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM alerts WHERE use_case = ? AND state <> 'resolved' ORDER BY raised_at, id", (use_case,)
    )
    return [_alert(row) for row in rows]


def _values(alert: Alert) -> list[Any]:
    values = [getattr(alert, field) for field in _FIELDS]
    values[_FIELDS.index("windows")] = msgspec.json.encode(alert.windows).decode()
    return values


def _alert(row: tuple[Any, ...]) -> Alert:
    fields = dict(zip(_FIELDS, row, strict=True))
    fields["windows"] = msgspec.json.decode(fields["windows"], type=list[str])
    return Alert(**fields)
