"""The pages of webhooks over HTTP: made, tried, changed, paused and deleted by plain forms, by operators alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stile.kernel.permission import Role
from stile.people import accounts
from stile.testing.server import RunningServer, running_server
from stile.web.pages import webhooks as pages
from stile.work import webhook_records
from stile.work.webhook_values import EVENTS, Outcome

sys.path.append(str(Path(__file__).parents[1] / "protocol"))
from test_mlflow_webhooks import Receiver

PAGE = {"Accept": "text/html"}
SECRET = "hush-4711-hush"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("hooks"), webhook_loopback=True) as running:
        yield running


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def browser(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=PAGE, timeout=30, follow_redirects=True) as client:
        yield client


def fields(receiver: Receiver, **more: str) -> dict[str, str]:
    return {"name": "release-bot", "url": receiver.url, "on:decision.taken": "1", "secret": SECRET} | more


@pytest.fixture
def made(browser: httpx.Client, receiver: Receiver) -> Iterator[str]:
    """The path of a new webhook's page."""
    answer = browser.post("/webhooks", data=fields(receiver))
    assert answer.status_code == 200, answer.text
    path = answer.url.path
    yield path
    browser.post(f"{path}/delete", headers={"Content-Type": "application/x-www-form-urlencoded"})


def test_every_event_has_words() -> None:
    assert list(pages.EVENT_WORDS) == list(EVENTS)


def test_first_page_says_what_webhooks_are_for_and_offers_the_form(browser: httpx.Client) -> None:
    text = browser.get("/webhooks").text
    assert "Nobody is told yet" in text
    assert '<details class="section" open' in text
    assert all(f'name="on:{event}"' in text for event in EVENTS)
    assert '<a href="/webhooks"' in browser.get("/").text, "it is in the menu of those who may see it"


def test_webhook_is_made_tried_and_its_secret_never_shown(
    browser: httpx.Client, receiver: Receiver, made: str, server: RunningServer
) -> None:
    receiver.got.clear()
    page = browser.get(made).text
    assert "Nothing yet." in page
    assert "yes, with a secret that is never shown" in page
    answer = browser.post(f"{made}/test", data={"event": "decision.taken"})
    assert "The test has arrived: it answered with status 200." in answer.text
    assert receiver.messages[0]["entity"] == "decision"
    assert receiver.got[0][0]["X-MLflow-Signature"].startswith("v1,")
    kept = browser.get(f"/api/v1{made}/deliveries").json()["deliveries"]
    assert [(each["test"], each["state"], each["tries"], each["answer"]) for each in kept] == [
        (True, "delivered", 1, 200)
    ]
    assert kept[0]["delivery_id"] == receiver.got[0][0]["X-MLflow-Delivery-Id"]
    assert '<span class="chip">test</span>' in browser.get(made).text
    assert '<span class="chip">test</span>' in browser.get("/webhooks").text
    for path in (made, "/webhooks", f"{made}.json", "/webhooks.json"):
        text = browser.get(path).text
        assert SECRET not in text
        assert "release-bot" in text
    entries = json.dumps(browser.get("/api/v1/ledger").json())
    assert "webhook.registered" in entries
    assert SECRET not in entries


def test_test_that_does_not_arrive_says_why(browser: httpx.Client, receiver: Receiver, made: str) -> None:
    receiver.status = 410
    try:
        answer = browser.post(f"{made}/test", data={"event": ""})
    finally:
        receiver.status = 200
    assert "The test has not arrived. It answered with status 410." in answer.text
    row = browser.get(f"{made}.json").json()["row"]
    assert (row["newest"]["test"], row["newest"]["state"], row["newest"]["answer"]) == (True, "failed", 410)
    assert row["failed"] == 0, "a test is no message that was given up"
    assert "given up" not in browser.get(made).text
    answer = browser.post(f"{made}/test", data={"event": "nothing.known"})
    assert answer.status_code == 400


def test_what_was_sent_stands_there_with_its_fate_and_reason(
    browser: httpx.Client, made: str, server: RunningServer
) -> None:
    webhook_id = made.rpartition("/")[2]

    def fill(tx) -> None:
        row = webhook_records.find(tx, webhook_id).row
        fates = [("delivered", Outcome(answer=200)), ("failed", Outcome(answer=404, error="It answered <b>404</b>."))]
        fates += [("waiting", Outcome(error="It did not answer within 10 seconds."))]
        for at in range(60):
            webhook_records.add_delivery(tx, row, delivery_id=f"{at:032d}", event="decision.taken", body="{}")
        ids = [id for (id,) in tx.all("SELECT id FROM webhook_deliveries WHERE webhook = ? ORDER BY id", (row,))]
        for place, id in enumerate(ids):
            state, outcome = fates[place % 3]
            webhook_records.note(tx, id, outcome, state=state, tries=place % 8 + 1, next_at=4_000_000_000_000)

    server.services.db.write(fill)
    page = browser.get(made).text
    assert page.count("<tr data-row>") == 50
    assert "It answered &lt;b&gt;404&lt;/b&gt;." in page
    assert "It did not answer within 10 seconds." in page
    assert "given up" in page
    assert browser.get(made, params={"all": "1"}).text.count("<tr data-row>") == 60
    row = browser.get("/webhooks.json").json()["webhooks"][0]
    assert (row["waiting"], row["failed"], row["newest"]["state"]) == (20, 20, "waiting")
    assert "waiting" in browser.get("/webhooks").text


def test_webhook_is_changed_and_paused(browser: httpx.Client, receiver: Receiver, made: str) -> None:
    change = {"name": "chat.room", "url": receiver.url, "on:promotion.proposed": "1", "description": "for <all>"}
    page = browser.post(made, data=change).text
    assert "<h1>chat.room</h1>" in page
    assert "for &lt;all&gt;" in page
    found = browser.get(f"{made}.json").json()["row"]["webhook"]
    assert (found["events"], found["signed"], found["status"]) == (["promotion.proposed"], True, "ACTIVE")
    assert browser.post(made, data=change | {"secret": "another", "unsigned": "1"}).status_code == 400
    assert not (browser.post(made, data=change | {"unsigned": "1"}), browser.get(f"{made}.json").json())[1]["row"][
        "webhook"
    ]["signed"]
    page = browser.post(f"{made}/status", data={"status": "DISABLED"}).text
    assert "paused" in page
    assert "Go on" in page
    assert browser.get(f"{made}.json").json()["row"]["webhook"]["status"] == "DISABLED"
    assert browser.post(f"{made}/status", data={"status": "SLEEPING"}).status_code == 400
    assert "Pause" in browser.post(f"{made}/status", data={"status": "ACTIVE"}).text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "two words"}, "letters, digits, dots"),
        ({"name": ""}, "needs a name"),
        ({"url": ""}, "needs the address"),
        ({"url": "http://10.0.0.1/x"}, "10.0.0.1"),
        ({"url": "file:///etc/passwd"}, ""),
        ({"secret": "x" * 1001}, "at most 1000"),
        ({"description": "x" * 1001}, "at most 1000"),
        ({"on:decision.taken": None, "on:nothing.known": "1"}, "Choose at least one event"),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_nothing_is_kept(
    change: dict[str, str | None], says: str, browser: httpx.Client, receiver: Receiver
) -> None:
    given = {name: value for name, value in (fields(receiver) | change).items() if value is not None}
    answer = browser.post("/webhooks", data=given)
    assert answer.status_code == 400
    assert says in answer.text
    assert SECRET not in answer.text
    assert browser.get("/webhooks.json").json()["webhooks"] == []


def test_unknown_webhook_is_missing(browser: httpx.Client) -> None:
    assert browser.get("/webhooks/none").status_code == 404
    for act in ("", "/status", "/delete", "/test"):
        data = {"name": "x", "url": "https://example.org", "on:decision.taken": "1", "status": "ACTIVE"}
        assert browser.post(f"/webhooks/none{act}", data=data).status_code == 404


def test_only_operators_see_and_change_webhooks(tmp_path: Path, receiver: Receiver) -> None:
    with running_server(tmp_path / "closed", webhook_loopback=True) as running:

        def people(tx) -> dict[str, str]:
            roles = {"otto": [Role.OPERATOR], "ada": [], "cora": [Role.AUDITOR]}
            for name, held in roles.items():
                accounts.create(tx, name=name, system_roles=held, by="test")
            return {name: accounts.issue_token(tx, person=name, label="t").token for name in roles}

        tokens = running.services.db.write(people)
        for name, sees in (("ada", False), ("cora", False), ("otto", True)):
            headers = PAGE | {"Authorization": f"Bearer {tokens[name]}"}
            with httpx.Client(base_url=running.url, headers=headers, timeout=30) as client:
                assert ('href="/webhooks"' in client.get("/").text) is sees
                assert client.get("/webhooks").status_code == (200 if sees else 403)
                assert client.get("/webhooks.json").status_code == (200 if sees else 403)
                assert client.post("/webhooks", data=fields(receiver)).status_code == (303 if sees else 403)
