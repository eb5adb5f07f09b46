"""What monitoring announces to the storeys above."""

from __future__ import annotations

from stile.kernel.events import Event


class WindowCut(Event, frozen=True, kw_only=True):
    """The rows of a window are chosen; what they show is computed next."""

    use_case: str
    window: str


class WindowClosed(Event, frozen=True, kw_only=True):
    """A window has its evidence and its verdicts."""

    use_case: str
    window: str
    number: int
    version: int
    evidence: str
    restated: bool


class LiveRuleBroken(Event, frozen=True, kw_only=True):
    """A live rule failed in as many windows as its policy allows for."""

    use_case: str
    window: str
    version: int
    rule: str
    says: str
    action: str  # alert | open_decision
    alert: str


class AlertRaised(Event, frozen=True, kw_only=True):
    """Somebody has to look."""

    use_case: str
    alert: str
    window: str
    version: int
    rule: str
    says: str
    decision: str  # id of the decision that was opened, or empty


class AlertAcknowledged(Event, frozen=True, kw_only=True):
    """Somebody has looked and named the cause."""

    use_case: str
    alert: str
    cause: str
    by: str


class AlertResolved(Event, frozen=True, kw_only=True):
    """The alert is over: the rule holds again, the version left, or somebody said so."""

    use_case: str
    alert: str
    by: str


class MonitorSettingsChanged(Event, frozen=True, kw_only=True):
    """How windows are cut was changed."""

    use_case: str
    by: str
