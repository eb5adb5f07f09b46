"""scikit-learn models stored by skops, opened with our own list of allowed types."""

from __future__ import annotations

import io
import json
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from stile.deploy.runtimes.allowed_types import TRUSTED, check_types
from stile.deploy.runtimes.base import Scores, plain, positive_index
from stile.deploy.runtimes.estimator_parts import parts
from stile.deploy.signature import Signature, by_names, unnamed
from stile.kernel.errors import Invalid, MissingExtra

MAX_UNPACKED_BYTES = 2 << 30
_OLDEST_PROTOCOL = 1  # protocol 0 loads functions by other rules than the ones checked here


class SkopsModel:
    """A scikit-learn estimator as a ``Runtime``.

    Args:
        model: the estimator.
        signature: compiled inputs, or None to take what the estimator remembers of its training table.
        positive: label of the positive outcome.
    """

    def __init__(self, model: Any, signature: Signature | None, positive: str) -> None:
        self._model = model
        self.signature = signature or _remembered(model)
        width = getattr(model, "n_features_in_", len(self.signature.columns))
        if width != len(self.signature.columns):
            raise Invalid(
                f"The model was fitted on {width} columns but its signature names "
                f"{len(self.signature.columns)}. Log it again.",
            )
        self.missing_ok = _takes_missing(model)
        self._by_name = _selects_by_name(model)
        if not self._by_name:
            _forget_names(model)
        self.classes: list[Any] = [plain(label) for label in getattr(model, "classes_", [])]
        self._positive = positive_index(self.classes, positive) if self.classes else 0
        self._probabilities = bool(self.classes) and hasattr(model, "predict_proba")

    def predict(self, rows: Any) -> Scores:
        if self._by_name and isinstance(rows, np.ndarray):
            rows = _frame(rows, self.signature.names)
        if self._probabilities:
            table = self._model.predict_proba(rows)
            best = table.argmax(axis=1).tolist()
            return Scores([self.classes[i] for i in best], table[:, self._positive].tolist())
        outputs = [plain(value) for value in self._model.predict(rows)]
        if self.classes and hasattr(self._model, "decision_function") and len(self.classes) == 2:
            sign = 1.0 if self._positive == 1 else -1.0
            return Scores(outputs, [sign * float(value) for value in self._model.decision_function(rows)])
        if self.classes:
            return Scores(outputs, [1.0 if value == self.classes[self._positive] else 0.0 for value in outputs])
        return Scores(outputs, [float(value) for value in outputs])


def load_skops(content: bytes, signature: Signature | None, positive: str) -> SkopsModel:
    """Open a skops file.

    Raises:
        Invalid: it is not one, holds a type that is not allowed, or a tree that points outside of itself.
        MissingExtra: scikit-learn or skops is not installed.
    """
    try:
        import skops.io  # noqa: PLC0415  an optional and heavy package
    except ImportError as error:
        raise MissingExtra("skops", "serve", "Serving a scikit-learn model") from error
    from stile.deploy.runtimes.tree_bounds import check_loaded, check_stored_trees  # noqa: PLC0415

    try:
        with ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise Invalid(f"The model unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB, so it is not loaded.")
            schema = json.loads(archive.read("schema.json"))
            if not isinstance(schema, dict) or schema.get("protocol", 0) < _OLDEST_PROTOCOL:
                raise Invalid("The model was stored by a skops that is too old. Log it again with skops 0.13 or newer.")
            check_types(schema)
            check_stored_trees(schema, archive)
        model = skops.io.loads(content, trusted=TRUSTED)
    except Invalid:
        raise
    except (BadZipFile, KeyError, ValueError, TypeError, RecursionError, AttributeError, ImportError) as error:
        raise Invalid(f"The skops file cannot be opened: {error}. Log the model again.") from error
    check_loaded(model)
    if not hasattr(model, "predict"):
        raise Invalid(f"The file holds a {type(model).__name__}, which cannot predict. Log a fitted estimator.")
    return SkopsModel(model, signature, positive)


def _remembered(model: Any) -> Signature:
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        return by_names([str(name) for name in names])
    width = getattr(model, "n_features_in_", None)
    if not isinstance(width, int):
        raise Invalid(
            "The model was logged without a signature and does not know its columns. Log it with signature=..."
        )
    return unnamed(width)


def _takes_missing(model: Any) -> bool:
    """Whether NaN reaches the model meaningfully; scikit-learn declares it in its tags."""
    try:
        from sklearn.utils import get_tags  # noqa: PLC0415  only with the model at hand

        return bool(get_tags(model).input_tags.allow_nan)
    except (ImportError, AttributeError, TypeError, ValueError):
        return False


def _selects_by_name(model: Any) -> bool:
    """Whether a part picks its columns by name, which scikit-learn does in DataFrames only."""
    return any(type(part).__name__ == "ColumnTransformer" for part in parts(model))


def _forget_names(model: Any) -> None:
    """Names are checked against the signature before rows become an array; scikit-learn would warn at every row."""
    for part in parts(model):
        getattr(part, "__dict__", {}).pop("feature_names_in_", None)


def _frame(rows: Any, names: list[str]) -> Any:
    try:
        import pandas as pd  # noqa: PLC0415  only models that select columns by name need a DataFrame
    except ImportError as error:
        raise MissingExtra("pandas", "train", "Serving a model that selects columns by name") from error
    return pd.DataFrame(rows, columns=names)
