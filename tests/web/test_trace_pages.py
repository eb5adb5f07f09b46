"""The pages of traces: a list that can be searched, a tree of spans, and nothing that a span says becomes active."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import httpx
import pytest
from web_world import World


@pytest.fixture(scope="module")
def reader(world: World) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {world.tokens['dora']}", "Accept": "text/html"}
    with httpx.Client(base_url=world.url, headers=headers, timeout=30) as client:
        yield client


def test_the_list_is_searched_and_says_what_is_wrong(reader: httpx.Client, world: World) -> None:
    home = f"/experiments/{world.experiment_id}/traces"
    found = reader.get(home, params={"filter": "span.status = 'ERROR' and feedback.correct = 'false'"}).text
    assert f"/traces/{world.trace}" in found
    assert "No trace matches" in reader.get(home, params={"filter": "name = 'other'"}).text
    wrong = reader.get(home, params={"filter": "name RLIKE 'x'"})
    assert (wrong.status_code, "not searched" in wrong.text) == (200, True)
    twin = reader.get(f"{home}.json", params={"filter": f"run_id = '{world.run_id}'"}).json()
    assert [one["trace_id"] for one in twin["traces"]] == [world.trace]
    assert "No trace yet" in reader.get("/experiments/0/traces").text
    assert reader.get("/experiments/4711/traces").status_code == 404


def test_the_tree_shows_where_the_time_went(reader: httpx.Client, world: World) -> None:
    page = reader.get(f"/traces/{world.trace}").text
    rows = re.findall(r'class="level-(\d)"><a class="open" href="([^"]+)">(\w+)</a>', page)
    assert [(level, name) for level, _, name in rows] == [("0", "answer"), ("1", "retrieve"), ("1", "generate")]
    bars = re.findall(r'<rect x="([\d.]+)" y="5" width="([\d.]+)"', page)
    assert bars == [("0", "100"), ("2.38", "42.86"), ("47.62", "50")]
    assert 'role="status"' not in page
    assert "&lt;b&gt;malignant" in page
    assert "<b>malignant" not in page
    chosen = reader.get(rows[1][1].partition("#")[0]).text
    assert "TimeoutError: the index did not answer" in chosen
    twin = reader.get(f"/traces/{world.trace}.json").json()
    assert [one["level"] for one in twin["spans"]] == [0, 1, 1]
    assert twin["spans"][0]["outputs"] == '{"answer": "yes"}'
    assert reader.get("/traces/tr-none").status_code == 404


def test_failure_of_a_trace_is_said_first(world: World, reader: httpx.Client) -> None:
    made = world.call("POST", "/api/2.0/mlflow/experiments/create", by="ada", json={"name": "failing requests"})
    span = {
        "traceId": f"{90:032x}", "spanId": f"{1:016x}", "name": "ask", "startTimeUnixNano": "1760000000000000000",
        "endTimeUnixNano": "1760000001000000000", "status": {"code": 2, "message": "the <b>index</b> is away"},
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {world.tokens['ada']}", "x-mlflow-experiment-id": made["experiment_id"]}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    assert httpx.post(f"{world.url}/v1/traces", json=body, headers=headers, timeout=30).status_code == 200
    page = reader.get(f"/traces/tr-{90:032x}").text
    start = page.index('class="verdict-line"')
    assert "the &lt;b&gt;index&lt;/b&gt; is away" in page[start : page.index("</p>", start)]


def test_session_of_a_trace_leads_to_its_others(world: World, reader: httpx.Client) -> None:
    made = world.call("POST", "/api/2.0/mlflow/experiments/create", by="ada", json={"name": "sessions"})
    for number, session in ((1, "morning tea"), (2, "morning tea"), (3, "night")):
        info = {
            "trace_id": f"tr-session-{number}", "request_time": "2026-01-01T00:00:00Z", "state": "OK",
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": made["experiment_id"]},
            },
            "trace_metadata": {"mlflow.trace.session": session, "mlflow.traceInputs": "{}"},
        }  # fmt: skip
        world.call("POST", "/api/3.0/mlflow/traces", by="ada", json={"trace": {"trace_info": info}})
    page = reader.get("/traces/tr-session-1").text
    assert "traceInputs" not in page
    [link] = re.findall(r'<dt>Session</dt><dd class="break">morning tea <a class="small" href="([^"]+)">', page)
    found = reader.get(html.unescape(link)).text
    assert [f"tr-session-{number}" in found for number in (1, 2, 3)] == [True, True, False]


def test_runs_and_experiments_lead_to_their_traces(reader: httpx.Client, world: World) -> None:
    assert f"/experiments/{world.experiment_id}/traces" in reader.get(f"/experiments/{world.experiment_id}").text
    run = reader.get(f"/runs/{world.run_id}").text
    [link] = re.findall(r'href="(/experiments/\d+/traces\?filter=[^"]+)"', run)
    assert f"/traces/{world.trace}" in reader.get(link).text
    assert f"/runs/{world.run_id}" in reader.get(f"/traces/{world.trace}").text
