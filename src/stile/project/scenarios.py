"""``scenarios.yaml``: named changes of the test table, each a question about what the model does then.

    scenarios:
      - name: radius-sensor-missing
        says: The radius sensor is down and its column is filled with the training median.
        change:
          - {column: mean radius, set: training_median}

A change names one column and does one thing: ``set`` it to a value, to ``training_median``,
``training_most_common`` or ``missing``; ``scale`` it by a factor; ``add`` an amount to it.
``when: {column: value}`` limits the change to the rows of one subgroup.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import yaml

from stile.data.table import Column, Table, text_of
from stile.kernel.errors import Invalid


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change of one column; exactly one of ``set``, ``scale`` and ``add`` is given."""

    column: str
    set: str | float | None = None
    scale: float | None = None
    add: float | None = None
    when: dict[str, str | float] = {}


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named question about the model: what if the table looked like this?"""

    name: str
    says: str
    change: list[Change]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    scenarios: list[Scenario] = []


def read_scenarios(text: str) -> list[Scenario]:
    """The scenarios in a YAML text; an empty text holds none.

    Raises:
        Invalid: it cannot be read, a name comes twice, or a change does nothing or two things at once.
    """
    try:
        found = msgspec.convert(yaml.safe_load(text) or {}, _File).scenarios
    except yaml.YAMLError as error:
        raise Invalid(f"scenarios.yaml is not valid YAML: {error}.") from error
    except msgspec.ValidationError as error:
        raise Invalid(f"scenarios.yaml does not fit: {error}.") from error
    names = [scenario.name for scenario in found]
    for scenario in found:
        if names.count(scenario.name) > 1:
            raise Invalid(f"scenarios.yaml names {scenario.name!r} twice.")
        if not scenario.name or not all(c.isalnum() or c in "-_." for c in scenario.name):
            raise Invalid(f"{scenario.name!r} cannot name a scenario: use letters, digits, '-', '_' and '.'.")
        for change in scenario.change:
            if sum(part is not None for part in (change.set, change.scale, change.add)) != 1:
                raise Invalid(f"{scenario.name}: the change of {change.column!r} needs exactly one of set, scale, add.")
    return found


def transform(scenario: Scenario, test: Table, train: Table) -> Table:
    """The test table after the scenario's changes; training data only gives medians and most common values.

    Raises:
        Invalid: a column does not exist, or a change does not fit its type.
    """
    changed = test
    for change in scenario.change:
        column = _changed(scenario.name, change, changed, train)
        changed = changed.with_column(change.column, column)
    return changed


def _changed(scenario: str, change: Change, table: Table, train: Table) -> Column:
    import numpy as np  # noqa: PLC0415  (heavy; the command line imports this module)

    if change.column not in table:
        known = ", ".join(table.names[:20])
        raise Invalid(f"{scenario}: there is no column {change.column!r}. The table has: {known}.")
    numeric = table.is_numeric(change.column)
    if not numeric and change.set is None:
        raise Invalid(f"{scenario}: {change.column!r} holds text, so it can be set but not scaled or added to.")
    old = table.columns[change.column]
    rows = np.ones(table.rows, dtype=np.bool_)
    for name, value in change.when.items():
        wanted = _text(value)
        rows &= np.asarray([cell == wanted for cell in table.texts(name)], dtype=np.bool_)
    new = old.copy()
    if change.scale is not None:
        new[rows] = old[rows] * change.scale
    elif change.add is not None:
        new[rows] = old[rows] + change.add
    else:
        new[rows] = _setting(scenario, change, train, numeric=numeric)
    return new


def _setting(scenario: str, change: Change, train: Table, *, numeric: bool) -> Any:
    import numpy as np  # noqa: PLC0415

    value = change.set
    if value == "missing":
        return np.nan if numeric else None
    if value == "training_median" and numeric:
        return float(np.nanmedian(train.numbers(change.column)))
    if value == "training_most_common":
        known = [cell for cell in train.columns[change.column].tolist() if text_of(cell) is not None]
        return Counter(known).most_common(1)[0][0]
    if numeric and isinstance(value, str):
        raise Invalid(
            f"{scenario}: {change.column!r} holds numbers; set it to a number, training_median, "
            f"training_most_common or missing, not to {value!r}."
        )
    return value if numeric else _text(value)


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
