"""All experiments that a search finds as one CSV file, in the order shown."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import Response

from stile.edge.call import Call
from stile.store.database import Tx
from stile.train import experiment_list, saved_views
from stile.train.experiment_list import Listed, ListPage
from stile.web import csv
from stile.web.pages import experiments
from stile.web.pages.runs_view import iso

_PER_READ = 500
_HEADS = ("experiment_id", "name", "runs", "last_run", "created", "created_by", "note")


async def answer(call: Call) -> Response:
    """The file. Runs are counted up to 1000; what has more says ``>1000``."""
    lifecycle, text = call.query("lifecycle"), experiments.asked_text(call)
    use_case = call.query("use_case")
    saved_views.check_lifecycle(lifecycle)

    async def pages() -> AsyncIterator[list[list[csv.Cell]]]:
        after = ""
        while True:

            def read(tx: Tx, after: str = after) -> ListPage:
                if use_case:
                    return ListPage(experiments=experiments.of_use_case(tx, use_case))
                return experiment_list.page(tx, text=text, deleted=bool(lifecycle), limit=_PER_READ, after=after)

            page = await call.read(read)
            yield [_line(row) for row in page.experiments]
            if not page.following:
                return
            after = page.following

    return await csv.stream(f"{use_case} experiments" if use_case else "experiments", _HEADS, pages())


def _line(row: Listed) -> list[csv.Cell]:
    each = row.experiment
    return [
        each.experiment_id, each.name, f">{row.runs}" if row.more else row.runs,
        iso(row.last_run_at) if row.last_run_at else None, iso(each.created_at), each.created_by,
        each.tags.get(experiments.NOTE_TAG),
    ]  # fmt: skip
