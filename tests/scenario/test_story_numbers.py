"""The story's numbers are computed, not written down: other rules, thresholds or scores give other verdicts."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from stile.client import Client
from stile.data.contract_infer import infer_contract
from stile.data.odcs import write_contract
from stile.data.table import parse_csv, to_csv
from stile.project.split import split
from stile.testing.server import running_server

sys.path.insert(0, str(Path(__file__).parent))
from story_parts import DEMO, part

POLICY = (DEMO / "early-detection" / "policy.yaml").read_text()


def _without(rule: str) -> str:
    """The story's policy with one rule deleted."""
    text, count = re.subn(rf"  - id: {rule}\n(?:    .*\n)+", "", POLICY)
    assert count == 1
    return text


def _shifted(old: str, new: str) -> str:
    assert POLICY.count(old) == 1
    return POLICY.replace(old, new)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A server with the story's patients and three measured versions: honest (1), dishonest (2), guessing (3)."""
    folder = tmp_path_factory.mktemp("story")
    with running_server(folder / "server") as server, Client(server.url, token="") as client:
        yield _prepared(client, folder)


def _prepared(client: Client, folder: Path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    history = parse_csv(part("patients").parts()[0].to_csv(index=False).encode())
    train, test = (history.take(rows) for rows in split(history, 0.4))
    scope = client.create_use_case("early-detection", segment="site", positive="1")
    scope.publish_contract(write_contract(infer_contract(history, name="patients", target="malignant")))
    scope.publish_policy(POLICY)
    known = {role: scope.register_dataset(role, role, to_csv(table))["digest"] for role, table in
             (("train", train), ("test", test), )}  # fmt: skip
    leaky = parse_csv(to_csv(train) + to_csv(test).split(b"\n", 1)[1])
    known["leaky"] = scope.register_dataset("leaky", "train", to_csv(leaky))["digest"]
    features = [name for name in history.names if name not in ("site", "malignant")]

    def matrix(table):
        return [list(row) for row in zip(*(table.numbers(name) for name in features), strict=True)]

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000))
    model.fit(matrix(train), train.numbers("malignant"))
    scores = model.predict_proba(matrix(test))[:, 1].tolist()
    plans = [("train", scores), ("leaky", scores), ("train", [0.5 - 0.4 * (i % 2) for i in range(test.rows)])]
    for number, (trained_on, answered) in enumerate(plans, start=1):
        model_folder = folder / f"model-{number}"
        model_folder.mkdir()
        (model_folder / "MLmodel").write_text(f"flavors: {{}}\nnumber: {number}\n")
        with client.start_run("early-detection") as run:
            assert int(run.register("early-detection", model_folder)["version"]) == number
        lines = [f"{r},{t},{s}" for r, t, s in
                 zip(test.row_digests(), test.texts("malignant"), answered, strict=True)]  # fmt: skip
        blob = client.put_blob(("row,y_true,score\n" + "\n".join(lines) + "\n").encode())
        scope.evaluate(
            {
                "version": number, "predictions": blob, "test": known["test"], "train": known[trained_on],
                "slices": ["site"], "threshold": 0.22, "latency_ms": [1.0] * 50, "unknown_at_decision_time": [],
                "scenarios": {"texture-sensor-missing": {"says": "", "predictions": blob}},
            }
        )  # fmt: skip
    return scope


def _verdict(scope, version, policy=None):
    (result,) = scope.gate(version, policy_yaml=policy)["candidates"]
    return result


def _rule(result, name):
    return next(rule for rule in result["rules"] if rule["id"] == name)


def test_honest_candidate_waits_for_people_only(judged):
    result = _verdict(judged, 1)
    assert (result["outcome"], result["failed"], result["unknown"]) == ("wait", [], [])
    assert "proposal" in result["waiting_for"]


def test_candidate_that_saw_test_rows_is_rejected_until_the_rule_is_deleted(judged):
    assert _verdict(judged, 2)["failed"] == ["honest-test"]
    assert _verdict(judged, 2, _without("honest-test"))["failed"] == []


def test_shifted_threshold_turns_the_verdict_and_moves_the_margin_by_as_much(judged):
    before = _rule(_verdict(judged, 1), "recall-floor")
    after = _rule(_verdict(judged, 1, _shifted('ci_low(metric("recall")) >= 0.85', 'ci_low(metric("recall")) >= 0.97')),
                  "recall-floor")  # fmt: skip
    assert (before["verdict"], after["verdict"]) == ("pass", "fail")
    assert before["observed"] == after["observed"]
    assert before["margin"] - after["margin"] == pytest.approx(0.12)


def test_guessing_candidate_fails_with_a_margin(judged):
    result = _verdict(judged, 3)
    assert result["outcome"] == "reject"
    assert _rule(result, "recall-floor")["margin"] < 0


def test_higher_minimum_of_cases_makes_the_verdict_unknown(judged):
    result = _verdict(judged, 1, _shifted("min_n: {positives: 10}", "min_n: {positives: 5000}"))
    assert (result["outcome"], result["unknown"]) == ("wait", ["every-site"])
    assert result["missing"]


def test_dry_run_changes_nothing(judged):
    before = judged.policy()["digest"]
    _verdict(judged, 1, _without("honest-test"))
    assert judged.policy()["digest"] == before
