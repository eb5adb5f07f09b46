"""Approvals by every way in: only people other than the author, only once, only over what they saw."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import access_world
import httpx
import pytest
from access_world import HOME
from govern_cases import POLICY
from govern_world import measure

from stile.govern import decision_records, policies, promotions, registry
from stile.kernel.permission import PrincipalKind, Role
from stile.people import accounts, use_cases
from stile.people.use_cases import Charter
from stile.testing.server import RunningServer, running_server

TEAM = {
    "ada": ["data_scientist", "product_manager", "domain_expert"],
    "emil": ["ml_engineer"],
    "uma": ["ml_engineer", "product_manager"],
    "paula": ["product_manager"],
    "pia": ["product_manager"],
    "dora": ["domain_expert"],
    "both": ["product_manager", "domain_expert"],
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Case:
    """A use case of its own on the shared server."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.tokens: dict[str, str] = {}
        self.base = f"{server.url}/api/v1"

    def post(self, path: str, body: object, by: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[by]}"} if by in self.tokens else {}
        return httpx.post(self.base + path, json=body, headers=headers, timeout=60)

    def propose(self, version: int, by: str = "ada") -> str:
        answer = self.post(f"/use-cases/{HOME}/promotions", {"version": version, "reason": "better"}, by)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def say(self, promotion: str, by: str, role: str, verdict: str = "yes") -> httpx.Response:
        return self.post(f"/promotions/{promotion}/approvals", {"role": role, "verdict": verdict, "reason": "seen"}, by)

    def vote(self, promotion: str, by: str, role: str, version: int) -> httpx.Response:
        headers = FORM | ({"Authorization": f"Bearer {self.tokens[by]}"} if by in self.tokens else {})
        text = f"promotion={promotion}&role={role}&verdict=yes&reason=seen"
        return httpx.post(
            f"{self.server.url}/models/{HOME}/versions/{version}/vote", content=text, headers=headers, timeout=60
        )

    def version(self, by: str = "ada") -> int:
        return self.server.services.db.write(lambda tx: access_world.version(tx, self.server.services, HOME, by=by))

    def states(self, promotion: str) -> dict[str, str]:
        found = httpx.get(f"{self.base}/promotions/{promotion}", timeout=60).json()
        return {state["role"]: state["state"] for state in found["gate"]["approvals"]} if found["gate"] else {}

    def decisions(self, kind: str = "promoted") -> int:
        listed = self.server.services.db.read(lambda tx: decision_records.listing(tx, HOME))
        return len([one for one in listed if one.kind == kind])

    def verified(self) -> bool:
        return bool(httpx.get(f"{self.base}/ledger/verify", timeout=60).json()["ok"])


@pytest.fixture
def case(server: RunningServer) -> Case:
    made = Case(server)

    def build(tx) -> None:
        charter = Charter(title="Early detection", positive="malignant", segment="site")
        use_cases.create(tx, name=HOME, charter=charter, by="setup")
        for name, roles in TEAM.items():
            accounts.create(tx, name=name, by="setup")
            use_cases.set_roles(tx, name=HOME, person=name, roles=[Role(role) for role in roles], by="setup")
            made.tokens[name] = accounts.issue_token(tx, person=name, label="t").token
        accounts.create(tx, name="robot", kind=PrincipalKind.SERVICE, by="setup")
        every = [role for role in Role if role not in (Role.OPERATOR, Role.AUDITOR)]
        use_cases.set_roles(tx, name=HOME, person="robot", roles=every, by="setup")
        made.tokens["robot"] = accounts.issue_token(tx, person="robot", label="t").token
        policies.publish(tx, use_case=HOME, yaml=POLICY, by="paula")
        registry.create_model(tx, name=HOME, by="ada")
        access_world.version(tx, server.services, HOME, by="ada")

    server.services.db.write(build)
    return made


WAYS: list[Callable[[Case, str, str, str], httpx.Response]] = [
    lambda case, promotion, by, role: case.say(promotion, by, role),
    lambda case, promotion, by, role: case.vote(promotion, by, role, 1),
]


def test_those_who_may_not_approve_are_refused_by_every_way(case: Case) -> None:
    promotion = case.propose(1)
    for way in WAYS:
        for by, role, why in (
            ("ada", "product_manager", "nobody approves their own work"),
            ("ada", "domain_expert", "nobody approves their own work"),
            ("local", "product_manager", "local user cannot approve"),
            ("robot", "product_manager", "service accounts"),
            ("dora", "product_manager", "does not hold the role"),
            ("emil", "domain_expert", "does not hold the role"),
        ):
            answer = way(case, promotion, by, role)
            assert answer.status_code == 403, (by, role, answer.text)
            assert why in answer.text, (by, role, answer.text)
    assert set(case.states(promotion).values()) == {"waiting"}
    assert httpx.get(f"{case.base}/promotions/{promotion}").json()["said"] == []


def test_author_is_known_when_somebody_else_registers_and_proposes(case: Case) -> None:
    """Uploading under another's hands must not launder who made the model."""
    db = case.server.services.db
    made = case.version(by="ada")
    source = db.read(lambda tx: registry.version(tx, HOME, made)).source
    again = db.write(
        lambda tx: registry.create_version(tx, name=HOME, source=f"models:/{HOME}/{made}", by="emil")
    ).version
    plain = db.write(lambda tx: registry.create_version(tx, name=HOME, source=source, by="emil")).version
    for version in (again, plain):
        db.write(lambda tx, version=version: measure(tx, version))
        promotion = case.propose(version, by="emil")
        answer = case.say(promotion, "ada", "product_manager")
        assert answer.status_code == 403, answer.text
        assert "own work" in answer.text


def test_proposer_does_not_approve_what_they_ask_for(case: Case) -> None:
    promotion = case.propose(1, by="uma")
    assert case.say(promotion, "uma", "product_manager").status_code == 403


def test_one_person_counts_in_one_role_and_once(case: Case) -> None:
    promotion = case.propose(1)
    assert case.say(promotion, "both", "product_manager").status_code == 201
    again = case.say(promotion, "both", "product_manager")
    assert again.status_code == 201
    assert len(again.json()["said"]) == 1, "the same word twice is one word"
    second = case.say(promotion, "both", "domain_expert")
    assert second.status_code == 403 and "different roles need different people" in second.text
    assert case.states(promotion) == {"product_manager": "yes", "domain_expert": "waiting"}
    assert case.say(promotion, "pia", "compliance").status_code in (400, 403)


def test_approval_lapses_when_the_evidence_changes_in_between(case: Case) -> None:
    promotion = case.propose(1)
    assert case.say(promotion, "paula", "product_manager").status_code == 201
    assert case.say(promotion, "dora", "domain_expert").status_code == 201
    plan = case.post(f"/use-cases/{HOME}/plan", {}, "emil").json()
    case.server.services.db.write(lambda tx: measure(tx, 1, recall=0.951))
    assert set(case.states(promotion).values()) == {"waiting"}
    refused = case.post(f"/use-cases/{HOME}/apply", {"plan": plan["digest"]}, "emil")
    assert refused.status_code == 409, refused.text
    assert case.decisions() == 0
    assert case.verified()


def test_approval_lapses_when_the_role_is_taken_away(case: Case) -> None:
    promotion = case.propose(1)
    case.say(promotion, "paula", "product_manager")
    case.say(promotion, "dora", "domain_expert")
    plan = case.post(f"/use-cases/{HOME}/plan", {}, "emil").json()
    case.server.services.db.write(lambda tx: use_cases.set_roles(tx, name=HOME, person="paula", roles=[], by="setup"))
    assert case.post(f"/use-cases/{HOME}/apply", {"plan": plan["digest"]}, "emil").status_code == 409
    assert case.decisions() == 0


def test_closed_request_takes_no_more_words(case: Case) -> None:
    promotion = case.propose(1)
    case.say(promotion, "paula", "product_manager")
    case.say(promotion, "dora", "domain_expert")
    plan = case.post(f"/use-cases/{HOME}/plan", {}, "emil").json()
    assert case.post(f"/use-cases/{HOME}/apply", {"plan": plan["digest"]}, "emil").status_code == 200
    for way in WAYS:
        assert way(case, promotion, "pia", "product_manager").status_code in (400, 409)
    assert len(httpx.get(f"{case.base}/promotions/{promotion}").json()["said"]) == 2


@pytest.mark.parametrize("plan", ["", "sha256:" + "0" * 64, "../../plan", "x" * 100_000])
def test_plan_nobody_made_is_not_applied(plan: str, case: Case) -> None:
    answer = case.post(f"/use-cases/{HOME}/apply", {"plan": plan}, "emil")
    assert answer.status_code == 409, answer.text
    assert case.decisions() == 0


def test_many_words_and_applies_at_once_make_exactly_one_promotion(case: Case) -> None:
    promotion = case.propose(1)
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda n: case.say(promotion, *_VOTERS[n % 4]).status_code, range(16)))
        assert said.count(201) >= 2 and set(said) <= {201, 403}, said
        plan = case.post(f"/use-cases/{HOME}/plan", {}, "emil").json()
        answers = list(
            pool.map(lambda _: case.post(f"/use-cases/{HOME}/apply", {"plan": plan["digest"]}, "emil"), range(16))
        )
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers if answer.is_error]
    assert len({answer.json()["decision"] for answer in answers}) == 1
    assert case.decisions() == 1
    assert case.server.services.db.read(lambda tx: registry.aliases(tx, HOME))["champion"] == 1
    assert case.verified()


_VOTERS = [
    ("paula", "product_manager"),
    ("dora", "domain_expert"),
    ("pia", "product_manager"),
    ("both", "domain_expert"),
]


def test_two_plans_at_once_make_one_champion(case: Case) -> None:
    promotion = case.propose(1)
    case.say(promotion, "paula", "product_manager")
    case.say(promotion, "dora", "domain_expert")

    def act(number: int) -> int:
        if number % 4 == 3:
            return case.post(f"/use-cases/{HOME}/hold", {"reason": "stop"}, "emil").status_code
        plan = case.post(f"/use-cases/{HOME}/plan", {}, "uma").json()
        return case.post(f"/use-cases/{HOME}/apply", {"plan": plan["digest"]}, "uma").status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(act, range(16)))
    assert set(answers) <= {200, 201, 409}, answers
    assert case.decisions() == 1
    assert case.verified()


def test_local_user_approves_only_where_one_person_works_alone(tmp_path) -> None:
    with running_server(tmp_path) as running:
        case = Case(running)

        def build(tx) -> None:
            charter = Charter(title="t", positive="malignant", segment="site", solo=True)
            use_cases.create(tx, name=HOME, charter=charter, by="local-user")
            policies.publish(tx, use_case=HOME, yaml=POLICY, by="local-user")
            registry.create_model(tx, name=HOME, by="local-user")
            access_world.version(tx, running.services, HOME, by="local-user")

        running.services.db.write(build)
        promotion = case.propose(1, by="local")
        for role in ("product_manager", "domain_expert"):
            assert case.say(promotion, "local", role).status_code == 201
        plan = case.post(f"/use-cases/{HOME}/plan", {}, "local").json()
        decision = case.post(f"/use-cases/{HOME}/apply", {"plan": plan["digest"]}, "local").json()
        assert decision["solo"] is True, "it is written into the decision"
        page = httpx.get(f"{running.url}/decisions/{decision['decision']}").text
        assert re.search(r"alone|solo", page)


def test_request_of_another_use_case_is_not_voted_on_through_the_own_page(case: Case) -> None:
    promotion = case.propose(1)
    db = case.server.services.db

    def build(tx) -> None:
        use_cases.create(tx, name="other", charter=Charter(title="o"), by="setup")
        accounts.create(tx, name="olga", by="setup")
        use_cases.set_roles(tx, name="other", person="olga", roles=[Role.PRODUCT_MANAGER], by="setup")
        case.tokens["olga"] = accounts.issue_token(tx, person="olga", label="t").token

    db.write(build)
    headers = FORM | {"Authorization": f"Bearer {case.tokens['olga']}"}
    text = f"promotion={promotion}&role=product_manager&verdict=yes&reason=x"
    answer = httpx.post(f"{case.server.url}/models/other/versions/1/vote", content=text, headers=headers)
    assert answer.status_code == 400 and "another use case" in answer.text
    assert db.read(lambda tx: promotions.get(tx, promotion)).said == []


def test_vote_tells_who_handed_out_the_credential_when_it_was_not_the_voter(case: Case) -> None:
    def lend(tx) -> dict[str, str]:
        token = accounts.issue_token(tx, person="paula", label="lent", by="setup").token
        accounts.change_password(tx, person="dora", password_hash="hash", by="setup")
        own = accounts.issue_token(tx, person="pia", label="own", by="pia").token
        return {"token": token, "session": accounts.open_session(tx, person="dora"), "own": own}

    lent = case.server.services.db.write(lend)
    promotion = case.propose(case.version())
    case.tokens["paula"] = lent["token"]
    case.tokens["pia"] = lent["own"]
    assert case.say(promotion, "paula", "product_manager").status_code == 201
    assert case.say(promotion, "pia", "product_manager").status_code == 201
    page = f"{case.server.url}/models/{HOME}/versions/2/gate"
    asked = httpx.post(
        page.replace("/gate", "/vote"), content=f"promotion={promotion}&role=domain_expert&verdict=yes&reason=seen",
        headers=FORM | {"Origin": case.server.url}, cookies={"stile": lent["session"]}, timeout=60,
    )  # fmt: skip
    assert asked.status_code in (200, 303), asked.text
    said = httpx.get(f"{case.base}/promotions/{promotion}", timeout=60).json()["said"]
    assert {one["person"]: one["credential_by"] for one in said} == {"paula": "setup", "pia": "", "dora": "setup"}
    entries = httpx.get(f"{case.base}/ledger", params={"limit": 500}, timeout=60).json()["entries"]
    votes = [entry["body"] for entry in entries if entry["kind"] == "approval"]
    assert {vote["person"]: vote["credential_by"] for vote in votes} == {"paula": "setup", "pia": "", "dora": "setup"}
    assert httpx.get(page, timeout=60).text.count("signed in with what setup handed out") == 2
    assert case.verified()
