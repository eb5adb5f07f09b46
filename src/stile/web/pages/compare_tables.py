"""The tables of a comparison as CSV files: one row for each run, every column, nothing cut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from starlette.responses import Response

from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.errors import Invalid
from stile.kernel.permission import Permission
from stile.train import run_curves, run_table, runs
from stile.train.run_values import Run
from stile.web import csv
from stile.web.pages import compare_view
from stile.web.pages.compare import PAGE, CompareData, asked_runs, asked_summary
from stile.web.pages.compare_view import KeyRow

_ROWS_PER_PAGE = 10_000
_TABLES: dict[str, Callable[[Sequence[Run]], list[KeyRow]]] = {
    "params": compare_view.params,
    "tags": compare_view.tags,
    "data": compare_view.datasets,
    "environment": compare_view.environments,
}


def _asked(call: Call) -> list[str]:
    asked = asked_runs(call)
    if not asked:
        raise Invalid("Say which runs: run=ID&run=ID.")
    return asked


def _keys(name: str) -> Route:
    """The route of one table of texts."""

    async def answer(call: Call) -> Response:
        asked = _asked(call)
        found = await call.read(lambda tx: run_curves.several(tx, asked))
        rows = _TABLES[name](found)
        lines = [(run.info.run_id, run.info.name, *(row.values[at] for row in rows)) for at, run in enumerate(found)]
        return csv.answer(f"runs {name}", ("run_id", "run", *(row.key for row in rows)), lines)

    return Route("GET", f"/compare/{name}.csv", Permission.READ, answer)


async def _runs(call: Call) -> Response:
    """The compared runs themselves, in the order of the page."""
    _asked(call)
    data: CompareData = await call.read(lambda tx: PAGE.load(tx, call))
    lines = [
        (run.run_id, run.name, run.experiment, run.status, run.created_by, run.start_time, run.took_ms)
        for run in data.runs
    ]
    return csv.answer("runs", ("run_id", "run", "experiment", "status", "by", "started_ms", "took_ms"), lines)


async def _metrics(call: Call) -> Response:
    asked = _asked(call)
    summary = asked_summary(call)
    found = await call.read(lambda tx: run_table.summed_up(tx, run_curves.several(tx, asked), summary))
    keys = sorted({metric.key for run in found for metric in run.metrics})
    lines = [(run.info.run_id, run.info.name, *(run.metric(key) for key in keys)) for run in found]
    return csv.answer("runs metrics", ("run_id", "run", *keys), lines)


async def _slices(call: Call) -> Response:
    """The slice matrix as it is on the page: one row for each run and slice."""
    _asked(call)
    data: CompareData = await call.read(lambda tx: PAGE.load(tx, call))
    lines = [
        (run.run_id, run.name, row.name, data.slice_metric, cell.value, cell.low, cell.high, cell.n)
        for row in data.slices for run, cell in zip(data.runs, row.cells, strict=True) if cell is not None
    ]  # fmt: skip
    return csv.answer("runs slices", ("run_id", "run", "slice", "metric", "value", "low", "high", "rows"), lines)


async def _curves(call: Call) -> Response:
    """Every point of one metric of each run."""
    asked, key = _asked(call), call.query("key")
    if not key:
        raise Invalid("Say which metric: key=loss.")
    found = await call.read(lambda tx: run_curves.several(tx, asked))

    async def pages() -> AsyncIterator[list[tuple[str, str, int, int, float]]]:
        for run in found:
            times, steps, values = await call.read(partial(runs.columns, run_id=run.info.run_id, key=key))
            for start in range(0, len(steps), _ROWS_PER_PAGE):
                end = start + _ROWS_PER_PAGE
                part = zip(steps[start:end], times[start:end], values[start:end], strict=True)
                yield [(run.info.run_id, run.info.name, *point) for point in part]

    return await csv.stream(f"runs {key}", ("run_id", "run", "step", "time_ms", "value"), pages())


ROUTES = [
    *(_keys(name) for name in _TABLES),
    Route("GET", "/compare/runs.csv", Permission.READ, _runs),
    Route("GET", "/compare/metrics.csv", Permission.READ, _metrics),
    Route("GET", "/compare/slices.csv", Permission.READ, _slices),
    Route("GET", "/compare/curves.csv", Permission.READ, _curves),
]
