"""Runs and experiments deleted, restored and tagged by forms over HTTP: many at once, all of them or none."""

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

PAGE = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script>'\""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("ticked")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=PAGE, timeout=20) as client:
        yield client


class Sweep:
    """A fresh experiment with some runs, run 0 first."""

    def __init__(self, server: RunningServer, browser: httpx.Client, name: str, count: int) -> None:
        self.browser = browser

        def fill(tx) -> tuple[str, list[str]]:
            made = experiments.create(tx, name=name, by="ann").experiment_id
            ids = []
            for index in range(count):
                run = runs.create(
                    tx, experiment_id=made, by="ann", name=f"run {index}", start_time=1_760_000_000_000 + index
                ).info.run_id
                params = [("kind", ("tree", "forest")[index % 2])]
                runs.log_batch(tx, run, metrics=pieces([("auc", Point(1, 0, index / 1000))]), params=params)
                ids.append(run)
            return made, ids

        self.id, self.runs = server.services.db.write(fill)
        self.path = f"/experiments/{self.id}"

    def post(self, what: str, ids: list[str], query: str = "", **fields: str) -> httpx.Response:
        return self.browser.post(f"{self.path}/runs/{what}{query}", data={"run": ids} | fields)

    def ask(self, what: str, ids: list[str], **fields: str) -> httpx.Response:
        """The same form, sent by a program that wants the refusal itself."""
        data = {"run": ids} | fields
        return self.browser.post(f"{self.path}/runs/{what}", data=data, headers={"Accept": "application/json"})

    def names(self, **query: str) -> list[str]:
        answer = self.browser.get(f"{self.path}.json", params=query)
        assert answer.status_code == 200, answer.text
        return sorted(run["name"] for run in answer.json()["runs"])

    def tags(self, run: str) -> dict[str, str]:
        return dict(self.browser.get(f"/runs/{run}.json").json()["run"]["tags"])


@pytest.fixture
def sweep(server: RunningServer, browser: httpx.Client, request: pytest.FixtureRequest) -> Sweep:
    return Sweep(server, browser, request.node.name, 4)


def _undo(text: str) -> tuple[str, list[str]]:
    """Address and runs of the form that undoes what was done last."""
    note = re.search(r'<div class="note pass" role="status">.*?</div>', text, re.DOTALL)
    assert note, "nothing was said"
    form = re.search(r'<form method="post" action="([^"]*)">(.*?)<button>Undo', note[0], re.DOTALL)
    assert form, note[0]
    return html.unescape(form[1]), re.findall(r'name="run" value="(\w+)"', form[2])


def test_ticked_runs_are_deleted_and_brought_back_in_the_same_search(sweep: Sweep) -> None:
    search = "?filter=metrics.auc+%3E%3D+0&sort=metrics.auc+ASC&cols=metrics.auc"
    page = sweep.browser.get(sweep.path + search).text
    address = html.unescape(re.search(r'data-bulk="Delete"[^>]*formaction="([^"]*)"', page)[1])
    answer = sweep.browser.post(address, data={"run": sweep.runs[:3]})
    assert answer.status_code == 303
    there = urlsplit(answer.headers["location"])
    asked = parse_qs(there.query)
    assert there.path == sweep.path
    assert {key: asked[key] for key in ("filter", "sort", "cols", "said")} == {
        "filter": ["metrics.auc >= 0"], "sort": ["metrics.auc ASC"], "cols": ["metrics.auc"],
        "said": ["3 runs were deleted."],
    }  # fmt: skip
    assert asked["done"], "so that the ticks are taken off"
    assert sweep.names() == ["run 3"]
    assert sweep.names(lifecycle="deleted") == ["run 0", "run 1", "run 2"]
    address, ids = _undo(sweep.browser.get(answer.headers["location"]).text)
    assert ids == sweep.runs[:3]
    back = sweep.browser.post(address, data={"run": ids, "undo": "1"})
    again = parse_qs(urlsplit(back.headers["location"]).query)
    assert (again["said"], again["filter"], "done" in again) == (["3 runs were restored."], ["metrics.auc >= 0"], False)
    assert len(sweep.names()) == 4
    assert sweep.names(lifecycle="deleted") == []


def test_undo_brings_back_only_what_was_deleted_then(sweep: Sweep) -> None:
    sweep.post("delete", sweep.runs[:1])
    answer = sweep.post("delete", [*sweep.runs[:2], sweep.runs[1]])
    assert parse_qs(urlsplit(answer.headers["location"]).query)["said"] == ["1 run was deleted."]
    assert _undo(sweep.browser.get(answer.headers["location"]).text)[1] == [sweep.runs[1]]
    again = sweep.post("delete", sweep.runs[:2])
    assert "were deleted before" in sweep.browser.get(again.headers["location"]).text


def test_deleted_runs_are_linked_searched_counted_and_taken_away(sweep: Sweep) -> None:
    assert "lifecycle=deleted" not in sweep.browser.get(sweep.path).text
    sweep.post("delete", sweep.runs[:3])
    assert f'href="{sweep.path}?lifecycle=deleted"' in sweep.browser.get(sweep.path).text
    page = sweep.browser.get(sweep.path, params={"lifecycle": "deleted"}).text
    assert "3 deleted runs" in page
    assert 'data-bulk="Restore"' in page
    assert 'data-bulk="Delete"' not in page
    assert '<input type="hidden" name="lifecycle" value="deleted">' in page, "the search stays among the deleted"
    assert sweep.names(lifecycle="deleted", filter="params.kind = 'tree'") == ["run 0", "run 2"]
    data = sweep.browser.get(f"{sweep.path}.json?lifecycle=deleted").json()
    kinds = next(each for each in data["found"]["facets"] if each["key"] == "kind")
    assert {each["value"]: each["count"] for each in kinds["values"]} == {"tree": 2, "forest": 1}
    chosen = sweep.browser.get(f"{sweep.path}.json?lifecycle=deleted&filter=params.kind+%3D+'tree'").json()
    kinds = next(each for each in chosen["found"]["facets"] if each["key"] == "kind")
    assert {each["value"]: each["count"] for each in kinds["values"]} == {"tree": 2, "forest": 1}
    text = sweep.browser.get(f"{sweep.path}/runs.csv?lifecycle=deleted&cols=metrics.auc").text
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row["name"] for row in rows] == ["run 2", "run 1", "run 0"]
    restored = sweep.post("restore", sweep.runs[:2], "?lifecycle=deleted")
    assert parse_qs(urlsplit(restored.headers["location"]).query)["lifecycle"] == ["deleted"]
    assert sweep.names(lifecycle="deleted") == ["run 2"]


def test_deleted_runs_are_paged(server: RunningServer, browser: httpx.Client) -> None:
    many = Sweep(server, browser, "many deleted", 60)
    assert many.post("delete", many.runs).status_code == 303
    first = browser.get(f"{many.path}.json?lifecycle=deleted").json()
    second = browser.get(f"{many.path}.json", params={"lifecycle": "deleted", "cursor": first["next"]}).json()
    assert (len(first["runs"]), len(second["runs"]), first["found"]["runs"]) == (50, 10, 60)
    page = browser.get(f"{many.path}?lifecycle=deleted").text
    following = html.unescape(re.search(r'href="([^"]*)" rel="next"', page)[1])
    assert parse_qs(urlsplit(following).query)["lifecycle"] == ["deleted"]
    refused = browser.get(many.path, params={"cursor": first["next"]}).text
    assert "not searched" in refused, "a page of deleted runs is none of the others"


@pytest.mark.parametrize("wrong", ["active", "x", EVIL])
def test_lifecycle_that_is_none_is_refused_in_words(wrong: str, sweep: Sweep) -> None:
    page = sweep.browser.get(sweep.path, params={"lifecycle": wrong})
    assert page.status_code == 200
    assert "not searched" in page.text
    assert EVIL not in page.text
    assert sweep.browser.get(f"{sweep.path}/runs.csv", params={"lifecycle": wrong}).status_code == 400
    assert sweep.browser.get("/experiments", params={"lifecycle": wrong}).status_code == 400
    assert sweep.browser.post(f"{sweep.path}/views", data={"name": "v", "lifecycle": wrong}).status_code == 400


def test_view_keeps_that_deleted_runs_are_shown(sweep: Sweep) -> None:
    sweep.post("delete", sweep.runs[:1])
    made = sweep.browser.post(f"{sweep.path}/views", data={"name": "bin", "lifecycle": "deleted"})
    opened = sweep.browser.get(made.headers["location"]).text
    assert "1 deleted run;" in opened
    assert "(changed)" not in opened
    kept = sweep.browser.get(f"/api/v1{sweep.path}/views").json()["views"]
    assert kept[0]["query"]["lifecycle"] == "deleted"


def test_tag_is_set_on_all_ticked_runs_or_on_none(sweep: Sweep) -> None:
    done = sweep.post("tags", sweep.runs[:2], tag_key="stage", tag_value=EVIL)
    assert parse_qs(urlsplit(done.headers["location"]).query)["said"] == ["2 runs were tagged with stage."]
    assert [sweep.tags(run).get("stage") for run in sweep.runs] == [EVIL, EVIL, None, None]
    shown = sweep.browser.get(sweep.path, params={"cols": "tags.stage"}).text
    assert EVIL not in shown
    assert "&lt;script&gt;" in shown
    sweep.post("delete", sweep.runs[3:])
    refused = sweep.ask("tags", sweep.runs[1:], tag_key="stage", tag_value="late")
    assert refused.status_code == 400
    assert "restore it first" in refused.text
    assert [sweep.tags(run).get("stage") for run in sweep.runs] == [EVIL, EVIL, None, None]


@pytest.mark.parametrize(
    ("key", "status"), [("", 400), ("mlflow.runName", 403), ("stile.commit", 403), ("a//b", 400), ("k" * 300, 400)]
)
def test_tag_that_cannot_be_set_changes_nothing(key: str, status: int, sweep: Sweep) -> None:
    before = [sweep.tags(run) for run in sweep.runs]
    assert sweep.ask("tags", sweep.runs, tag_key=key, tag_value="x").status_code == status
    assert [sweep.tags(run) for run in sweep.runs] == before


@pytest.mark.parametrize("what", ["delete", "restore", "tags"])
def test_one_run_that_cannot_be_changed_keeps_the_others(
    what: str, sweep: Sweep, server: RunningServer, browser: httpx.Client
) -> None:
    other = Sweep(server, browser, f"beside {what}", 1)
    if what == "restore":
        sweep.post("delete", sweep.runs[:2])
    before = sweep.names(), [sweep.tags(run) for run in sweep.runs]
    for wrong, status in ((other.runs[0], 404), ("0" * 32, 404), (EVIL, 400), ("../x", 400)):
        answer = sweep.ask(what, [*sweep.runs[:2], wrong], tag_key="k", tag_value="v")
        assert answer.status_code == status, answer.text
    assert sweep.ask(what, [], tag_key="k").status_code == 400
    assert (sweep.names(), [sweep.tags(run) for run in sweep.runs]) == before
    assert other.names() == ["run 0"]
    assert (
        browser.post(f"/experiments/999/runs/{what}", data={"run": sweep.runs[:1], "tag_key": "k"}).status_code == 404
    )


@pytest.mark.parametrize("what", ["delete", "restore", "tags"])
def test_refusal_is_said_above_the_list_it_was_asked_from(what: str, sweep: Sweep) -> None:
    query = "?filter=params.kind+%3D+%27tree%27&sort=metrics.auc+ASC"
    answer = sweep.post(what, [*sweep.runs[:2], EVIL], query, tag_key="k")
    assert answer.status_code == 303
    back = urlsplit(answer.headers["location"])
    assert back.path == sweep.path
    asked = parse_qs(back.query)
    assert asked["filter"] == ["params.kind = 'tree'"]
    assert asked["sort"] == ["metrics.auc ASC"]
    assert "done" not in asked, "the ticks stay"
    page = sweep.browser.get(answer.headers["location"]).text
    assert EVIL not in page
    note = re.search(r'<div class="note fail" role="alert" id="refused">.*?</div>', page, re.DOTALL)
    assert note, "the refusal is not said"
    assert "nothing was changed" in note[0]
    assert 'class="note pass"' not in page
    assert "run 0" in page
    assert "run 1" not in page, "still the same search"
    assert len(sweep.names()) == 4


def test_more_than_a_hundred_are_refused(server: RunningServer, browser: httpx.Client) -> None:
    many = Sweep(server, browser, "too many", 101)
    refused = many.ask("delete", many.runs)
    assert (refused.status_code, "at most 100" in refused.text) == (400, True)
    assert browser.get(f"{many.path}.json").json()["found"]["runs"] == 101
    answer = many.post("delete", many.runs[:100])
    assert answer.status_code == 303
    assert len(_undo(browser.get(answer.headers["location"]).text)[1]) == 100


@pytest.mark.parametrize("undo", [EVIL, "a,b c", ",".join(["a" * 32] * 101), "x" * 65])
def test_address_that_offers_to_undo_nonsense_offers_nothing(undo: str, sweep: Sweep) -> None:
    page = sweep.browser.get(sweep.path, params={"undo": undo, "said": "ok"})
    assert page.status_code == 200
    assert "<button>Undo" not in page.text
    assert EVIL not in page.text


def test_one_run_is_deleted_and_restored_from_its_page(sweep: Sweep) -> None:
    run = sweep.runs[0]
    assert f'action="/runs/{run}/delete"' in sweep.browser.get(f"/runs/{run}").text
    there = sweep.browser.post(f"/runs/{run}/delete")
    assert (there.status_code, there.headers["location"]) == (303, f"/runs/{run}")
    page = sweep.browser.get(f"/runs/{run}").text
    assert f'action="/runs/{run}/restore"' in page
    assert f'action="/runs/{run}/delete"' not in page
    assert len(sweep.names()) == 3
    assert sweep.browser.post(f"/runs/{run}/restore").status_code == 303
    assert len(sweep.names()) == 4
    assert sweep.browser.post("/runs/ghost/delete").status_code in (400, 404)


def test_experiment_is_renamed_deleted_and_restored_with_its_runs(sweep: Sweep) -> None:
    assert sweep.browser.post(f"{sweep.path}/name", data={"name": f"new {EVIL}"}).status_code == 303
    page = sweep.browser.get(sweep.path).text
    assert EVIL not in page
    assert "new &lt;script&gt;" in page
    assert sweep.browser.post(f"{sweep.path}/name", data={"name": "Default"}).status_code == 409
    assert sweep.browser.post(f"{sweep.path}/name", data={"name": " "}).status_code == 400
    sweep.post("delete", sweep.runs[:1])
    assert sweep.browser.post(f"{sweep.path}/delete").status_code == 303
    gone = sweep.browser.get(sweep.path).text
    assert "This experiment was deleted" in gone
    assert "data-bulk" not in sweep.browser.get(f"{sweep.path}?lifecycle=deleted").text
    assert sweep.ask("restore", sweep.runs[:1]).status_code == 400
    assert f'action="/runs/{sweep.runs[1]}/restore"' not in sweep.browser.get(f"/runs/{sweep.runs[1]}").text
    assert sweep.browser.post(f"{sweep.path}/delete").status_code == 404
    listed = sweep.browser.get("/experiments").text
    assert 'href="/experiments?lifecycle=deleted"' in listed
    bin = sweep.browser.get("/experiments?lifecycle=deleted")
    assert f'action="{sweep.path}/restore"' in bin.text
    assert EVIL not in bin.text
    data = sweep.browser.get("/experiments.json?lifecycle=deleted&q=new").json()
    assert [each["experiment"]["experiment_id"] for each in data["experiments"]] == [sweep.id]
    restored = sweep.browser.post(f"{sweep.path}/restore")
    assert EVIL not in sweep.browser.get(restored.headers["location"]).text
    assert sweep.names() == ["run 1", "run 2", "run 3"], "a run that was deleted before stays deleted"
    assert sweep.browser.post(f"{sweep.path}/restore").status_code == 404


def test_who_may_only_look_sees_no_forms_and_is_refused(world: World) -> None:
    path, run = f"/experiments/{world.experiment_id}", world.run_id
    with httpx.Client(base_url=world.url, headers=PAGE, timeout=30) as dora:
        dora.post("/sign-in", data={"name": "dora", "password": world.passwords["dora"]})
        page = dora.get(path, params={"said": "x", "undo": run}).text
        assert "data-bulk" not in page
        assert "Undo" not in page
        assert f'action="{path}/delete"' not in page
        assert f'action="/runs/{run}/delete"' not in dora.get(f"/runs/{run}").text
        for to in ("runs/delete", "runs/restore", "runs/tags", "name", "delete", "restore"):
            assert dora.post(f"{path}/{to}", data={"run": run, "tag_key": "k", "name": "n"}).status_code == 403, to
        for to in ("delete", "restore"):
            assert dora.post(f"/runs/{run}/{to}").status_code == 403
    assert httpx.get(f"{world.url}/runs/{run}.json").json()["run"]["info"]["lifecycle"] == "active"


@pytest.mark.parametrize("path", ["/experiments/0/runs/delete", "/experiments/0/delete", "/runs/{run}/delete"])
def test_form_from_another_site_is_refused(path: str, sweep: Sweep) -> None:
    address = path.format(run=sweep.runs[0])
    answer = sweep.browser.post(address, data={"run": sweep.runs[:1]}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert len(sweep.names()) == 4
