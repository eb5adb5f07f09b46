"""Verbs on saved views: everybody keeps their own; those who may log to experiments may share them.

A private view is seen, changed and deleted by its owner alone. A shared one is seen by everybody who
sees the experiment, and changed by its owner; an operator may take it away.
"""

from __future__ import annotations

import msgspec

from stile.kernel.errors import Exists, Forbidden, Invalid, Missing
from stile.kernel.permission import Permission, Principal, may
from stile.store.database import Tx
from stile.train import experiments, limits, metric_summary
from stile.train import saved_view_records as records
from stile.train.filters import parse_filter
from stile.train.run_search import WORDS
from stile.train.saved_view_records import Query, SavedView

MOST_PER_PERSON = 100
MOST_COLUMNS = 60
_NAME_LENGTH = 80


def listing(tx: Tx, experiment_id: str, by: Principal) -> list[SavedView]:
    """The views of an experiment somebody may see: their own and the shared ones, by name.

    Raises:
        Missing: there is no such experiment.
    """
    return records.seen_by(tx, experiments.get(tx, experiment_id).row_id, by.name)


def get(tx: Tx, experiment_id: str, id: int, by: Principal) -> SavedView:
    """One view.

    Raises:
        Missing: there is none of this number here, or it is somebody else's and not shared.
    """
    found = records.find(tx, experiments.get(tx, experiment_id).row_id, id)
    if found is None or not (found.shared or found.owner == by.name):
        raise Missing("There is no such view here. It was deleted, or it belongs to somebody who does not share it.")
    return found


def save(tx: Tx, experiment_id: str, *, name: str, query: Query, shared: bool, by: Principal) -> SavedView:
    """Keep a search under a name.

    Raises:
        Missing: there is no such experiment.
        Exists: the person has a view of this name here.
        Invalid: the name or a part of the search cannot be used.
        Forbidden: sharing takes the right to log to experiments.
    """
    experiment = experiments.get(tx, experiment_id).row_id
    _check(name, query, shared=shared, by=by)
    if records.named(tx, experiment, by.name, name) is not None:
        raise Exists(f"You have a view named {name!r} here. Choose another name, or change that one.")
    if records.count(tx, experiment, by.name) >= MOST_PER_PERSON:
        raise Invalid(f"You keep {MOST_PER_PERSON} views here, the most there may be. Delete some first.")
    id = records.insert(tx, experiment=experiment, name=name, owner=by.name, shared=shared, query=query)
    return get(tx, experiment_id, id, by)


def change(
    tx: Tx,
    experiment_id: str,
    id: int,
    *,
    by: Principal,
    name: str | None = None,
    query: Query | None = None,
    shared: bool | None = None,
) -> SavedView:
    """Rename a view, change what it shows, or share it; what is None stays.

    Raises:
        Missing: as in ``get``.
        Forbidden: it belongs to somebody else, or sharing takes a right the person does not have.
        Exists, Invalid: as in ``save``.
    """
    found = get(tx, experiment_id, id, by)
    if found.owner != by.name:
        raise Forbidden(f"This view belongs to {found.owner}. Save one of your own to change it.")
    kept = msgspec.structs.replace(
        found,
        name=found.name if name is None else name,
        query=found.query if query is None else query,
        shared=found.shared if shared is None else shared,
    )
    _check(kept.name, kept.query, shared=kept.shared and not found.shared, by=by)
    taken = records.named(tx, int(found.experiment_id), by.name, kept.name)
    if taken not in (None, id):
        raise Exists(f"You have another view named {kept.name!r} here. Choose another name.")
    records.update(tx, id, name=kept.name, shared=kept.shared, query=kept.query)
    return get(tx, experiment_id, id, by)


def delete(tx: Tx, experiment_id: str, id: int, *, by: Principal) -> None:
    """Take a view away.

    Raises:
        Missing: as in ``get``.
        Forbidden: it belongs to somebody else, and the person is no operator.
    """
    found = get(tx, experiment_id, id, by)
    if found.owner != by.name and not may(by, Permission.OPERATE).allowed:
        raise Forbidden(f"This view belongs to {found.owner}, who alone may delete it (or an operator).")
    records.delete(tx, id)


def check_columns(columns: list[str]) -> list[str]:
    """The columns, without those that are named twice.

    Raises:
        Invalid: there are too many, or one names nothing that could be a column.
    """
    if len(columns) > MOST_COLUMNS:
        raise Invalid(f"A table shows at most {MOST_COLUMNS} columns; {len(columns)} are asked for.")
    for column in columns:
        if column != "took":
            metric_summary.parse_order(column, WORDS)
    return list(dict.fromkeys(columns))


def check_lifecycle(lifecycle: str) -> None:
    """Refuse what is neither ``deleted`` nor empty.

    Raises:
        Invalid: it is something else.
    """
    if lifecycle not in ("", "deleted"):
        raise Invalid("A table shows runs that are not deleted, or with lifecycle=deleted those that are.")


def _check(name: str, query: Query, *, shared: bool, by: Principal) -> None:
    if not name.strip() or name != name.strip() or not name.isprintable():
        raise Invalid("A view needs a name: a few words on one line, without blanks around them.")
    limits.check_length("View name", name, _NAME_LENGTH)
    parse_filter(query.filter, WORDS)
    if query.sort:
        metric_summary.parse_order(query.sort, WORDS)
    check_columns(query.columns)
    check_lifecycle(query.lifecycle)
    if query.baseline:
        limits.check_run_id(query.baseline)
    if shared and not may(by, Permission.TRACK).allowed:
        raise Forbidden("Sharing a view takes a role that logs runs. Keep it for yourself, or ask for such a role.")
