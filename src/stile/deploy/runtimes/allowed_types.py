"""Exactly which types a skops file may hold. Ours, never the file's own list.

MLflow reads the list of trusted types from the model it is about to load, so a crafted model
trusts itself; and skops trusts every estimator by default, also those that carry functions.
Here a name that is not listed is refused before any object is made. All are scikit-learn
classes whose state is numbers, text and arrays; none runs code it was given.
"""

from __future__ import annotations

from typing import Any

from stile.kernel.errors import Invalid

_LINEAR = {
    "sklearn.linear_model._logistic": "LogisticRegression LogisticRegressionCV",
    "sklearn.linear_model._base": "LinearRegression",
    "sklearn.linear_model._ridge": "Ridge RidgeCV RidgeClassifier RidgeClassifierCV",
    "sklearn.linear_model._coordinate_descent": "Lasso LassoCV ElasticNet ElasticNetCV",
    "sklearn.linear_model._stochastic_gradient": "SGDClassifier SGDRegressor",
    "sklearn.linear_model._glm.glm": "PoissonRegressor GammaRegressor TweedieRegressor",
    "sklearn.linear_model._huber": "HuberRegressor",
    "sklearn.linear_model._bayes": "BayesianRidge ARDRegression",
    "sklearn.linear_model._perceptron": "Perceptron",
    "sklearn.svm._classes": "LinearSVC LinearSVR",
    "sklearn.naive_bayes": "GaussianNB BernoulliNB MultinomialNB ComplementNB",
    "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
    "sklearn.dummy": "DummyClassifier DummyRegressor",
}
_PREPARATION = {
    "sklearn.pipeline": "Pipeline FeatureUnion",
    "sklearn.compose._column_transformer": "ColumnTransformer _RemainderColsList",
    "sklearn.compose._target": "TransformedTargetRegressor",
    "sklearn.preprocessing._data": (
        "StandardScaler MinMaxScaler MaxAbsScaler RobustScaler Normalizer Binarizer QuantileTransformer "
        "PowerTransformer"
    ),
    "sklearn.preprocessing._polynomial": "PolynomialFeatures SplineTransformer",
    "sklearn.preprocessing._encoders": "OneHotEncoder OrdinalEncoder",
    "sklearn.preprocessing._target_encoder": "TargetEncoder",
    "sklearn.preprocessing._discretization": "KBinsDiscretizer",
    "sklearn.preprocessing._label": "LabelEncoder LabelBinarizer",
    "sklearn.impute._base": "SimpleImputer MissingIndicator",
    "sklearn.decomposition._pca": "PCA",
    "sklearn.decomposition._truncated_svd": "TruncatedSVD",
    "sklearn.feature_selection._univariate_selection": "SelectKBest SelectPercentile",
    "sklearn.feature_selection._variance_threshold": "VarianceThreshold",
}
_TREES = {
    "sklearn.tree._classes": "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor",
    "sklearn.ensemble._forest": "RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor",
    "sklearn.ensemble._gb": "GradientBoostingClassifier GradientBoostingRegressor",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": (
        "HistGradientBoostingClassifier HistGradientBoostingRegressor"
    ),
    "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
    "sklearn.ensemble._weight_boosting": "AdaBoostClassifier AdaBoostRegressor",
    "sklearn.ensemble._bagging": "BaggingClassifier BaggingRegressor",
    "sklearn.ensemble._voting": "VotingClassifier VotingRegressor",
    "sklearn.ensemble._stacking": "StackingClassifier StackingRegressor",
    "sklearn.utils._bunch": "Bunch",
    "sklearn._loss.link": "Interval IdentityLink LogLink LogitLink HalfLogitLink MultinomialLogit",
    "sklearn._loss.loss": (
        "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss HalfPoissonLoss "
        "HalfSquaredError HalfTweedieLoss HuberLoss PinballLoss"
    ),
}
_CALIBRATION = {
    "sklearn.calibration": "CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration",
    "sklearn.isotonic": "IsotonicRegression",
}
_LOSSES = {
    "sklearn._loss._loss": (
        "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss "
        "CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss"
    ),
    "sklearn.linear_model._sgd_fast": ("EpsilonInsensitive Hinge ModifiedHuber SquaredEpsilonInsensitive SquaredHinge"),
}


def _names(*tables: dict[str, str]) -> frozenset[str]:
    return frozenset(
        f"{module}.{name}" for table in tables for module, names in table.items() for name in names.split()
    )


_SCALARS = frozenset(f"builtins.{name}" for name in ("str", "int", "float", "bool", "NoneType"))
_NUMPY = frozenset(
    f"numpy.{name}"
    for name in (
        "ndarray", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
        "uint64", "bool", "bool_", "str_", "intp",
    )
)  # fmt: skip
_UFUNCS = frozenset(
    f"numpy.{name}"
    for name in ("log1p", "log", "log2", "log10", "exp", "expm1", "sqrt", "cbrt", "abs", "absolute", "square")
)
_ESTIMATORS = _names(_LINEAR, _PREPARATION, _TREES, _CALIBRATION)

ALLOWED: dict[str, frozenset[str]] = {
    "DictNode": frozenset({"builtins.dict", "collections.OrderedDict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "SetNode": frozenset({"builtins.set"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "JsonNode": _SCALARS,
    "TypeNode": _SCALARS | _NUMPY,
    "NdArrayNode": _NUMPY,
    "MaskedArrayNode": frozenset({"numpy.ma.MaskedArray"}),
    "SparseMatrixNode": frozenset({"scipy.sparse._csr.csr_matrix", "scipy.sparse._csc.csc_matrix"}),
    "DTypeNode": frozenset({"numpy.dtype"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "FunctionNode": _UFUNCS,
    "ObjectNode": _ESTIMATORS | {"sklearn.preprocessing._function_transformer.FunctionTransformer"},
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
    "LossNode": _names(_LOSSES),
    "CachedNode": frozenset(),  # names an object met before; nothing of its own
}
"""Type names by the skops node that would load them."""

TRUSTED: list[str] = sorted(frozenset().union(*ALLOWED.values()))
"""What is handed to skops as trusted, after the file has passed ``check_types``."""


def check_types(schema: Any) -> None:
    """Refuse a skops schema that holds anything but the listed types.

    Args:
        schema: the decoded ``schema.json`` of the file.

    Raises:
        Invalid: names the types that are not allowed.
    """
    refused: set[str] = set()
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "__loader__" in node or "__class__" in node:
                _check_node(node, refused)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    if refused:
        listed = ", ".join(sorted(refused)[:5])
        raise Invalid(
            f"The model holds types that are not on the list of safe ones: {listed}. Use scikit-learn's linear "
            "models, trees, ensembles, preprocessing and pipelines of these, or log the model as ONNX.",
            types=sorted(refused)[:50],
        )


def _check_node(node: dict[str, Any], refused: set[str]) -> None:
    loader, module, name = node.get("__loader__"), node.get("__module__"), node.get("__class__")
    full = f"{module}.{name}"
    if loader == "CachedNode":
        return
    if loader is None and full in _NUMPY | _SCALARS:
        return
    if full not in ALLOWED.get(str(loader), frozenset()):
        refused.add(full if loader in ALLOWED else f"{full} (as {loader})")
