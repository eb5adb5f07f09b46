"""The common ground of the verbs of one use case: its name, and requests below its address."""

from __future__ import annotations

from typing import Any

from stile.client.session import Session, segment

_ENVELOPES = ("items", "rows", "results")


class Scope:
    """Requests below ``/api/v1/use-cases/{use_case}``.

    Attributes:
        name: the use case, which is also the name of its governed model.
    """

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self.name = name

    def _path(self, tail: str) -> str:
        base = f"/api/v1/use-cases/{segment(self.name)}"
        return f"{base}/{tail}" if tail else base

    def _get(self, tail: str, **query: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._session.get(self._path(tail), **query)
        return answer

    def _list(self, tail: str, **query: Any) -> list[dict[str, Any]]:
        return listed(self._session.get(self._path(tail), **query), tail.split("/", maxsplit=1)[0])

    def _post(self, tail: str, body: Any = None) -> dict[str, Any]:
        answer: dict[str, Any] = self._session.post(self._path(tail), body)
        return answer


def listed(answer: Any, key: str) -> list[dict[str, Any]]:
    """The list in an answer: the answer itself, or what it holds under ``key`` (``-`` written as ``_``)."""
    if isinstance(answer, list):
        return answer
    if isinstance(answer, dict):
        for name in (key, key.replace("-", "_"), *_ENVELOPES):
            if isinstance(answer.get(name), list):
                found: list[dict[str, Any]] = answer[name]
                return found
    return []
