from __future__ import annotations

from xml.etree import ElementTree

import pytest

from stile.cli.verdicts import exit_code, junit, markdown, show_report

RESULT = {
    "use_case": "credit",
    "version": 7,
    "outcome": "reject",
    "sentence": "fair: ratio 0.7 >= 0.8: fail by 0.1",
    "rules": [
        {"id": "good", "kind": "require", "verdict": "pass", "sentence": "auc 0.9 >= 0.8", "says": "Good | enough"},
        {"id": "fair", "kind": "require", "verdict": "fail", "sentence": 'ratio 0.7 < "0.8" & so on', "says": "<b>",
         "rule": "x >= 0.8", "trace": [{"sentence": "ratio 0.7"}]},
        {"id": "fast", "kind": "require", "verdict": "unknown", "sentence": "latency was not measured", "says": ""},
    ],
    "warnings": [{"id": "calm", "kind": "warn", "verdict": "fail", "sentence": "ece 0.2", "says": ""}],
    "approvals": [{"role": "compliance", "state": "waiting", "sentence": "compliance: waiting for cora"}],
    "missing": ["Evaluate with latency_ms."],
}  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [(["promote", "reject"], 0), (["reject", "wait"], 2), (["reject"], 1), (["promote"], 0), ([], 1)],
)
def test_exit_code_says_the_best_that_any_candidate_reached(outcomes, code):
    assert exit_code([{"outcome": outcome} for outcome in outcomes]) == code


def test_junit_has_a_failure_per_failed_rule_and_a_skip_per_unknown_or_waiting():
    suite = ElementTree.fromstring(junit("credit", [RESULT]))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "2")
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {"good": [], "fair": ["failure"], "fast": ["skipped"], "approval compliance": ["skipped"]}


def test_markdown_keeps_its_table_when_words_hold_a_bar():
    text = markdown("credit", [RESULT], "http://server/models/credit")
    assert "Good \\| enough" in text
    assert "- Evaluate with latency_ms." in text


def test_report_is_readable_without_a_terminal(capsys):
    show_report({"candidates": [RESULT]})
    out = capsys.readouterr().out
    assert "credit v7  REJECT" in out
    assert "calm (warning)" in out
    assert "→ Evaluate with latency_ms." in out


def test_empty_report_tells_the_next_step(capsys):
    show_report({"candidates": []})
    assert "stile run" in capsys.readouterr().out
