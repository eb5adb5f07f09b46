"""Governing over HTTP, with people who hold tokens."""

from __future__ import annotations

import httpx
import pytest
from govern_cases import POLICY
from govern_world import TEAM, USE_CASE, register

from stile.govern import registry
from stile.people import accounts, use_cases
from stile.people.use_cases import Charter


@pytest.fixture
def people(server):
    """A client per person; the use case has one version with evidence."""
    tokens = {}

    def build(tx):
        charter = Charter(title="Early detection", positive="malignant", segment="site")
        use_cases.create(tx, name=USE_CASE, charter=charter, by="ada")
        for name, roles in TEAM.items():
            accounts.create(tx, name=name, by="ada")
            use_cases.set_roles(tx, name=USE_CASE, person=name, roles=roles, by="ada")
            tokens[name] = accounts.issue_token(tx, person=name, label="test", days=1).token
        registry.create_model(tx, name=USE_CASE, by="ada")
        register(tx)

    server.services.db.write(build)
    clients = {
        name: httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"})
        for name, token in tokens.items()
    }
    clients["local"] = httpx.Client(base_url=server.url)
    yield clients
    for client in clients.values():
        client.close()


def _post(client, path, body, expected=(200, 201)):
    answer = client.post(f"/api/v1{path}", json=body)
    assert answer.status_code in expected, answer.text
    return answer.json()


def test_candidate_goes_from_policy_to_champion_when_people_agree(people):
    base = f"/use-cases/{USE_CASE}"
    published = _post(people["paula"], f"{base}/policies", {"yaml": POLICY})
    assert published["version"] == 1 and published["digest"].startswith("sha256:")
    report = _post(people["ada"], f"{base}/gate", {"version": 1})
    assert (report["exit_code"], report["candidates"][0]["waiting_for"][0]) == (2, "proposal")
    assert report["candidates"][0]["rules"][0]["sentence"].startswith("ci_low(recall) 0.941 >= 0.93: pass by 0.011")
    promotion = _post(people["ada"], f"{base}/promotions", {"version": 1, "reason": "fewest misses"})
    words = f"/promotions/{promotion['id']}/approvals"
    yes = {"role": "product_manager", "verdict": "yes", "reason": "agreed"}
    assert "product_manager" in _post(people["ada"], words, yes, (403,))["error"]["message"]
    assert "does not hold the role" in _post(people["mel"], words, yes, (403,))["error"]["message"]
    assert _post(people["local"], words, yes, (403,))["error"]["code"] == "forbidden"
    assert _post(people["paula"], words, yes)["waiting_for"] == ["domain_expert"]
    after = _post(people["dora"], words, {"role": "domain_expert", "verdict": "yes", "reason": "safe"})
    assert (after["gate"]["outcome"], after["gate"]["exit_code"]) == ("promote", 0)
    plan = _post(people["mel"], f"{base}/plan", {})
    assert not plan["nothing"]
    _post(people["dora"], f"{base}/apply", {"plan": plan["digest"]}, (403,))
    decision = _post(people["mel"], f"{base}/apply", {"plan": plan["digest"]})
    assert (decision["kind"], decision["version"], decision["by"]) == ("promoted", 1, "mel")
    got = people["dora"].get(f"/api/v1/decisions/{decision['decision']}").json()
    assert got["hash"] == decision["hash"] and got["verdicts"] == decision["verdicts"]
    for what in ("policies", "promotions", "decisions", "labels"):
        assert len(people["dora"].get(f"/api/v1{base}/{what}").json()[what]) == 1
    held = _post(people["mel"], f"{base}/hold", {"reason": "a doubt"})
    assert held["kind"] == "held"
    assert _post(people["mel"], f"{base}/rollback", {"reason": "x"}, (409,))["error"]["code"] == "conflict"


def test_answer_is_a_clear_refusal_when_the_request_is_wrong(people):
    base = f"/use-cases/{USE_CASE}"
    assert "no policy yet" in _post(people["ada"], f"{base}/gate", {}, (404,))["error"]["message"]
    bad = _post(
        people["paula"], f"{base}/policies", {"yaml": "policy: p\nrequire: [{id: a, rule: 'metrc(1) > 2'}]"}, (400,)
    )
    assert "Did you mean 'metric'?" in bad["error"]["message"] and bad["error"]["details"]["problems"]
    _post(people["dora"], f"{base}/policies", {"yaml": POLICY}, (403,))
    _post(people["paula"], f"{base}/policies", {"yaml": POLICY})
    _post(people["ada"], f"{base}/promotions", {"version": 99}, (404,))
    _post(people["ada"], f"{base}/promotions", {"version": "one"}, (400,))
    _post(people["paula"], "/promotions/prm_none/approvals", {"role": "product_manager", "verdict": "yes"}, (404,))
    _post(people["mel"], f"{base}/apply", {"plan": "sha256:nothing"}, (409,))
    assert people["ada"].get("/api/v1/use-cases/other/labels").status_code == 404
