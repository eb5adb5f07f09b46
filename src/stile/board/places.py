"""Where on the web each thing is shown; the one place where links are made for inbox and notifications."""

from __future__ import annotations


def version_page(use_case: str, version: int | str) -> str:
    """The page of a version with its gate and its approvals."""
    return f"/use-cases/{use_case}/versions/{version}"


def decision_page(use_case: str, decision: str) -> str:
    """The record of a decision."""
    return f"/use-cases/{use_case}/decisions/{decision}"


def monitor_page(use_case: str) -> str:
    """Windows and alerts."""
    return f"/use-cases/{use_case}/monitor"


def feedback_page(use_case: str) -> str:
    """Predictions that wait for an expert."""
    return f"/use-cases/{use_case}/feedback"


def card_page(use_case: str, card: str) -> str:
    """A card on its board."""
    return f"/use-cases/{use_case}/board#{card}"
