"""The page of a run over HTTP: curves as data, what is new while it runs, files, forms, and what it refuses."""

from __future__ import annotations

import html
import json
import math
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from web_world import World

from stile.train.thinning import smoothed

PAGE = {"Accept": "text/html"}
HTML = "<h1>Report</h1><script>alert(1)</script>"


@pytest.fixture(scope="module")
def ada(world: World) -> Iterator[httpx.Client]:
    """A data scientist, signed in as a browser would be."""
    with httpx.Client(base_url=world.url, headers=PAGE, timeout=30) as client:
        assert client.post("/sign-in", data={"name": "ada", "password": world.passwords["ada"]}).status_code == 303
        yield client


@pytest.fixture(scope="module")
def dora(world: World) -> Iterator[httpx.Client]:
    """A domain expert, who may look at runs and not write to them."""
    with httpx.Client(base_url=world.url, headers=PAGE, timeout=30) as client:
        assert client.post("/sign-in", data={"name": "dora", "password": world.passwords["dora"]}).status_code == 303
        yield client


def experiment(world: World) -> str:
    """An experiment beside that of the world, so that what is made here changes no page of other tests."""
    name = "runs of page tests"
    found = httpx.get(f"{world.url}/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name})
    if found.is_success:
        return str(found.json()["experiment"]["experiment_id"])
    made = world.call("POST", "/api/2.0/mlflow/experiments/create", by="ada", json={"name": name})
    return str(made["experiment_id"])


def begun(world: World, name: str, **more: Any) -> str:
    body = {"experiment_id": experiment(world), "run_name": name, "start_time": int(time.time() * 1000), **more}
    return str(world.call("POST", "/api/2.0/mlflow/runs/create", by="ada", json=body)["run"]["info"]["run_id"])


def log(world: World, run: str, **batch: Any) -> None:
    world.call("POST", "/api/2.0/mlflow/runs/log-batch", by="ada", json={"run_id": run, **batch})


def points(key: str, values: list[float], start: int = 0) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": value, "step": start + at, "timestamp": 1_760_000_000_000 + 1000 * (start + at)}
        for at, value in enumerate(values)
    ]


def put(world: World, run: str, path: str, content: bytes) -> None:
    url = f"/api/2.0/mlflow-artifacts/artifacts/{experiment(world)}/{run}/artifacts/{path}"
    world.call("PUT", url, by="ada", content=content)


def ended(world: World, run: str, status: str = "FINISHED") -> None:
    body = {"run_id": run, "status": status, "end_time": int(time.time() * 1000)}
    world.call("POST", "/api/2.0/mlflow/runs/update", by="ada", json=body)


@pytest.fixture(scope="module")
def rich(world: World) -> str:
    """A run with curves of several groups, odd values, parameters, files and environment."""
    run = begun(
        world, "a rich run",
        tags=[
            {"key": "mlflow.source.git.commit", "value": "abc123"},
            {"key": "mlflow.note.content", "value": "First\n<b>note</b>"},
        ],
    )  # fmt: skip
    log(
        world, run,
        metrics=points("train/loss", [1 / (n + 1) for n in range(900)]),
        params=[{"key": "lr", "value": "0.1"}, {"key": "model", "value": "tree"}],
    )  # fmt: skip
    odd = [0.5, "NaN", 0.7, "Infinity", 0.9]
    log(world, run, metrics=points("valid/auc", odd) + points("system/cpu", [40, 50]) + points("auc", [0.91]))
    put(world, run, "reports/summary.html", HTML.encode())
    put(world, run, "figures/plot.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    put(world, run, "tables/t.csv", b"name,score\n<b>a</b>,1\n")
    put(world, run, "weights.bin", bytes(range(256)))
    put(world, run, "code/changes.patch", b"--- a\n+++ b\n-old\n+new\n")
    ended(world, run)
    return run


def test_page_groups_curves_and_draws_those_that_are_not_the_machines(rich: str, ada: httpx.Client) -> None:
    text = ada.get(f"/runs/{rich}").text
    assert (
        text.index('data-curve="train/loss"') < text.index('data-curve="valid/auc"') < text.index('data-group="system"')
    )
    assert 'data-curve="system/cpu"' not in text, "loaded when somebody opens the group"
    assert 'data-curve="system/cpu"' in ada.get(f"/runs/{rich}?open=system").text
    assert text.count('<svg class="plot small"') == 2
    assert "2 of 5 points are not numbers." in text
    assert 'data-curve="auc"' not in text, "one point is no curve"
    assert "data-stream=" not in text, "it has ended"
    assert "First\n&lt;b&gt;note&lt;/b&gt;" in text


def test_metrics_and_parameters_are_found_by_the_server_too(rich: str, ada: httpx.Client) -> None:
    text = ada.get(f"/runs/{rich}?find=TRAIN&param=tree").text
    assert "train/loss" in text
    assert "valid/auc" not in text
    assert '<th scope="row" class="break">model</th>' in text
    assert '<th scope="row" class="break">lr</th>' not in text


def test_log_scale_axis_and_smoothing_come_from_the_address(rich: str, ada: httpx.Client) -> None:
    plain = ada.get(f"/runs/{rich}").text
    other = ada.get(f"/runs/{rich}?log=1&x=relative&smooth=0.6&from=0&to=60000").text
    assert 'name="log" value="1" checked' in other
    assert "c-faint" in other
    assert "c-faint" not in plain
    assert "14 min" in ada.get(f"/runs/{rich}?x=relative").text
    assert "1 min 1 s" in other, "one point beyond the end, so that the line runs to the edge"


@pytest.mark.parametrize(
    "query", ["x=space", "smooth=1", "smooth=abc", "from=9&to=1", "from=nan", "smooth=-1"]
)  # fmt: skip
def test_view_that_cannot_be_used_is_refused_in_words(query: str, rich: str, ada: httpx.Client) -> None:
    answer = ada.get(f"/runs/{rich}?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.text


def test_baseline_shows_differences_first_and_says_what_is_better(rich: str, world: World, ada: httpx.Client) -> None:
    text = ada.get(f"/runs/{world.run_id}?baseline={rich}").text
    assert "+0.0500 better" in text
    assert "not given" in text
    assert f'href="/compare?run={rich}&amp;run={world.run_id}"' in text
    assert "There is no run" in ada.get(f"/runs/{rich}?baseline={'0' * 32}").text
    assert "its own baseline" in ada.get(f"/runs/{rich}?baseline={rich}").text


def test_curves_are_thinned_and_odd_values_are_counted(rich: str, ada: httpx.Client) -> None:
    answer = ada.get(f"/runs/{rich}/curves.json", params={"key": ["train/loss", "valid/auc", "ghost"], "most": 50})
    loss, auc, ghost = answer.json()["curves"]
    assert (loss["total"], len(loss["values"]) <= 50, loss["values"][0]) == (900, True, 1.0)
    assert (auc["values"], auc["not_numbers"]) == ([0.5, 0.7, 0.9], 2)
    assert (ghost["total"], ghost["values"]) == (0, [])
    zoomed = ada.get(f"/runs/{rich}/curves.json?key=train/loss&from=100&to=105").json()["curves"][0]
    assert zoomed["steps"] == [99, 100, 101, 102, 103, 104, 105, 106]


@pytest.mark.parametrize("query", ["", "key=a&most=1", "&".join(f"key=k{n}" for n in range(25))])
def test_curves_say_what_can_be_asked_for(query: str, rich: str, ada: httpx.Client) -> None:
    assert ada.get(f"/runs/{rich}/curves.json?{query}").status_code == 400
    assert ada.get(f"/runs/{'0' * 32}/curves.json?key=a").status_code == 404


def test_stream_tells_what_is_new_and_when_it_ends(world: World, ada: httpx.Client) -> None:
    run = begun(world, "streamed")
    log(world, run, metrics=points("loss", [1.0, 0.5]))
    events: list[tuple[str, Any]] = []
    with ada.stream("GET", f"/runs/{run}/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                events.append((name, json.loads(line[6:])))
                if len(events) == 1:
                    log(world, run, metrics=points("loss", [0.4], start=2) + points("auc", [0.8]))
                elif len(events) == 2:
                    log(world, run, params=[{"key": "lr", "value": "1"}])
                elif len(events) == 3:
                    ended(world, run)
    assert events[0] == ("points", {"loss": {"value": 0.5, "step": 1, "at": 1_760_000_001_000}})
    assert {key: point["value"] for key, point in events[1][1].items()} == {"loss": 0.4, "auc": 0.8}
    assert events[2:] == [("written", {}), ("ended", {"status": "FINISHED"})]


def test_stream_of_a_run_that_does_not_exist_is_refused(ada: httpx.Client) -> None:
    assert ada.get(f"/runs/{'0' * 32}/live").status_code == 404


def test_tables_are_files_with_every_value(rich: str, ada: httpx.Client) -> None:
    params = ada.get(f"/runs/{rich}/params.csv")
    assert params.text == "parameter,value\r\nlr,0.1\r\nmodel,tree\r\n"
    assert "attachment" in params.headers["content-disposition"]
    assert "train/loss,0.001" in ada.get(f"/runs/{rich}/metrics.csv").text
    assert "mlflow.source.git.commit,abc123" in ada.get(f"/runs/{rich}/tags.csv").text
    history = ada.get(f"/runs/{rich}/history.csv").text.splitlines()
    assert len(history) == 1 + 900 + 5 + 2 + 1
    assert history[0] == "metric,step,time_ms,value"
    one = ada.get(f"/runs/{rich}/history.csv?key=valid/auc").text.splitlines()
    assert [line.split(",")[1] for line in one[1:]] == ["0", "1", "2", "3", "4"]
    assert math.isnan(float(one[2].split(",")[3]))


def test_history_is_also_json_piece_by_piece(rich: str, ada: httpx.Client) -> None:
    first = ada.get(f"/runs/{rich}/history.json?key=train/loss&most=600").json()
    rest = ada.get(f"/runs/{rich}/history.json?key=train/loss&start={first['next']}").json()
    assert (first["total"], first["next"], rest["next"]) == (900, 600, None)
    assert first["steps"] + rest["steps"] == list(range(900))
    assert ada.get(f"/runs/{rich}/history.json?key=valid/auc").json()["values"][1] is None, "NaN is null in JSON"
    assert ada.get(f"/runs/{rich}/history.json").status_code == 400


def test_html_is_shown_where_it_can_do_nothing(rich: str, ada: httpx.Client) -> None:
    page = ada.get(f"/runs/{rich}/files/reports/summary.html")
    assert "<iframe" in page.text
    assert "sandbox src=" in page.text
    assert "alert(1)" not in page.text
    assert page.headers["content-security-policy"].endswith("; frame-src 'self'")
    raw = ada.get(f"/runs/{rich}/raw/reports/summary.html")
    policy = raw.headers["content-security-policy"]
    assert raw.text == HTML
    assert raw.headers["content-type"].startswith("text/html")
    assert "sandbox" in policy.split("; ")
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
    assert "script-src" not in policy
    assert raw.headers["x-content-type-options"] == "nosniff"


def test_pictures_are_shown_without_their_scripts(rich: str, ada: httpx.Client) -> None:
    assert '<img class="file"' in ada.get(f"/runs/{rich}/files/figures/plot.svg").text
    raw = ada.get(f"/runs/{rich}/raw/figures/plot.svg")
    assert raw.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in raw.headers["content-security-policy"]
    assert "default-src 'none'" in raw.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["weights.bin", "tables/t.csv", "code/changes.patch"])
def test_other_files_are_downloads_that_nobody_guesses_about(path: str, rich: str, ada: httpx.Client) -> None:
    raw = ada.get(f"/runs/{rich}/raw/{path}")
    assert raw.headers["content-type"] == "application/octet-stream"
    assert raw.headers["content-disposition"].startswith("attachment; filename*=UTF-8''" + path.rpartition("/")[2])
    assert raw.headers["x-content-type-options"] == "nosniff"
    html = ada.get(f"/runs/{rich}/raw/reports/summary.html?download=1")
    assert html.headers["content-disposition"].startswith("attachment")


def test_previews_show_tables_and_changes_as_text_only(rich: str, ada: httpx.Client) -> None:
    table = ada.get(f"/runs/{rich}/files/tables/t.csv").text
    assert "&lt;b&gt;a&lt;/b&gt;" in table
    assert "1 row, 2 columns" in table
    changes = ada.get(f"/runs/{rich}/files/code/changes.patch").text
    assert "<del>-old</del>\n<ins>+new</ins>" in changes
    assert "Download it to open it." in ada.get(f"/runs/{rich}/files/weights.bin").text
    data = ada.get(f"/runs/{rich}/file.json?path=tables/t.csv").json()
    assert data["preview"]["rows"] == [["<b>a</b>", "1"]]


def test_pictures_of_a_run_are_seen_on_its_page(rich: str, ada: httpx.Client) -> None:
    page = ada.get(f"/runs/{rich}").text
    assert (
        f'<a href="/runs/{rich}/files/figures/plot.svg"><img src="/runs/{rich}/raw/figures/plot.svg" alt="" '
        'loading="lazy"' in page
    )
    assert page.count("<img ") == 1, "nothing but pictures is shown as one"


def test_controls_of_curves_are_there_only_with_curves(world: World, rich: str, ada: httpx.Client) -> None:
    flat = begun(world, "no curve")
    log(world, flat, metrics=points("auc", [0.9]))
    assert "data-look" in ada.get(f"/runs/{flat}").text, "it may still log some"
    ended(world, flat)
    page = ada.get(f"/runs/{flat}").text
    assert "data-look" not in page
    assert "No metric has more than one point yet." in page
    assert "data-look" in ada.get(f"/runs/{rich}").text
    assert "data-look" in ada.get(f"/runs/{rich}?find=nothing").text, "a search that found nothing can be changed"


def test_way_to_a_file_leads_back_to_the_experiment(rich: str, world: World, ada: httpx.Client) -> None:
    page = ada.get(f"/runs/{rich}/files/tables/t.csv").text
    crumbs = page[page.index('aria-label="Breadcrumb"') : page.index("</nav>", page.index('aria-label="Breadcrumb"'))]
    assert f'<a href="/experiments/{experiment(world)}">runs of page tests</a>' in crumbs


def test_folders_list_what_lies_in_them(rich: str, ada: httpx.Client) -> None:
    text = ada.get(f"/runs/{rich}/files").text
    assert f'href="/runs/{rich}/files/tables"' in text
    assert f'href="/runs/{rich}/files/tables/t.csv"' in ada.get(f"/runs/{rich}/files/tables").text


@pytest.mark.parametrize("path", ["../../secret", "a/../b", "%2e%2e/x", "a%00b", "C:/x"])
def test_paths_that_lead_elsewhere_are_refused(path: str, rich: str, ada: httpx.Client) -> None:
    for kind in ("raw", "files"):
        answer = ada.get(f"/runs/{rich}/{kind}/{path}")
        assert answer.status_code in (400, 404)
        assert "stile.db" not in answer.text


def test_file_that_is_not_there_says_so(rich: str, ada: httpx.Client) -> None:
    assert ada.get(f"/runs/{rich}/raw/ghost.txt").status_code == 404
    assert ada.get(f"/runs/{rich}/raw/ghost.txt?model=m-1").status_code == 404
    assert ada.get(f"/runs/{rich}/files/ghost").status_code == 404


def test_note_name_and_tags_are_changed_by_forms(world: World, ada: httpx.Client) -> None:
    run = begun(world, "to be changed")
    said = ada.post(f"/runs/{run}/note", data={"note": "One\r\ntwo"})
    assert (said.status_code, said.headers["location"].endswith("#note")) == (303, True)
    ada.post(f"/runs/{run}/name", data={"name": "changed"})
    ada.post(f"/runs/{run}/tags", data={"key": "team", "value": "oncology"})
    data = ada.get(f"/runs/{run}.json").json()
    assert data["run"]["info"]["name"] == "changed"
    assert ["mlflow.note.content", "One\ntwo"] in data["run"]["tags"]
    assert ["team", "oncology"] in data["run"]["tags"]
    ada.post(f"/runs/{run}/tags/drop", data={"key": "team"})
    assert ["team", "oncology"] not in ada.get(f"/runs/{run}.json").json()["run"]["tags"]


def test_tags_of_clients_are_not_changed_from_a_page(rich: str, ada: httpx.Client) -> None:
    for path in ("tags", "tags/drop"):
        answer = ada.post(f"/runs/{rich}/{path}", data={"key": "mlflow.source.git.commit", "value": "forged"})
        assert answer.status_code == 403
        assert "set by the clients" in answer.text
    assert ada.post(f"/runs/{rich}/tags", data={"key": "", "value": "x"}).status_code == 400
    assert ada.post(f"/runs/{rich}/name", data={"name": " "}).status_code == 400


def test_who_may_only_look_sees_no_forms_and_is_refused(rich: str, dora: httpx.Client) -> None:
    text = dora.get(f"/runs/{rich}").text
    assert "/tags" not in text.replace("/tags.csv", "")
    assert 'name="note"' not in text
    for path in ("note", "name", "tags", "tags/drop"):
        assert dora.post(f"/runs/{rich}/{path}", data={"key": "a", "value": "b", "name": "n"}).status_code == 403


def test_deleted_run_is_shown_and_not_written_to(world: World, ada: httpx.Client) -> None:
    run = begun(world, "to be deleted")
    world.call("POST", "/api/2.0/mlflow/runs/delete", by="ada", json={"run_id": run})
    text = ada.get(f"/runs/{run}").text
    assert "This run was deleted." in text
    assert 'name="note"' not in text
    assert ada.post(f"/runs/{run}/note", data={"note": "x"}).status_code == 400


def test_head_of_a_run_that_has_ended_says_its_best_values(world: World, ada: httpx.Client) -> None:
    run = begun(world, "overfitted")
    log(world, run, metrics=points("val/loss", [0.9, 0.25, 0.4]) + points("auc", [0.5, 0.7]) + points("lr", [3.0, 1.0]))
    running = ada.get(f"/runs/{run}").text
    assert "newest of 3 points" in running
    assert "its best" not in running, "it may still get better"
    ended(world, run)
    page = ada.get(f"/runs/{run}").text
    assert "its best: 0.2500, of 3 points" in page
    assert "its best of 2 points" in page
    assert "newest of 2 points" in page, "nobody knows what is best for a learning rate"


def test_running_run_says_when_it_logged_last(world: World, ada: httpx.Client) -> None:
    run = begun(world, "is it alive")
    assert "data-logged" not in ada.get(f"/runs/{run}").text
    log(world, run, metrics=points("loss", [0.5, 0.4]))
    page = ada.get(f"/runs/{run}").text
    assert 'last metric <span data-logged><time datetime="2025-10-09T08:53:21Z"' in page
    ended(world, run)
    assert "data-logged" not in ada.get(f"/runs/{run}").text


def test_parts_name_their_whole_and_are_compared_together(world: World, ada: httpx.Client) -> None:
    whole = begun(world, "the whole")
    parts = [begun(world, f"part {n}", tags=[{"key": "mlflow.parentRunId", "value": whole}]) for n in range(2)]
    text = ada.get(f"/runs/{whole}").text
    assert all(f'href="/runs/{part}"' in text for part in parts)
    assert f"/compare?run={parts[1]}&amp;run={parts[0]}" in text
    assert f'Part of <a href="/runs/{whole}">the whole</a>' in ada.get(f"/runs/{parts[0]}").text
    listed = ada.get(f"/experiments/{experiment(world)}", params={"filter": "attributes.run_name LIKE '%part 0'"}).text
    assert "part of another run:" in listed
    listed = ada.get(f"/experiments/{experiment(world)}", params={"filter": "attributes.run_name = 'the whole'"}).text
    assert "part of another run:" not in listed


def test_run_that_has_logged_nothing_says_the_next_step(world: World, ada: httpx.Client) -> None:
    run = begun(world, "bare")
    text = ada.get(f"/runs/{run}").text
    assert "Nothing logged yet" in text
    assert run in text.split('id="first-log"')[1]
    assert "It left no files." in text


def test_first_of_many_metrics_are_shown_and_the_rest_when_asked_for(world: World, ada: httpx.Client) -> None:
    run = begun(world, "a hundred metrics")
    for start in range(0, 100, 50):
        keys = [f"{'train/' if at % 2 else 'system/'}m{at:03}" for at in range(start, start + 50)]
        log(world, run, metrics=[point for key in keys for point in points(key, [1.0, 2.0])])

    def counted(query: str = "") -> tuple[int, int]:
        text = ada.get(f"/runs/{run}{query}").text
        return text.count('<td class="num" data-latest='), text.count("<figure data-curve=")

    assert counted() == (60, 24)
    assert counted("?rows=all") == (100, 24)
    assert counted("?open=train") == (60, 50)
    assert counted("?open=train&open=system&open=nothing&rows=all") == (100, 100)
    assert counted("?find=m00") == (10, 5)
    assert counted("?find=m00&open=system") == (10, 10)
    text = ada.get(f"/runs/{run}?x=time").text
    assert 'href="/runs/' + run + '?x=time&amp;rows=all#metrics"' in text
    assert 'href="/runs/' + run + '?x=time&amp;open=system#curves"' in text
    assert "Show all 50" in text
    away = re.search(r'data-folded="([^"]*)"', text)
    assert away
    assert len(json.loads(html.unescape(away[1]))) == 100 - 24
    assert "data-folded" not in ada.get(f"/runs/{run}?find=m001").text
    assert "data-part" in ada.get(f"/runs/{run}?open={'x' * 5000}").text


def test_average_in_the_answer_is_of_all_points(world: World, ada: httpx.Client) -> None:
    run = begun(world, "a noisy one")
    values = [math.cos(at / 90) + (0.5 if at % 2 else -0.5) for at in range(3000)]
    for start in range(0, 3000, 1000):
        log(world, run, metrics=points("noisy", values[start : start + 1000], start=start))
    asked = {"key": "noisy", "most": "100", "smooth": "0.9"}
    found = ada.get(f"/runs/{run}/curves.json", params=asked).json()["curves"][0]
    whole = smoothed(values, 0.9)
    assert found["smooth"]["weight"] == 0.9
    assert found["smooth"]["values"] == pytest.approx([whole[step] for step in found["smooth"]["steps"]])
    assert max(map(abs, found["smooth"]["values"])) < 1.1, "the zigzag is gone"
    several = ada.get("/compare/curves.json", params=asked | {"run": run}).json()["curves"][0]
    assert several["smooth"]["values"] == pytest.approx([whole[step] for step in several["smooth"]["steps"]])
    assert ada.get(f"/runs/{run}/curves.json", params={"key": "noisy"}).json()["curves"][0]["smooth"] is None
    assert "c-faint" in ada.get(f"/runs/{run}?smooth=0.9").text
