from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from stile.deploy.deployment import Deployment
from stile.deploy.runtimes.skops_model import load_skops
from stile.deploy.serving import load_serving, load_variant
from stile.kernel.errors import Invalid
from stile.store.blobs import LocalBlobs

CLASSIFIERS: list[Any] = [
    make_pipeline(StandardScaler(), LogisticRegression()),
    make_pipeline(FunctionTransformer(np.expm1), LogisticRegression()),
    HistGradientBoostingClassifier(max_iter=5),
    GradientBoostingClassifier(n_estimators=3),
    RandomForestClassifier(n_estimators=3),
    CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2), cv=2),
]


@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda model: type(model).__name__)
def test_answers_are_the_estimators_own(model: Any, table: Any, variant_of: Any, blobs: LocalBlobs) -> None:
    rows, labels = table
    model.fit(rows, labels)
    served = load_variant(variant_of(model), blobs, positive="1")
    scores = served.predict(rows)
    assert scores.outputs == model.predict(rows).tolist()
    np.testing.assert_allclose(scores.scores, model.predict_proba(rows)[:, 1])


@pytest.mark.parametrize("model", [Ridge(), RandomForestRegressor(n_estimators=2)], ids=lambda m: type(m).__name__)
def test_regressor_scores_are_its_predictions(model: Any, table: Any, variant_of: Any, blobs: LocalBlobs) -> None:
    rows, _ = table
    model.fit(rows, rows[:, 0])
    scores = load_variant(variant_of(model), blobs, positive="1").predict(rows[:5])
    np.testing.assert_allclose(scores.outputs, model.predict(rows[:5]))
    assert scores.scores == scores.outputs


def test_names_are_kept_for_a_model_that_selects_columns_by_name(
    table: Any, variant_of: Any, blobs: LocalBlobs
) -> None:
    import pandas as pd

    rows, labels = table
    frame = pd.DataFrame(rows, columns=["a", "b", "c", "d"])
    model = make_pipeline(ColumnTransformer([("scale", StandardScaler(), ["b", "a"])]), LogisticRegression())
    model.fit(frame, labels)
    scores = load_variant(variant_of(model), blobs, positive="1").predict(rows[:5])
    np.testing.assert_allclose(scores.scores, model.predict_proba(frame[:5])[:, 1])


def test_threshold_of_the_evidence_decides_the_answer(table: Any, variant_of: Any, blobs: LocalBlobs) -> None:
    rows, labels = table
    model = LogisticRegression().fit(rows, np.where(labels == 1, "ill", "well"))
    scores = load_variant(variant_of(model, threshold=0.9), blobs, positive="ill").predict(rows)
    ill = model.predict_proba(rows)[:, 0]
    assert scores.outputs == ["ill" if p >= 0.9 else "well" for p in ill]
    np.testing.assert_allclose(scores.scores, ill)


def test_file_is_refused_when_it_holds_a_type_that_is_not_listed() -> None:
    import functools

    for evil in (functools.partial(print, 1), LogisticRegression, _Odd()):
        with pytest.raises(Invalid):
            load_skops(skops.io.dumps(evil), None, "1")


class _Odd:
    def predict(self, rows: Any) -> Any:
        return rows


@pytest.mark.parametrize("function", ["builtins.eval", "os.system", "numpy.load"])
def test_function_is_refused_when_it_is_not_arithmetic(table: Any, function: str) -> None:
    rows, labels = table
    model = make_pipeline(FunctionTransformer(np.expm1), LogisticRegression()).fit(rows, labels)
    module, _, name = function.rpartition(".")
    content = _edited(
        skops.io.dumps(model), lambda text: text.replace('"expm1"', f'"{name}"').replace('"numpy"', f'"{module}"')
    )
    with pytest.raises(Invalid, match="not on the list"):
        load_skops(content, None, "1")


def _edited(content: bytes, edit: Any, files: dict[str, bytes] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            body = edit(body.decode()).encode() if name == "schema.json" else (files or {}).get(name, body)
            new.writestr(name, body)
    return out.getvalue()


def _with_array(content: bytes, field: str, value: Any) -> bytes:
    """The same file with one field of the first tree's node array overwritten."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(archive.read(name)))
                if array.dtype.names and field in array.dtype.names:
                    array[field][0] = value
                    out = io.BytesIO()
                    np.save(out, array)
                    return _edited(content, lambda text: text, {name: out.getvalue()})
    raise AssertionError(field)


@pytest.mark.parametrize(
    ("field", "value"), [("left_child", 10**6), ("right_child", 0), ("feature", 99), ("feature", -7)]
)
def test_tree_is_refused_when_a_node_points_outside(table: Any, field: str, value: int) -> None:
    content = skops.io.dumps(RandomForestClassifier(n_estimators=1, random_state=0).fit(*table))
    load_skops(content, None, "1")
    with pytest.raises(Invalid, match="outside"):
        load_skops(_with_array(content, field, value), None, "1")


@pytest.mark.parametrize(
    ("field", "value"), [("left", 10**6), ("right", 0), ("feature_idx", 99), ("is_categorical", 1)]
)
def test_boosted_tree_is_refused_when_a_node_points_outside(table: Any, field: str, value: int) -> None:
    content = skops.io.dumps(HistGradientBoostingClassifier(max_iter=1).fit(*table))
    load_skops(content, None, "1")
    with pytest.raises(Invalid, match="outside"):
        load_skops(_with_array(content, field, value), None, "1")


def test_forest_is_refused_when_it_claims_more_nodes_than_it_brings(table: Any) -> None:
    content = skops.io.dumps(DecisionTreeClassifier(max_depth=2, random_state=0).fit(*table))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        count = json.loads(archive.read("schema.json"))["content"]["content"]["tree_"]["content"]["content"][
            "node_count"
        ]["content"]
    grown = _edited(content, lambda text: text.replace(f'"content": "{count}"', '"content": "100000"'))
    with pytest.raises(Invalid):
        load_skops(grown, None, "1")


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + b"\0" * 18, b"not a zip", b"\x80\x04K\x01."])
def test_file_is_refused_when_it_is_no_skops_file(content: bytes) -> None:
    with pytest.raises(Invalid):
        load_skops(content, None, "1")


def test_challenger_that_does_not_load_is_left_out_and_named(table: Any, variant_of: Any, blobs: LocalBlobs) -> None:
    import msgspec

    champion = variant_of(LogisticRegression().fit(*table))
    broken = msgspec.structs.replace(champion, role="challenger", version=2, digest="sha256:" + "1" * 64, files=())
    serving, left_out = load_serving(Deployment(use_case="x1", revision=3, variants=(champion, broken)), blobs)
    assert serving.others == () and serving.deployment.revision == 3
    assert len(left_out) == 1 and left_out[0].startswith("challenger version 2")
    with pytest.raises(Invalid, match="no champion"):
        load_serving(Deployment(use_case="x1", revision=1), blobs)


def test_model_in_memory_is_used_again_when_it_comes_back_in_another_part(
    table: Any, variant_of: Any, blobs: LocalBlobs
) -> None:
    import msgspec

    variant = variant_of(LogisticRegression().fit(*table))
    serving, _ = load_serving(Deployment(use_case="x1", revision=1, variants=(variant,)), blobs)
    for file in variant.files:
        blobs.delete(file.digest)  # only memory can answer now
    later = msgspec.structs.replace(variant, threshold=0.25)
    again, _ = load_serving(Deployment(use_case="x1", revision=2, variants=(later,)), blobs, known=[serving.champion])
    assert again.champion.variant.threshold == 0.25
    assert again.champion.predict(table[0][:4]).scores == serving.champion.predict(table[0][:4]).scores


def test_model_does_not_go_live_when_it_does_not_reproduce_its_archived_outputs(
    table: Any, variant_of: Any, blobs: LocalBlobs, tmp_path: Path
) -> None:
    import msgspec

    from stile.deploy.deployment import FileRef
    from stile.deploy.serving import EXPECTED

    model = LogisticRegression().fit(*table)
    variant = variant_of(model)
    truth = model.predict_proba(table[0][:3])[:, 1].tolist()
    for outputs, lives in ((truth, True), ([truth[0] + 0.01, *truth[1:]], False)):
        archived = FileRef(path=EXPECTED, digest=blobs.put(msgspec.json.encode(outputs)))
        changed = msgspec.structs.replace(variant, files=(*variant.files, archived))
        if lives:
            load_variant(changed, blobs, positive="1")
        else:
            with pytest.raises(Invalid, match="archived outputs"):
                load_variant(changed, blobs, positive="1")


def test_onnx_answers_like_the_model_it_was_made_from(table: Any, blobs: LocalBlobs) -> None:
    import skl2onnx as convert
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    from stile.deploy.runtimes.onnx_model import load_onnx

    rows, labels = table
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    for zipmap, tensor in ((True, FloatTensorType), (False, FloatTensorType), (False, DoubleTensorType)):
        graph = convert.to_onnx(
            model, initial_types=[("X", tensor([None, 4]))], options={id(model): {"zipmap": zipmap}}
        )
        loaded = load_onnx(graph.SerializeToString(), None, "1")
        scores = loaded.predict(rows)
        assert scores.outputs == model.predict(rows).tolist()
        np.testing.assert_allclose(scores.scores, model.predict_proba(rows)[:, 1], atol=1e-6)
    with pytest.raises(Invalid):
        load_onnx(b"not a graph", None, "1")
