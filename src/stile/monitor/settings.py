"""How the live traffic of a use case is cut into windows: read and set."""

from __future__ import annotations

from stile.monitor import window_records
from stile.monitor.closing import MonitorSettings, check_settings
from stile.monitor.events import MonitorSettingsChanged
from stile.people import use_cases
from stile.store import ledger
from stile.store.database import Tx


def settings_of(tx: Tx, use_case: str) -> MonitorSettings:
    """How windows are cut: as the team said, else the usual."""
    return window_records.settings(tx, use_case) or MonitorSettings()


def change_settings(tx: Tx, *, use_case: str, settings: MonitorSettings, by: str) -> MonitorSettings:
    """Set how windows are cut from now on; windows that exist stay as they are.

    Raises:
        Missing: no such use case.
        Invalid: a number makes no sense.
    """
    use_cases.get(tx, use_case)
    check_settings(settings)
    window_records.set_settings(tx, use_case, settings, by)
    ledger.append(
        tx, kind="monitor_settings", use_case=use_case, subject=use_case, body={"settings": settings, "by": by}
    )
    tx.emit(MonitorSettingsChanged(use_case=use_case, by=by))
    return settings
