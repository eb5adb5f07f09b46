"""Where on the web each thing is shown; the one place where links are made for inbox and notifications."""

from __future__ import annotations


def version_page(use_case: str, version: int | str) -> str:
    """The gate of a version: its rules and its approvals."""
    return f"/models/{use_case}/versions/{version}/gate"


def decision_page(decision: str) -> str:
    """The record of a decision."""
    return f"/decisions/{decision}"


def monitor_page(use_case: str) -> str:
    """Windows and alerts."""
    return f"/models/{use_case}/monitor"


def feedback_page(use_case: str) -> str:
    """Predictions that wait for an expert."""
    return f"/feedback?use_case={use_case}"


def card_page(card: str) -> str:
    """A card with its story."""
    return f"/cards/{card}"
