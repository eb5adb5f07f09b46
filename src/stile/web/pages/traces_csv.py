"""All traces that match a search as one CSV file, in the order shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from starlette.responses import Response

from stile.edge.call import Call
from stile.store.database import Tx
from stile.train import experiments, trace_search
from stile.train.trace_search import TracePage
from stile.train.trace_values import TraceInfo
from stile.web import csv
from stile.web.pages.runs_view import iso

_PER_READ = 200
_HEADS = ("trace_id", "name", "state", "started", "took_ms", "request", "response", "assessments")


async def answer(call: Call) -> Response:
    """The file; what was said about a trace stands in one cell, as JSON by name."""
    id, filter, sort = call.path("experiment_id"), call.query("filter"), call.query("sort")
    experiment = await call.read(lambda tx: experiments.get(tx, id))

    async def pages() -> AsyncIterator[list[list[csv.Cell]]]:
        token = ""
        while True:

            def read(tx: Tx, token: str = token) -> TracePage:
                return trace_search.search(
                    tx, experiment_ids=[experiment.experiment_id], filter=filter, order_by=[sort] if sort else (),
                    max_results=_PER_READ, page_token=token,
                )  # fmt: skip

            page = await call.read(read)
            yield [_line(trace) for trace in page.traces]
            if not page.next_page_token:
                return
            token = page.next_page_token

    return await csv.stream(f"{experiment.name} traces", _HEADS, pages())


def _line(trace: TraceInfo) -> list[csv.Cell]:
    said = {one.name: one.value for one in trace.assessments if one.valid}
    return [
        trace.trace_id, trace.name, trace.state, iso(trace.at), trace.took, trace.request, trace.response,
        json.dumps(said, ensure_ascii=False, default=str) if said else None,
    ]  # fmt: skip
