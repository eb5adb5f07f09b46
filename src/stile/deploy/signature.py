"""What a model takes: columns in order, compiled once at load from MLflow's MLmodel file.

Everything a request needs is looked up here (position of a column, its kind, whether it may be
absent), so that answering one row costs one array and no DataFrame.

Source: MLflow model signature, column specs (`type`, `name`, `required`) and tensor specs
(`dtype`, `shape`), mlflow.types.schema as of MLflow 3.17.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stile.kernel.errors import Invalid

Kind = Literal["float", "integer", "boolean", "string"]

_KINDS: dict[str, Kind] = {
    "double": "float",
    "float": "float",
    "long": "integer",
    "integer": "integer",
    "boolean": "boolean",
    "string": "string",
}
MAX_COLUMNS = 10_000


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One input column. ``required`` is False when the column itself may be left out."""

    name: str
    kind: Kind = "float"
    required: bool = True


class Signature(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The compiled inputs of a model.

    Attributes:
        columns: in the order the model was fitted with.
        named: the names come from the model; False when it was fitted on a bare matrix and the
            names (``x0``, ``x1``, ...) are ours.
    """

    columns: tuple[Column, ...]
    named: bool = True

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise Invalid("The model's signature names a column twice. Log the model again with unique column names.")
        if not names or len(names) > MAX_COLUMNS:
            raise Invalid(f"The model's signature has {len(names)} columns; 1 to {MAX_COLUMNS} can be served.")
        self.__dict__["names"] = names
        self.__dict__["index"] = {name: position for position, name in enumerate(names)}
        self.__dict__["plain"] = all(column.kind in ("float", "integer") for column in self.columns)
        self.__dict__["whole"] = [i for i, column in enumerate(self.columns) if column.kind == "integer"]

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        found: list[str] = self.__dict__["names"]
        return found

    @property
    def index(self) -> dict[str, int]:
        """Position by column name."""
        found: dict[str, int] = self.__dict__["index"]
        return found

    @property
    def plain(self) -> bool:
        """Every column is a number, so rows travel as one float64 array."""
        return bool(self.__dict__["plain"])

    @property
    def numeric(self) -> bool:
        """No column is text, so the model can be given one float64 array."""
        return all(column.kind != "string" for column in self.columns)

    @property
    def whole(self) -> list[int]:
        """Positions of the columns that take whole numbers only."""
        found: list[int] = self.__dict__["whole"]
        return found


def compile_signature(inputs: str) -> Signature:
    """The signature stored as JSON text under ``signature.inputs`` of an MLmodel file.

    Raises:
        Invalid: it is not a signature, or has a column type that cannot be served (says which).
    """
    try:
        specs = msgspec.json.decode(inputs, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise Invalid(f"The model's signature cannot be read: {error}.") from error
    if len(specs) == 1 and specs[0].get("type") == "tensor":
        return _from_tensor(specs[0])
    return Signature(columns=tuple(_column(spec, position) for position, spec in enumerate(specs)))


def unnamed(width: int) -> Signature:
    """The signature of a model fitted on a bare matrix of ``width`` numbers per row."""
    return Signature(columns=tuple(Column(name=f"x{i}") for i in range(width)), named=False)


def by_names(names: list[str]) -> Signature:
    """The signature of a model that only tells the names of its numeric features."""
    return Signature(columns=tuple(Column(name=name) for name in names))


def _column(spec: dict[str, Any], position: int) -> Column:
    name = str(spec.get("name", f"x{position}"))
    kind = _KINDS.get(str(spec.get("type")))
    if kind is None:
        raise Invalid(
            f"The column {name!r} has the type {spec.get('type')!r}, which the gateway cannot serve. "
            f"It serves {', '.join(_KINDS)}.",
        )
    return Column(name=name, kind=kind, required=bool(spec.get("required", True)))


def _from_tensor(spec: dict[str, Any]) -> Signature:
    tensor = spec.get("tensor-spec") or {}
    shape, dtype = tensor.get("shape") or [], str(tensor.get("dtype", ""))
    if len(shape) != 2 or not isinstance(shape[1], int) or not 0 < shape[1] <= MAX_COLUMNS:
        raise Invalid(f"The model takes a tensor of shape {shape}; the gateway serves tables: [-1, columns].")
    if not dtype.startswith(("float", "int", "uint")):
        raise Invalid(f"The model takes a tensor of {dtype}; the gateway serves numbers.")
    return unnamed(shape[1])
