"""What the address of a page of runs asks for, and the addresses of its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
from starlette.datastructures import QueryParams

from stile.kernel.errors import Invalid
from stile.train import metric_summary, saved_views
from stile.train.filter_text import key_text
from stile.train.filters import Entity
from stile.train.metric_summary import Summary, order_text, parse_order, split, written
from stile.train.run_search import WORDS
from stile.train.saved_view_records import Query

Kind = Literal["metric", "text", "state", "time", "took"]

TOOK = "took"
_KINDS: dict[str, Kind] = {"status": "state", "start_time": "time", "end_time": "time"}
_TITLES = {
    "status": "state", "user_id": "user", "start_time": "started", "end_time": "ended", "run_id": "id",
    "run_name": "name", "artifact_uri": "files",
}  # fmt: skip
ALWAYS = ("status", "start_time")
"""What every table shows beside the chosen metrics and parameters."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a page of runs, all of it in its address.

    Attributes:
        columns: left sides such as ``metrics.auc`` or ``max(metrics.auc)``, and ``took``; none for those chosen
            automatically.
        lifecycle: ``deleted`` for deleted runs, '' for those that are not.
        view: number of the saved view this was opened from, '' for none.
        after, before: where the page begins, or ends.
    """

    filter: str = ""
    columns: tuple[str, ...] = ()
    sort: str = ""
    baseline: str = ""
    lifecycle: str = ""
    view: str = ""
    after: str = ""
    before: str = ""

    @property
    def query(self) -> Query:
        """What a saved view keeps of it."""
        return Query(
            filter=self.filter, columns=list(self.columns), sort=self.sort, baseline=self.baseline,
            lifecycle=self.lifecycle,
        )  # fmt: skip


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column: what it shows, its head, and by what it is sorted ('' when it cannot be).

    Attributes:
        summary: which value of a metric stands for its series.
    """

    text: str
    kind: Kind
    entity: Entity = "attribute"
    key: str = ""
    title: str = ""
    sort: str = ""
    summary: Summary = "last"

    @property
    def value_key(self) -> str:
        """What its values are found under in a row: the key, or for a summary the key inside it."""
        return written(self.summary, self.key)

    @property
    def choices(self) -> list[tuple[Summary, str]]:
        """What else a metric could be summed up by, and the column that does."""
        left = key_text(self.entity, self.key)
        return [(each, written(each, left)) for each in metric_summary.choices(self.key)]


def asked(parameters: QueryParams) -> Asked:
    """The state in an address. Columns may be given one by one or separated by commas."""
    columns = [each.strip() for given in parameters.getlist("cols") for each in given.split(",")]
    return Asked(
        filter=parameters.get("filter", ""),
        columns=tuple(each for each in columns if each),
        sort=parameters.get("sort", ""),
        baseline=parameters.get("baseline", ""),
        lifecycle=parameters.get("lifecycle", ""),
        view=parameters.get("view", ""),
        after=parameters.get("cursor", ""),
        before=parameters.get("before", ""),
    )


def address(path: str, state: Asked, **changes: Any) -> str:
    """The address of a state with some changes; a change of what is searched begins at the first page."""
    if not {"after", "before"} & set(changes) and set(changes) & {"filter", "sort", "lifecycle"}:
        changes |= {"after": "", "before": ""}
    now = msgspec.structs.replace(state, **changes)
    pairs = {
        "filter": now.filter, "sort": now.sort, "cols": ",".join(now.columns), "baseline": now.baseline,
        "lifecycle": now.lifecycle, "view": now.view, "cursor": now.after, "before": now.before,
    }  # fmt: skip
    text = query_text(pairs)
    return f"{path}?{text}" if text else path


def query_text(pairs: Mapping[str, str]) -> str:
    """The pairs that have a value, as a query."""
    return urlencode({name: value for name, value in pairs.items() if value})


def of_view(query: Query, id: int) -> Asked:
    """The state a saved view opens."""
    return Asked(
        filter=query.filter, columns=tuple(query.columns), sort=query.sort, baseline=query.baseline,
        lifecycle=query.lifecycle, view=str(id),
    )  # fmt: skip


def column(text: str) -> Column:
    """The column of one left side.

    Raises:
        Invalid: it names nothing that could be a column.
    """
    if text == TOOK:
        return Column(text=TOOK, kind="took", title="took")
    found = parse_order(text, WORDS)
    name = key_text(found.entity, found.key)
    if found.entity == "attribute":
        return Column(
            text=name, kind=_KINDS.get(found.key, "text"), key=found.key, title=_TITLES.get(found.key, found.key),
            sort=name,
        )  # fmt: skip
    if found.entity == "metric":
        summary = split(text)[0]
        return Column(
            text=written(summary, name), kind="metric", entity="metric", key=found.key, title=found.key,
            sort=order_text(found, name), summary=summary,
        )  # fmt: skip
    return Column(text=name, kind="text", entity=found.entity, key=found.key, title=found.key, sort=name)


def columns(texts: list[str]) -> list[Column]:
    """Columns in order, each once.

    Raises:
        Invalid: there are too many, or one names nothing.
    """
    found = {each.text: each for each in map(column, saved_views.check_columns(texts))}
    return list(found.values())


def sorted_by(sort: str) -> tuple[str, bool]:
    """(left side, ascending) of a sort text; the start, newest first, when it is empty or cannot be read."""
    if sort:
        try:
            order = parse_order(sort, WORDS)
        except Invalid:
            return "", True
        return order_text(order, key_text(order.entity, order.key)), order.ascending
    return "start_time", False
