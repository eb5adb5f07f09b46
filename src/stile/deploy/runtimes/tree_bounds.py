"""Trees whose nodes point only at nodes and features that exist.

scikit-learn follows the child and feature indices of a stored tree without bounds checks, so a
crafted file of allowed types could still read foreign memory. Every tree is checked before it
answers: children lie after their parent (so every walk ends) and inside the tree, and features
inside the model's columns.

Source: sklearn/tree/_tree.pyx (node layout, Tree.__setstate__) and
sklearn/ensemble/_hist_gradient_boosting/common.pyx (PREDICTOR_RECORD_DTYPE), scikit-learn 1.5 to 1.9.
"""

from __future__ import annotations

import io
from typing import Any
from zipfile import ZipFile

import msgspec
import numpy as np

from stile.deploy.runtimes.estimator_parts import parts
from stile.kernel.errors import Invalid

_BROKEN = "The model file holds a tree whose nodes point outside of it, so it is not loaded. Log the model again."


def check_stored_trees(schema: Any, archive: ZipFile) -> None:
    """Check every ``sklearn.tree._tree.Tree`` of a skops file before it is made.

    Raises:
        Invalid: a tree points outside of itself.
    """
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("__loader__") == "TreeNode":
                _check_stored_tree(node, archive)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def check_loaded(model: Any) -> None:
    """Check the gradient boosting predictors and the agreement of ensembles with their trees.

    Raises:
        Invalid: something points outside of what it belongs to.
    """
    for part in parts(model):
        _check_estimator(part)


def _check_stored_tree(node: dict[str, Any], archive: ZipFile) -> None:
    try:
        state = node["content"]["content"]
        count = msgspec.json.decode(state["node_count"]["content"], type=int)
        arguments = node["__reduce__"]["args"]["content"]
        features = msgspec.json.decode(arguments[0]["content"], type=int)
        if state["nodes"]["__loader__"] != "NdArrayNode" or state["nodes"]["type"] != "numpy":
            raise Invalid(_BROKEN)
        nodes = np.load(io.BytesIO(archive.read(state["nodes"]["file"])), allow_pickle=False)
        left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
    except (KeyError, IndexError, TypeError, ValueError, msgspec.DecodeError) as error:
        raise Invalid(_BROKEN) from error
    if nodes.ndim != 1 or count != len(nodes) or count < 1:
        raise Invalid(_BROKEN)
    leaf = left == -1
    _check_children(left, right, leaf)
    if np.any(~leaf & ((feature < 0) | (feature >= features))):
        raise Invalid(_BROKEN)


def _check_children(left: Any, right: Any, leaf: Any) -> None:
    count, own = len(left), np.arange(len(left))
    for child in (left, right):
        wide = child.astype(np.int64)
        if np.any(~leaf & ((wide <= own) | (wide >= count))):
            raise Invalid(_BROKEN)


def _check_estimator(item: Any) -> None:
    features = getattr(item, "n_features_in_", None)
    predictors = getattr(item, "_predictors", None)
    if predictors is not None:
        _check_boosting(item, predictors, features)
    members = getattr(item, "estimators_", None)
    if members is None or type(item).__module__ not in ("sklearn.ensemble._forest", "sklearn.ensemble._gb"):
        if hasattr(item, "tree_") and item.tree_.n_features != features:
            raise Invalid(_BROKEN)
        return
    flat = members.ravel().tolist() if isinstance(members, np.ndarray) else list(members)
    if any(member.tree_.n_features != features for member in flat):
        raise Invalid(_BROKEN)
    if isinstance(members, np.ndarray) and members.shape[1] != item.n_trees_per_iteration_:
        raise Invalid(_BROKEN)


def _check_boosting(item: Any, predictors: Any, features: Any) -> None:
    try:
        categorical = np.asarray(item._bin_mapper.is_categorical_, dtype=bool)  # noqa: SLF001  no public way
        for predictor in (one for stage in predictors for one in stage):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            _check_children(nodes["left"], nodes["right"], leaf)
            feature = nodes["feature_idx"].astype(np.int64)[~leaf]
            by_category = nodes["is_categorical"].astype(bool)[~leaf]
            bitset = nodes["bitset_idx"].astype(np.int64)[~leaf]
            outside = np.any((feature < 0) | (feature >= features)) or len(nodes) < 1 or len(categorical) != features
            if outside or np.any(by_category & ~categorical[feature]):
                raise Invalid(_BROKEN)
            if np.any(by_category & (bitset >= len(predictor.raw_left_cat_bitsets))):
                raise Invalid(_BROKEN)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise Invalid(_BROKEN) from error
