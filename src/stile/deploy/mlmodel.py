"""What an MLflow model folder says about itself in its MLmodel file: format, file, signature, example."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stile.deploy.signature import Signature, compile_signature
from stile.kernel.errors import Invalid

Format = Literal["skops", "onnx"]

_HOW_TO_LOG = (
    "Log it in a format that is data and not code: mlflow.sklearn.log_model(model, name=..., "
    'serialization_format="skops", skops_trusted_types=[...]) (tree models need skops_trusted_types; '
    "skops.io.get_untrusted_types lists them), or mlflow.onnx.log_model."
)


class ModelFolder(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to load a logged model.

    Attributes:
        format: how the model file is written.
        file: path of the model file, relative to the folder.
        signature: compiled inputs; None when the model was logged without one.
        example: path of the serving example, empty when none was logged.
        expected: path of the archived outputs for that example, empty when none were archived.
    """

    format: Format
    file: str
    signature: Signature | None
    example: str = ""
    flavor_version: str = ""


def read_mlmodel(text: str) -> ModelFolder:
    """Read the text of an MLmodel file.

    Raises:
        Invalid: it is not one, or the model is a pickle or of a flavor that is not served; the
            message says how to log it instead.
    """
    import yaml  # noqa: PLC0415  only when a model is loaded

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid("The MLmodel file is not valid YAML. Log the model again.") from error
    if not isinstance(document, dict) or not isinstance(document.get("flavors"), dict):
        raise Invalid("The MLmodel file names no flavors, so it does not describe a model. Log the model again.")
    flavors: dict[str, Any] = document["flavors"]
    format_, file, version = _served(flavors)
    signature = document.get("signature") or {}
    inputs = signature.get("inputs") if isinstance(signature, dict) else None
    example = document.get("saved_input_example_info") or {}
    return ModelFolder(
        format=format_,
        file=file,
        signature=compile_signature(inputs) if inputs else None,
        example=str(example.get("serving_input_path") or ""),
        flavor_version=version,
    )


def _served(flavors: dict[str, Any]) -> tuple[Format, str, str]:
    onnx = flavors.get("onnx")
    if isinstance(onnx, dict):
        return "onnx", str(onnx.get("data") or "model.onnx"), str(onnx.get("onnx_version") or "")
    sklearn = flavors.get("sklearn")
    if isinstance(sklearn, dict):
        written = str(sklearn.get("serialization_format") or "pickle")
        if written == "skops":
            return (
                "skops",
                str(sklearn.get("pickled_model") or "model.skops"),
                str(sklearn.get("sklearn_version") or ""),
            )
        raise Invalid(
            f"This model is stored as {written}, which can run any code when opened, so it is never opened. "
            f"{_HOW_TO_LOG}"
        )
    known = ", ".join(sorted(flavors)) or "none"
    raise Invalid(f"This model has the flavors {known}; the gateway serves sklearn (skops) and onnx. {_HOW_TO_LOG}")
