"""SQL of windows and of how they are cut."""

from __future__ import annotations

from typing import Any

import msgspec

from stile.govern.live import LiveResult
from stile.monitor.closing import MonitorSettings
from stile.store.database import Tx


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A closed span of live traffic of one version.

    Attributes:
        number: counts up within the use case.
        state: ``closing`` while its evidence is computed, ``closed``, ``failed`` (see ``problem``), or
            ``skipped``: too few answers of a version that was succeeded.
        reason: why it was cut: ``rows``, ``time``, ``version``, ``asked`` or ``too-few``.
        first_position, last_position: its predictions in the order they arrived, both included.
        first_at, last_at: when they were made, ms since 1970 UTC.
        rows: how many.
        evidence_first, outcomes_first: evidence and known outcomes when it was closed.
        evidence, outcomes: the same as restated by later outcomes.
        outcomes_seen: place of the newest outcome it takes into account.
        verdicts: what the live rules said, on ``evidence``.
        problem: why it failed, in words.
    """

    id: str
    use_case: str
    number: int
    version: int
    digest: str
    state: str
    reason: str
    first_position: int
    last_position: int
    first_at: int
    last_at: int
    rows: int
    cut_at: int
    cut_by: str
    closed_at: int | None = None
    evidence_first: str = ""
    evidence: str = ""
    outcomes_first: int = 0
    outcomes: int = 0
    outcomes_seen: int = 0
    restated_at: int | None = None
    verdicts: list[LiveResult] = []
    problem: str = ""


_FIELDS = Window.__struct_fields__
_SQL_NAMES = {"rows": "n_rows"}
_COLUMNS = ", ".join(_SQL_NAMES.get(field, field) for field in _FIELDS)


def settings(tx: Tx, use_case: str) -> MonitorSettings | None:
    """How windows of a use case are cut; None when nobody said."""
    row = tx.one("SELECT settings FROM monitor_settings WHERE use_case = ?", (use_case,))
    return None if row is None else msgspec.json.decode(row[0], type=MonitorSettings)


def set_settings(tx: Tx, use_case: str, wanted: MonitorSettings, by: str) -> None:
    """Set how windows of a use case are cut."""
    tx.run(
        "INSERT INTO monitor_settings (use_case, settings, changed_at, changed_by) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (use_case) DO UPDATE SET settings = excluded.settings, changed_at = excluded.changed_at, "
        "changed_by = excluded.changed_by",
        (use_case, msgspec.json.encode(wanted).decode(), tx.now_ms(), by),
    )


def insert(tx: Tx, window: Window) -> None:
    """Add a window."""
    marks = ", ".join("?" for _ in _FIELDS)
    tx.run(f"INSERT INTO windows ({_COLUMNS}) VALUES ({marks})", _values(window))


def update(tx: Tx, window: Window) -> None:
    """Write a window back, found by its id."""
    sets = ", ".join(f"{_SQL_NAMES.get(field, field)} = ?" for field in _FIELDS[1:])
    values = _values(window)
    tx.run(f"UPDATE windows SET {sets} WHERE id = ?", [*values[1:], values[0]])


def find(tx: Tx, id: str) -> Window | None:
    """A window by id."""
    row = tx.one(f"SELECT {_COLUMNS} FROM windows WHERE id = ?", (id,))
    return None if row is None else _window(row)


def newest(tx: Tx, use_case: str) -> Window | None:
    """The window that was cut last."""
    row = tx.one(f"SELECT {_COLUMNS} FROM windows WHERE use_case = ? ORDER BY number DESC LIMIT 1", (use_case,))
    return None if row is None else _window(row)


def newest_begins(tx: Tx, use_case: str) -> int:
    """Where the newest window begins; 0 when there is none."""
    found = tx.scalar("SELECT first_position FROM windows WHERE use_case = ? ORDER BY number DESC LIMIT 1", (use_case,))
    return int(found or 0)


def covered(tx: Tx, use_case: str) -> dict[str, int]:
    """By model digest: the last position that is in a window."""
    rows = tx.all("SELECT digest, MAX(last_position) FROM windows WHERE use_case = ? GROUP BY digest", (use_case,))
    return {digest: int(position) for digest, position in rows}


def of_use_case(tx: Tx, use_case: str, limit: int = 50) -> list[Window]:
    """Windows of a use case, newest first."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM windows WHERE use_case = ? ORDER BY number DESC LIMIT ?", (use_case, limit))
    return [_window(row) for row in rows]


def closed_before(tx: Tx, window: Window, limit: int) -> list[Window]:
    """Closed windows of the same version up to ``window`` itself, newest first."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM windows WHERE use_case = ? AND digest = ? AND number <= ? AND state = 'closed' "
        "ORDER BY number DESC LIMIT ?",
        (window.use_case, window.digest, window.number, limit),
    )
    return [_window(row) for row in rows]


def closed_after(tx: Tx, window: Window) -> list[Window]:
    """Closed windows of the same version after ``window``, oldest first."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM windows WHERE use_case = ? AND digest = ? AND number > ? AND state = 'closed' "
        "ORDER BY number",
        (window.use_case, window.digest, window.number),
    )
    return [_window(row) for row in rows]


def newest_closed(tx: Tx, use_case: str) -> str:
    """Id of the newest closed window; empty for none."""
    return str(
        tx.scalar(
            "SELECT id FROM windows WHERE use_case = ? AND state = 'closed' ORDER BY number DESC LIMIT 1", (use_case,)
        )
        or ""
    )


def closed(tx: Tx) -> list[Window]:
    """Closed windows, oldest first."""
    return [
        _window(row)
        for row in tx.all(f"SELECT {_COLUMNS} FROM windows WHERE state = 'closed' ORDER BY use_case, number")
    ]


def last_closed_at(tx: Tx) -> int:
    """When a window was last closed or restated, ms since 1970 UTC; 0 for never."""
    return int(tx.scalar("SELECT MAX(COALESCE(restated_at, closed_at)) FROM windows") or 0)


def unfinished(tx: Tx) -> list[Window]:
    """Windows that were cut and are not closed yet."""
    return [_window(row) for row in tx.all(f"SELECT {_COLUMNS} FROM windows WHERE state = 'closing' ORDER BY cut_at")]


def _values(window: Window) -> list[Any]:
    values = [getattr(window, field) for field in _FIELDS]
    values[_FIELDS.index("verdicts")] = msgspec.json.encode(window.verdicts).decode()
    return values


def _window(row: tuple[Any, ...]) -> Window:
    fields = dict(zip(_FIELDS, row, strict=True))
    fields["verdicts"] = msgspec.json.decode(fields["verdicts"], type=list[LiveResult])
    return Window(**fields)
