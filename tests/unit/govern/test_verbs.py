"""Promotions, approvals, plan, apply, rollback and hold on a real store."""

from __future__ import annotations

import msgspec
import pytest
from govern_cases import POLICY
from govern_world import USE_CASE, fresh, measure, person, promote, propose, register, say

from stile.govern import (
    aliases,
    consistency,
    decision_records,
    decisions,
    policies,
    promotion_records,
    promotions,
    registry,
)
from stile.govern.report import gate_report
from stile.kernel.errors import Conflict, Forbidden, Guarded, Invalid, Missing
from stile.kernel.permission import LOCAL_USER, PrincipalKind
from stile.store import ledger, outbox

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def store(tmp_path, store_url):
    db = fresh(tmp_path, store_url)
    yield db
    db.close()


def _aliases(db):
    return db.read(lambda tx: registry.aliases(tx, USE_CASE))


def _plan(db):
    return db.write(lambda tx: decisions.plan(tx, use_case=USE_CASE, by="mel"))


def _apply(db, plan):
    return db.write(lambda tx: decisions.apply(tx, use_case=USE_CASE, plan=plan.digest, by="mel"))


def _labels(db):
    return {one.version: one for one in db.read(lambda tx: decisions.standings(tx, USE_CASE))}


def test_three_candidates_get_different_verdicts_when_one_is_good_one_weak_one_leaky(store):
    store.write(lambda tx: [register(tx), register(tx, recall_low=0.90), register(tx, overlap=12)])
    before = store.read(lambda tx: gate_report(tx, use_case=USE_CASE))
    assert [c.outcome for c in before.candidates] == ["wait", "reject", "reject"]
    assert (before.outcome, before.exit_code) == ("wait", 2)
    assert before.candidates[0].waiting_for == ["proposal", "product_manager", "domain_expert"]
    labels = _labels(store)
    assert labels[1].label == "waiting:proposal"
    assert labels[2].text == "rejected:recall-floor by 0.030"
    assert labels[3].text == "rejected:honest-test by 12"
    decision = promote(store, 1)
    assert decision.kind == "promoted"
    assert _aliases(store) == {"champion": 1}
    kinds = sorted((d.kind, d.version) for d in store.read(lambda tx: decision_records.listing(tx, USE_CASE)))
    assert kinds == [("promoted", 1), ("rejected", 2), ("rejected", 3)]
    assert len(decision.also) == 2
    assert _labels(store)[1].label == "champion"
    after = store.read(lambda tx: gate_report(tx, use_case=USE_CASE))
    assert ([c.version for c in after.candidates], after.exit_code) == ([2, 3], 1)
    champion = store.read(lambda tx: gate_report(tx, use_case=USE_CASE, version=1))
    assert (champion.exit_code, champion.sentence) == (0, "it is in production, and every rule still passes")
    assert _plan(store).nothing


def test_other_passing_candidate_becomes_challenger_when_another_is_chosen(store):
    store.write(lambda tx: [register(tx, recall_low=0.95), register(tx, recall_low=0.935)])
    decision = promote(store, 1)
    assert _aliases(store) == {"champion": 1, "challenger": 2}
    assert {one.version: one.label for one in decision.labels} == {1: "champion", 2: "challenger"}
    assert _labels(store)[2].label == "challenger"  # kept: the new champion is not compared with it yet


def test_candidate_is_rejected_when_the_choice_prefers_another(store):
    store.write(lambda tx: [register(tx, recall_low=0.95), register(tx, recall_low=0.935)])
    asked = propose(store, 2)
    assert (asked.gate.outcome, asked.gate.exit_code, asked.gate.dominated_by) == ("reject", 1, 1)


def test_approval_is_refused_when_the_approver_is_the_author(store):
    def build(tx):
        return register(tx, by="paula")

    version = store.write(build)
    asked = propose(store, version)
    with pytest.raises(Forbidden, match="nobody approves their own work"):
        say(store, asked.id, "paula", "product_manager")
    assert store.read(lambda tx: promotion_records.approvals(tx, asked.id)) == []


def test_approval_is_refused_when_the_approver_proposed_it(store):
    store.write(register)
    asked = propose(store, 1, by="both")
    with pytest.raises(Forbidden, match="nobody approves their own work"):
        say(store, asked.id, "both", "product_manager")


def test_second_role_is_refused_when_one_person_holds_both(store):
    store.write(register)
    asked = propose(store, 1)
    say(store, asked.id, "both", "product_manager")
    with pytest.raises(Forbidden, match="different roles need different people"):
        say(store, asked.id, "both", "domain_expert")


@pytest.mark.parametrize(
    ("who", "role", "reason"),
    [
        (person("mel"), "product_manager", "does not hold the role"),
        (person("bot", PrincipalKind.SERVICE), "product_manager", "service accounts"),
        (LOCAL_USER, "product_manager", "local user cannot approve"),
    ],
)
def test_approval_is_refused_when_the_person_may_not(store, who, role, reason):
    store.write(register)
    asked = propose(store, 1)
    with pytest.raises(Forbidden, match=reason):
        store.write(lambda tx: promotions.approve(tx, promotion=asked.id, role=role, verdict="yes", reason="", by=who))


def test_approval_is_refused_when_the_policy_asks_for_no_such_role(store):
    store.write(register)
    asked = propose(store, 1)
    with pytest.raises(Invalid, match="asks for no approval as 'compliance'"):
        say(store, asked.id, "paula", "compliance")


def test_compliance_is_asked_when_the_tier_is_high(store):
    from stile.people import use_cases
    from stile.people.use_cases import Charter

    store.write(lambda tx: use_cases.amend(tx, name=USE_CASE, charter=Charter(tier="high"), by="ada"))
    store.write(register)
    assert propose(store, 1).waiting_for == ["product_manager", "domain_expert", "compliance"]


def test_local_user_approves_alone_when_solo_and_the_decision_says_so(tmp_path, store_url):
    db = fresh(tmp_path, store_url, solo=True)
    try:
        db.write(lambda tx: register(tx, by="local-user"))
        asked = propose(db, 1, by="local-user")
        for role in ("product_manager", "domain_expert"):
            db.write(
                lambda tx, role=role: promotions.approve(
                    tx, promotion=asked.id, role=role, verdict="yes", reason="alone", by=LOCAL_USER
                )
            )
        decision = _apply(db, _plan(db))
        assert decision.kind == "promoted" and decision.solo
        assert all(vote.solo for state in decision.approvals for vote in state.votes)
    finally:
        db.close()


def test_approvals_lapse_when_the_evidence_changes(store):
    store.write(register)
    asked = propose(store, 1)
    say(store, asked.id, "paula", "product_manager")
    say(store, asked.id, "dora", "domain_expert")
    assert store.read(lambda tx: promotions.get(tx, asked.id)).gate.outcome == "promote"
    store.write(lambda tx: measure(tx, 1, recall_low=0.942))
    after = store.read(lambda tx: promotions.get(tx, asked.id))
    assert after.gate.outcome == "wait" and after.changed == ["evidence"]
    assert [vote.why_not[:26] for state in after.gate.approvals for vote in state.votes] == [
        "lapsed: evidence changed fr"[:26]
    ] * 2
    with pytest.raises(Conflict, match="nothing to apply"):
        _apply(store, _plan(store))


def test_approvals_lapse_when_another_policy_is_published(store):
    store.write(register)
    asked = propose(store, 1)
    say(store, asked.id, "paula", "product_manager")
    store.write(lambda tx: policies.publish(tx, use_case=USE_CASE, yaml=POLICY.replace("0.93", "0.92"), by="paula"))
    assert store.read(lambda tx: promotions.get(tx, asked.id)).waiting_for == ["product_manager", "domain_expert"]


def test_approval_stops_counting_when_the_person_loses_the_role(store):
    from stile.people import use_cases

    store.write(register)
    asked = propose(store, 1)
    say(store, asked.id, "paula", "product_manager")
    store.write(lambda tx: use_cases.set_roles(tx, name=USE_CASE, person="paula", roles=[], by="ada"))
    assert "product_manager" in store.read(lambda tx: promotions.get(tx, asked.id)).waiting_for


def test_no_blocks_and_can_be_changed_to_yes_when_the_person_says_so(store):
    store.write(register)
    asked = propose(store, 1)
    with pytest.raises(Invalid, match="needs a reason"):
        say(store, asked.id, "paula", "product_manager", "no", "")
    after = say(store, asked.id, "paula", "product_manager", "no", "too early")
    assert (after.gate.outcome, after.sentence) == ("reject", "product_manager: paula said no: too early")
    assert _labels(store)[1].label == "rejected:product_manager"
    after = say(store, asked.id, "paula", "product_manager", "yes", "now it fits")
    assert after.gate.outcome == "wait"
    assert [one.verdict for one in after.said] == ["no", "yes"]


def test_request_closes_as_rejected_when_people_said_no_and_the_plan_is_applied(store):
    store.write(register)
    asked = propose(store, 1)
    say(store, asked.id, "paula", "product_manager", "no", "too early")
    decision = _apply(store, _plan(store))
    assert (decision.kind, decision.version) == ("rejected", 1)
    closed = store.read(lambda tx: promotions.get(tx, asked.id))
    assert (closed.state, closed.decision) == ("rejected", decision.decision)
    with pytest.raises(Conflict, match="closed"):
        say(store, asked.id, "paula", "product_manager", "yes")
    assert _labels(store)[1].text == "rejected:product_manager"
    assert _plan(store).nothing
    assert propose(store, 1).id != asked.id


def test_same_word_is_recorded_once_when_said_twice(store):
    store.write(register)
    asked = propose(store, 1)
    assert propose(store, 1).id == asked.id
    say(store, asked.id, "paula", "product_manager")
    say(store, asked.id, "paula", "product_manager")
    assert len(store.read(lambda tx: promotion_records.approvals(tx, asked.id))) == 1


def test_apply_is_refused_and_says_what_moved_when_the_world_moved(store):
    store.write(register)
    asked = propose(store, 1)
    say(store, asked.id, "paula", "product_manager")
    say(store, asked.id, "dora", "domain_expert")
    plan = _plan(store)
    store.write(lambda tx: register(tx, recall_low=0.931))
    with pytest.raises(Conflict, match="The world has moved") as refused:
        _apply(store, plan)
    assert "a version was registered or removed" in refused.value.details["moved"]
    assert _aliases(store) == {}
    with pytest.raises(Conflict, match="no such plan"):
        store.write(lambda tx: decisions.apply(tx, use_case=USE_CASE, plan="sha256:0", by="mel"))


def test_apply_returns_the_same_decision_when_repeated(store):
    store.write(register)
    first = promote(store, 1)
    again = store.write(lambda tx: decisions.apply(tx, use_case=USE_CASE, plan=first.plan, by="mel"))
    assert again == first


def test_plan_lists_every_effect_and_changes_nothing_when_made(store):
    store.write(lambda tx: [register(tx, recall_low=0.95), register(tx, recall_low=0.935)])
    asked = propose(store, 1)
    say(store, asked.id, "paula", "product_manager")
    say(store, asked.id, "dora", "domain_expert")
    plan = _plan(store)
    assert _plan(store).digest == plan.digest
    assert {effect.kind for effect in plan.effects} == {
        "champion",
        "alias",
        "label",
        "promotion",
        "route",
        "monitor",
        "card",
    }
    assert _aliases(store) == {}
    assert plan.sentence == "promote v1 to champion in place of nothing"


def test_decision_is_in_the_ledger_with_trace_and_alias_when_promoted(store):
    store.write(register)
    decision = promote(store, 1)
    entry = next(e for e in store.read(ledger.entries) if e.position == decision.position)
    body = msgspec.json.decode(entry.body)
    assert (entry.kind, entry.hash, entry.prev_hash) == ("decision_promoted", decision.hash, decision.prev_hash)
    assert body["verdicts"][0]["sentence"] == "ci_low(recall) 0.941 >= 0.93: pass by 0.011 (n = 171, 64 malignant)"
    assert [a["state"] for a in body["approvals"]] == ["yes", "yes"]
    assert body["aliases"] == [{"alias": "champion", "before": 0, "after": 1}]
    assert store.read(ledger.verify) == []
    history = store.read(lambda tx: registry.alias_history(tx, USE_CASE))
    assert history[0].decision == decision.decision
    names = [posted.name for posted in store.read(lambda tx: outbox.after(tx, 0, 1000))]
    assert names.count("DecisionTaken") == 1 and names.count("ApprovalGiven") == 2


def test_nothing_is_left_behind_when_the_alias_cannot_move(store, monkeypatch):
    store.write(register)
    before = store.read(ledger.root)

    def broken(*_args):
        raise Invalid("the alias cannot move")

    monkeypatch.setattr(aliases, "set_alias", broken)
    asked = propose(store, 1)
    say(store, asked.id, "paula", "product_manager")
    say(store, asked.id, "dora", "domain_expert")
    plan = _plan(store)
    entries = store.read(ledger.root)
    with pytest.raises(Invalid, match="cannot move"):
        _apply(store, plan)
    assert store.read(ledger.root) == entries != before
    assert store.read(lambda tx: decision_records.listing(tx, USE_CASE)) == []
    assert _aliases(store) == {}
    assert store.read(lambda tx: promotions.get(tx, asked.id)).state == "open"


def test_last_yes_promotes_when_the_policy_applies_automatically(tmp_path, store_url):
    db = fresh(tmp_path, store_url, policy=POLICY + "apply: automatic\n")
    try:
        db.write(register)
        asked = propose(db, 1)
        say(db, asked.id, "paula", "product_manager")
        assert _aliases(db) == {}
        after = say(db, asked.id, "dora", "domain_expert")
        assert (after.state, _aliases(db)) == ("promoted", {"champion": 1})
    finally:
        db.close()


def test_rollback_goes_back_step_by_step_when_repeated(store):
    champions = []
    for number in range(1, 4):
        champion = store.read(lambda tx: registry.aliases(tx, USE_CASE)).get("champion")
        against = store.read(lambda tx, c=champion: registry.version(tx, USE_CASE, c).digest) if champion else ""
        store.write(
            lambda tx, a=against, n=number: register(tx, champion=a, paired_low=0.0, recall_low=0.94 + n / 1000)
        )
        champions.append(promote(store, number).version)
    assert champions == [1, 2, 3]

    def back(**given):
        return store.write(lambda tx: decisions.roll_back(tx, use_case=USE_CASE, reason="worse", by="mel", **given))

    decision = back()
    assert (decision.kind, decision.version, decision.previous.version) == ("rolled_back", 2, 3)
    assert _aliases(store)["champion"] == 2
    assert back().version == 1
    with pytest.raises(Conflict, match="no earlier champion"):
        back()
    assert back(version=3).version == 3
    with pytest.raises(Conflict, match="never champion"):
        back(version=9)
    with pytest.raises(Conflict, match="already"):
        back(version=3)
    with pytest.raises(Invalid, match="reason"):
        store.write(lambda tx: decisions.roll_back(tx, use_case=USE_CASE, reason=" ", by="mel"))
    with pytest.raises(Conflict, match="roll back"):
        propose(store, 1)


def test_hold_is_opened_once_and_moves_no_alias_when_the_champion_breaks_a_live_rule(store):
    with pytest.raises(Conflict, match="no champion"):
        store.write(lambda tx: decisions.hold(tx, use_case=USE_CASE, reason="why", by="mel"))
    store.write(register)
    promote(store, 1)
    first = store.write(
        lambda tx: decisions.open_hold(tx, use_case=USE_CASE, reason="live-recall", evidence_digest="sha256:w")
    )
    second = store.write(lambda tx: decisions.hold(tx, use_case=USE_CASE, reason="again", by="mel"))
    assert first.decision == second.decision
    assert (first.kind, first.version, first.by, first.evidence) == ("held", 1, "stile", "sha256:w")
    assert _aliases(store) == {"champion": 1}
    assert _labels(store)[1].text == "champion (on hold)"


def test_verdict_follows_the_policy_when_a_threshold_or_rule_changes(store):
    store.write(lambda tx: register(tx, recall_low=0.92, overlap=3))

    def outcome(yaml):
        report = store.read(lambda tx: gate_report(tx, use_case=USE_CASE, version=1, policy_yaml=yaml))
        assert report.dry_run
        return report.outcome, report.candidates[0].failed

    assert outcome(POLICY) == ("reject", ["recall-floor", "honest-test"])
    assert outcome(POLICY.replace(">= 0.93", ">= 0.91")) == ("reject", ["honest-test"])
    start = POLICY.index("  - id: honest-test")
    without = POLICY[:start] + POLICY[POLICY.index("  - id: sensor-outage") :]
    assert outcome(without) == ("reject", ["recall-floor"])
    assert outcome(without.replace(">= 0.93", ">= 0.91"))[0] == "wait"


def test_waiting_for_evidence_is_said_when_a_version_was_never_evaluated(store):
    store.write(lambda tx: register(tx, evaluated=False))
    report = store.read(lambda tx: gate_report(tx, use_case=USE_CASE, version=1))
    assert (report.exit_code, report.candidates[0].missing) == (2, ["Evaluate this version."])
    assert _labels(store)[1].label == "waiting:evidence"
    with pytest.raises(Conflict, match="no evidence yet"):
        say(store, propose(store, 1).id, "paula", "product_manager")


def test_messages_name_what_exists_when_something_is_missing(store):
    with pytest.raises(Missing, match="no version 7"):
        propose(store, 7)
    with pytest.raises(Missing, match="no use case"):
        store.read(lambda tx: gate_report(tx, use_case="other"))
    with pytest.raises(Missing):
        store.read(lambda tx: decisions.get(tx, "dec_none"))


def test_decided_version_and_guarded_alias_stay_when_somebody_tries_by_hand(store):
    store.write(register)
    promote(store, 1)
    store.write(register)
    with pytest.raises(Guarded):
        store.write(lambda tx: registry.delete_version(tx, USE_CASE, 1, by="ada"))
    with pytest.raises(Guarded):
        store.write(lambda tx: registry.set_alias(tx, USE_CASE, "champion", 2, by="ada"))


def test_policy_stays_the_same_version_when_only_comments_change(store):
    def publish(yaml):
        return store.write(lambda tx: policies.publish(tx, use_case=USE_CASE, yaml=yaml, by="paula"))

    assert publish(POLICY + "# a remark\n").version == 1
    changed = publish(POLICY.replace("0.93", "0.94"))
    assert changed.version == 2
    assert publish(POLICY).version == 3  # going back is a publication too


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        ("UPDATE model_aliases SET version = 2", "the alias champion of early-detection names 2, decided was 1"),
        ("UPDATE decisions SET body = (SELECT binding FROM approvals LIMIT 1)", "is not what the ledger says"),
        ("DELETE FROM decisions", "is not what the ledger says"),
    ],
)
def test_tampering_is_found_when_a_row_is_changed_beside_the_ledger(store, tamper, found):
    store.write(lambda tx: [register(tx), register(tx, evaluated=False)])
    promote(store, 1)
    assert store.read(consistency.check) == []
    store.write(lambda tx: tx.run(tamper))
    problems = [finding.problem for finding in store.read(consistency.check)]
    assert any(found in problem for problem in problems)
    assert store.read(ledger.verify) == []


def test_request_keeps_waiting_for_its_roles_when_a_newer_version_was_tested_on_other_data(store):
    from govern_cases import digest

    from stile.train import evidence_records
    from stile.train.evidence import DatasetUse

    store.write(register)
    propose(store, 1)

    def newer(tx):
        made = measure(tx, register(tx, evaluated=False), recall_low=0.99)
        other = [DatasetUse(digest=digest("newer test"), role="test", rows=171)]
        evidence_records.save(tx, msgspec.structs.replace(made, datasets=other))

    store.write(newer)
    labels = _labels(store)
    assert (labels[1].label, labels[2].label) == ("waiting:product_manager", "waiting:proposal")
