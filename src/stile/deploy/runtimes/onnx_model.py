"""ONNX graphs on ONNX Runtime: data, not code, and the fastest way to answer one row."""

from __future__ import annotations

from typing import Any

from stile.deploy.runtimes.base import Scores, plain, positive_index
from stile.deploy.signature import Column, Signature, unnamed
from stile.kernel.errors import Invalid, MissingExtra

_FLOATS = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64", "tensor(int32)": "int32"}


class OnnxModel:
    """An ONNX graph as a ``Runtime``: one matrix input, or one input per column.

    Args:
        session: the ONNX Runtime session.
        signature: compiled inputs, or None to take the graph's own.
        positive: label of the positive outcome.
    """

    def __init__(self, session: Any, signature: Signature | None, positive: str) -> None:
        self._session = session
        self._inputs = session.get_inputs()
        self.signature = signature or _of_graph(self._inputs)
        self.missing_ok = False
        names = [output.name for output in session.get_outputs()]
        self._names = names
        self.classes: list[Any] = []
        self._positive_text = positive
        if len(self._inputs) not in (1, len(self.signature.columns)):
            raise Invalid(
                f"The ONNX graph has {len(self._inputs)} inputs; it needs one matrix or one input for each of the "
                f"{len(self.signature.columns)} columns.",
            )
        unknown = [one.type for one in self._inputs if one.type not in _FLOATS and one.type != "tensor(string)"]
        if unknown:
            raise Invalid(f"The ONNX graph takes {unknown[0]}, which the gateway cannot give it.")

    def predict(self, rows: Any) -> Scores:
        outputs = self._session.run(self._names, self._feed(rows))
        if len(outputs) == 1:
            values = outputs[0].reshape(len(rows), -1)
            if values.shape[1] == 1:
                numbers = values[:, 0].tolist()
                return Scores(numbers, [float(number) for number in numbers])
            return self._from_table(None, values)
        return self._from_table([plain(label) for label in outputs[0]], outputs[1])

    def _from_table(self, labels: list[Any] | None, table: Any) -> Scores:
        if isinstance(table, list):  # a ZipMap: one dict per row
            self.classes = self.classes or [plain(key) for key in table[0]]
            chosen = self.classes[positive_index(self.classes, self._positive_text)]
            return Scores(labels or [], [float(row[chosen]) for row in table])
        width = table.shape[1] if table.ndim > 1 else 1
        if width == 1:
            scores = table.reshape(-1).tolist()
            return Scores(labels if labels is not None else scores, scores)
        self.classes = self.classes or list(range(width))
        scores = table[:, positive_index(self.classes, self._positive_text)].tolist()
        return Scores(labels if labels is not None else table.argmax(axis=1).tolist(), scores)

    def _feed(self, rows: Any) -> dict[str, Any]:
        if len(self._inputs) == 1:
            one = self._inputs[0]
            return {one.name: rows.astype(_FLOATS[one.type], copy=False)}
        feed: dict[str, Any] = {}
        for position, one in enumerate(self._inputs):
            column = rows[:, position] if hasattr(rows, "dtype") else rows.iloc[:, position].to_numpy()
            kind = _FLOATS.get(one.type, "object")
            feed[one.name] = column.astype(kind).reshape(-1, 1)
        return feed


def load_onnx(content: bytes, signature: Signature | None, positive: str) -> OnnxModel:
    """Open an ONNX file on one thread.

    Raises:
        Invalid: it is not an ONNX graph this runtime can run.
        MissingExtra: onnxruntime is not installed.
    """
    try:
        import onnxruntime  # noqa: PLC0415  an optional and heavy package
    except ImportError as error:
        raise MissingExtra("onnxruntime", "serve", "Serving an ONNX model") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions share no base but Exception
        raise Invalid(f"The ONNX file cannot be opened: {str(error)[:300]}") from error
    return OnnxModel(session, signature, positive)


def _of_graph(inputs: list[Any]) -> Signature:
    if len(inputs) > 1:
        return Signature(columns=tuple(Column(name=one.name, kind=_kind(one.type)) for one in inputs))
    shape = inputs[0].shape
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise Invalid(
            f"The ONNX graph takes shape {shape}; log it with a signature, or with a fixed number of columns."
        )
    return unnamed(shape[1])


def _kind(kind: str) -> Any:
    return "string" if kind == "tensor(string)" else "integer" if "int" in kind else "float"
