"""MLflow's scoring protocol: what `/invocations` takes and gives.

Source: MLflow 3.17, "Deploy MLflow Model as a Local Inference Server", section "Accepted input
formats" (dataframe_split, dataframe_records, instances, inputs; params), mlflow.pyfunc.scoring_server.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stile.deploy.rows import Sent
from stile.deploy.signature import Signature
from stile.kernel.errors import Invalid
from stile.protocols.inference.answer import Answer
from stile.protocols.inference.asked import (
    UNIT,
    Asked,
    admit,
    columns_of,
    decode,
    records_of,
    rows_of,
    take_units,
    units_of,
)

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class _Body(msgspec.Struct):
    dataframe_split: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    dataframe_records: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    params: dict[str, Any] | None = None


class _Split(msgspec.Struct):
    data: msgspec.Raw
    columns: list[str | int | float] | None = None


def decode_invocation(body: bytes, signature: Signature, header_unit: str = "") -> Asked:
    """The question in a body of `/invocations`.

    Raises:
        Invalid: says which part of the body does not fit.
    """
    admit(body)
    document = decode(body, _Body, "The body")
    given = [form for form in _FORMS if getattr(document, form) is not msgspec.UNSET]
    if len(given) != 1:
        found = f"it has {' and '.join(given)}" if given else "it has none of them"
        raise Invalid(f"The body must have exactly one of {', '.join(_FORMS)}; {found}.")
    sent = _sent(given[0], getattr(document, given[0]))
    params = document.params or {}
    if set(params) - {UNIT}:
        raise Invalid(
            f"The only parameter this gateway takes is {UNIT!r}, not {', '.join(sorted(set(params) - {UNIT}))!r}."
        )
    units = take_units(sent) if UNIT not in signature.index else []
    asked_unit = params.get(UNIT, header_unit or None)
    return Asked(sent=sent, units=units_of(asked_unit, len(sent.rows)) or units)


def encode_invocation(answer: Answer) -> bytes:
    """The body of an answer: MLflow's ``predictions`` and, beside it, what identifies them."""
    return msgspec.json.encode(
        {
            "predictions": answer.outputs,
            "scores": answer.scores,
            "prediction_ids": answer.ids,
            "model_version": str(answer.version),
            "deployment_revision": answer.revision,
        }
    )


def _sent(form: str, raw: msgspec.Raw) -> Sent:
    if form == "dataframe_split":
        split = decode(raw, _Split, "dataframe_split")
        rows, checked = rows_of(split.data, "dataframe_split.data")
        columns = None if split.columns is None else [str(name) for name in split.columns]
        return Sent(columns=columns, rows=rows, checked=checked)
    if form == "dataframe_records":
        return records_of(raw, form)
    head = bytes(raw).lstrip()[:1]
    if head == b"{":
        if form == "instances":
            raise Invalid("instances must be a list with one entry per row. Use inputs for one list per column.")
        return columns_of(decode(raw, dict[str, Any], form), form)
    if head == b"[" and bytes(raw).lstrip()[1:].lstrip()[:1] == b"{":
        return records_of(raw, form)
    rows, checked = rows_of(raw, form)
    return Sent(columns=None, rows=rows, checked=checked)
