"""What happens in deploy, told upwards."""

from __future__ import annotations

import msgspec

from stile.kernel.events import Event


class DeploymentChanged(Event, frozen=True, kw_only=True):
    """Gateways of a use case have something else to serve. ``champion`` is 0 when nothing is."""

    use_case: str
    revision: int
    champion: int


class GatewayReported(Event, frozen=True, kw_only=True):
    """A gateway tried a deployment; ``state`` is ``serving`` or ``failed``, ``problems`` says what went wrong."""

    use_case: str
    gateway: str
    state: str
    revision: int
    problems: list[str]


class PredictionsStored(Event, frozen=True, kw_only=True):
    """Live predictions arrived: ``count`` answers of the champion, up to ``position``."""

    use_case: str
    count: int
    position: int


class OutcomesRecorded(Event, frozen=True, kw_only=True):
    """The accepted truth of ``count`` stored predictions is new or another."""

    use_case: str
    count: int
    predictions: list[str] = msgspec.field(default_factory=list)  # at most a hundred of them


class FeedbackGiven(Event, frozen=True, kw_only=True):
    """A person said what they think of one prediction."""

    use_case: str
    prediction: str
    person: str
    verdict: str
    reason: str
