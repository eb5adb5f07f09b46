"""Policies: what is read, what is refused and how it is said."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from govern_cases import POLICY
from hypothesis import given, settings
from hypothesis import strategies as st

from stile.govern.expression.bindings import FUNCTIONS
from stile.govern.policy import Policy, compile_policy, parse_policy
from stile.govern.policy_yaml import load_yaml
from stile.kernel.errors import Invalid, TooLarge

ONE_RULE = "policy: p\nrequire:\n  - {id: a, rule: 'metric(\"auc\") > 0.8'}\n"


def test_example_policy_is_read_whole_when_parsed():
    policy = parse_policy(POLICY)
    assert [rule.id for rule in policy.require] == [
        "recall-floor", "every-site", "not-worse-than-champion", "honest-test", "sensor-outage", "fast-enough",
    ]  # fmt: skip
    assert policy.require[1].min_n.positives == 20
    assert [(need.role, need.quorum, need.when) for need in policy.approvals] == [
        ("product_manager", 1, ""), ("domain_expert", 1, ""), ("compliance", 1, 'use_case.tier == "high"'),
    ]  # fmt: skip
    assert [(rule.id, rule.needed, rule.otherwise) for rule in policy.live] == [
        ("live-recall", (2, 3), "open_decision"),
        ("inputs-moved", (1, 1), "alert"),
    ]
    assert policy.scope == "site" and policy.apply == "manual" and len(policy.choose) == 2
    assert len(compile_policy(policy).rules) == 9


def test_digest_is_of_the_meaning_when_only_the_layout_changes():
    digest = parse_policy(ONE_RULE).digest
    assert (
        parse_policy("# note\n" + ONE_RULE.replace("{id: a, rule", "{rule").replace("0.8'}", "0.8', id: a}")).digest
        == digest
    )
    assert parse_policy(ONE_RULE.replace("0.8", "0.81")).digest != digest
    encoded = msgspec.json.encode(parse_policy(POLICY))
    assert msgspec.json.decode(encoded, type=Policy).digest == parse_policy(POLICY).digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("rule: ci_low(metric(\"recall\")) >= 0.93", "rule: ci_low(metric(\"recall\") >= 0.93"), "require 'recall-floor', key 'rule': line 1"),  # noqa: E501
        (("ci_low(metric(\"recall\")) >= 0.93\n", "ci_lo(metric(\"recall\")) >= 0.93\n"), "Did you mean 'ci_low'?"),
        (("id: every-site", "id: recall-floor"), "this id is used twice"),
        (("min_n: {positives: 20}", "min_n: {positive: 20}"), "require 'every-site'"),
        (("min_n: {positives: 20}", "min_n: {positives: -1}"), "cannot be negative"),
        (("persist: 2 of 3", "persist: 4 of 3"), "key 'persist': must read like '2 of 3'"),
        (("persist: 2 of 3", "persist: often"), "live 'live-recall'"),
        (("else: alert", "else: shout"), "live 'inputs-moved'"),
        (("role: domain_expert", "role: domain_exprt"), "Did you mean 'domain_expert'?"),
        (("quorum: 1", "quorum: 0"), "key 'quorum': must be between 1 and 20"),
        (("label: challenger", "label: champion"), "given by the machine"),
        (("failed.size() == 0", "failed.size() = 0"), "key 'when'"),
        (("use_case.tier == \"high\"", "metric(\"auc\") > 1"), "there is no function 'metric'"),
        (("on_missing: unknown", "on_missing: fail"), "on_missing"),
        (("owner: domain_expert", "ownr: domain_expert"), "Did you mean 'owner'?"),
        (("choose: ['ci_low(metric(\"recall\"))'", "choose: ['metric(\"recall\") > 1'"), "choose 1"),
        (("scope: site", "skope: site"), "'skope' is not a key of a policy. Did you mean 'scope'?"),
    ],
)  # fmt: skip
def test_error_names_rule_and_key_when_something_is_wrong(change, said):
    broken = POLICY.replace(*change)
    assert broken != POLICY
    with pytest.raises(Invalid) as refused:
        parse_policy(broken)
    assert said in refused.value.message


def test_every_broken_rule_is_named_when_several_are_wrong():
    with pytest.raises(Invalid) as refused:
        parse_policy("policy: p\nrequire:\n- {id: a, rule: 'x > 1'}\n- {id: b, rule: 'metric(1'}\n")
    assert len(refused.value.details["problems"]) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("[]", "mapping"),
        ("just words", "mapping"),
        ("policy: p", "needs at least one rule"),
        ("policy: p\nrequire: {a: 1}", "require: must be a list"),
        ("policy: p\nrequire: [3]", "require 1"),
        ("policy: p\npolicy: q\n", "twice"),
        ("a: [1, 2", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: &x [*x]", "contains itself"),
        ("1: 2", "Keys of a policy are texts"),
        ("[" * 100, "nested"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_text_is_refused_when_it_is_no_policy(text, said):
    with pytest.raises(Invalid) as refused:
        parse_policy(text)
    assert said in refused.value.message


def test_text_is_refused_when_aliases_blow_it_up_or_it_is_too_large():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    with pytest.raises(TooLarge, match="values"):
        load_yaml(bomb)
    with pytest.raises(TooLarge, match="KB"):
        load_yaml("# " + "x" * 300_000)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_text_is_read_or_refused_when_it_is_anything(text):
    with suppress(Invalid, TooLarge):
        parse_policy(text)


def test_reference_names_every_function_and_key_when_read():
    page = (Path(__file__).parents[3] / "docs/reference/policy.md").read_text("utf-8")
    for function in FUNCTIONS:
        assert f"{function}(" in page, function
    for key in Policy.__struct_encode_fields__:
        assert f"`{key}`" in page, key
