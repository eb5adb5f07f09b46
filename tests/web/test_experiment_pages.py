"""Experiments over HTTP: the note that says what one is about, the list as CSV, and the way to its traces."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator

import httpx
import pytest
from web_world import World

from stile.testing.server import RunningServer, running_server

PAGE = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script>'\""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("experiments")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=PAGE, timeout=20, follow_redirects=True) as client:
        yield client


def made(browser: httpx.Client, name: str) -> str:
    """The path of a new experiment."""
    answer = browser.post("/api/2.0/mlflow/experiments/create", json={"name": name})
    return f"/experiments/{answer.json()['experiment_id']}"


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


def test_note_is_written_shown_and_listed(browser: httpx.Client) -> None:
    path = made(browser, "noted")
    page = browser.post(f"{path}/note", data={"note": f"For the spring report.\r\nSecond line {EVIL}"})
    assert "The note was saved." in page.text
    assert "For the spring report.\nSecond line &lt;script&gt;" in page.text
    assert EVIL not in page.text
    kept = browser.get(f"{path}.json").json()["experiment"]["tags"]["mlflow.note.content"]
    assert kept == f"For the spring report.\nSecond line {EVIL}"
    listed = browser.get("/experiments").text
    assert "For the spring report." in listed
    assert "Second line" not in listed
    assert "The note was saved." in browser.post(f"{path}/note", data={"note": ""}).text
    assert "spring report" not in browser.get("/experiments").text


def test_note_of_a_deleted_or_unknown_experiment_is_refused(browser: httpx.Client) -> None:
    path = made(browser, "closed")
    browser.post(f"{path}/delete", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert browser.post(f"{path}/note", data={"note": "late"}).status_code in (400, 404)
    assert browser.post("/experiments/999/note", data={"note": "x"}).status_code == 404


def test_who_may_only_look_writes_no_note(world: World) -> None:
    path = f"/experiments/{world.experiment_id}"
    with httpx.Client(base_url=world.url, headers=PAGE, timeout=30) as dora:
        dora.post("/sign-in", data={"name": "dora", "password": world.passwords["dora"]})
        assert f'action="{path}/note"' not in dora.get(path).text
        assert dora.post(f"{path}/note", data={"note": "mine"}).status_code == 403


def test_list_is_a_csv_of_all_that_a_search_finds(browser: httpx.Client) -> None:
    for at in range(55):
        made(browser, f"csv {at:02}")
    path = made(browser, "=csv(danger)")
    browser.post("/api/2.0/mlflow/runs/create", json={"experiment_id": path.rpartition("/")[2], "start_time": 1000})
    page = browser.get("/experiments", params={"q": "csv"}).text
    assert 'href="/experiments.csv?q=csv"' in page
    found = rows(browser.get("/experiments.csv", params={"q": "csv"}))
    assert len(found) == 56
    danger = next(row for row in found if "danger" in row["name"])
    assert danger["name"] == "'=csv(danger)", "no formula for a spreadsheet"
    assert (danger["runs"], danger["last_run"]) == ("1", "1970-01-01T00:00:01.000Z")
    assert rows(browser.get("/experiments.csv", params={"q": "no such name"})) == []
    assert browser.get("/experiments.csv", params={"lifecycle": "x"}).status_code == 400


def test_long_name_is_broken_and_not_cut(browser: httpx.Client) -> None:
    name = "a-team/" + "path/" * 40 + "end"
    path = made(browser, name)
    assert f'<th scope="row" class="break"><a class="open" href="{path}">{name}</a>' in browser.get("/experiments").text


def test_experiment_with_traces_alone_leads_to_them(world: World) -> None:
    with httpx.Client(base_url=world.url, headers=PAGE, timeout=30) as ada:
        ada.post("/sign-in", data={"name": "ada", "password": world.passwords["ada"]})
        traces = f"/experiments/{world.experiment_id}/traces"
        assert f'<a href="{traces}">traces</a>' in ada.get("/experiments").text
        found = rows(ada.get(f"{traces}.csv"))
        assert world.trace in {row["trace_id"] for row in found}
        assert list(found[0])[:5] == ["trace_id", "name", "state", "started", "took_ms"]
        none = rows(ada.get(f"{traces}.csv", params={"filter": "name = 'nobody'"}))
        assert none == []
        assert ada.get(f"{traces}.csv", params={"filter": "name ="}).status_code == 400
        shown = ada.get(traces, params={"filter": "name LIKE 'a%'"}).text
        assert f'href="{traces}.csv?filter=name+LIKE+%27a%25%27"' in shown


def test_first_page_begins_with_a_command_that_works_then_shows_what_was_trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with (
        running_server(tmp_path_factory.mktemp("new")) as running,
        httpx.Client(base_url=running.url, headers=PAGE, timeout=20) as client,
    ):
        fresh = client.get("/").text
        assert "This server is new" in fresh
        assert f"export STILE_URL={running.url}" in fresh
        path = made(client, f"tried {EVIL}")
        assert "This server is new" in client.get("/").text, "an experiment without runs is nothing to look at"
        client.post("/api/2.0/mlflow/runs/create", json={"experiment_id": path.rpartition("/")[2], "start_time": 1000})
        page = client.get("/").text
        assert "This server is new" not in page
        assert "Trained lately" in page
        assert f'<a class="open" href="{path}">tried &lt;script&gt;' in page
        assert EVIL not in page
        assert "From runs to production" in page, "the next step is still said"


def test_search_field_shows_a_search_that_these_runs_can_be_asked(browser: httpx.Client) -> None:
    path = made(browser, "examples")
    assert "metrics.auc &gt; 0.9 and params.model = &#34;tree&#34;" in browser.get(path).text
    for rate, loss in ((0.1, 0.5), (0.2, 0.25), (0.3, 1.0)):
        id = path.rpartition("/")[2]
        answer = browser.post("/api/2.0/mlflow/runs/create", json={"experiment_id": id, "start_time": 1000})
        metric = {"key": "val/loss", "value": loss, "timestamp": 1000, "step": 0}
        params = [{"key": "rate", "value": str(rate)}, {"key": "who", "value": "o'neill " * 9}]
        body = {"run_id": answer.json()["run"]["info"]["run_id"], "metrics": [metric], "params": params}
        assert browser.post("/api/2.0/mlflow/runs/log-batch", json=body).status_code == 200
    [text] = re.findall(r'name="filter" value="" placeholder="([^"]+)"', browser.get(path).text)
    example = html.unescape(text)
    assert example.startswith("metrics.val/loss < 0.5 and params.rate = '0.")
    found = browser.get(f"{path}.json", params={"filter": example}).json()
    assert found["problem"] is None, "it can be asked as it stands"
