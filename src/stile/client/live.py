"""The live half of a use case: its deployment, predictions, what was said and known of them, windows, alerts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stile.client.scope import Scope

_PAGE = 500


class LiveVerbs(Scope):
    """Deployment, predictions, feedback, outcomes, windows and alerts of one use case."""

    def deployment(self, after: int | None = None, wait_s: float = 0.0) -> dict[str, Any]:
        """What a gateway should run; with ``after`` waits up to ``wait_s`` for a newer revision."""
        answer: dict[str, Any] = self._session.get(
            self._path("deployment"), after=after, wait=wait_s or None, timeout_s=wait_s + 30.0
        )
        return answer

    def predictions(self, *, after: int = 0, limit: int = 100, role: str = "champion") -> list[dict[str, Any]]:
        """Answers given by gateways, in order of arrival; ``role``: champion, challenger, shadow or all."""
        return self._list("predictions", after=after or None, limit=limit, role=role)

    def labelled(self, *, source: str = "") -> Iterator[dict[str, Any]]:
        """Predictions of the champion whose outcome is known (told by ``source`` when given), oldest first."""
        after = 0
        while page := self.predictions(after=after, limit=_PAGE):
            for one in page:
                if one.get("outcome") is not None and source in ("", one.get("source")):
                    yield one
            after = max(int(one["position"]) for one in page)

    def add_outcomes(self, outcomes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Record what turned out true: ``{"prediction", "outcome", "source", "at"?}`` each."""
        return self._post("outcomes", {"outcomes": [dict(outcome) for outcome in outcomes]})

    def feedback_queue(self) -> list[dict[str, Any]]:
        """Predictions a person should look at, most useful first."""
        return self._list("feedback-queue")

    def close_window(self, until: int | None = None, *, wait_s: float = 30.0) -> dict[str, Any]:
        """Close the open window of live traffic now; waits up to ``wait_s`` for its evidence and verdicts."""
        window = self._post("windows", {} if until is None else {"until": until})
        ends = time.monotonic() + wait_s
        while window.get("state") == "closing" and time.monotonic() < ends:
            time.sleep(0.1)
            window = next((one for one in self.windows() if one["id"] == window["id"]), window)
        return window

    def windows(self) -> list[dict[str, Any]]:
        """Closed windows."""
        return self._list("windows")

    def alerts(self) -> list[dict[str, Any]]:
        """Breaches on live traffic."""
        return self._list("alerts")
