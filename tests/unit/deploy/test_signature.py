from __future__ import annotations

import json

import pytest

from stile.deploy.mlmodel import read_mlmodel
from stile.deploy.signature import compile_signature
from stile.kernel.errors import Invalid


def test_columns_keep_order_kind_and_required_when_compiled() -> None:
    signature = compile_signature(
        json.dumps(
            [
                {"type": "double", "name": "age", "required": True},
                {"type": "long", "name": "visits", "required": True},
                {"type": "string", "name": "site", "required": False},
            ]
        )
    )
    assert signature.names == ["age", "visits", "site"]
    assert signature.index == {"age": 0, "visits": 1, "site": 2}
    assert [column.required for column in signature.columns] == [True, True, False]
    assert signature.whole == [1]
    assert not signature.plain and not signature.numeric


def test_tensor_of_rows_and_columns_becomes_unnamed_numbers() -> None:
    signature = compile_signature('[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}]')
    assert signature.names == ["x0", "x1", "x2"] and not signature.named and signature.plain


@pytest.mark.parametrize(
    "inputs",
    [
        "not json",
        "[]",
        '[{"type": "datetime", "name": "at"}]',
        '[{"type": "double", "name": "a"}, {"type": "double", "name": "a"}]',
        '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3, 3]}}]',
        '[{"type": "tensor", "tensor-spec": {"dtype": "object", "shape": [-1, 3]}}]',
    ],
)
def test_signature_is_refused_when_it_cannot_be_served(inputs: str) -> None:
    with pytest.raises(Invalid):
        compile_signature(inputs)


@pytest.mark.parametrize("written", ["cloudpickle", "pickle"])
def test_pickle_is_refused_and_the_message_says_how_to_log(written: str) -> None:
    text = f"flavors:\n  sklearn:\n    pickled_model: model.pkl\n    serialization_format: {written}\n"
    with pytest.raises(Invalid) as refusal:
        read_mlmodel(text)
    assert written in refusal.value.message
    assert 'serialization_format="skops"' in refusal.value.message and "mlflow.onnx.log_model" in refusal.value.message


@pytest.mark.parametrize("text", ["", "- a", "flavors: 3", "a: [", "flavors:\n  spark: {}\n"])
def test_mlmodel_is_refused_when_it_describes_nothing_served(text: str) -> None:
    with pytest.raises(Invalid):
        read_mlmodel(text)
