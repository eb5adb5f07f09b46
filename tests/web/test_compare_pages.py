"""The comparison of runs over HTTP: what it shows first, its limits, its files, and its weight."""

from __future__ import annotations

import csv
import html
import io
import re
import time
from collections.abc import Iterator

import httpx
import pytest
from test_run_pages import begun, ended, experiment, log, points
from web_world import World

from stile.store.database import Tx
from stile.train import runs
from stile.train.points import Point, pieces

PAGE = {"Accept": "text/html"}
GHOST = "0" * 32


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=world.url, headers=PAGE, timeout=60) as made:
        assert made.post("/sign-in", data={"name": "cora", "password": world.passwords["cora"]}).status_code == 303
        yield made


@pytest.fixture(scope="module")
def several(world: World) -> list[str]:
    """Four runs: two settings differ, one is the same; the third is best at auc and stops early; one never has auc."""
    made = []
    for at, (lr, auc) in enumerate((("0.1", 0.90), ("0.01", 0.93), ("0.001", 0.95), ("0.0001", None))):
        run = begun(world, "twin" if at < 2 else f"run {at}", tags=[{"key": "note", "value": f"number {at}"}])
        params = {"lr": lr, "model": "tree" if at else "linear", "seed": "7"}
        metrics = points("valid/loss", [1 / (step + 1 + at) for step in range(30 - 5 * at)])
        metrics += [] if auc is None else points("auc", [auc])
        log(world, run, metrics=metrics, params=[{"key": key, "value": value} for key, value in params.items()])
        made.append(run)
    return made


def path(ids: list[str], **more: str) -> str:
    return "/compare?" + "&".join([f"run={run}" for run in ids] + [f"{key}={value}" for key, value in more.items()])


def test_what_differs_comes_first_and_the_rest_is_one_click_away(several: list[str], client: httpx.Client) -> None:
    text = client.get(path(several)).text
    assert "<strong>run 2</strong> is best at auc: 0.9500" in text
    assert "+0.0500" in text
    section = text.split('id="params"')[1].split("</section>")[0]
    assert ">lr</th>" in section.replace("\n", "")
    assert "seed" not in section
    assert "seed" in client.get(path(several, all="1")).text.split('id="params"')[1].split("</section>")[0]
    assert f"twin ({several[0][:6]})" in text, "equal names are told apart"


def test_json_has_every_value_in_the_order_of_the_runs(several: list[str], client: httpx.Client) -> None:
    data = client.get(path(several).replace("/compare", "/compare.json")).json()
    assert [run["run_id"] for run in data["runs"]] == several
    params = {row["key"]: row for row in data["params"]}
    assert params["lr"]["values"] == ["0.1", "0.01", "0.001", "0.0001"]
    assert (params["lr"]["differs"], params["seed"]["differs"]) == (True, False)
    auc = next(row for row in data["metrics"] if row["key"] == "auc")
    assert [cell["best"] for cell in auc["cells"]] == [False, False, True, False]
    assert auc["cells"][1]["better"] is True
    assert auc["cells"][3]["value"] is None
    assert (data["goal"], data["curve"], data["across"]) == ("auc", "valid/loss", "params.lr")


def test_baseline_of_the_address_is_what_others_are_measured_against(several: list[str], client: httpx.Client) -> None:
    data = client.get(path(several, baseline=several[2]).replace("/compare", "/compare.json")).json()
    auc = next(row for row in data["metrics"] if row["key"] == "auc")
    assert data["baseline"] == 2
    assert [cell["better"] for cell in auc["cells"]] == [False, False, None, None]


def test_ids_may_be_joined_by_commas_and_count_once(several: list[str], client: httpx.Client) -> None:
    data = client.get(f"/compare.json?run={','.join(several[:2])}&run={several[0]}").json()
    assert [run["run_id"] for run in data["runs"]] == several[:2]


def test_runs_that_do_not_exist_are_named_and_the_others_compared(several: list[str], client: httpx.Client) -> None:
    answer = client.get(path([*several[:2], GHOST]))
    assert answer.status_code == 200
    assert "1 run was not found" in answer.text
    assert GHOST in answer.text
    assert "2 runs compared" in answer.text
    lost = client.get(path([GHOST, "nonsense"])).text
    assert "2 runs were not found" in lost
    assert "Pick 2 to 100 runs" in lost


def test_one_run_or_none_says_the_next_step(several: list[str], client: httpx.Client) -> None:
    assert "Pick 2 to 100 runs" in client.get("/compare").text
    alone = client.get(path(several[:1])).text
    assert "One run alone" in alone
    assert f"/compare?run={several[0]}&amp;run=ID" in alone


@pytest.mark.parametrize("address", ["/compare", "/compare.json", "/compare/params.csv", "/compare/curves.json"])
def test_more_than_a_hundred_runs_are_refused(address: str, client: httpx.Client) -> None:
    ids = "&".join(f"run={at:032x}" for at in range(101))
    answer = client.get(f"{address}?{ids}&key=a")
    assert answer.status_code == 400
    assert "At most 100 runs" in answer.text


def test_runs_of_several_experiments_are_compared(several: list[str], world: World, client: httpx.Client) -> None:
    other = world.call("POST", "/api/2.0/mlflow/experiments/create", by="ada", json={"name": f"other {time.time_ns()}"})
    body = {"experiment_id": other["experiment_id"], "run_name": "stranger"}
    run = world.call("POST", "/api/2.0/mlflow/runs/create", by="ada", json=body)["run"]["info"]["run_id"]
    text = client.get(path([several[0], run])).text
    assert "2 experiments" in text


def test_curves_of_all_runs_come_in_one_answer(several: list[str], client: httpx.Client) -> None:
    curves = client.get(path(several, key="valid/loss").replace("/compare", "/compare/curves.json")).json()["curves"]
    assert [(curve["run"], curve["place"], len(curve["values"])) for curve in curves] == [
        (run, at, 30 - 5 * at) for at, run in enumerate(several)
    ]
    assert client.get(f"/compare/curves.json?run={several[0]}").status_code == 400


def test_curves_are_drawn_by_the_server_too(several: list[str], client: httpx.Client) -> None:
    figure = client.get(path(several)).text.split('data-shape="wide"')[1].split("</figure>")[0]
    assert figure.count("<g><title>") == 4
    assert "valid/loss ends lowest in twin" in figure
    other = client.get(path(several, x="relative", log="1", smooth="0.5")).text
    assert "c-faint" in other


def test_axes_are_chosen_in_the_address(several: list[str], client: httpx.Client) -> None:
    text = client.get(path(several, across="params.model", y="valid/loss")).text
    assert 'aria-label="valid/loss by model"' in text
    assert "What explains valid/loss" in text
    lines = client.get(path(several) + "&axis=params.lr&axis=metrics.auc").text
    assert 'aria-label="Runs across lr, auc"' in lines
    assert client.get(path(several, across="ghost.x") + "&axis=a&axis=b").status_code == 200


def test_slices_stand_beside_each_other_where_there_is_evidence(world: World, client: httpx.Client) -> None:
    text = client.get(path([world.other_run_id, world.run_id], slice="recall")).text
    section = text.split('id="slices"')[1].split("</section>")[0]
    assert "site = south" in section
    assert "Recall by slice" in section
    rows = list(
        csv.reader(
            io.StringIO(
                client.get(path([world.run_id], slice="recall").replace("/compare", "/compare/slices.csv")).text
            )
        )
    )
    assert rows[0] == ["run_id", "run", "slice", "metric", "value", "low", "high", "rows"]
    assert {row[2] for row in rows[1:]} == {"all rows", "site = north", "site = south"}


def test_tables_are_files_with_one_row_for_each_run(several: list[str], client: httpx.Client) -> None:
    def table(name: str, **more: str) -> list[list[str]]:
        answer = client.get(path(several, **more).replace("/compare", f"/compare/{name}.csv"))
        assert answer.status_code == 200
        assert "attachment" in answer.headers["content-disposition"]
        return list(csv.reader(io.StringIO(answer.text)))

    assert table("params")[:2] == [["run_id", "run", "lr", "model", "seed"], [several[0], "twin", "0.1", "linear", "7"]]
    assert [row[2] for row in table("metrics")] == ["auc", "0.9", "0.93", "0.95", ""]
    assert [row[2] for row in table("tags")] == ["note", "number 0", "number 1", "number 2", "number 3"]
    assert [row[3] for row in table("runs")] == ["status", "RUNNING", "RUNNING", "RUNNING", "RUNNING"]
    assert table("environment")[0] == ["run_id", "run"]
    assert table("data")[0] == ["run_id", "run"]
    assert len(table("curves", key="valid/loss")) == 1 + 30 + 25 + 20 + 15
    assert client.get("/compare/params.csv").status_code == 400
    assert client.get(path(several).replace("/compare", "/compare/curves.csv")).status_code == 400


def test_hundred_runs_with_two_hundred_parameters_stay_light(world: World, client: httpx.Client) -> None:
    home = experiment(world)

    def fill(tx: Tx) -> list[str]:
        made = []
        for at in range(100):
            run = runs.create(tx, experiment_id=home, by="ada", name=f"wide {at}").info.run_id
            for half in (0, 100):
                params = [(f"p{n:03d}", f"{at}-{n} " + "x" * 300) for n in range(half, half + 100)]
                runs.log_batch(tx, run, params=params)
            logged = [("loss", Point(n, n, at / (n + 1))) for n in range(50)]
            logged += [(f"m{n}", Point(0, 0, float(at))) for n in range(20)]
            runs.log_batch(tx, run, metrics=pieces(logged))
            made.append(run)
        return made

    wide = world.services.db.write(fill)
    begin = time.perf_counter()
    answer = client.get(path(wide), headers={"Accept-Encoding": "identity"})
    took = time.perf_counter() - begin
    assert answer.status_code == 200
    assert len(answer.content) < 1_000_000
    assert took < 1.5, "about 0.2 s alone; the machine is shared"
    assert "The page shows the first 40" in answer.text
    found = client.get(path(wide, find="p199")).text
    assert ">p199<" in found
    rows = client.get(path(wide).replace("/compare", "/compare/params.csv")).text.splitlines()
    assert len(rows) == 101
    assert rows[0].count(",") == 201


def test_best_value_of_each_metric_is_compared_when_asked_for(several: list[str], client: httpx.Client) -> None:
    last = client.get(path(several, all="1").replace("/compare", "/compare.json", 1)).json()
    best = client.get(path(several, all="1", show="best").replace("/compare", "/compare.json", 1)).json()
    assert (last["summary"], best["summary"]) == ("last", "best")
    row = {each["key"]: [cell["value"] for cell in each["cells"]] for each in best["metrics"]}["valid/loss"]
    assert row == pytest.approx([1 / 30, 1 / 26, 1 / 22, 1 / 18])
    worst = client.get(path(several, show="max").replace("/compare", "/compare.json", 1)).json()
    row = {each["key"]: [cell["value"] for cell in each["cells"]] for each in worst["metrics"]}["valid/loss"]
    assert row == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    rows = list(csv.reader(io.StringIO(client.get(path(several, show="max").replace("?", "/metrics.csv?")).text)))
    assert float(rows[1][rows[0].index("valid/loss")]) == 1.0
    text = client.get(path(several, show="max")).text
    assert '<option value="max" selected>greatest values</option>' in text
    assert "metrics.csv" in text
    assert "&amp;show=max" in text


def test_stream_says_that_a_curve_has_grown_and_when_all_have_ended(world: World, client: httpx.Client) -> None:
    runs_of = [begun(world, f"compared live {at}") for at in range(2)]
    for run in runs_of:
        log(world, run, metrics=points("loss", [1.0, 0.5]))
    address = path(runs_of, key="loss").replace("/compare", "/compare/live", 1)
    assert f'data-stream="{address.replace("&", "&amp;")}"' in client.get(path(runs_of)).text
    events: list[str] = []
    with client.stream("GET", address) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("retry"):
                log(world, runs_of[1], metrics=points("other", [1.0]))
                log(world, runs_of[1], metrics=points("loss", [0.2], start=2))
            if line.startswith("event:"):
                events.append(line.removeprefix("event: "))
                if events == ["moved"]:
                    for run in runs_of:
                        ended(world, run)
    assert events == ["moved", "ended"]
    with client.stream("GET", address) as answer:
        assert "event: ended" in "".join(answer.iter_text()), "a stream of runs that have ended ends at once"
    assert "data-stream" not in client.get(path(runs_of)).text
    assert client.get("/compare/live?run=x").status_code == 400
    with client.stream("GET", f"/compare/live?run={GHOST}&key=loss") as answer:
        assert "event: ended" in "".join(answer.iter_text())


def test_many_runs_stand_best_first_and_their_heads_sort(world: World, client: httpx.Client) -> None:
    ids = []
    for at in range(9):
        run = begun(world, f"sorted {at}")
        log(world, run, metrics=points("val/loss", [float(abs(at - 6))]) + points("speed", [float(at)]))
        ended(world, run)
        ids.append(run)
    query = "&".join(f"run={id}" for id in ids)

    def shown(more: str = "") -> tuple[list[str], str]:
        page = client.get(f"/compare?{query}{more}").text
        table = page[page.index('id="metrics"') : page.index('id="curves"') if 'id="curves"' in page else None]
        return re.findall(r"sorted \d", table[table.index("<tbody>") :])[:9], table

    names, table = shown()
    assert names[:3] == ["sorted 0", "sorted 6", "sorted 5"], "the baseline, then the best"
    assert 'aria-sort="ascending"' in table
    heads = [html.unescape(url) for url in re.findall(r'<th scope="col"[^>]*><a href="([^"]+)"', table)]
    assert len(heads) == 2
    by_speed = client.get(next(url for url in heads if "order=speed" in url).partition("#")[0]).text
    assert 'aria-sort="descending"' in by_speed
    assert shown("&order=speed")[0][:3] == ["sorted 0", "sorted 8", "sorted 7"]
    assert shown("&order=speed&turned=1")[0][:3] == ["sorted 0", "sorted 1", "sorted 2"]
    assert shown("&order=nothing")[0] == [f"sorted {at}" for at in range(9)]
