"""The rule language against the reference implementation of CEL, on what both know.

Deviations, each on purpose (see ``govern.expression``): errors are unknown; numbers of both kinds mix;
``/`` does not truncate; texts and numbers do not compare; NaN and null are unknown.
"""

from __future__ import annotations

import pytest
from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from stile.govern.expression.compiler import compile_rule, compile_value
from stile.govern.expression.truth import Truth
from stile.govern.expression.values import Unknown, number_of
from stile.govern.expression.vocabulary import Vocabulary

_NAMES = {"x": {"n": 7, "f": 2.5, "t": "abc", "b": True, "l": [1, 2, 3], "m": {"k": 1}}}
_ENV = cel.NewEnv(variables={"x": cel.Type.DYN})
_VOCABULARY = Vocabulary({}, {"x": "the variables"})

integers = st.integers(-50, 50).map(str)
floats = st.floats(-50, 50, allow_nan=False, width=32).map(lambda value: f"{value:.3f}")
texts = st.sampled_from(['"a"', '"abc"', "'b'", '""', r'"\"\n"', "x.t"])


def _numbers(leaf):
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
            inner.map(lambda one: f"-({one})"),
        ),
        max_leaves=6,
    )


whole = _numbers(st.one_of(integers, st.just("x.n"), st.just("size(x.l)"), st.just("x.m.size()")))
fractions = _numbers(st.one_of(floats, st.just("x.f")))
relations = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
comparisons = st.one_of(
    st.tuples(whole, relations, whole).map(" ".join),
    st.tuples(fractions, relations, fractions).map(" ".join),
    st.tuples(texts, relations, texts).map(" ".join),
    st.tuples(whole, st.lists(integers, max_size=4)).map(lambda t: f"{t[0]} in [{', '.join(t[1])}]"),
    st.tuples(st.sampled_from(["all", "exists", "exists_one"]), relations, integers).map(
        lambda t: f"x.l.{t[0]}(i, i * 2 {t[1]} {t[2]})"
    ),
    st.tuples(st.sampled_from(["filter", "map"]), integers).map(
        lambda t: f"x.l.{t[0]}(i, {'i > ' if t[0] == 'filter' else 'i + '}{t[1]}).size() == 2"
    ),
    st.sampled_from(["has(x.n)", "has(x.zzz)", "x.b", "true", "false", '"k" in x.m', '"zz" in x.m', 'x.m["k"] == 1']),
)
questions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} ? {t[1]} : {t[2]})"),
    ),
    max_leaves=8,
)


def _reference(source):
    return _ENV.compile(source, disable_check=True).eval(data=_NAMES).plain_value()


@settings(max_examples=300, deadline=None)
@given(questions)
def test_answers_agree_with_the_reference_when_nothing_is_unknown(source):
    ours = compile_rule(source, _VOCABULARY).truth({}, _NAMES).verdict
    assert ours == ("pass" if _reference(source) is True else "fail"), source


@settings(max_examples=150, deadline=None)
@given(st.one_of(whole, fractions))
def test_numbers_agree_with_the_reference_when_kinds_are_not_mixed(source):
    ours = number_of(compile_value(source, _VOCABULARY).value({}, _NAMES))
    assert ours == pytest.approx(_reference(source)), source


@pytest.mark.parametrize(("a", "b"), [(7, 3), (-7, 3), (7, -3), (-7, -3), (6, 3)])
def test_remainder_has_the_sign_of_the_dividend_when_as_in_the_reference(a, b):
    source = f"({a}) % ({b})"
    assert compile_value(source, _VOCABULARY).value({}, _NAMES) == _reference(source)


@pytest.mark.parametrize(
    ("source", "ours"),
    [
        ("x.zzz > 1 && false", "fail"),
        ("x.zzz > 1 || true", "pass"),
        ("false && x.zzz > 1", "fail"),
        ("[1, 2].exists(i, i / 0 == 1 || i == 2)", "pass"),
    ],
)
def test_errors_are_absorbed_as_in_the_reference_when_the_other_side_decides(source, ours):
    assert compile_rule(source, _VOCABULARY).truth({}, _NAMES).verdict == ours
    assert _reference(source) is (ours == "pass")


@pytest.mark.parametrize(
    ("source", "reference", "ours"),
    [
        ("7 / 2 == 3", True, "fail"),  # ours does not truncate
        ('1 == "a"', False, "unknown"),  # different kinds do not compare
        ("x.n * 1.05 > 7.0", "error", "pass"),  # numbers of both kinds mix
        ("x.zzz > 1", "error", "unknown"),
        ("1 / 0 > 0", "error", "unknown"),
    ],
)
def test_deviation_is_as_documented_when_the_reference_answers_otherwise(source, reference, ours):
    answer = _reference(source)
    assert (answer if isinstance(answer, bool) else "error") == reference
    assert compile_rule(source, _VOCABULARY).truth({}, _NAMES).verdict == ours


def test_nan_never_passes_when_the_reference_lets_it():
    names = {"x": {"nan": float("nan")}}
    source = "!(x.nan < 0.8)"
    assert _ENV.compile(source, disable_check=True).eval(data=names).plain_value() is True
    assert compile_rule(source, _VOCABULARY).truth({}, names).verdict == "unknown"
    value = compile_value("x.nan", _VOCABULARY).value({}, names)
    assert isinstance(value, Unknown) and not isinstance(value, Truth)
