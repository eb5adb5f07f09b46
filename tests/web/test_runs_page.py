"""The page of runs and the list of experiments over HTTP: search, facets, columns, baseline, views, CSV."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from web_world import World

from stile.testing.server import RunningServer, running_server
from stile.train import experiments, runs
from stile.train.points import Point, pieces

RUNS = 130


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Experiment 0 with 130 runs, two of them with names and values made to do harm."""
    with running_server(tmp_path_factory.mktemp("runs")) as running:

        def fill(tx) -> None:
            for index in range(RUNS):
                evil = index in (5, 9)
                run = runs.create(
                    tx, experiment_id="0", by=("ann", "bob")[index % 2], start_time=1_760_000_000_000 + index,
                    name="=HYPERLINK(1)" if evil else f"run {index:03}", tags=[("team", "a" if index % 3 else "b")],
                )  # fmt: skip
                metrics = [("auc", Point(1, 0, index / 1000)), ("loss", Point(1, 0, 1 - index / 1000))]
                metrics += [("curve", Point(step, step, index * step / 7)) for step in range(5)]
                params = [("kind", '<i>"tree"</i>' if evil else "tree"), ("depth", str(index % 4)), ("shift", "-5")]
                runs.log_batch(tx, run.info.run_id, metrics=pieces(metrics), params=params, tags=[])
                if index % 5:
                    runs.update(tx, run.info.run_id, status="FINISHED", end_time=1_760_000_060_000 + index)
            for number in range(60):
                experiments.create(tx, name=f"sweep {number:02}% _", by="ann")

        running.services.db.write(fill)
        yield running


@pytest.fixture(scope="module")
def browser(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"Accept": "text/html"}, timeout=20) as client:
        yield client


def _links(text: str, inside: str) -> dict[str, str]:
    """Words of links -> their address, in the elements that match a pattern."""
    found = {}
    for part in re.findall(inside, text, re.DOTALL):
        for url, words in re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', part, re.DOTALL):
            found[html.unescape(re.sub(r"<[^>]*>", "", words)).strip()] = html.unescape(url)
    return found


def _names(browser: httpx.Client, **query: str) -> list[str]:
    answer = browser.get("/experiments/0.json", params=query)
    assert answer.status_code == 200, answer.text
    return [run["name"] for run in answer.json()["runs"]]


@pytest.mark.parametrize("sort", ["", "metrics.auc ASC", "params.depth DESC", "run_name ASC", "status ASC"])
def test_pages_lead_through_all_runs_and_back(sort: str, browser: httpx.Client) -> None:
    seen, url = [], "/experiments/0?" + str(httpx.QueryParams({"sort": sort}))
    pages = []
    while url:
        text = browser.get(url).text
        pages.append(re.findall(r'<a class="open" href="/runs/(\w+)"', text))
        seen += pages[-1]
        last, url = text, _links(text, r'<nav class="pager".*?</nav>').get("Next ›", "")
    assert (len(seen), len(set(seen))) == (RUNS, RUNS)
    assert [len(page) for page in pages] == [50, 50, 30]
    back = browser.get(_links(last, r'<nav class="pager".*?</nav>')["‹ Previous"]).text
    assert re.findall(r'<a class="open" href="/runs/(\w+)"', back) == pages[1]
    first = browser.get(_links(back, r'<nav class="pager".*?</nav>')["‹ Previous"]).text
    assert re.findall(r'<a class="open" href="/runs/(\w+)"', first) == pages[0]
    assert "‹ Previous" not in first


def test_pages_after_the_first_keep_their_columns(browser: httpx.Client) -> None:
    text = browser.get("/experiments/0").text
    following = _links(text, r'<nav class="pager".*?</nav>')["Next ›"]
    shown = browser.get("/experiments/0.json").json()["columns"]
    assert parse_qs(urlsplit(following).query)["cols"] == [",".join(shown)]


def test_columns_are_chosen_by_what_matters_or_by_the_person(browser: httpx.Client) -> None:
    automatic = browser.get("/experiments/0.json").json()
    assert automatic["columns"][:2] == ["metrics.auc", "metrics.loss"]
    assert "params.depth" in automatic["columns"]
    assert automatic["columns"][-2:] == ["status", "start_time"]
    chosen = browser.get("/experiments/0.json", params={"cols": "tags.team, took,metrics.nothing,took"}).json()
    assert chosen["columns"] == ["tags.team", "took", "metrics.nothing"]
    assert chosen["runs"][0]["metrics"] == {}, "only what is shown is loaded"
    several = browser.get("/experiments/0.json?cols=params.kind&cols=metrics.auc&cols=").json()
    assert several["columns"] == ["params.kind", "metrics.auc"]
    for wrong in ("foo.bar", "dataset.name", ",".join(f"metrics.m{n}" for n in range(61))):
        answer = browser.get("/experiments/0", params={"cols": wrong})
        assert answer.status_code == 200
        assert "not searched" in answer.text


def test_every_head_sorts_and_turns_round(browser: httpx.Client) -> None:
    heads = _links(browser.get("/experiments/0").text, r"<thead>.*?</thead>")
    assert {"auc", "loss", "depth", "state"} <= set(heads)
    best = _names(browser, sort=parse_qs(urlsplit(heads["auc"]).query)["sort"][0])
    assert best[0] == f"run {RUNS - 1:03}", "more is better: the greatest comes first"
    least = _names(browser, sort=parse_qs(urlsplit(heads["loss"]).query)["sort"][0])
    assert least == best, "less is better: the least comes first"
    turned = _links(browser.get(heads["auc"]).text, r"<thead>.*?</thead>")["auc ↓"]
    assert _names(browser, sort=parse_qs(urlsplit(turned).query)["sort"][0])[0] == "run 000"


def test_facets_narrow_and_widen_the_search(browser: httpx.Client) -> None:
    text = browser.get("/experiments/0", params={"filter": "metrics.auc >= 0.01"}).text
    menu = _links(text, r'<div class="facets" role="group".*?</div>\s*<div class="facets">')
    narrowed = browser.get(menu["a"]).text
    assert "metrics.auc &gt;= 0.01 and tags.team = &#39;a&#39;" in narrowed
    assert "80 runs that match" in narrowed
    menu = _links(narrowed, r'<div class="facets" role="group".*?</div>\s*<div class="facets">')
    assert "tags.team = &#39;b&#39;" in browser.get(menu["b"]).text, "another value takes the place of the first"
    taken_out = next(url for words, url in menu.items() if words.startswith("a ×"))
    assert "120 runs that match" in browser.get(taken_out).text
    data = browser.get("/experiments/0.json", params={"filter": "tags.team = 'a' and params.depth = '1'"}).json()
    by_key = {facet["key"]: facet for facet in data["found"]["facets"]}
    assert by_key["team"]["chosen"] == "a"
    assert {v["value"]: v["count"] for v in by_key["status"]["values"]} == {"FINISHED": 17, "RUNNING": 5}
    assert data["found"]["runs"] == 22


def test_what_was_typed_wrong_is_shown_with_what_was_meant(browser: httpx.Client) -> None:
    answer = browser.get("/experiments/0", params={"filter": "auc > 0.1", "sort": "metrics.auc DESC"})
    text = answer.text
    assert answer.status_code == 200
    assert 'value="auc &gt; 0.1"' in text, "the text stays"
    assert "<mark>auc</mark>" in text
    assert re.search(r'aria-invalid="true" aria-describedby="problem"', text)
    meant = _links(text, r'id="problem".*?</div>')["metrics.auc > 0.1"]
    assert parse_qs(urlsplit(meant).query) == {"filter": ["metrics.auc > 0.1"], "sort": ["metrics.auc DESC"]}
    assert browser.get(meant).status_code == 200
    problem = browser.get("/experiments/0.json", params={"filter": "metrics.auc > 1 and"}).json()["problem"]
    assert (problem["at"], problem["length"], problem["instead"]) == (19, 0, "")
    for query in ({"sort": "sideways up"}, {"cursor": "nonsense"}, {"before": "x", "cursor": "y"}):
        assert "not searched" in browser.get("/experiments/0", params=query).text


def test_every_number_is_compared_with_the_pinned_run(browser: httpx.Client) -> None:
    first = browser.get("/experiments/0").text
    pinned = _links(first, r'<td class="pinning wide">.*?</td>')["pin run 100 as the baseline"]
    data = browser.get(pinned.replace("/experiments/0?", "/experiments/0.json?")).json()
    assert data["baseline"]["name"] == "run 100"
    text = browser.get(pinned).text
    assert text.index('class="pinned"') < text.index("run 129"), "it comes first"
    assert text.count(">run 100</a>") == 1, "and is not there twice"
    row = text[text.index(">run 129</a>") :].split("</tr>")[0]
    assert re.findall(r'<span class="delta (\w+)">([^ <]*)', row)[:2] == [("better", "+0.029"), ("better", "−0.029")]
    row = text[text.index(">run 090</a>") :].split("</tr>")[0]
    assert re.findall(r'<span class="delta (\w+)">([^ <]*)', row)[0] == ("worse", "−0.010")
    assert "unpin" in text
    off = _links(text, r'<tr data-row class="pinned">.*?</tr>')["unpin"]
    assert "baseline" not in off


def test_baseline_that_is_gone_is_said(browser: httpx.Client, server: RunningServer) -> None:
    for gone in ("0" * 32, "../../etc", "x" * 500):
        text = browser.get("/experiments/0", params={"baseline": gone}).text
        assert "not there any more" in text


def test_sparkline_is_of_the_metric_that_has_steps(browser: httpx.Client) -> None:
    data = browser.get("/experiments/0.json").json()
    assert data["drawn"] == "curve"
    assert len(data["curves"]) == 50
    assert "curve over steps" in browser.get("/experiments/0").text


def _csv(browser: httpx.Client, **query: str) -> list[dict[str, str]]:
    answer = browser.get("/experiments/0/runs.csv", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_csv_has_all_runs_in_the_order_shown(browser: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stile.web.pages.runs_csv._PER_READ", 40)
    rows = _csv(browser, sort="metrics.auc DESC", cols="metrics.auc,params.kind,start_time,took")
    assert list(rows[0]) == ["run_id", "name", "metrics.auc", "params.kind", "start_time", "took_ms"]
    assert [float(row["metrics.auc"]) for row in rows] == [n / 1000 for n in reversed(range(RUNS))]
    assert rows[0]["start_time"] == "2025-10-09T08:53:20.129Z"
    assert {row["took_ms"] for row in rows} == {"", "60000"}
    assert len(_csv(browser, filter="tags.team = 'b'", cols="tags.team")) == 44


def test_csv_cannot_run_anything_and_keeps_numbers(browser: httpx.Client) -> None:
    rows = {row["metrics.auc"]: row for row in _csv(browser, cols="all")}
    assert rows["0.005"]["name"] == "'=HYPERLINK(1)"
    assert rows["0.005"]["params.shift"] == "-5"
    assert rows["0.005"]["params.kind"] == '<i>"tree"</i>'
    assert {"status", "user_id", "metrics.curve", "tags.team", "params.depth"} <= set(rows["0.005"])


def test_csv_has_the_differences_too(browser: httpx.Client) -> None:
    pinned = browser.get("/experiments/0.json").json()["runs"][0]["run_id"]
    rows = _csv(browser, cols="metrics.auc", baseline=pinned)
    assert float(rows[1]["metrics.auc minus baseline"]) == pytest.approx(-0.001)


def test_csv_of_a_bad_search_is_an_error_and_no_file(browser: httpx.Client) -> None:
    for query in ({"filter": "auc >"}, {"sort": "?"}, {"cols": "foo.bar"}):
        answer = browser.get("/experiments/0/runs.csv", params=query)
        assert answer.status_code == 400
        assert "attachment" not in answer.headers.get("content-disposition", "")
    assert browser.get("/experiments/999/runs.csv").status_code == 404


def _completions(browser: httpx.Client, text: str, **query: str) -> list[str]:
    answer = browser.get("/experiments/0/completions.json", params={"filter": text, **query})
    assert answer.status_code == 200
    return [each["text"] for each in answer.json()["completions"]]


def test_completions_know_what_was_logged(browser: httpx.Client) -> None:
    assert _completions(browser, "metr") == ["metrics.auc", "metrics.curve", "metrics.loss"]
    assert _completions(browser, "params.depth = ") == ["'0'", "'1'", "'2'", "'3'"], "33, 33, 32 and 32 runs"
    assert _completions(browser, "metrics.auc > ") == ["0.0", "0.129"]
    assert set(_completions(browser, "status = 'F")) == {"'FINISHED'", "'FAILED'"}
    assert _completions(browser, "tags.team = 'a'", at="4")[0].startswith("tags.")
    assert _completions(browser, "params.kind = ") == ["'tree'", "'<i>\"tree\"</i>'"], "the most frequent first"
    assert _completions(browser, "user_id = ") == ["'ann'", "'bob'"]
    assert _completions(browser, "params.nothing = ") == _completions(browser, "dataset.name = ") == []
    said = browser.get("/experiments/0/completions.json", params={"filter": "params.kind = "}).json()["completions"]
    assert [each["says"] for each in said] == ["128 runs", "2 runs"]
    assert browser.get("/experiments/0/completions.json?filter=x&at=-1").status_code == 400
    assert browser.get("/experiments/999/completions.json?filter=m").status_code == 404


def test_view_is_kept_opened_changed_and_deleted_by_forms(browser: httpx.Client) -> None:
    fields = {"name": "best <b>", "filter": "metrics.auc > 0.1", "cols": "metrics.auc,took", "sort": "metrics.auc DESC"}
    answer = browser.post("/experiments/0/views", data=fields | {"shared": "1"})
    assert answer.status_code == 303
    opened = parse_qs(urlsplit(answer.headers["location"]).query)
    assert {key: opened[key] for key in ("filter", "cols", "sort")} == {
        key: [fields[key]] for key in ("filter", "cols", "sort")
    }
    text = browser.get(answer.headers["location"]).text
    assert "View: <strong>best &lt;b&gt;</strong>" in text
    assert "(changed)" not in text
    number = opened["view"][0]
    changed = browser.get(f"/experiments/0?view={number}&filter=metrics.auc+%3E+0.2").text
    assert "(changed)" in changed
    again = browser.post("/experiments/0/views", data=fields)
    assert again.status_code == 409
    renamed = browser.post(f"/experiments/0/views/{number}", data={"name": "good"})
    assert renamed.status_code == 303
    kept = browser.get("/api/v1/experiments/0/views").json()["views"]
    assert [(each["name"], each["shared"], each["query"]["filter"]) for each in kept] == [
        ("good", False, "metrics.auc > 0.1")
    ]
    shown = browser.post(f"/experiments/0/views/{number}", data={"name": "good", "show": "1", "filter": "", "sort": ""})
    assert "filter" not in parse_qs(urlsplit(shown.headers["location"]).query)
    assert browser.post(f"/experiments/0/views/{number}/delete").status_code == 303
    assert browser.get("/api/v1/experiments/0/views").json()["views"] == []
    assert browser.post(f"/experiments/0/views/{number}/delete").status_code == 404


@pytest.mark.parametrize("path", ["/experiments/0/views", "/experiments/0/views/1", "/experiments/0/views/1/delete"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_view_form_from_another_site_is_refused(path: str, origin: str, browser: httpx.Client) -> None:
    answer = browser.post(path, data={"name": "planted"}, headers={"Origin": origin})
    assert answer.status_code == 403


def test_views_by_the_api(browser: httpx.Client) -> None:
    path = "/api/v1/experiments/0/views"
    made = browser.post(path, json={"name": "by hand", "query": {"filter": "metrics.auc > 0"}})
    assert made.status_code == 201
    one = f"{path}/{made.json()['id']}"
    assert browser.patch(one, json={"shared": True}).json()["shared"] is True
    assert browser.post(path, json={"name": "x", "query": {"filter": "auc >"}}).status_code == 400
    assert browser.post(path, json={"name": "x", "query": {"filters": "typo"}}).status_code == 400
    assert browser.delete(one).status_code == 204
    assert browser.delete(one).status_code == 404
    assert browser.get("/api/v1/experiments/77/views").status_code == 404


def test_people_see_their_own_views_and_the_shared_ones(world: World) -> None:
    path = f"/api/v1/experiments/{world.experiment_id}/views"
    private = world.call("POST", path, by="ada", json={"name": "ada's own"})
    shared = world.call("POST", path, by="ada", json={"name": "ada shares", "shared": True})
    headers = {"Authorization": f"Bearer {world.tokens['emil']}"}
    seen = httpx.get(world.url + path, headers=headers).json()["views"]
    assert [view["name"] for view in seen] == ["ada shares"]
    assert httpx.delete(f"{world.url}{path}/{shared['id']}", headers=headers).status_code == 403
    assert httpx.delete(f"{world.url}{path}/{private['id']}", headers=headers).status_code == 404
    refused = httpx.post(
        world.url + path, json={"name": "p", "shared": True},
        headers={"Authorization": f"Bearer {world.tokens['paula']}"},
    )  # fmt: skip
    assert refused.status_code == 403, "a product manager does not log runs"
    for view in (private, shared):
        world.call("DELETE", f"{path}/{view['id']}", by="ada")


def test_columns_of_the_policy_come_first(world: World) -> None:
    shown = httpx.get(f"{world.url}/experiments/{world.experiment_id}.json").json()["columns"]
    assert shown[:2] == ["metrics.recall", "metrics.auc"]


def test_experiments_are_found_by_name_and_paged(browser: httpx.Client) -> None:
    first = browser.get("/experiments.json").json()
    assert (len(first["experiments"]), first["previous"]) == (50, "")
    second = browser.get("/experiments.json", params={"cursor": first["next"]}).json()
    assert (len(second["experiments"]), second["next"]) == (11, "")
    back = browser.get("/experiments.json", params={"before": second["previous"]}).json()
    assert [e["experiment"]["name"] for e in back["experiments"]] == [
        e["experiment"]["name"] for e in first["experiments"]
    ]
    default = next(e for e in [*first["experiments"], *second["experiments"]] if e["experiment"]["name"] == "Default")
    assert (default["runs"], default["more"], default["last_run_at"]) == (RUNS, False, 1_760_000_000_000 + RUNS - 1)
    for text, expected in (("SWEEP 1", 10), ("% _", 60), ("!", 0), ("weep_", 0), ("' OR 1=1 --", 0)):
        found = browser.get("/experiments.json", params={"q": text}).json()["experiments"]
        assert len(found) == min(expected, 50), text
    assert "No experiment of that name" in browser.get("/experiments", params={"q": "zebra"}).text


def test_metric_column_shows_the_value_that_is_asked_for(browser: httpx.Client) -> None:
    asked = {"cols": "max(metrics.curve),best(metrics.loss),metrics.curve,min(metrics.curve)"}
    asked["sort"] = "max(metrics.curve) DESC"
    page = browser.get("/experiments/0.json", params=asked).json()
    assert page["columns"] == ["max(metrics.curve)", "best(metrics.loss)", "metrics.curve", "min(metrics.curve)"]
    greatest = (RUNS - 1) * 4 / 7
    first = page["runs"][0]
    assert first["metrics"] == pytest.approx(
        {"max(curve)": greatest, "best(loss)": 0.871, "curve": greatest, "min(curve)": 0.0}
    )
    assert [run["metrics"]["max(curve)"] for run in page["runs"]] == sorted(
        (run["metrics"]["max(curve)"] for run in page["runs"]), reverse=True
    )
    following = browser.get("/experiments/0.json", params=asked | {"cursor": page["next"]}).json()
    assert following["runs"][0]["metrics"]["max(curve)"] == pytest.approx((RUNS - 51) * 4 / 7)
    text = browser.get("/experiments/0", params=asked).text
    assert '<th scope="col" class="num" aria-sort="descending">' in text
    assert text.count('<small class="of">max</small>') == text.count('<small class="of">best</small>') == 1
    links = _links(text, r"<thead>.*?</thead>")
    assert parse_qs(urlsplit(links["loss best"]).query)["sort"] == ["min(metrics.loss) ASC"]
    every = _links(text, r"All metrics by.*?</p>")
    assert parse_qs(urlsplit(every["best"]).query)["cols"] == [
        "max(metrics.curve),best(metrics.loss),metrics.curve,min(metrics.curve)"
    ], "nobody knows what the best of a curve is"
    assert parse_qs(urlsplit(every["min"]).query)["cols"] == ["min(metrics.curve),min(metrics.loss)"]


def test_value_that_is_asked_for_is_in_the_file_and_beside_the_baseline(
    browser: httpx.Client, server: RunningServer
) -> None:
    ids = server.services.db.read(lambda tx: dict(tx.all("SELECT name, run_id FROM runs")))
    asked = {"cols": "max(metrics.curve),took", "baseline": ids["run 100"], "sort": "max(metrics.curve) ASC"}
    rows = list(csv.reader(io.StringIO(browser.get("/experiments/0/runs.csv", params=asked).text)))
    assert rows[0] == ["run_id", "name", "max(metrics.curve)", "took_ms", "max(metrics.curve) minus baseline"]
    assert float(rows[-1][4]) == pytest.approx((RUNS - 1 - 100) * 4 / 7)
    assert "minus baseline" not in rows[1]
    assert len(rows) == RUNS + 1


def test_best_is_refused_where_nobody_knows_what_is_good(browser: httpx.Client) -> None:
    for asked in ({"cols": "best(metrics.curve)"}, {"sort": "best(metrics.curve) DESC"}):
        answer = browser.get("/experiments/0", params=asked)
        assert answer.status_code == 200
        assert "does not tell whether more or less of it is better" in answer.text
        assert "max(metrics.curve)" in answer.text
    answer = browser.get("/experiments/0", params={"cols": "max(params.kind)"})
    assert "Only a metric has a max" in answer.text


def test_view_keeps_the_value_that_is_asked_for(browser: httpx.Client) -> None:
    kept = {"name": "by the best", "cols": "best(metrics.loss)", "sort": "min(metrics.loss) ASC"}
    assert browser.post("/experiments/0/views", data=kept).status_code == 303
    links = _links(browser.get("/experiments/0").text, r'<ul class="plain links">.*?</ul>')
    query = parse_qs(urlsplit(links["by the best"]).query)
    assert (query["cols"], query["sort"]) == (["best(metrics.loss)"], ["min(metrics.loss) ASC"])


def test_page_says_that_older_runs_are_still_being_read(browser: httpx.Client, server: RunningServer) -> None:
    asked = {"cols": "max(metrics.curve)"}
    assert "still being worked out" not in browser.get("/experiments/0", params=asked).text
    server.services.db.write(lambda tx: tx.run("INSERT INTO summaries_due (run, key) VALUES (1, 1)"))
    try:
        assert "still being worked out" in browser.get("/experiments/0", params=asked).text
        assert "still being worked out" not in browser.get("/experiments/0").text
    finally:
        server.services.db.write(lambda tx: tx.run("DELETE FROM summaries_due"))
