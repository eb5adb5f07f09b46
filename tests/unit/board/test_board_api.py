"""The board, the inbox and monitoring over HTTP, on a real server."""

from __future__ import annotations

import httpx
import pytest

CASE = "early-detection"


@pytest.fixture
def api(server):
    with httpx.Client(base_url=f"{server.url}/api/v1", timeout=10) as client:
        assert client.post("/use-cases", json={"name": CASE}).status_code == 201
        yield client


def test_a_card_is_made_moved_commented_and_told(api):
    made = api.post(f"/use-cases/{CASE}/cards", json={"title": "Try a CNN"})
    assert made.status_code == 201
    id = made.json()["id"]
    assert api.patch(f"/cards/{id}", json={"column": "training"}).json()["column"] == "training"
    assert api.post(f"/cards/{id}/comments", json={"text": "started"}).status_code == 201
    story = api.get(f"/cards/{id}").json()
    assert [move["to_column"] for move in story["moves"]] == ["idea", "training"]
    assert [comment["text"] for comment in story["comments"]] == ["started"]
    board = api.get(f"/use-cases/{CASE}/cards").json()
    assert [card["title"] for card in board["cards"]] == ["Try a CNN"]
    assert {column["name"]: column["count"] for column in board["columns"]}["training"] == 1
    assert board["comments"] == {id: 1}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"/use-cases/{CASE}/cards", {"title": ""}, 400),
        (f"/use-cases/{CASE}/cards", {"titel": "x"}, 400),
        (f"/use-cases/{CASE}/cards", {"title": "x", "column": "champion"}, 403),
        ("/use-cases/nothing/cards", {"title": "x"}, 404),
        ("/cards/crd_none/comments", {"text": "x"}, 404),
        (f"/use-cases/{CASE}/iterations", {"title": "i", "starts_at": 2, "ends_at": 1}, 400),
        (f"/use-cases/{CASE}/windows", {}, 400),
        ("/use-cases/nothing/windows", {}, 404),
        ("/alerts/alr_none/acknowledge", {"cause": "x"}, 404),
        ("/inbox/done", {"item": "mention:none"}, 400),
    ],
)
def test_bad_input_is_refused_with_one_clear_message(api, path, body, status):
    answer = api.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"]["message"]


def test_iterations_and_columns_are_kept(api):
    iteration = api.post(f"/use-cases/{CASE}/iterations", json={"title": "I1", "starts_at": 1, "ends_at": 2}).json()
    api.post(f"/use-cases/{CASE}/cards", json={"title": "in", "iteration": iteration["id"]})
    api.post(f"/use-cases/{CASE}/cards", json={"title": "out"})
    shown = api.get(f"/use-cases/{CASE}/cards", params={"iteration": iteration["id"]}).json()
    assert [card["title"] for card in shown["cards"]] == ["in"]
    assert [one["title"] for one in api.get(f"/use-cases/{CASE}/iterations").json()["iterations"]] == ["I1"]
    columns = [{"name": c["name"], "title": c["title"], "wip_limit": 9} for c in shown["columns"]]
    assert api.put(f"/use-cases/{CASE}/columns", json={"columns": columns}).status_code == 200
    assert api.put(f"/use-cases/{CASE}/columns", json={"columns": columns[1:]}).status_code == 400
    again = api.get(f"/use-cases/{CASE}/cards").json()
    assert {column["wip_limit"] for column in again["columns"]} == {9}


def test_an_empty_installation_answers_everywhere(api):
    assert api.get("/inbox").json() == {"inbox": [], "notifications": []}
    assert api.post("/inbox/seen").json() == {"seen": 0}
    assert api.get(f"/use-cases/{CASE}/windows").json() == {"windows": []}
    assert api.get(f"/use-cases/{CASE}/alerts").json() == {"alerts": []}
    assert api.get(f"/use-cases/{CASE}/drift").json()["finding"] == "No window has closed yet."
    assert api.get(f"/use-cases/{CASE}/live-metrics/recall").json() == {"metric": "recall", "points": []}
    assert api.get("/background").json()["dead_letters"] == []


def test_monitor_settings_change_by_field_and_refuse_nonsense(api):
    before = api.get(f"/use-cases/{CASE}/monitor-settings").json()
    after = api.patch(f"/use-cases/{CASE}/monitor-settings", json={"window_rows": 60}).json()
    assert after == before | {"window_rows": 60}
    assert api.patch(f"/use-cases/{CASE}/monitor-settings", json={"window_rows": 0}).status_code == 400
    assert api.patch(f"/use-cases/{CASE}/monitor-settings", json={"rows": 5}).status_code == 400
    assert api.get(f"/use-cases/{CASE}/monitor-settings").json() == after
