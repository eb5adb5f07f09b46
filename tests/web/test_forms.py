"""Deciding without JavaScript: plain forms, redirects, and refusals in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import web_world
from web_world import USE_CASE

from stile.testing.server import running_server

GATE = f"/models/{USE_CASE}/versions/2/gate"
PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    """A world of its own, because these tests decide."""
    with running_server(tmp_path_factory.mktemp("forms")) as running:
        yield web_world.build(running.url, running.services, whole=False)


@contextmanager
def as_person(world: web_world.World, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=world.url, headers=PAGE, timeout=30) as client:
        assert client.post("/sign-in", data={"name": name, "password": world.passwords[name]}).status_code == 303
        yield client


def vote(client: httpx.Client, world: web_world.World, **fields: str) -> httpx.Response:
    return client.post(f"/models/{USE_CASE}/versions/2/vote", data={"promotion": world.promotion, **fields})


def test_wrong_password_is_said_and_the_name_is_kept(world) -> None:
    answer = httpx.post(world.url + "/sign-in", data={"name": "dora", "password": "wrong"}, headers=PAGE)
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert 'value="dora"' in answer.text
    assert "set-cookie" not in answer.headers


def test_token_signs_in_where_the_password_goes(world) -> None:
    answer = httpx.post(world.url + "/sign-in", data={"name": "cora", "password": world.tokens["cora"]}, headers=PAGE)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()


@pytest.mark.parametrize(
    "onward", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_sign_in_leads_only_to_this_server(onward: str, world) -> None:
    fields = {"name": "cora", "password": world.passwords["cora"], "next": onward}
    assert httpx.post(world.url + "/sign-in", data=fields, headers=PAGE).headers["location"] == "/"


def test_one_time_link_signs_in_once_and_not_by_looking(world) -> None:
    made = world.call("POST", "/api/v1/people/cora/sign-in-links", json={})
    for _ in range(2):
        assert httpx.get(made["url"], headers=PAGE).status_code == 200
    assert httpx.post(made["url"], headers=PAGE).status_code == 303
    again = httpx.post(made["url"], headers=PAGE)
    assert again.status_code == 401
    assert "used already" in again.text


def test_sign_out_ends_the_session(world) -> None:
    with as_person(world, "cora") as client:
        secret = client.cookies["stile"]
        assert client.post("/sign-out").headers["location"] == "/sign-in"
        client.cookies.set("stile", secret)
        assert client.get("/inbox.json").json()["person"] == "local-user"


def test_vote_needs_a_reason_and_the_role_and_another_person_than_the_author(world) -> None:
    with as_person(world, "dora") as dora:
        bare = vote(dora, world, role="domain_expert", verdict="yes")
        assert (bare.status_code, "needs a reason" in bare.text) == (400, True)
        other = vote(dora, world, role="product_manager", verdict="yes", reason="I would like to")
        assert other.status_code == 403
        assert "does not hold the role product_manager" in other.text
    with as_person(world, "ada") as ada:
        own = vote(ada, world, role="domain_expert", verdict="yes", reason="It is mine")
        assert own.status_code == 403
    nobody = httpx.post(
        f"{world.url}/models/{USE_CASE}/versions/2/vote", headers=PAGE,
        data={"promotion": world.promotion, "role": "domain_expert", "verdict": "yes", "reason": "local"},
    )  # fmt: skip
    assert nobody.status_code == 403
    assert "sign in as a person" in nobody.text


def test_number_beside_the_inbox_follows_what_is_dealt_with(world) -> None:
    with as_person(world, "dora") as dora:
        items = dora.get("/inbox.json").json()["items"]
        assert items, "the proposal waits for the domain expert"
        assert f'class="count">{len(items)}<' in dora.get("/portfolio").text
        mention = next(item for item in items if item["kind"] == "mention")
        assert dora.post("/inbox/done", data={"item": mention["item"]}).status_code == 303
        assert f'class="count">{len(items) - 1}<' in dora.get("/portfolio").text


def test_votes_and_plan_put_a_version_into_production(world) -> None:
    for name, role in (("dora", "domain_expert"), ("paula", "product_manager")):
        with as_person(world, name) as client:
            answer = vote(client, world, role=role, verdict="yes", reason=f"I looked, {name}.")
            assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, GATE)
            assert f"I looked, {name}." in client.get(GATE).text
    with as_person(world, "emil") as emil:
        plan = emil.get(GATE + ".json").json()["plan"]
        assert plan.startswith("sha256:")
        assert "Apply the plan" in emil.get(GATE).text
        stale = emil.post(f"/models/{USE_CASE}/apply", data={"plan": "sha256:0"})
        assert stale.status_code == 409
        answer = emil.post(f"/models/{USE_CASE}/apply", data={"plan": plan})
        assert answer.status_code == 303
        record = emil.get(answer.headers["location"]).text
        assert "I looked, dora." in record
        assert emil.get("/portfolio.json").json()["rows"][0]["champion"] == 2
        ledger = emil.get("/ledger").text
        assert "untouched" in ledger
        back = emil.post(f"/models/{USE_CASE}/roll-back", data={"reason": "A drill."})
        assert back.status_code == 303
        assert emil.get("/portfolio.json").json()["rows"][0]["champion"] == 1


def test_card_is_made_moved_and_talked_about(world) -> None:
    with as_person(world, "dana") as dana:
        assert dana.post(f"/use-cases/{USE_CASE}/cards", data={"title": "Look at the sensors"}).status_code == 303
        board = dana.get(f"/board.json?use_case={USE_CASE}").json()["board"]
        card = next(c for column in board["columns"] for c in column["cards"] if c["title"] == "Look at the sensors")
        assert dana.post(f"/cards/{card['id']}/move", data={"column": "training"}).status_code == 303
        assert dana.post(f"/cards/{card['id']}/comments", data={"text": "Done by noon."}).status_code == 303
        text = dana.get(f"/cards/{card['id']}").text
        assert "Done by noon." in text
        assert "<strong>Training</strong>" in text
        fact = dana.post(f"/cards/{card['id']}/move", data={"column": "champion"})
        assert fact.status_code == 403
    with as_person(world, "dana") as dana:
        assert dana.post(f"/use-cases/{USE_CASE}/cards", data={"title": " "}).status_code == 400


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_form_from_another_site_is_refused(origin: str, world) -> None:
    with as_person(world, "dana") as dana:
        answer = dana.post(f"/use-cases/{USE_CASE}/cards", data={"title": "Planted"}, headers={"Origin": origin})
        assert answer.status_code == 403


def test_form_addresses_take_forms_only(world) -> None:
    with as_person(world, "dana") as dana:
        answer = dana.post(f"/use-cases/{USE_CASE}/cards", json={"title": "JSON"})
        assert answer.status_code == 400
        assert "/api/v1" in answer.text
