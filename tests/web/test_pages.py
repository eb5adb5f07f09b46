"""Every page over HTTP: its shape, its weight, its twin in JSON, and what it says when there is nothing to say."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from page_list import NAMES, OF_OPERATORS, address, json_address
from web_world import USE_CASE, World

from stile.testing.server import RunningServer
from stile.web import static

WEIGHT_LIMIT = 60 * 1024
NODE_LIMIT = 3000
REQUEST_LIMIT = 6
_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source"}


class Outline(HTMLParser):
    """What the tests ask of a page: its elements, and which tables have a caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.bare_tables = 0
        self.unnamed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self.bare_tables += 1
        if tag == "caption":
            self.bare_tables -= 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


@pytest.fixture(scope="module")
def browser(world: World) -> Iterator[httpx.Client]:
    """Somebody signed in with a password, without JavaScript."""
    with httpx.Client(base_url=world.url, headers={"Accept": "text/html"}, timeout=30) as client:
        answer = client.post(
            "/sign-in", data={"name": "dora", "password": world.passwords["dora"], "next": "/portfolio"}
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/portfolio")
        graphs = client.get(f"/evidence/{world.evidence}.json").json()["evidence"]["graphs"]
        world.graph = graphs[0]["spec"]
        yield client


@pytest.fixture
def viewer(name: str, browser: httpx.Client, world: World) -> Iterator[httpx.Client]:
    """Who looks at a page: for pages of operators the local user, who is one."""
    if name not in OF_OPERATORS:
        yield browser
        return
    with httpx.Client(base_url=world.url, headers={"Accept": "text/html"}, timeout=30) as local:
        yield local


@pytest.mark.parametrize("name", [*NAMES, *OF_OPERATORS])
def test_page_has_one_heading_landmarks_and_captions(name: str, viewer: httpx.Client, world: World) -> None:
    answer = viewer.get(address(name, world))
    assert answer.status_code == 200, answer.text[-2000:]
    outline = Outline(answer.text)
    assert outline.open == []
    assert outline.count("h1") == 1
    assert (outline.count("main"), outline.count("header") > 0, outline.count("footer")) == (1, True, 1)
    assert outline.bare_tables == 0, "every table has a caption"
    assert "<title> · Stile" not in answer.text
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "ids are unique"


@pytest.mark.parametrize("name", [*NAMES, *OF_OPERATORS])
def test_page_obeys_the_strict_policy(name: str, viewer: httpx.Client, world: World) -> None:
    answer = viewer.get(address(name, world))
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    for tag, attributes in Outline(answer.text).elements:
        assert tag != "style", "no inline style sheet"
        assert tag != "script" or attributes.get("src", "").startswith("/static/"), "no inline script"
        odd = [key for key in attributes if key == "style" or key.startswith("on")]
        assert not odd, f"<{tag}> has {odd}"


@pytest.mark.parametrize("name", [name for name in (*NAMES, *OF_OPERATORS) if name != "style"])
def test_page_is_also_json(name: str, viewer: httpx.Client, world: World) -> None:
    path = address(name, world)
    answer = viewer.get(json_address(path))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json(), dict)
    assert f'href="{json_address(path).replace("&", "&amp;").split("?")[0]}' in viewer.get(path).text


@pytest.mark.parametrize("name", [*NAMES, *OF_OPERATORS])
def test_page_stays_within_its_budget(name: str, viewer: httpx.Client, world: World) -> None:
    page = viewer.get(address(name, world))
    outline = Outline(page.text)
    loaded = {a["src"] for tag, a in outline.elements if tag == "script"}
    loaded |= {a["href"] for tag, a in outline.elements if tag == "link" and a.get("rel") == "stylesheet"}
    loaded |= {f"/static/{chunk}" for path in loaded for chunk in _static_imports(viewer.get(path).text)}
    weight = len(gzip.compress(page.content)) + sum(len(gzip.compress(viewer.get(path).content)) for path in loaded)
    assert weight <= WEIGHT_LIMIT, f"{weight} bytes compressed"
    assert len(outline.elements) <= NODE_LIMIT
    assert 1 + len(loaded) + 1 <= REQUEST_LIMIT  # the page, its files, the event stream


def _static_imports(text: str) -> list[str]:
    return re.findall(r'from"\./([\w-]+\.js)"', text)


def test_static_folder_stays_within_its_budget() -> None:
    files = list(static.STATIC.iterdir())
    assert files, "the assets are built: python src/stile/web/build_assets.py"
    assert sum(path.stat().st_size for path in files) <= 2_000_000


def test_static_file_is_kept_forever_and_compressed(browser: httpx.Client) -> None:
    answer = browser.get(static.asset("app.js"), headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    plain = browser.get(static.asset("app.js"), headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content


@pytest.mark.parametrize("name", ["manifest.json", "..%2f..%2fapp.py", "nothing-AAAA.js", "app.js"])
def test_static_gives_only_what_was_built(name: str, browser: httpx.Client) -> None:
    assert browser.get(f"/static/{name}").status_code == 404


def test_licences_of_bundled_libraries_are_beside_them(browser: httpx.Client) -> None:
    text = browser.get("/static/licences.txt").text
    for library in ("htmx.org 4.0.1", "uplot 1.6.32", "vega 6.4.0", "vega-lite 6.5.0"):
        assert library in text


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/", "stile init"), ("/portfolio", "stile init"), ("/experiments", "mlflow.set_tracking_uri"),
        ("/decisions", "stile propose"), ("/feedback", "stile init"), ("/board", "stile init"),
        ("/people", "stile user add"), ("/ledger", "Nothing has been governed yet"),
    ],
)  # fmt: skip
def test_empty_page_names_the_next_step(path: str, says: str, server: RunningServer) -> None:
    text = httpx.get(server.url + path).text
    assert says in text
    assert Outline(text).count("h1") == 1
    if "mlflow" in says:
        assert server.url in text, "the command has this server's address"


def test_unknown_path_is_a_page_for_people_and_json_for_programs(world: World) -> None:
    page = httpx.get(world.url + "/nowhere", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing" in page.text
    plain = httpx.get(world.url + "/nowhere")
    assert (plain.status_code, plain.json()["error"]["code"]) == (404, "missing")


@pytest.mark.parametrize(
    "path",
    ["/models/nothing", f"/models/{USE_CASE}/versions/99/gate", "/decisions/dec_nothing", "/runs/nothing",
     "/cards/crd_no", "/use-cases/nothing", "/predictions/pred_no", "/evidence/sha256:00", "/experiments/999"],
)  # fmt: skip
def test_missing_thing_is_said_in_words(path: str, browser: httpx.Client) -> None:
    answer = browser.get(path)
    assert answer.status_code in (400, 404)
    assert "Traceback" not in answer.text
    assert Outline(answer.text).count("h1") == 1


def test_bad_search_is_explained_on_the_page(browser: httpx.Client, world: World) -> None:
    answer = browser.get(f"/experiments/{world.experiment_id}", params={"filter": "metrics.auc >> 'x"})
    assert answer.status_code == 200
    assert "not searched" in answer.text
    assert 'value="metrics.auc &gt;&gt; &#39;x"' in answer.text


def test_search_finds_and_the_address_keeps_it(browser: httpx.Client, world: World) -> None:
    path = f"/experiments/{world.experiment_id}.json"
    found = browser.get(path, params={"filter": "params.model = 'forest'"}).json()
    assert [run["params"]["model"] for run in found["runs"]] == ["forest"]
    falling = browser.get(path, params={"sort": "metrics.`auc` DESC"}).json()
    values = [run["metrics"]["auc"] for run in falling["runs"]]
    assert values == sorted(values, reverse=True)
    assert falling["curves"] == {} or all(falling["curves"].values())


def test_text_of_users_is_escaped(world: World, browser: httpx.Client) -> None:
    evil = "<script>alert(1)</script>"
    made = world.call("POST", "/api/2.0/mlflow/experiments/create", by="ada", json={"name": f"odd {evil}"})
    run = world.call(
        "POST", "/api/2.0/mlflow/runs/create", by="ada",
        json={"experiment_id": made["experiment_id"], "run_name": evil, "start_time": 1_760_000_000_000},
    )["run"]["info"]  # fmt: skip
    for path in ("/experiments", f"/experiments/{made['experiment_id']}", f"/runs/{run['run_id']}"):
        text = browser.get(path).text
        assert evil not in text
        assert "&lt;script&gt;" in text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_theme_of_the_address_wins_and_is_remembered(theme: str, world: World) -> None:
    with httpx.Client(base_url=world.url) as client:
        assert f'data-theme="{theme}"' in client.get("/portfolio", params={"theme": theme}).text
        assert f'data-theme="{theme}"' in client.get("/portfolio").text
        assert "data-theme=" not in client.get("/portfolio", params={"theme": "system"}).text.split("<body")[0]
        assert "data-theme=" not in client.get("/portfolio", params={"theme": '"><b>'}).text.split("<body")[0]


def test_gate_says_the_verdict_first_and_opens_its_proofs(browser: httpx.Client) -> None:
    text = browser.get(f"/models/{USE_CASE}/versions/3/gate").text
    assert text.index("Rejected") < text.index("<h2>Rules</h2>") < text.index("<h2>People</h2>")
    assert "recall-floor" in text
    assert "ci_low(metric(&#34;recall&#34;)) &gt;= 0.80" in text, "the expression is one click away"
    assert "Misses at most 20 % of malignant cases" in text


def test_monitor_tells_the_shift_and_its_rule(browser: httpx.Client) -> None:
    data = browser.get(f"/models/{USE_CASE}/monitor.json").json()
    assert data["drift"]["columns"][0] == "radius_mean", "the shifted column comes first"
    assert [alert["rule"] for alert in data["alerts"]] == ["inputs-moved"]
    text = browser.get(f"/models/{USE_CASE}/monitor").text
    assert "No input moves far from what was tested" in text
    assert text.count('<svg class="plot') >= 2


def test_portfolio_counts_agree_with_the_pages_behind_them(browser: httpx.Client) -> None:
    row = browser.get("/portfolio.json").json()["rows"][0]
    stops = {stop["id"]: stop for stop in row["chain"]}
    assert (stops["deploy"]["number"], row["champion"]) == ("v1", 1)
    assert stops["monitor"]["tone"] == "fail"
    assert [stop["owner"] for stop in row["chain"]] == ["both", "ds", "both", "eng", "eng"]
    for stop in row["chain"]:
        assert browser.get(stop["url"].split("#")[0]).status_code == 200


def test_links_on_pages_lead_somewhere(browser: httpx.Client, world: World) -> None:
    seen: dict[str, str] = {}
    for name in NAMES:
        path = address(name, world)
        for tag, attributes in Outline(browser.get(path).text).elements:
            target = attributes.get("href", "")
            if tag == "a" and target.startswith("/") and not target.startswith(("/api/", "/sign-in")):
                seen.setdefault(target.split("#")[0], path)
    broken = [
        (target, origin)
        for target, origin in seen.items()
        if browser.get(target, follow_redirects=True).status_code != 200
    ]
    assert broken == []
    assert len(seen) > 30


def test_sources_name_no_registry() -> None:
    lock = (Path(static.__file__).parent / "assets" / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    assert not any("resolved" in entry for entry in packages.values())
    assert packages["node_modules/htmx.org"]["version"] == "4.0.1"
