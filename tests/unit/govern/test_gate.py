"""The gate, the choice, the labels and the live rules, without a store."""

from __future__ import annotations

import pytest
from govern_cases import NOW, POLICY, digest, evidence, window
from hypothesis import given, settings
from hypothesis import strategies as st

from stile.govern.expression.bindings import Champion
from stile.govern.gate import Candidate, choose, judge
from stile.govern.history import fold
from stile.govern.live import evaluate_live
from stile.govern.policy import compile_policy, parse_policy
from stile.govern.separation import Approval, Binding, Team, approval_states

COMPILED = compile_policy(parse_policy(POLICY))
CANDIDATE = Candidate(version=1, digest=digest("model-1"), authors=["ada"])
BINDING = Binding(model="sha256:m", data="sha256:d", policy="sha256:p", evidence="sha256:e")


def _judge(measured, champion=None, policy=POLICY):
    compiled = compile_policy(parse_policy(policy))
    return judge(
        compiled, candidate=CANDIDATE, evidence=measured, champion=champion, use_case={"tier": "medium"}, now=NOW
    )


def test_every_rule_passes_when_the_evidence_is_good():
    judged = _judge(evidence())
    assert judged.passes
    assert {rule.id: rule.verdict for rule in judged.warnings} == {"calibration": "pass"}
    assert judged.order == [0.941, 0.99]
    assert [(scope.scope, scope.verdict) for scope in judged.scopes] == [("site=A", "fail"), ("site=B", "fail")]


def test_scope_fails_alone_when_only_one_site_is_weak():
    policy = POLICY.replace('ci_low(metric("recall")) >= 0.93', 'metric("recall") >= 0.96')
    judged = _judge(evidence(), policy=policy)
    assert [(scope.scope, scope.verdict, scope.failed) for scope in judged.scopes] == [
        ("site=A", "pass", []),
        ("site=B", "fail", ["recall-floor"]),
    ]


@pytest.mark.parametrize(
    ("changed", "failed", "unknown"),
    [
        ({"recall_low": 0.929}, ["recall-floor"], []),
        ({"recall_low": None}, [], ["recall-floor"]),
        ({"site_b": 0.89}, ["every-site"], []),
        ({"site_b_positives": 19}, [], ["every-site"]),
        ({"overlap": 1}, ["honest-test"], []),
        ({"p99": 21.0}, ["fast-enough"], []),
        ({"p99": None}, [], ["fast-enough"]),
        ({"p99": None, "overlap": 2}, ["honest-test"], ["fast-enough"]),
    ],
)
def test_verdict_follows_the_evidence_when_one_number_changes(changed, failed, unknown):
    judged = _judge(evidence(**changed))
    assert (judged.failed, judged.unknown) == (failed, unknown)


def test_every_rule_is_unknown_when_nothing_was_measured():
    judged = _judge(None)
    assert len(judged.unknown) == 5  # the comparison with the champion passes: there is none
    assert all(rule.remedies for rule in judged.rules if rule.verdict == "unknown")


def test_unknown_fails_when_the_rule_says_missing_fail():
    policy = POLICY.replace("p99_ms <= 20\n", "p99_ms <= 20\n    missing: fail\n")
    judged = _judge(evidence(p99=None), policy=policy)
    assert judged.failed == ["fast-enough"]
    assert "counts unknown as fail" in judged.rules[-1].sentence


def test_candidate_is_compared_with_the_champion_when_there_is_one():
    champion = Champion(version=3, digest="sha256:c", evidence=evidence())
    assert _judge(evidence(), champion).unknown == ["not-worse-than-champion"]
    assert _judge(evidence(champion="sha256:c", paired_low=-0.01), champion).failed == ["not-worse-than-champion"]
    assert _judge(evidence(champion="sha256:c", paired_low=0.0), champion).passes


numbers = st.one_of(st.none(), st.floats(-1, 1, allow_nan=False))


@settings(deadline=None)
@given(st.dictionaries(st.integers(1, 9), st.lists(numbers, min_size=2, max_size=2), max_size=6))
def test_choice_is_a_lexicographic_maximum_when_orders_are_compared(orders):
    best = choose(orders)
    if not orders:
        assert best is None
        return
    for order in orders.values():
        for mine, theirs in zip(orders[best], order, strict=True):
            if mine == theirs:
                continue
            assert theirs is None or (mine is not None and mine > theirs)
            break


def _approval(person, role, verdict="yes", over=BINDING):
    return Approval(
        id=f"{person}-{role}", promotion="p", role=role, person=person, verdict=verdict, reason="", at=1, over=over
    )


def _states(approvals, needs=(("product_manager", 1), ("domain_expert", 1)), authors=("ada",), solo=False):
    team = Team(roles={"product_manager": ["paula", "both", "ada"], "domain_expert": ["dora", "both"]}, solo=solo)
    return approval_states(needs, approvals, BINDING, team, authors)


def test_one_person_counts_once_when_holding_two_roles():
    states = _states([_approval("both", "product_manager"), _approval("both", "domain_expert")])
    assert [state.state for state in states] == ["yes", "waiting"]
    assert states[1].votes[0].why_not == "already counts in another role"


def test_author_does_not_count_when_a_record_says_yes():
    states = _states([_approval("ada", "product_manager")])
    assert states[0].state == "waiting" and states[0].people == ["paula", "both"]


def test_last_word_counts_when_a_person_changes_their_mind():
    assert (
        _states([_approval("paula", "product_manager"), _approval("paula", "product_manager", "no")])[0].state == "no"
    )
    assert (
        _states([_approval("paula", "product_manager", "no"), _approval("paula", "product_manager")])[0].state == "yes"
    )


def test_quorum_needs_several_people_when_it_says_so():
    needs = [("product_manager", 2)]
    assert _states([_approval("paula", "product_manager")] * 2, needs)[0].state == "waiting"
    assert (
        _states([_approval("paula", "product_manager"), _approval("both", "product_manager")], needs)[0].state == "yes"
    )


@settings(deadline=None)
@given(st.sampled_from(["model", "data", "policy", "evidence", "environment"]))
def test_approval_lapses_when_any_digest_changes(part):
    import msgspec

    other = msgspec.structs.replace(BINDING, **{part: "sha256:other"})
    state = _states([_approval("paula", "product_manager", over=other)])[0]
    assert state.state == "waiting" and state.votes[0].why_not.startswith(f"lapsed: {part} changed")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ada", "paula", "both", "dora", "mallory"]),
            st.sampled_from(["product_manager", "domain_expert"]),
            st.sampled_from(["yes", "no"]),
        ),
        max_size=8,
    )
)
def test_two_different_entitled_people_agreed_when_both_approvals_stand(words):
    states = _states([_approval(*word) for word in words])
    if all(state.state == "yes" for state in states):
        first, second = ([v.person for v in s.votes if v.counts and v.verdict == "yes"] for s in states)
        assert set(first) <= {"paula", "both"} and set(second) <= {"dora", "both"}
        assert len(set(first) | set(second)) >= 2


def test_live_rule_is_broken_when_it_fails_often_enough():
    policy = COMPILED.policy

    def live(recall, *history, psi=0.02):
        results = evaluate_live(policy, window(recall, psi), [{"live-recall": h} for h in history], {}, NOW)
        return {one.id: one for one in results}

    assert not live(0.85)["live-recall"].broken
    assert live(0.85, "fail")["live-recall"].broken
    assert live(0.85, "fail", "pass")["live-recall"].broken
    assert not live(0.85, "fail", "pass", "pass")["live-recall"].broken
    assert not live(0.95, "fail", "fail")["live-recall"].broken
    assert not live(None, "fail", "fail")["live-recall"].broken
    assert not live(0.85, "unknown", "unknown")["live-recall"].broken
    broken = live(0.85, "fail", psi=0.4)
    assert broken["live-recall"].otherwise == "open_decision"
    assert broken["live-recall"].sentence.endswith("failing in 2 of the last 2 windows (acts at 2 of 3)")
    assert broken["inputs-moved"].broken and broken["inputs-moved"].otherwise == "alert"
    assert "texture_mean" in broken["inputs-moved"].sentence


@pytest.mark.parametrize(
    ("decisions", "champions", "held"),
    [
        ([], [], False),
        ([("promoted", 1), ("rejected", 2), ("promoted", 3)], [1, 3], False),
        ([("promoted", 1), ("promoted", 2), ("rolled_back", 1)], [1], False),
        ([("promoted", 1), ("promoted", 2), ("promoted", 3), ("rolled_back", 2), ("rolled_back", 1)], [1], False),
        ([("promoted", 1), ("held", 1)], [1], True),
        ([("promoted", 1), ("held", 1), ("promoted", 2)], [1, 2], False),
        ([("promoted", 1), ("promoted", 2), ("demoted", 2)], [1], False),
        ([("promoted", 1), ("promoted", 2), ("rolled_back", 1), ("rolled_back", 2)], [1, 2], False),
    ],
)
def test_past_is_the_fold_of_decisions_when_they_are_replayed(decisions, champions, held):
    past = fold(decisions)
    assert (past.champions, past.held) == (champions, held)
