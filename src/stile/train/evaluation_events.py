"""What evaluation announces to the storeys above."""

from __future__ import annotations

from stile.kernel.events import Event


class EvaluationRequested(Event, frozen=True, kw_only=True):
    """Somebody handed in predictions of a version to be turned into evidence."""

    evaluation: str
    use_case: str
    version: str
    by: str


class EvidenceRecorded(Event, frozen=True, kw_only=True):
    """There is new evidence about a version."""

    use_case: str
    version: str
    digest: str
    evaluation: str = ""


class EvaluationFailed(Event, frozen=True, kw_only=True):
    """Predictions could not be turned into evidence; nothing was stored."""

    evaluation: str
    use_case: str
    version: str
    error: str
