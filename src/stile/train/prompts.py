"""Prompts in the registry: MLflow keeps a prompt as a registered model whose versions have text and no files.

Source: ``mlflow.prompt.constants`` and ``mlflow.entities.model_registry.prompt_version``.
"""

from __future__ import annotations

from collections.abc import Mapping

MARK = "mlflow.prompt.is_prompt"
"""The tag that makes a registered model, or a version, a prompt when it is ``true``."""

PLACEHOLDERS = ("dummy-source", "prompt-template")
"""What clients send as the source of a prompt's version; the text itself is in a tag."""


def is_prompt(tags: Mapping[str, str]) -> bool:
    """Whether these are the tags of a prompt."""
    return tags.get(MARK, "").lower() == "true"
