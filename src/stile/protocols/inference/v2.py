"""Open Inference Protocol V2 over HTTP: tensors in, tensors out.

A table travels either as one tensor of shape [rows, columns], or as one tensor per column of
shape [rows] or [rows, 1], named like the columns.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from stile.deploy.rows import MAX_ROWS, Sent
from stile.deploy.signature import Signature
from stile.kernel.errors import Invalid
from stile.protocols.inference.answer import Answer
from stile.protocols.inference.asked import UNIT, Asked, admit, decode, take_units, units_of

_FLOATS = ("FP16", "FP32", "FP64")
_INTEGERS = {
    "INT8": (-(2**7), 2**7 - 1), "INT16": (-(2**15), 2**15 - 1), "INT32": (-(2**31), 2**31 - 1),
    "INT64": (-(2**63), 2**63 - 1), "UINT8": (0, 2**8 - 1), "UINT16": (0, 2**16 - 1), "UINT32": (0, 2**32 - 1),
    "UINT64": (0, 2**64 - 1),
}  # fmt: skip
_DATATYPE = {"float": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}
OUTPUTS = ("output", "score", "prediction_id")
"""Names of the tensors every answer has."""


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Body(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


def decode_inference(body: bytes, signature: Signature, header_unit: str = "") -> Asked:
    """The question in a body of `/infer`.

    Raises:
        Invalid: says which tensor does not fit and why.
    """
    admit(body)
    document = decode(body, _Body, "The request")
    if not document.inputs:
        raise Invalid("The request has no inputs.")
    wanted = [output.name for output in document.outputs or []]
    unknown = [name for name in wanted if name not in OUTPUTS]
    if unknown:
        raise Invalid(f"There is no output called {unknown[0]!r}. These are: {', '.join(OUTPUTS)}.")
    names = [tensor.name for tensor in document.inputs]
    if len(set(names)) != len(names):
        raise Invalid("Two inputs have the same name.")
    tables = [tensor for tensor in document.inputs if _is_table(tensor, signature)]
    if len(tables) > 1:
        raise Invalid(
            f"Two inputs are tables ({tables[0].name!r} and {tables[1].name!r}). "
            "Send one table, or one input per column."
        )
    rest = [tensor for tensor in document.inputs if not tables or tensor is not tables[0]]
    sent = _table(tables[0]) if tables else None
    for tensor in rest:
        sent = _with_column(sent, tensor, signature)
    if sent is None:  # there was at least one tensor
        raise Invalid("The request has no inputs.")
    units = take_units(sent) if UNIT not in signature.index else []
    asked_unit = (document.parameters or {}).get(UNIT, header_unit or None)
    units = units_of(asked_unit, len(sent.rows)) or units
    return Asked(sent=sent, units=units, id=document.id, outputs=wanted)


def encode_inference(answer: Answer, *, model: str, asked: Asked) -> bytes:
    """The body of an answer. Parameters hold scalars only, so several ids are joined by commas."""
    count = len(answer.ids)
    tensors: dict[str, dict[str, Any]] = {
        "output": {
            "name": "output",
            "datatype": _datatype_of(answer.outputs),
            "shape": [count],
            "data": answer.outputs,
        },
        "score": {"name": "score", "datatype": "FP64", "shape": [count], "data": answer.scores},
        "prediction_id": {"name": "prediction_id", "datatype": "BYTES", "shape": [count], "data": answer.ids},
    }
    document: dict[str, Any] = {"model_name": model, "model_version": str(answer.version)}
    if asked.id is not None:
        document["id"] = asked.id
    document["parameters"] = {
        "prediction_id": answer.ids[0],
        "prediction_ids": ",".join(answer.ids),
        "model_version": str(answer.version),
        "deployment_revision": answer.revision,
    }
    document["outputs"] = [tensors[name] for name in (asked.outputs or OUTPUTS)]
    return msgspec.json.encode(document)


def metadata(model: str, version: int, signature: Signature, output: str, platform: str) -> dict[str, Any]:
    """What `GET v2/models/{model}` tells about the inputs and outputs."""
    if signature.plain:
        inputs = [{"name": "input", "datatype": "FP64", "shape": [-1, len(signature.columns)]}]
    else:
        inputs = [
            {"name": column.name, "datatype": _DATATYPE[column.kind], "shape": [-1]} for column in signature.columns
        ]
    return {
        "name": model,
        "versions": [str(version)],
        "platform": platform,
        "inputs": inputs,
        "outputs": [
            {"name": "output", "datatype": output, "shape": [-1]},
            {"name": "score", "datatype": "FP64", "shape": [-1]},
            {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {"columns": ",".join(signature.names) if signature.named else ""},
    }


def _datatype_of(values: list[Any]) -> str:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def datatype_of_classes(classes: list[Any]) -> str:
    """The datatype of the ``output`` tensor of a model with these classes (none: a regressor)."""
    return _datatype_of(classes) if classes else "FP64"


def _is_table(tensor: _Tensor, signature: Signature) -> bool:
    """A [rows, columns] tensor; a [rows, 1] one named like a column is that column."""
    return len(tensor.shape) == 2 and not (tensor.shape[1] == 1 and tensor.name in (*signature.names, UNIT))


def _table(tensor: _Tensor) -> Sent:
    values, rows, width = _values(tensor)
    cells = [values[i * width : (i + 1) * width] for i in range(rows)]
    return Sent(columns=None, rows=cells, checked=tensor.datatype in _FLOATS or tensor.datatype in _INTEGERS)


def _with_column(sent: Sent | None, tensor: _Tensor, signature: Signature) -> Sent:
    if len(tensor.shape) not in (1, 2):
        raise Invalid(
            f"The input {tensor.name!r} has {len(tensor.shape)} dimensions; "
            "send [rows, columns], or [rows] for a column."
        )
    values, rows, width = _values(tensor)
    if width != 1:
        raise Invalid(f"The input {tensor.name!r} has {width} columns, but other inputs are single columns.")
    if sent is None:
        checked = tensor.datatype not in ("BYTES", "BOOL")
        return Sent(columns=[tensor.name], rows=[[value] for value in values], checked=checked)
    if rows != len(sent.rows):
        raise Invalid(f"The input {tensor.name!r} has {rows} rows, another has {len(sent.rows)}.")
    if sent.columns is None:
        width_sent = len(sent.rows[0]) if sent.rows else 0
        if width_sent != len(signature.columns):
            raise Invalid(f"The table has {width_sent} columns, but the model takes {len(signature.columns)}.")
        sent.columns = list(signature.names)
    sent.columns.append(tensor.name)
    for row, value in zip(sent.rows, values, strict=True):
        row.append(value)
    # a text beside the model's own columns does not make those unchecked
    sent.checked = sent.checked and (tensor.name not in signature.index or tensor.datatype not in ("BYTES", "BOOL"))
    return sent


def _values(tensor: _Tensor) -> tuple[list[Any], int, int]:
    """(flat values, rows, columns), after the shape and every value were held against the datatype."""
    what = f"The input {tensor.name!r}"
    if any(size < 0 for size in tensor.shape):
        raise Invalid(f"{what} has a negative size in its shape {tensor.shape}.")
    rows = tensor.shape[0]
    if rows < 1:
        raise Invalid(f"{what} has no rows.")
    if rows > MAX_ROWS:
        raise Invalid(f"{what} has {rows} rows; at most {MAX_ROWS} are answered in one request.")
    flat = _flat(tensor, what)
    if math.prod(tensor.shape) != len(flat):
        raise Invalid(f"{what} has the shape {tensor.shape}, but {len(flat)} values.")
    return flat, rows, tensor.shape[1] if len(tensor.shape) > 1 else 1


def _flat(tensor: _Tensor, what: str) -> list[Any]:
    kind: type = float
    if tensor.datatype == "BYTES":
        kind = str
    elif tensor.datatype == "BOOL":
        kind = bool
    elif tensor.datatype in _INTEGERS:
        kind = int
    elif tensor.datatype not in _FLOATS:
        raise Invalid(f"{what} has the datatype {tensor.datatype[:20]!r}, which is not one of the protocol's.")
    flat = _decoded(tensor.data, kind, what, tensor.datatype)
    if kind is int:
        low, high = _INTEGERS[tensor.datatype]
        outside = next((value for value in flat if not low <= value <= high), None)
        if outside is not None:
            raise Invalid(f"{what} holds {outside}, which does not fit into {tensor.datatype}.")
    return flat


def _decoded(raw: msgspec.Raw, kind: Any, what: str, datatype: str) -> list[Any]:
    try:
        return msgspec.json.decode(raw, type=list[kind])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # it may be nested by rows instead of flat
    try:
        nested = msgspec.json.decode(raw, type=list[list[kind]])
    except msgspec.ValidationError as error:
        if "null" in str(error) and kind is not str:
            message = (
                f"The data of {what[4:]} holds null, which no tensor can. Use /invocations to send missing values."
            )
            raise Invalid(message) from error
        raise Invalid(f"The data of {what[4:]} does not fit {datatype}: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"The data of {what[4:]} is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise Invalid(f"The data of {what[4:]} is nested too deeply.") from error
    if len({len(row) for row in nested}) > 1:
        raise Invalid(f"The rows of {what[4:]} are of different length.")
    return [value for row in nested for value in row]
