"""The pages of traces: a list that can be searched, a tree of spans, and nothing that a span says becomes active."""

from __future__ import annotations

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


def test_runs_and_experiments_lead_to_their_traces(reader: httpx.Client, world: World) -> None:
    assert f"/experiments/{world.experiment_id}/traces" in reader.get(f"/experiments/{world.experiment_id}").text
    run = reader.get(f"/runs/{world.run_id}").text
    [link] = re.findall(r'href="(/experiments/\d+/traces\?filter=[^"]+)"', run)
    assert f"/traces/{world.trace}" in reader.get(link).text
    assert f"/runs/{world.run_id}" in reader.get(f"/traces/{world.trace}").text
