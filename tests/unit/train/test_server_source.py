"""Servers that cannot tell everything: what they do not tell is told as an omission."""

from __future__ import annotations

from typing import Any, cast

from stile.client.session import Session
from stile.kernel.errors import Invalid
from stile.train.moving.server_source import ServerSource
from stile.train.moving.values import MovedExperiment


class Older:
    """A server with one trace of one run, which cannot search for the traces of a run."""

    url = "http://older"

    def post(self, path: str, body: dict[str, Any], timeout_s: float | None = None) -> Any:
        if path.endswith("/runs/search"):
            return {"runs": [{"info": {"run_id": "r1"}}]}
        if "filter" in body:
            raise Invalid("Invalid attribute key 'run_id'.")
        return {"traces": [{"trace_id": "tr-1", "state": "OK"}]}

    def call(self, method: str, path: str, **more: Any) -> Any:
        return {"traces": []}


def test_traces_come_without_their_runs_when_the_server_cannot_search_for_them() -> None:
    source = ServerSource(cast("Session", Older()))
    traces = list(source.traces(MovedExperiment(id="1", name="one")))
    assert [(trace.trace_id, trace.state, trace.runs) for trace in traces] == [("tr-1", "OK", [])]
    assert [(one.what, one.name) for one in source.omissions()] == [("links of traces to runs", "experiment 1")]
