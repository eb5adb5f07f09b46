"""A model version that is loaded, warmed up and ready to answer; and the set of them that answers together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from stile.deploy.deployment import Deployment, Variant
from stile.deploy.mlmodel import read_mlmodel
from stile.deploy.rows import Arranged, Sent, arrange
from stile.deploy.runtimes.base import Runtime, Scores, positive_index
from stile.deploy.signature import Signature
from stile.kernel.errors import Invalid, StileError
from stile.store.blobs import BlobStore

MLMODEL = "MLmodel"
EXPECTED = "expected_outputs.json"
"""Archived outputs for the serving example: a JSON list of scores, beside the example. Optional."""

_TOLERANCE = 1e-6
_WARM_UPS = 5


class Served:
    """One variant in memory.

    Attributes:
        variant: which version it is and the part it plays.
        signature: what it takes.
        example_ms: time for one row, the best of a few.
        platform: the library that runs it, for V2's metadata.
    """

    def __init__(self, variant: Variant, runtime: Runtime, positive: str) -> None:
        self.variant = variant
        self._runtime = runtime
        self.positive = positive
        self.signature: Signature = runtime.signature
        self.example_ms = 0.0
        self.platform = ""

    @property
    def classes(self) -> list[Any]:
        """Class labels of a classifier; empty for a regressor."""
        return self._runtime.classes

    @property
    def missing_ok(self) -> bool:
        """Null numbers are answered."""
        return self._runtime.missing_ok

    def arrange(self, sent: Sent) -> Arranged:
        """Rows in this model's order; see ``rows.arrange``."""
        return arrange(self.signature, sent, missing_ok=self._runtime.missing_ok)

    def predict(self, model_input: Any) -> Scores:
        """Answers by the version's own threshold where it was judged with one."""
        scores = self._runtime.predict(model_input)
        threshold, classes = self.variant.threshold, self._runtime.classes
        if threshold is None or len(classes) != 2:
            return scores
        yes = positive_index(classes, self.positive)
        return Scores(
            [classes[yes] if score >= threshold else classes[1 - yes] for score in scores.scores], scores.scores
        )

    def playing(self, variant: Variant) -> Served:
        """The same model in memory as another variant (other part, other threshold)."""
        other = Served(variant, self._runtime, self.positive)
        other.example_ms, other.platform = self.example_ms, self.platform
        return other

    def same_inputs(self, other: Served) -> bool:
        """Whether both take the same columns in the same order."""
        return self.signature == other.signature


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What answers at one moment: replaced as a whole, read once per request."""

    deployment: Deployment
    champion: Served
    others: tuple[Served, ...] = ()


def load_variant(variant: Variant, blobs: BlobStore, *, positive: str) -> Served:
    """Load one version from verified bytes and try it on its archived example.

    Raises:
        Invalid: the model cannot be served, or does not reproduce its archived outputs.
        Missing: a file of the model is not there.
        Corrupt: a file is not what its digest says.
    """
    by_path = {file.path: file.digest for file in variant.files}
    if MLMODEL not in by_path:
        raise Invalid("The model has no MLmodel file. Log it with an MLflow client.")
    try:
        folder = read_mlmodel(blobs.get(by_path[MLMODEL]).decode())
    except UnicodeDecodeError as error:
        raise Invalid("The MLmodel file is not text. Log the model again.") from error
    if folder.file not in by_path:
        raise Invalid(f"The model's file {folder.file!r} is not among its files. Log the model again.")
    content = blobs.get(by_path[folder.file])
    runtime: Runtime
    if folder.format == "onnx":
        from stile.deploy.runtimes.onnx_model import load_onnx  # noqa: PLC0415  heavy, and optional

        runtime = load_onnx(content, folder.signature, positive)
    else:
        from stile.deploy.runtimes.skops_model import load_skops  # noqa: PLC0415  heavy, and optional

        runtime = load_skops(content, folder.signature, positive)
    served = Served(variant, runtime, positive)
    served.platform = "onnxruntime_onnx" if folder.format == "onnx" else "sklearn_skops"
    example = blobs.get(by_path[folder.example]) if folder.example in by_path else b""
    expected = blobs.get(by_path[EXPECTED]) if EXPECTED in by_path else b""
    _warm_up(served, example, expected)
    return served


def load_serving(
    deployment: Deployment, blobs: BlobStore, *, known: Sequence[Served] = ()
) -> tuple[Serving, list[str]]:
    """Load all variants: what answers, and what was left out and why.

    The champion must load; a challenger or shadow that does not is left out. A version in
    ``known`` is taken as it is.

    Raises:
        Invalid: there is no champion, or it cannot be served.
    """
    chosen = deployment.variant("champion")
    if chosen is None:
        raise Invalid(f"{deployment.use_case} has no champion yet. Promote a version first.")
    champion = _again(chosen, known, deployment.positive) or load_variant(chosen, blobs, positive=deployment.positive)
    others: list[Served] = []
    left_out: list[str] = []
    for variant in deployment.variants:
        if variant.role == "champion":
            continue
        try:
            again = _again(variant, known, deployment.positive)
            others.append(again or load_variant(variant, blobs, positive=deployment.positive))
        except StileError as error:
            left_out.append(f"{variant.role} version {variant.version}: {error.message}")
    return Serving(deployment=deployment, champion=champion, others=tuple(others)), left_out


def _again(variant: Variant, known: Sequence[Served], positive: str) -> Served | None:
    """The same version from memory, in the part it plays now; a model in use is shared, never changed."""
    for served in known:
        if served.variant.digest == variant.digest and served.positive == positive:
            return served.playing(variant)
    return None


def _warm_up(served: Served, example: bytes, expected: bytes) -> None:
    sent = read_example(example) if example else None
    try:
        rows = served.arrange(sent).model_input if sent else _zeros(served.signature)
    except StileError as error:
        raise Invalid(f"The model's own example does not fit its signature: {error.message}") from error
    try:
        if rows is None:
            return
        took = []
        for _ in range(_WARM_UPS):
            begun = time.perf_counter()
            served.predict(rows[:1])
            took.append(time.perf_counter() - begun)
        served.example_ms = min(took) * 1000  # the least disturbed one
        scores = served.predict(rows)
    except Exception as error:  # whatever the model's library raises: it does not answer its own example
        raise Invalid(f"The model fails on its own example: {type(error).__name__}: {str(error)[:200]}") from error
    if expected:
        wanted = msgspec.json.decode(expected, type=list[float])
        if len(wanted) != len(scores.scores) or np.max(np.abs(np.array(wanted) - np.array(scores.scores))) > _TOLERANCE:
            raise Invalid("The loaded model does not reproduce its archived outputs, so it does not go live.")


def _zeros(signature: Signature) -> Any:
    return np.zeros((1, len(signature.columns))) if signature.numeric else None


def read_example(content: bytes) -> Sent | None:
    """The rows of MLflow's ``serving_input_example.json``; None when it is of a form that is not a table."""
    try:
        document = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None
    if not isinstance(document, dict):
        return None
    split = document.get("dataframe_split")
    if isinstance(split, dict) and isinstance(split.get("data"), list):
        return Sent(columns=[str(name) for name in split.get("columns", [])] or None, rows=split["data"])
    matrix = document.get("inputs")
    if isinstance(matrix, list) and matrix and all(isinstance(row, list) for row in matrix):
        return Sent(columns=None, rows=matrix)
    return None
