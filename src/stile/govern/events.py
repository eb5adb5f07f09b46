"""What happens in govern, told upwards."""

from __future__ import annotations

import msgspec

from stile.kernel.events import Event


class PolicyPublished(Event, frozen=True, kw_only=True):
    """A policy came into force."""

    use_case: str
    version: int
    digest: str
    by: str


class PromotionProposed(Event, frozen=True, kw_only=True):
    """Somebody asked for a version to be promoted; ``roles`` must say yes, ``people`` could."""

    use_case: str
    promotion: str
    version: int
    reason: str
    roles: list[str]
    people: list[str]
    by: str


class ApprovalGiven(Event, frozen=True, kw_only=True):
    """Somebody said yes or no to a promotion; ``waiting_for`` are the roles still missing."""

    use_case: str
    promotion: str
    version: int
    role: str
    person: str
    verdict: str
    reason: str
    waiting_for: list[str]


class DecisionTaken(Event, frozen=True, kw_only=True):
    """A decision was recorded. ``kind``: promoted, rejected, held, rolled_back, demoted, waived.

    ``version`` and ``digest`` are its subject; ``champion`` is the version in production afterwards,
    ``previous`` before (0 for none). ``labels`` maps every version (as text) to its standing.
    """

    use_case: str
    decision: str
    kind: str
    version: int
    digest: str
    champion: int
    previous: int
    reason: str
    by: str
    promotion: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
