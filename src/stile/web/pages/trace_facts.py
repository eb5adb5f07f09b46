"""What a trace's metadata says to people: who asked, in which session, from which code, how many tokens. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

_NAMES = {
    "mlflow.trace.session": "Session", "mlflow.trace.user": "User", "mlflow.trace.tokenUsage": "Tokens",
    "mlflow.user": "Claimed user", "mlflow.source.name": "Source", "mlflow.source.git.branch": "Branch",
    "mlflow.source.git.commit": "Commit", "mlflow.source.git.repoURL": "Repository",
}  # fmt: skip
_SEARCHED = ("mlflow.trace.session", "mlflow.trace.user")
_ELSEWHERE = frozenset({
    "mlflow.traceInputs", "mlflow.traceOutputs", "mlflow.trace_schema.version", "mlflow.trace.sizeStats",
    "mlflow.trace.sizeBytes", "mlflow.source.type", "mlflow.sourceRun",
})  # fmt: skip
"""What stands above already, or says nothing to people; the page as JSON has it."""

_LETTERS = 300


class TraceFact(msgspec.Struct, frozen=True, kw_only=True):
    """One line; ``url`` leads to the traces that share it."""

    name: str
    text: str
    url: str = ""


def facts(metadata: Mapping[str, str], traces_url: str) -> list[TraceFact]:
    """What there is to say, the best known first; nothing empty.

    Args:
        metadata: of the trace.
        traces_url: the page of all traces of its experiment.
    """
    known = [key for key in _NAMES if metadata.get(key)]
    others = sorted(key for key in metadata if key not in _NAMES and key not in _ELSEWHERE and metadata[key])
    return [_fact(key, metadata[key], traces_url) for key in (*known, *others)]


def _fact(key: str, value: str, traces_url: str) -> TraceFact:
    text = _tokens(value) if key == "mlflow.trace.tokenUsage" else value
    url = ""
    if key in _SEARCHED and "'" not in value:
        asked = f"metadata.`{key}` = '{value}'"
        url = f"{traces_url}?filter={quote(asked, safe='')}"
    return TraceFact(name=_NAMES.get(key, key.removeprefix("mlflow.")), text=text[:_LETTERS], url=url)


def _tokens(value: str) -> str:
    """``120 in, 30 out, 150 in all``; the text as it is when it is no count of tokens."""
    try:
        counts = json.loads(value)
    except (ValueError, RecursionError):
        return value
    if not isinstance(counts, dict):
        return value
    words = (("input_tokens", "in"), ("output_tokens", "out"), ("total_tokens", "in all"))
    parts = [f"{counts[key]} {word}" for key, word in words if isinstance(counts.get(key), int)]
    return ", ".join(parts) or value
