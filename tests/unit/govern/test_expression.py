"""The rule language: three values, explanations, limits and errors."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from govern_cases import NOW, evidence, window
from hypothesis import given, settings
from hypothesis import strategies as st

from stile.govern.expression.bindings import RULES, Bindings, Champion, MinimumN
from stile.govern.expression.compiler import compile_rule, compile_value
from stile.govern.expression.errors import ExpressionError
from stile.govern.expression.parser import parse
from stile.govern.expression.truth import conjunction, disjunction, negation, stated, unknown_truth
from stile.govern.expression.values import Unknown
from stile.govern.expression.vocabulary import Vocabulary

FREE = Vocabulary({}, {"x": "anything", "a": "", "b": "", "c": ""})


def _ask(source, **names):
    return compile_rule(source, FREE).answer({}, names)


def _rule(source, *, measured=None, champion=None, now=NOW, **options):
    bindings = Bindings(measured or evidence(), champion=champion, now=now, **options)
    names = {"use_case": {"tier": "high"}, "candidate": {}, "now": now}
    return compile_rule(source, RULES).answer(bindings.functions, names, positive=bindings.positive)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ('ci_low(metric("recall")) >= 0.93', "ci_low(recall) 0.941 >= 0.93: pass by 0.011 (n = 171, 64 malignant)"),
        ('0.97 <= metric("recall")', "recall 0.964 >= 0.97: fail by 0.006 (n = 171, 64 malignant)"),
        ('metric("recall") >= metric("auc") - 0.05', "recall 0.964 >= auc - 0.05 (0.940): pass by 0.024 (n = 171, 64 malignant)"),  # noqa: E501
        ('slices("site").all(s, s.recall >= 0.96)', "site=B recall 0.950 >= 0.96: fail by 0.010 (n = 60, 30 malignant); 1 of 2 fail"),  # noqa: E501
        ('slices("site").exists(s, s.recall >= 0.96)', "site=A recall 0.970 >= 0.96: pass by 0.010 (n = 111, 34 malignant); 1 of 2 pass"),  # noqa: E501
        ('use_case.tier == "low"', 'use_case.tier "high" == "low": fail'),
        ('evidence("latency").p99_ms <= 20', "latency.p99_ms 3.200 <= 20: pass by 16.800 (n = 200)"),
        ("no_champion()", "no_champion(): pass"),
        ('metric("recall") > 0.9639999', "recall 0.964000000 > 0.9639999: pass by 0.000000100 (n = 171, 64 malignant)"),
    ],
)  # fmt: skip
def test_sentence_says_operand_limit_and_margin_when_a_rule_is_judged(source, sentence):
    assert _rule(source).sentence == sentence


@pytest.mark.parametrize(
    "source",
    [
        "x.missing > 1", "!(x.missing > 1)", "x.nothing > 1", "!(x.nan < 0.8)", "x.nan == x.nan", "x.infinite > 1",
        "x.missing == null", "1 / 0 > 0", "x.n / 0 == 1", '"a" > 1', '1 == "a"', "x > 1", "x.text && true", "true == 1",
        "x.missing in [1, 2]", "1 in [2, x.nan]", "[1, 2][5] == 1", "x.missing ? true : true", "5.0 % 0 == 1",
        "[x.nan].all(i, i > 0)", "[1].filter(i, i > x.nan).size() == 1", "x.text.all(i, i > 0)", "-x.text == 1",
        "1e308 * 10.0 > 1", '{"a": 1}["b"] == 1', "size(x.n) == 1", "x.missing.deeper.still == 1", "1 in x.n",
    ],
)  # fmt: skip
def test_verdict_is_unknown_when_a_value_is_missing_or_means_nothing(source):
    names = {"x": {"n": 3, "nothing": None, "nan": math.nan, "infinite": math.inf, "text": "t"}}
    answer = _ask(source, **names)
    assert answer.verdict == "unknown"
    assert "unknown:" in answer.sentence


def test_unknown_operand_is_listed_when_the_other_side_passes():
    answer = _rule('metric("recall") > 0.5 || metric("f1") > 0.5')
    assert answer.verdict == "pass"
    assert [(line.operand, line.verdict, line.decided) for line in answer.trace] == [
        ("recall", "pass", True),
        ("f1", "unknown", False),
    ]


def test_fail_wins_when_the_other_side_is_unknown():
    assert _rule('metric("recall") > 0.99 && metric("f1") > 0.5').verdict == "fail"
    assert _rule('metric("recall") > 0.9 && metric("f1") > 0.5').verdict == "unknown"


def test_minimum_says_how_many_more_rows_when_a_slice_is_small():
    answer = _rule(
        'slices("site").all(s, s.recall >= 0.9)', measured=evidence(site_b_positives=12), min_n=MinimumN(positives=20)
    )
    assert answer.verdict == "unknown"
    line = answer.trace[0]
    assert (line.of, line.more, line.counted) == ("site=B", 8, "malignant")
    assert line.remedy == "Label 8 more malignant rows from site=B (about 40 more labelled rows at the present rate)."
    assert _rule('metric("recall") >= 0.9', min_n=MinimumN(rows=200)).trace[0].more == 29


def test_failing_slice_wins_when_another_is_too_small():
    answer = _rule(
        'slices("site").all(s, s.recall >= 0.98)', measured=evidence(site_b_positives=12), min_n=MinimumN(positives=20)
    )
    assert answer.verdict == "fail" and answer.of == "site=A"


def test_evidence_is_unknown_when_it_is_stale():
    later = NOW + 40 * 86_400_000
    answer = _rule('metric("recall") >= 0.9', now=later, max_age_days=30)
    assert answer.verdict == "unknown" and "40.0 days old" in answer.sentence
    assert _rule('metric("recall") >= 0.9', now=later, max_age_days=50).verdict == "pass"
    assert _rule('age("evidence") < 30', now=later).verdict == "fail"


def test_comparison_is_unknown_when_it_was_made_with_an_earlier_champion():
    champion = Champion(version=4, digest="sha256:new", evidence=evidence(auc=0.95))
    rule = 'no_champion() || better("auc").low > -0.005'
    assert _rule(rule).verdict == "pass"
    stale = _rule(rule, measured=evidence(champion="sha256:old", paired_low=0.0), champion=champion)
    assert stale.verdict == "unknown" and "champion v4" in stale.sentence
    assert _rule(rule, measured=evidence(champion="sha256:new", paired_low=0.0), champion=champion).verdict == "pass"
    assert _rule(rule, measured=evidence(champion="sha256:new", paired_low=-0.1), champion=champion).margin == -0.095
    assert _rule('metric("auc") >= champion().auc + 0.01', champion=champion).verdict == "pass"
    assert _rule("champion().auc > 0").verdict == "unknown"


def test_scope_narrows_metrics_and_slices_when_a_segment_is_judged():
    bindings = {"scope": ("site", "B")}
    assert _rule('metric("recall") >= 0.96', **bindings).sentence.startswith("recall 0.950 >= 0.96: fail")
    assert _rule('slices("site").size() == 1', **bindings).verdict == "pass"
    assert _rule('metric("recall") > 0', scope=("site", "Z")).verdict == "unknown"
    assert _rule('metric("auc") > 0', **bindings).verdict == "unknown"


def test_worst_names_the_column_and_is_unknown_when_one_was_not_measured():
    assert _rule('worst("psi") < 0.25', measured=window(0.9, 0.3)).sentence == (
        "worst psi (texture_mean) 0.300 < 0.25: fail by 0.050 (n = 80)"
    )
    assert _rule('worst("psi") < 0.25', measured=window(0.9, None)).verdict == "unknown"
    assert _rule('worst("psi") < 0.005', measured=window(0.9, None)).verdict == "fail"
    assert _rule('worst("psi") < 0.25').verdict == "unknown"


def test_has_turns_missing_into_false_when_asked():
    assert _rule('has(evidence("latency").p99_ms)').verdict == "pass"
    assert _rule('has(evidence("latency").p12_ms)').verdict == "fail"
    assert _rule('!has(evidence("nothing").x) || evidence("nothing").x > 1').verdict == "pass"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("cand.auc >= && 3", "column 13: unexpected '&&'; expected a value"),
        ("1 < 2 < 3", "comparisons cannot be chained"),
        ("a = 3", "write '=='"),
        ("a and b", "unexpected 'and'"),
        ('"open', "not closed"),
        ("", "empty"),
        ("(1 + 2", "expected ')'"),
        ("x.all(3, true)", "a name for each element"),
        ("x.sort()", "cannot be called on a value"),
        ("y > 1", "'y' is not known here"),
        ("nope(1) > 1", "there is no function 'nope'"),
        ("1 + 2", "not a yes/no answer"),
        ("has(1)", "has() asks for a member"),
        ("[1].all(x, true)", "already has a meaning"),
        ("1x == 2", "a number cannot be followed by"),
        (r'"\q" == "q"', "not an escape"),
        ("!" * 200 + "true", "nested more than"),
        ("1" * 60 + " > 1", "too long"),
        ("a" * 10_001, "at most 10000 characters"),
        ("1 == 1 " + "&& 1 == 1 " * 900, "at most 2000 parts"),
    ],
)
def test_error_points_at_the_place_when_the_text_is_wrong(source, problem):
    with pytest.raises(ExpressionError) as refused:
        compile_rule(source, FREE)
    assert problem in refused.value.message
    assert refused.value.message.splitlines()[-1].strip() == "^"
    assert refused.value.details["line"] == 1


def test_error_suggests_the_near_name_when_a_function_is_misspelt():
    with pytest.raises(ExpressionError, match="Did you mean 'metric'"):
        compile_rule('metrics("recall") > 1', RULES)
    with pytest.raises(ExpressionError, match="takes 1 value, not 0"):
        compile_rule("metric() > 1", RULES)
    with pytest.raises(ExpressionError, match="not a number to order"):
        compile_value("1 > 2", RULES)
    assert "Did you mean 'recall'?" in _rule('metric("recal") > 1').sentence


def test_caret_stands_below_the_place_when_the_rule_has_lines():
    with pytest.raises(ExpressionError) as refused:
        compile_rule("true &&\n  1 +", FREE)
    assert refused.value.message.startswith("line 2, column 6")


def test_evaluation_stops_when_the_budget_is_used_up():
    nested = "x.all(a1, x.all(b1, x.all(c1, x.all(d1, a1 + b1 + c1 + d1 >= 0))))"
    answer = _ask(nested, x=list(range(200)))
    assert answer.verdict == "unknown" and "steps" in answer.sentence


verdicts = st.sampled_from(["pass", "fail", "unknown"])


def _truth(verdict, name="t"):
    return unknown_truth(Unknown("not measured"), name) if verdict == "unknown" else stated(verdict == "pass", name)


@settings(deadline=None)
@given(verdicts, verdicts, verdicts)
def test_three_valued_algebra_holds_when_verdicts_are_combined(p, q, r):
    a, b, c = _truth(p, "a"), _truth(q, "b"), _truth(r, "c")
    both, either = conjunction([a, b]).verdict, disjunction([a, b]).verdict
    assert negation(conjunction([a, b])).verdict == disjunction([negation(a), negation(b)]).verdict
    assert negation(disjunction([a, b])).verdict == conjunction([negation(a), negation(b)]).verdict
    assert both == conjunction([b, a]).verdict and either == disjunction([b, a]).verdict
    assert conjunction([a, conjunction([b, c])]).verdict == conjunction([conjunction([a, b]), c]).verdict
    assert (
        conjunction([a, disjunction([b, c])]).verdict == disjunction([conjunction([a, b]), conjunction([a, c])]).verdict
    )
    assert negation(negation(a)).verdict == p
    assert conjunction([a, a]).verdict == p == disjunction([a, a]).verdict
    order = ["fail", "unknown", "pass"]
    assert both == min(p, q, key=order.index) and either == max(p, q, key=order.index)


@settings(deadline=None)
@given(verdicts, verdicts)
def test_verdict_never_gets_worse_by_knowing_more_when_it_is_decided(p, q):
    """Replacing an unknown by anything never turns a decided answer around."""
    for fold in (conjunction, disjunction):
        before = fold([_truth(p), _truth(q)]).verdict
        if before == "unknown":
            continue
        for settled in ("pass", "fail"):
            first = settled if p == "unknown" else p
            second = settled if q == "unknown" else q
            assert fold([_truth(first), _truth(second)]).verdict == before


@settings(deadline=None)
@given(st.text(max_size=60))
def test_parser_answers_or_refuses_when_given_any_text(text):
    with suppress(ExpressionError):
        parse(text)


_pieces = st.sampled_from(
    ["1", "2.5", "x", "a.b", '"t"', "true", "null", "(", ")", "[", "]", "{", "}", ",", ":", "?", "&&", "||", "!", "-",
     "+", "*", "/", "%", "==", "<", ">=", "in", ".all(s, ", ".size()", "has(", "size(", ".map(i, "]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(_pieces, max_size=14))
def test_evaluation_never_crashes_when_pieces_are_thrown_together(pieces):
    try:
        program = compile_rule(" ".join(pieces), FREE)
    except ExpressionError:
        return
    answer = program.answer({}, {"x": [1, None, "t"], "a": {"b": math.nan}, "b": 1, "c": None})
    assert answer.verdict in ("pass", "fail", "unknown") and answer.sentence


def test_worst_is_unknown_when_the_window_is_shorter_than_the_rule_asks():
    short = _rule('worst("psi") < 0.25', measured=window(0.9, 0.3), min_n=MinimumN(rows=100))
    assert short.verdict == "unknown"
    assert "80 rows, fewer than 100" in short.sentence
    assert _rule('worst("psi") < 0.25', measured=window(0.9, 0.3), min_n=MinimumN(rows=80)).verdict == "fail"
