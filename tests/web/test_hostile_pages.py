# ruff: noqa: E501  long attack strings stay in one piece
"""Text of an attacker in every place a person can write into, looked for on every page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html.parser import HTMLParser

import access_world
import httpx
import pytest
from access_world import HOME
from govern_cases import POLICY

from stile.board import cards
from stile.govern import decisions, policies, promotions, registry
from stile.kernel.permission import Principal, PrincipalKind, Role
from stile.monitor import alerts
from stile.people import accounts, use_cases
from stile.people.use_cases import Charter
from stile.store.database import Tx
from stile.testing.server import RunningServer, running_server

EVIL = "</title></textarea></script><script>alert(1)</script><img src=x onerror=alert(2)>'\"><a href=javascript:alert(3)>{{7*7}}"
LINK = "javascript:alert(4)//"


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, dict[str, str]]]:
    with running_server(tmp_path_factory.mktemp("evil")) as running:
        ids: dict[str, str] = {}
        running.services.db.write(lambda tx: _govern(tx, running, ids))
        _track(running, ids)
        yield running, ids


def _govern(tx: Tx, running: RunningServer, ids: dict[str, str]) -> None:
    charter = Charter(
        title=EVIL, problem=EVIL, decision=EVIL, users=EVIL, kpi=EVIL, harms=[EVIL], positive="malignant", segment="site",
        verdicts=[EVIL, "no"],
    )  # fmt: skip
    use_cases.create(tx, name=HOME, charter=charter, by="setup")
    for name, role in (("ada", Role.DATA_SCIENTIST), ("paula", Role.PRODUCT_MANAGER), ("dora", Role.DOMAIN_EXPERT)):
        accounts.create(tx, name=name, display=EVIL, by="setup")
        use_cases.set_roles(tx, name=HOME, person=name, roles=[role], by="setup")
        accounts.issue_token(tx, person=name, label=EVIL)
    policies.publish(tx, use_case=HOME, yaml=POLICY, by="paula")
    registry.create_model(tx, name=HOME, by="ada", description=EVIL, tags={"k": EVIL})
    for _ in range(2):
        number = access_world.version(tx, running.services, HOME, by="ada", text=f"{EVIL}{time.time_ns()}")
        registry.describe_version(tx, HOME, number, EVIL)
        registry.set_version_tag(tx, HOME, number, "note", EVIL)
    ids["promotion"] = promotions.propose(tx, use_case=HOME, version=1, reason=EVIL, by="ada").id
    for name, role in (("paula", "product_manager"), ("dora", "domain_expert")):
        person = Principal(name=name, kind=PrincipalKind.PERSON, team_roles={HOME: frozenset({Role(role)})})
        promotions.approve(tx, promotion=ids["promotion"], role=role, verdict="yes", reason=EVIL, by=person)
    plan = decisions.plan(tx, use_case=HOME, by="paula")
    ids["decision"] = decisions.apply(tx, use_case=HOME, plan=plan.digest, by="paula", reason=EVIL).decision
    promotions.propose(tx, use_case=HOME, version=2, reason=EVIL, by="ada")
    ids["card"] = cards.create(tx, use_case=HOME, title=EVIL[:200], body=EVIL, owner=EVIL, by="ada").id
    cards.comment(tx, card=ids["card"], text=f"@dora {EVIL}", by="ada")
    ids["alert"] = alerts.raise_alert(
        tx, use_case=HOME, window="win_1", windows=[], version=1, rule=EVIL, says=EVIL, finding=EVIL, action="alert"
    ).id
    alerts.acknowledge(tx, id=ids["alert"], cause=EVIL, by="ada")
    ids["evidence"] = decisions.get(tx, ids["decision"]).evidence


def _track(running: RunningServer, ids: dict[str, str]) -> None:
    def call(path: str, body: dict[str, object]) -> dict[str, dict[str, dict[str, str]]]:
        answer = httpx.post(f"{running.url}/api/2.0/mlflow/{path}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    tags = [
        {"key": key, "value": value}
        for key, value in (
            ("mlflow.note.content", EVIL), ("mlflow.source.name", LINK), ("mlflow.source.git.repoURL", LINK), ("mlflow.user", EVIL),
            ("mlflow.source.git.commit", EVIL), ("stile.use_case", HOME), ("evil", EVIL),
        )
    ]  # fmt: skip
    experiment = call("experiments/create", {"name": EVIL, "tags": tags[:1]})["experiment_id"]
    body = {
        "experiment_id": experiment,
        "run_name": EVIL,
        "start_time": 1_760_000_000_000,
        "tags": tags,
        "user_id": EVIL,
    }
    run = call("runs/create", body)["run"]["info"]["run_id"]
    metrics = [{"key": "a b/c", "value": n, "timestamp": 1, "step": n} for n in range(5)]
    call("runs/log-batch", {"run_id": run, "metrics": metrics, "params": [{"key": "p", "value": EVIL}]})
    dataset = {"name": EVIL[:200], "digest": "d", "source_type": EVIL, "source": LINK, "schema": EVIL, "profile": EVIL}
    call("runs/log-inputs", {"run_id": run, "datasets": [{"tags": [], "dataset": dataset}]})
    name = "%3Cimg%20src=x%20onerror=alert(1)%3E.html"
    second = call("runs/create", body | {"run_name": f"{EVIL}2"})["run"]["info"]["run_id"]
    call(
        "runs/log-batch", {"run_id": second, "metrics": metrics[:3], "params": [{"key": "p", "value": f"other {EVIL}"}]}
    )
    path = f"{running.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/{name}"
    assert httpx.put(path, content=EVIL.encode()).status_code == 200
    ids |= {"experiment": str(experiment), "run": str(run), "other": str(second), "evil_file": name}


class _Watch(HTMLParser):
    """Collects what could run: scripts with content, event attributes, addresses with a scheme, styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = (
            tag == "script"
            and not any(name == "src" for name, _ in attrs)
            and dict(attrs).get("type") != "application/json"
        )
        for name, value in attrs:
            address = (value or "").strip().lower()
            if (
                name.startswith("on")
                or name in ("style", "srcdoc")
                or (name == "formaction" and not address.startswith("/experiments/"))
                or tag in ("object", "embed", "base")
                or (tag == "iframe" and ("sandbox", None) not in attrs)  # of a file; it may do nothing there
            ):
                self.found.append(f"<{tag} {name}={value!r}>")
            if (
                name in ("href", "src", "action")
                and ":" in address.split("/")[0].split("?")[0]
                and not address.startswith(("http:", "https:", "data:image"))
            ):
                self.found.append(f"<{tag} {name}={value!r}>")
            if tag == "img" and value == "x":
                self.found.append("<img src=x>")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.found.append(f"<script>{data[:60]}")
        self._script = False


PAGES = (
    "/", "/portfolio", "/use-cases/{use_case}", "/use-cases/{use_case}/plan", "/experiments", "/experiments?use_case={use_case}",
    "/experiments/{experiment}", "/experiments/{experiment}?filter={evil}&sort={evil}", "/experiments/{experiment}?filter={evil}&lifecycle=deleted&said={evil}&undo={evil}", "/experiments/{experiment}?lifecycle={evil}", "/runs/{run}", "/runs/{run}?find={evil}&param={evil}&baseline={evil}", "/runs/{run}/files", "/runs/{run}/files/{evil_file}",
    "/runs/{run}/files/{evil_part}", "/compare?run={run}&run={other}&all=1&find={evil}", "/compare?run={run}&run={other}&all=1",
    "/compare?run={evil}&metric={evil}&across={evil}&y={evil}&axis={evil}&axis=b", "/models/{use_case}",
    "/models/{use_case}/versions/1/gate", "/models/{use_case}/versions/2/gate?metric={evil}", "/decisions", "/decisions/{decision}",
    "/evidence/{evidence}", "/models/{use_case}/monitor", "/feedback?model={use_case}", "/board?use_case={use_case}", "/cards/{card}",
    "/people", "/ledger", "/sign-in?next={evil}", "/sign-in/{evil_part}", "/style", "/?said={evil}", "/nowhere/{evil_part}",
    "/models/{evil_part}", "/runs/{evil_part}", "/use-cases/{evil_part}", "/cards/{evil_part}", "/decisions/{evil_part}", "/ledger?after={evil}",
    "/webhooks", "/webhooks/{evil_part}", "/webhooks?problem={evil}", "/experiments/{experiment}?cols=max({evil})&sort=best({evil})",
    "/runs/{run}?open={evil}&rows={evil}&smooth=0.5", "/compare?run={run}&run={other}&show={evil}&all=1",
    "/portfolio?theme={evil}", "/board?use_case={evil}", "/feedback?model={evil}", "/decisions?use_case={evil}", "/experiments?use_case={evil}",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_text_of_an_attacker_never_becomes_markup(page: str, evil: tuple[RunningServer, dict[str, str]]) -> None:
    server, ids = evil
    quoted = httpx.QueryParams({"x": EVIL})["x"]
    address = page.format(
        use_case=HOME, evil=_quoted(quoted), evil_part=_quoted("<script>alert(1)<\\script>'\""), **ids
    )
    answer = httpx.get(server.url + address, headers={"Accept": "text/html"}, timeout=60)
    assert answer.status_code in (200, 400, 404), answer.text[:300]
    assert _Watch(answer.text).found == []
    for raw in ("<script>alert", "<img src=x", "<a href=javascript"):
        assert raw not in answer.text
    assert "unsafe" not in answer.headers["content-security-policy"]


def _quoted(text: str) -> str:
    return str(httpx.QueryParams({"x": text}))[2:].replace("+", "%20")


def test_the_pages_really_show_that_text(evil: tuple[RunningServer, dict[str, str]]) -> None:
    """Without this the test above would pass over pages that show nothing."""
    server, ids = evil
    for page in (
        "/use-cases/{use_case}",
        "/runs/{run}",
        "/compare?run={run}&run={other}",
        "/cards/{card}",
        "/decisions/{decision}",
        "/people",
        "/portfolio",
        "/models/{use_case}",
    ):
        text = httpx.get(
            server.url + page.format(use_case=HOME, **ids), headers={"Accept": "text/html"}, timeout=60
        ).text
        assert "&lt;script&gt;alert(1)" in text, page
        assert "{{7*7}}" in text, "and nothing is worked out in it"


def test_page_as_json_is_never_taken_for_html(evil: tuple[RunningServer, dict[str, str]]) -> None:
    server, ids = evil
    for path in (f"/runs/{ids['run']}.json", f"/cards/{ids['card']}.json", "/people.json", f"/use-cases/{HOME}.json"):
        answer = httpx.get(server.url + path, headers={"Accept": "text/html"}, timeout=60)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"
