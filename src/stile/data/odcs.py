"""Contracts as Open Data Contract Standard files: the subset Stile keeps, read strictly where it counts.

Fields of the standard that promise nothing checkable (servers, price, support, ...) are
accepted and not kept. What would be a promise but is not understood (a nested type, an unknown
quality metric) is refused, so that nobody believes it is being checked.

Source: Open Data Contract Standard 3.1.0, sections Schema and Data Quality.
"""

from __future__ import annotations

import re
from typing import Any, get_args

import yaml

from stile.data.contract import Contract, ContractColumn, Kind, Part
from stile.kernel.errors import Invalid

API_VERSION = "v3.1.0"
_KINDS = frozenset(get_args(Kind))
_PARTS = frozenset(get_args(Part))
_MAX_BYTES = 2 << 20


def read_contract(text: str) -> Contract:
    """The contract in an ODCS 3 YAML file.

    Raises:
        Invalid: not YAML, not ODCS 3, or it promises something that cannot be checked; says where.
    """
    if len(text) > _MAX_BYTES:
        raise Invalid(f"A contract may be at most {_MAX_BYTES} characters long.")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise Invalid(f"The contract is not valid YAML: {error}.") from error
    if not isinstance(document, dict) or document.get("kind") != "DataContract":
        raise Invalid("This is not an ODCS contract: 'kind: DataContract' is missing at the top.")
    if not str(document.get("apiVersion", "")).startswith("v3."):
        raise Invalid(f"apiVersion must be a version 3 of ODCS, e.g. {API_VERSION}.")
    tables = document.get("schema")
    if not isinstance(tables, list) or len(tables) != 1 or not isinstance(tables[0], dict):
        raise Invalid("The contract must describe exactly one table under 'schema'.")
    table = tables[0]
    properties = table.get("properties")
    if not isinstance(properties, list) or not properties:
        raise Invalid("The contract names no columns: add them under schema[0].properties.")
    columns = [_column(place, one) for place, one in enumerate(properties)]
    _check_columns(columns)
    description = document.get("description")
    return Contract(
        name=str(table.get("name") or document.get("name") or document.get("id") or "table"),
        version=str(document.get("version", "1.0.0")),
        says=str(description.get("purpose", "") if isinstance(description, dict) else description or ""),
        owner=str(_custom(document, "owner") or ""),
        columns=columns,
        extra_columns=_custom(table, "extraColumns") == "allow",
        min_rows=_min_rows(table),
    )


def write_contract(contract: Contract) -> str:
    """The contract as ODCS YAML; ``read_contract`` reads back the same promises."""
    table: dict[str, Any] = {
        "name": contract.name,
        "logicalType": "object",
        "physicalType": "table",
        "properties": [_property(column) for column in contract.columns],
        "quality": [{"type": "library", "metric": "rowCount", "mustBeGreaterOrEqualTo": contract.min_rows}],
    }
    if contract.extra_columns:
        table["customProperties"] = [{"property": "extraColumns", "value": "allow"}]
    document: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": contract.name,
        "name": contract.name,
        "version": contract.version,
        "status": "active",
        "description": {"purpose": contract.says},
        "schema": [table],
    }
    if contract.owner:
        document["customProperties"] = [{"property": "owner", "value": contract.owner}]
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _column(place: int, one: Any) -> ContractColumn:
    where = f"schema[0].properties[{place}]"
    if not isinstance(one, dict) or not one.get("name"):
        raise Invalid(f"{where} has no name.")
    name = str(one["name"])
    kind = one.get("logicalType", "string")
    if kind not in _KINDS:
        raise Invalid(
            f"{where} ({name}): logicalType {kind!r} cannot be checked. Use one of: {', '.join(sorted(_KINDS))}."
        )
    options = one.get("logicalTypeOptions") or {}
    if not isinstance(options, dict):
        raise Invalid(f"{where} ({name}): logicalTypeOptions must be a mapping.")
    part: Any = _custom(one, "part") or ("key" if one.get("primaryKey") else "feature")
    if part not in _PARTS:
        raise Invalid(f"{where} ({name}): part {part!r} is not one of: {', '.join(sorted(_PARTS))}.")
    pattern = str(options.get("pattern", ""))
    try:
        re.compile(pattern)
    except re.error as error:
        raise Invalid(f"{where} ({name}): the pattern is not a regular expression: {error}.") from error
    return ContractColumn(
        name=name,
        kind=kind,
        part=part,
        required=bool(one.get("required", False)) or part == "key",
        minimum=_number(options, "minimum", where),
        maximum=_number(options, "maximum", where),
        allowed=_allowed(one, where),
        pattern=pattern,
        min_length=_length(options, "minLength", where),
        max_length=_length(options, "maxLength", where),
        unique=bool(one.get("unique", False)) or part == "key",
        says=str(one.get("description") or ""),
        unit=str(_custom(one, "unit") or ""),
    )


def _property(column: ContractColumn) -> dict[str, Any]:
    one: dict[str, Any] = {"name": column.name, "logicalType": column.kind, "required": column.required}
    if column.says:
        one["description"] = column.says
    if column.part == "key":
        one |= {"primaryKey": True, "primaryKeyPosition": 1}
    if column.unique:
        one["unique"] = True
    options = {
        "minimum": _short(column.minimum),
        "maximum": _short(column.maximum),
        "pattern": column.pattern or None,
        "minLength": column.min_length,
        "maxLength": column.max_length,
    }
    if kept := {key: value for key, value in options.items() if value is not None}:
        one["logicalTypeOptions"] = kept
    if column.allowed:
        one["quality"] = [
            {"type": "library", "metric": "invalidValues", "arguments": {"validValues": column.allowed}, "mustBe": 0}
        ]
    custom = [{"property": "part", "value": column.part}] if column.part not in ("feature", "key") else []
    custom += [{"property": "unit", "value": column.unit}] if column.unit else []
    if custom:
        one["customProperties"] = custom
    return one


def _allowed(one: dict[str, Any], where: str) -> list[str]:
    for check in one.get("quality") or []:
        if not isinstance(check, dict) or check.get("type", "library") == "text":
            continue
        metric = check.get("metric") or check.get("rule")
        if metric != "invalidValues" or check.get("mustBe") != 0:
            raise Invalid(
                f"{where}: the quality check {metric!r} cannot be carried out. "
                "A column knows 'invalidValues' with 'mustBe: 0'; else use required, unique, logicalTypeOptions."
            )
        values = (check.get("arguments") or check).get("validValues")
        if not isinstance(values, list) or not values:
            raise Invalid(f"{where}: invalidValues needs a list under arguments.validValues.")
        return [_value_text(value) for value in values]
    return []


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _min_rows(table: dict[str, Any]) -> int:
    fewest = 1
    for check in table.get("quality") or []:
        if not isinstance(check, dict) or check.get("type", "library") == "text":
            continue
        least, more = check.get("mustBeGreaterOrEqualTo"), check.get("mustBeGreaterThan")
        if check.get("metric", check.get("rule")) != "rowCount" or not isinstance(least or more, int):
            raise Invalid(
                "A table's quality may hold 'rowCount' with mustBeGreaterThan or mustBeGreaterOrEqualTo only."
            )
        fewest = int(least) if least is not None else int(more or 0) + 1
    return fewest


def _custom(element: dict[str, Any], name: str) -> Any:
    for one in element.get("customProperties") or []:
        if isinstance(one, dict) and one.get("property") == name:
            return one.get("value")
    return None


def _number(options: dict[str, Any], name: str, where: str) -> float | None:
    value = options.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise Invalid(f"{where}: {name} must be a number, not {value!r}.")


def _length(options: dict[str, Any], name: str, where: str) -> int | None:
    value = _number(options, name, where)
    return None if value is None else int(value)


def _short(value: float | None) -> float | int | None:
    return int(value) if value is not None and float(value).is_integer() else value


def _check_columns(columns: list[ContractColumn]) -> None:
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"The contract names these columns twice: {', '.join(twice)}.")
    for part in ("target", "key"):
        several = [column.name for column in columns if column.part == part]
        if len(several) > 1:
            raise Invalid(f"Only one column can be the {part}, but these are: {', '.join(several)}.")
    for column in columns:
        if column.minimum is not None and column.maximum is not None and column.minimum > column.maximum:
            raise Invalid(f"{column.name}: minimum {column.minimum:g} is above maximum {column.maximum:g}.")
