"""What people log, in the form it is recorded in: nested settings by dotted names, nested metrics by slashes. Pure."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any

import msgspec

from stile.kernel.errors import Invalid

_DEEPEST = 20


def settings(given: Any) -> dict[str, str]:
    """Parameters by name, from a mapping, an ``argparse.Namespace``, a dataclass or another object with fields.

    Raises:
        Invalid: it is none of these, or nested deeper than anybody can read.
    """
    return {key: str(value) for key, value in flat(given, ".").items()}


def flat(given: Any, between: str) -> dict[str, Any]:
    """Nested fields by joined names; a field that is empty is one, too.

    Args:
        given: what ``settings`` takes.
        between: what names are joined with.

    Raises:
        Invalid: as above.
    """
    fields = _fields(given)
    if fields is None:
        raise Invalid(
            f"{type(given).__name__} has no names to log by. Give a mapping, an argparse.Namespace or a dataclass."
        )
    found: dict[str, Any] = {}
    _collect(fields, "", between, found, _DEEPEST)
    return found


def whole(step: Any) -> int:
    """A step as an ordinary number.

    Raises:
        TypeError: it is no whole number, such as 1.5 or 1.0.
    """
    return operator.index(step)


def unusable(metrics: Mapping[str, Any], step: object) -> Invalid:
    """What is wrong with metrics that could not be taken."""
    try:
        fits = -(2**63) <= whole(step) < 2**63
    except TypeError:
        fits = False
    if not fits:
        return Invalid(
            f"The step {step!r} is no whole number of 64 bits. Count steps; log a time or an epoch as a metric."
        )
    for key, value in metrics.items():
        if not isinstance(key, str):
            return Invalid(f"The metric name {key!r} is no text.")
        try:
            float(value)
        except (TypeError, ValueError, OverflowError):
            shape = tuple(getattr(value, "shape", ()) or ())
            what = f"an array of shape {shape}" if shape else f"{type(value).__name__} {str(value)[:40]!r}"
            return Invalid(
                f"The metric {key!r} is {what}, not one number. Log a number of it (such as its mean); "
                "log_table and log_artifact keep whole arrays, set_tags and log_params words."
            )
    return Invalid("These metrics cannot be logged.")


def _collect(fields: Mapping[Any, Any], before: str, between: str, found: dict[str, Any], depth: int) -> None:
    if not depth:
        raise Invalid(f"{before!r} is nested deeper than {_DEEPEST} levels. Does it contain itself?")
    for key, value in fields.items():
        name = f"{before}{between}{key}" if before else str(key)
        inner = _fields(value)
        if inner:
            _collect(inner, name, between, found, depth - 1)
        else:
            found[name] = value.item() if _is_one_number(value) else value


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """Names and values of what has names; None when it has none."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type) or hasattr(value, "dtype"):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if type(value).__module__ in ("argparse", "types") and type(value).__name__ in ("Namespace", "SimpleNamespace"):
        return dict(vars(value))
    if callable(dump := getattr(value, "model_dump", None)):  # pydantic
        return dict(dump())
    return None


def _is_one_number(value: Any) -> bool:
    """Whether it is an array library's number: those write themselves in many ways, their ``item`` in one."""
    return hasattr(value, "dtype") and callable(getattr(value, "item", None)) and not tuple(value.shape)
