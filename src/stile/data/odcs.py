"""Contracts as Open Data Contract Standard files: the subset Stile keeps, read strictly where it counts.

Fields of the standard that promise nothing checkable (servers, price, support, ...) are
accepted and not kept. What would be a promise but is not understood (a nested type, an unknown
quality metric or type option) is refused, so that nobody believes it is being checked.

Source: Open Data Contract Standard 3.1.0, sections Schema and Data Quality.
"""

from __future__ import annotations

import math
from datetime import date
from typing import Any, Literal

import msgspec
import yaml

from stile.data import patterns
from stile.data.contract import Contract, ContractColumn, Kind, Part
from stile.kernel.errors import Invalid

API_VERSION = "v3.1.0"
_MAX_CHARACTERS = 256 << 10
_MAX_NAME = 200
_MAX_DEPTH = 40
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times faster, where it was built


class _Custom(msgspec.Struct, frozen=True):
    property: str = ""
    value: Any = None


class _Options(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    min_length: int | None = None
    max_length: int | None = None


class _Arguments(msgspec.Struct, frozen=True, rename="camel"):
    valid_values: list[Any] | None = None


class _Quality(msgspec.Struct, frozen=True, rename="camel"):
    type: str = "library"
    metric: str | None = None
    rule: str | None = None  # the name of ``metric`` before ODCS 3.1
    arguments: _Arguments | None = None
    valid_values: list[Any] | None = None  # where 3.0 had them
    must_be: Any = None
    must_be_greater_than: int | None = None
    must_be_greater_or_equal_to: int | None = None


class _Property(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    logical_type: Kind = "string"
    logical_type_options: _Options | None = None
    description: str | None = None
    required: bool = False
    unique: bool = False
    primary_key: bool = False
    quality: list[_Quality] | None = None
    custom_properties: list[_Custom] | None = None


class _Schema(msgspec.Struct, frozen=True, rename="camel"):
    properties: list[_Property] = []
    name: str = ""
    quality: list[_Quality] | None = None
    custom_properties: list[_Custom] | None = None


class _Document(msgspec.Struct, frozen=True, rename="camel"):
    kind: Literal["DataContract"]
    api_version: str = ""
    schema: list[_Schema] = []
    id: str | int = ""
    name: str = ""
    version: str | int | float = "1.0.0"
    description: Any = None
    custom_properties: list[_Custom] | None = None


def read_contract(text: str) -> Contract:
    """The contract in an ODCS 3 YAML file.

    Raises:
        Invalid: not YAML, not ODCS 3, or it promises something that cannot be checked; says where.
    """
    document = _document(text)
    if not document.api_version.startswith("v3."):
        raise Invalid(f"apiVersion must be a version 3 of ODCS, e.g. {API_VERSION}.")
    if len(document.schema) != 1:
        raise Invalid("The contract must describe exactly one table under 'schema'.")
    table = document.schema[0]
    if not table.properties:
        raise Invalid("The contract names no columns: add them under schema[0].properties.")
    columns = [_column(one) for one in table.properties]
    _check_columns(columns)
    says = document.description.get("purpose") if isinstance(document.description, dict) else document.description
    return Contract(
        name=table.name or document.name or str(document.id) or "table",
        version=str(document.version),
        says=says if isinstance(says, str) else "",
        owner=_custom(document.custom_properties, "owner"),
        columns=columns,
        extra_columns=_custom(table.custom_properties, "extraColumns") == "allow",
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


def _document(text: str) -> _Document:
    if len(text) > _MAX_CHARACTERS:
        raise Invalid(f"A contract may be at most {_MAX_CHARACTERS} characters long.")
    try:
        _refuse_traps(text)
        plain = yaml.load(text, _LOADER)  # noqa: S506  (both are safe loaders)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid(f"The contract is not valid YAML: {error}.") from error
    if not isinstance(plain, dict) or plain.get("kind") != "DataContract":
        raise Invalid("This is not an ODCS contract: 'kind: DataContract' is missing at the top.")
    try:
        return msgspec.convert(plain, _Document)
    except (msgspec.ValidationError, TypeError) as error:
        raise Invalid(f"The contract promises something that cannot be checked: {error}.") from error


def _refuse_traps(text: str) -> None:
    """Aliases make a small file large, and deep nesting exhausts the stack: both are found before anything is built."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise Invalid("The contract uses a YAML alias (*name). Write the value out instead.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise Invalid(f"The contract is nested more than {_MAX_DEPTH} levels deep.")


def _column(one: _Property) -> ContractColumn:
    if not one.name.strip() or len(one.name) > _MAX_NAME:
        raise Invalid(f"A column needs a name of 1 to {_MAX_NAME} characters.")
    options = one.logical_type_options or _Options()
    for limit in (options.minimum, options.maximum):
        if limit is not None and not math.isfinite(limit):
            raise Invalid(f"{one.name}: a limit must be a finite number. Leave it out for no limit.")
    if options.pattern:
        try:
            patterns.compiled(options.pattern)
        except Invalid as error:
            raise Invalid(f"{one.name}: {error.message}.") from error
    part = _part(one)
    return ContractColumn(
        name=one.name,
        kind=one.logical_type,
        part=part,
        required=one.required or part == "key",
        minimum=options.minimum,
        maximum=options.maximum,
        allowed=_allowed(one),
        pattern=options.pattern,
        min_length=options.min_length,
        max_length=options.max_length,
        unique=one.unique or part == "key",
        says=one.description or "",
        unit=_custom(one.custom_properties, "unit"),
    )


def _part(one: _Property) -> Part:
    named = _custom(one.custom_properties, "part") or ("key" if one.primary_key else "feature")
    try:
        part: Part = msgspec.convert(named, Part)
    except msgspec.ValidationError:
        raise Invalid(f"{one.name}: part {named!r} is not one of: feature, target, key, ignored.") from None
    return part


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


def _allowed(one: _Property) -> list[str]:
    for check in one.quality or []:
        if check.type == "text":
            continue
        metric = check.metric or check.rule
        if metric != "invalidValues" or check.must_be != 0:
            raise Invalid(
                f"{one.name}: the quality check {metric!r} cannot be carried out. "
                "A column knows 'invalidValues' with 'mustBe: 0'; else use required, unique, logicalTypeOptions."
            )
        values = check.valid_values if check.arguments is None else check.arguments.valid_values
        if not values or not all(isinstance(value, str | int | float | date) for value in values):
            raise Invalid(f"{one.name}: invalidValues needs a list of plain values under arguments.validValues.")
        return [_value_text(value) for value in values]
    return []


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _min_rows(table: _Schema) -> int:
    fewest = 1
    for check in table.quality or []:
        if check.type == "text":
            continue
        least, more = check.must_be_greater_or_equal_to, check.must_be_greater_than
        if (check.metric or check.rule) != "rowCount" or (least is None and more is None):
            raise Invalid(
                "A table's quality may hold 'rowCount' with mustBeGreaterThan or mustBeGreaterOrEqualTo only."
            )
        fewest = least if least is not None else (more or 0) + 1
    return fewest


def _custom(properties: list[_Custom] | None, name: str) -> str:
    found = next((one.value for one in properties or [] if one.property == name), "")
    return found if isinstance(found, str) else ""


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
