"""All runs that match a search as one CSV file, in the order shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
from starlette.responses import Response

from stile.edge.call import Call
from stile.store.database import Tx
from stile.train import experiments, logged_keys
from stile.train.experiment_records import Experiment
from stile.train.filter_text import key_text
from stile.train.run_search import RowPage
from stile.train.run_table import TableRow
from stile.web import csv
from stile.web.pages import runs_asked, runs_found, runs_view
from stile.web.pages.runs_asked import TOOK, Asked, Column, asked

EVERYTHING = "all"
"""As the only column: everything that was logged."""

_PER_READ = 1000
_MOST_KEYS = 2000


async def answer(call: Call) -> Response:
    """The file. Columns as shown, or everything logged; with a baseline also the differences from it."""
    state = asked(call.request.query_params)
    id = call.path("experiment_id")

    def begin(tx: Tx) -> tuple[Experiment, list[Column], TableRow | None]:
        experiment = experiments.get(tx, id)
        columns = _columns(tx, experiment, state)
        pinned = runs_found.baseline(tx, state.baseline)
        return experiment, columns, next(iter(runs_found.table(tx, [pinned] if pinned else [], columns)), None)

    experiment, columns, baseline = await call.read(begin)

    async def pages() -> AsyncIterator[list[list[csv.Cell]]]:
        now = msgspec.structs.replace(state, after="", before="")
        while True:

            def read(tx: Tx, now: Asked = now) -> tuple[RowPage, list[TableRow]]:
                page = runs_found.page(tx, experiment, now, _PER_READ)
                return page, runs_found.table(tx, page.rows, columns)

            page, rows = await call.read(read)
            yield [_line(row, columns, baseline) for row in rows]
            if not page.following:
                return
            now = msgspec.structs.replace(now, after=page.following)

    heads = ["run_id", "name", *("took_ms" if each.kind == "took" else each.text for each in columns)]
    if baseline:
        heads += [f"{each.text} minus baseline" for each in columns if each.kind == "metric"]
    return await csv.stream(f"{experiment.name} runs", heads, pages())


def _columns(tx: Tx, experiment: Experiment, state: Asked) -> list[Column]:
    if state.columns == (EVERYTHING,):
        row = experiment.row_id
        keys = [key_text("metric", key) for key in logged_keys.keys(tx, "latest", row, most=_MOST_KEYS)]
        keys += [key_text("param", key) for key in logged_keys.keys(tx, "params", row, most=_MOST_KEYS)]
        keys += [key_text("tag", key) for key in logged_keys.keys(tx, "run_tags", row, most=_MOST_KEYS)]
        return [runs_asked.column(text) for text in ("status", "user_id", "start_time", "end_time", TOOK, *keys)]
    if state.columns:
        return runs_asked.columns(list(state.columns))
    first = runs_found.page(tx, experiment, msgspec.structs.replace(state, after="", before=""))
    return runs_found.columns(tx, experiment, first.rows, ())[0]


def _line(row: TableRow, columns: Sequence[Column], baseline: TableRow | None) -> list[csv.Cell]:
    line: list[csv.Cell] = [row.run_id, row.name]
    for each in columns:
        value = runs_view.value_of(row, each)
        line.append(runs_view.iso(value) if each.kind == "time" and isinstance(value, int) else value)
    if baseline:
        line += [runs_view.difference(row, each, baseline) for each in columns if each.kind == "metric"]
    return line
