"""Help with the search field: what may come next, and what may have been meant."""

from __future__ import annotations

from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.store.database import Tx
from stile.train import experiments, filter_completion, logged_keys, run_facets
from stile.train.filter_completion import Completion, Expected, Keys
from stile.train.run_facets import FacetValue
from stile.train.run_search import WORDS
from stile.train.run_values import STATUSES

_MOST_VALUES = 30
_MOST_TEXT = 20_000
_TABLES: dict[str, logged_keys.Table] = {"metric": "latest", "param": "params", "tag": "run_tags"}


def keys(tx: Tx, experiment: int) -> Keys:
    """Every key that was logged to an experiment."""
    return Keys(
        metrics=list(logged_keys.keys(tx, "latest", experiment)),
        params=list(logged_keys.keys(tx, "params", experiment)),
        tags=list(logged_keys.keys(tx, "run_tags", experiment)),
    )


async def completions(call: Call) -> Response:
    """What may come next in a filter: ``filter`` is the text of the field, ``at`` the caret."""
    text, id = call.query("filter")[:_MOST_TEXT], call.path("experiment_id")
    wanted = filter_completion.expected(text, call.query_int("at", len(text), high=_MOST_TEXT), WORDS)

    def look(tx: Tx) -> list[Completion]:
        experiment = experiments.get(tx, id).row_id
        if wanted.kind in ("value", "list"):
            return filter_completion.completions(wanted, WORDS, Keys(), _values(tx, experiment, wanted))
        known = keys(tx, experiment) if wanted.kind == "key" else Keys()
        return filter_completion.completions(wanted, WORDS, known)

    found = await call.read(look)
    return json_response({"start": wanted.start, "kind": wanted.kind, "completions": found})


def _values(tx: Tx, experiment: int, wanted: Expected) -> list[tuple[str, str]]:
    """Values that were logged under a key: all of few, the ends of a number, those that begin so of many."""
    counted = run_facets.values(tx, experiment, wanted.entity, wanted.key)
    found = [(each.value, _runs(each)) for each in counted]
    if wanted.entity == "attribute" and wanted.key == "status":
        known = {value for value, _ in found}
        return found + [(status, "no run") for status in STATUSES if status not in known]
    table = _TABLES.get(wanted.entity)
    number = logged_keys.keys(tx, table, experiment).get(wanted.key) if table and not found else None
    if table is None or number is None:
        return found
    if wanted.entity == "metric":
        ends = logged_keys.extremes(tx, experiment, number)
        return [(repr(ends[0]), "least"), (repr(ends[1]), "greatest")] if ends else []
    begun = wanted.begun.strip("'\"")
    first = logged_keys.values(tx, table, experiment, number, most=_MOST_VALUES)
    if begun and len(first) == _MOST_VALUES:
        first += logged_keys.values(tx, table, experiment, number, most=_MOST_VALUES, begun=begun)
    return [(value, "") for value in dict.fromkeys(first) if len(value) < logged_keys.SHOWN_LETTERS]


def _runs(value: FacetValue) -> str:
    return f"{value.count}{'+' if value.more else ''} {'run' if value.count == 1 and not value.more else 'runs'}"
