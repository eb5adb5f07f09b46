"""Who may do what: every route with every kind of account, and use cases kept apart."""

from __future__ import annotations

import re
from collections.abc import Iterator

import access_world
import httpx
import pytest
from access_world import AWAY, HOME, Access

from stile.app import routes
from stile.edge.route import Route
from stile.testing.server import RunningServer, running_server

GARBAGE = b"\xff{ this is nothing that anybody could decode"
ROLES: dict[str, str] = {
    "read": "viewer data_scientist ml_engineer data_engineer product_manager domain_expert compliance service",
    "track": "data_scientist ml_engineer data_engineer service",
    "register": "data_scientist ml_engineer service",
    "data_write": "data_scientist ml_engineer data_engineer service",
    "evaluate": "data_scientist ml_engineer service",
    "policy_write": "data_scientist ml_engineer product_manager compliance",
    "propose": "data_scientist ml_engineer service",
    "approve": "ml_engineer data_engineer product_manager domain_expert compliance",
    "apply": "ml_engineer product_manager",
    "deploy": "ml_engineer service",
    "predict_log": "ml_engineer data_engineer service",
    "feedback": "data_scientist product_manager domain_expert compliance",
    "monitor": "data_scientist ml_engineer data_engineer service",
    "board": "data_scientist ml_engineer data_engineer product_manager domain_expert compliance",
    "use_case_write": "data_scientist ml_engineer product_manager",
    "people_admin": "",
    "operate": "",
    "audit": "compliance",
}
"""Written out once more, so that a change of the grants is noticed here."""
OPERATOR_MAY = {"read", "use_case_write", "people_admin", "audit", "operate"}
AUDITOR_MAY = {"read", "audit"}
MACHINE_NEVER = {"approve", "apply", "feedback", "people_admin", "policy_write", "use_case_write", "operate"}

OPEN_ROUTES = {
    "GET /health", "GET /api/v1/about", "GET /version", "GET /static/{name}", "GET /favicon.ico",
    "GET /api/2.0/mlflow/server-info", "GET /api/3.0/mlflow/server-info",
    "GET /ajax-api/2.0/mlflow/server-info", "GET /ajax-api/3.0/mlflow/server-info",
    "GET /sign-in", "GET /sign-in.json", "POST /sign-in", "GET /sign-in/{secret}",
    "POST /sign-in/{secret}", "POST /sign-out",
    "GET /api/v1/transfers/{token}", "PUT /api/v1/transfers/{token}",  # a signed address is its own credential
}  # fmt: skip
WRITES_CHECKED_BY_THE_HANDLER = {
    # the use case is known from the record
    "POST /api/v1/alerts/{id}/acknowledge", "POST /api/v1/alerts/{id}/resolve", "PATCH /api/v1/cards/{id}",
    "POST /api/v1/cards/{id}/comments", "POST /alerts/{id}/acknowledge", "POST /alerts/{id}/resolve",
    # of the caller alone
    "POST /api/v1/inbox/done", "POST /api/v1/inbox/seen", "POST /inbox/done", "POST /inbox/seen",
    "POST /api/v1/people/{person}/tokens", "DELETE /api/v1/people/{person}/tokens/{id:int}",
    "PUT /api/v1/people/{person}/password",
    "POST /api/v1/experiments/{experiment_id}/views", "PATCH /api/v1/experiments/{experiment_id}/views/{id:int}",
    "DELETE /api/v1/experiments/{experiment_id}/views/{id:int}", "POST /experiments/{experiment_id}/views",
    "POST /experiments/{experiment_id}/views/{id:int}", "POST /experiments/{experiment_id}/views/{id:int}/delete",
    # they decide nothing
    "POST /api/v1/import/known-runs",
    "POST /api/v1/use-cases/{use_case}/gate", "POST /api/v1/use-cases/{use_case}/plan",
    "POST /api/2.0/mlflow/artifacts/presigned-download-url",
    "POST /api/2.0/mlflow/experiments/search", "POST /api/2.0/mlflow/experiments/search-datasets",
    "POST /api/2.0/mlflow/runs/search",
    "POST /api/3.0/mlflow/traces/search", "POST /api/3.0/mlflow/traces/batchGetInfos",
    "POST /api/2.0/mlflow/logged-models/search", "POST /api/2.0/mlflow/registered-models/get-latest-versions",
}  # fmt: skip


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Access]]:
    """A server on which everybody needs a credential."""
    with running_server(tmp_path_factory.mktemp("access"), require_token=True) as running:
        yield running, access_world.build(running.services)


@pytest.fixture(scope="module")
def client(strict: tuple[RunningServer, Access]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=strict[0].url, timeout=20) as made:
        yield made


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _fallback(route: Route) -> bool:
    return "{rest:path}" in route.path


def _allowed(account: str, permission: str, *, scoped: bool) -> bool:
    if permission in ("public", "sign_in"):
        return True
    if account == "nobody":
        return False
    if permission == "read":
        return True
    if account in ("no-role", "an-operator", "an-auditor"):
        return permission in {"an-operator": OPERATOR_MAY, "an-auditor": AUDITOR_MAY}.get(account, {"read"})
    held = {"a-machine": set(access_world.TEAM_ROLES), "a-stranger": set() if scoped else set(access_world.TEAM_ROLES)}
    if account in ("a-machine", "a-service") and permission in MACHINE_NEVER:
        return False
    return bool(held.get(account, {account.removeprefix("a-")}) & set(ROLES[permission].split()))


def _address(route: Route) -> str:
    path = route.path.replace("{use_case}", HOME)
    return re.sub(r"{[^}:]*:int}", "999", re.sub(r"{[^}:]*(:path)?}", "ghost", path))


def _asks(client: httpx.Client, access: Access, account: str, route: Route) -> httpx.Response:
    if route.path.endswith("/events"):
        with client.stream("GET", route.path, headers=access.headers(account)) as answer:
            return answer
    content = None if route.method == "GET" else GARBAGE
    return client.request(route.method, _address(route), headers=access.headers(account), content=content)


def test_open_routes_are_those_written_down() -> None:
    found = {_name(r) for r in routes() if r.permission in ("public", "sign_in") and not _fallback(r)}
    assert found == OPEN_ROUTES


def test_writes_that_take_only_reading_are_those_whose_handlers_check() -> None:
    found = {_name(r) for r in routes() if r.permission == "read" and r.method != "GET" and "/ajax-api/" not in r.path}
    assert found == WRITES_CHECKED_BY_THE_HANDLER


def test_parameter_named_use_case_is_what_scopes_a_check() -> None:
    unscoped = {
        _name(r) for r in routes()
        if r.permission not in ("read", "public", "sign_in") and "{name}" in r.path and r.path.startswith("/models/")
    }  # fmt: skip
    assert unscoped == {"POST /models/{name}/versions/{version:int}/vote"}, "its handler asks again in the use case"


@pytest.mark.parametrize(
    "account",
    [
        "nobody",
        "no-role",
        "an-operator",
        "an-auditor",
        "a-machine",
        "a-stranger",
        *(f"a-{r}" for r in access_world.TEAM_ROLES),
    ],
)
def test_every_route_refuses_those_who_may_not(
    account: str, strict: tuple[RunningServer, Access], client: httpx.Client
) -> None:
    wrong = []
    for route in routes():
        if "/ajax-api/" in route.path or (_fallback(route) and account != "nobody") or route.path == "/sign-out":
            continue
        answer = _asks(client, strict[1], account, route)
        refused = answer.status_code in (401, 403)
        allowed = _allowed(account, str(route.permission), scoped="{use_case}" in route.path)
        mine = ("POST /api/v1/people/{person}/tokens", "DELETE /api/v1/people/{person}/tokens")
        own = _name(route).startswith((*mine, "PUT /api/v1/people/{person}/password"))
        handler_says = own or _name(route) == "GET /api/v1/people/{person}/tokens"
        if not handler_says and refused == allowed and not _late_refusal(route, answer, allowed=allowed):
            wrong.append((_name(route), answer.status_code, answer.text[:120]))
        if not allowed and answer.status_code not in ((401,) if account == "nobody" else (403,)):
            wrong.append((_name(route), answer.status_code, "refused in another way"))
        if answer.status_code >= 500:
            wrong.append((_name(route), answer.status_code, answer.text[:120]))
    assert wrong == []


def _late_refusal(route: Route, answer: httpx.Response, *, allowed: bool) -> bool:
    """A one-time link that is none is answered like a wrong credential."""
    return allowed and route.path == "/sign-in/{secret}" and answer.status_code == 401


def test_every_mlflow_route_has_a_twin_of_the_same_permission() -> None:
    table = {_name(r): r.permission for r in routes()}
    twins = [name for name in table if " /ajax-api/" in name and name.replace("/ajax-api/", "/api/") in table]
    assert len(twins) > 50
    assert all(table[name] == table[name.replace("/ajax-api/", "/api/")] for name in twins)


_RECORD_WRITES = [
    ("POST", "/api/v1/promotions/{promotion}/approvals", {"role": "product_manager", "verdict": "no", "reason": "x"}),
    ("PATCH", "/api/v1/cards/{card}", {"title": "taken over"}),
    ("POST", "/api/v1/cards/{card}/comments", {"text": "hello"}),
    ("POST", "/api/v1/alerts/{alert}/acknowledge", {"cause": "none of your business"}),
    ("POST", "/api/v1/alerts/{alert}/resolve", {}),
]
_RECORD_FORMS = [
    ("/models/early-detection/versions/1/vote", "promotion={promotion}&role=product_manager&verdict=no&reason=x"),
    ("/models/elsewhere/versions/1/vote", "promotion={promotion}&role=product_manager&verdict=no&reason=x"),
    ("/cards/{card}/move", "column=training"),
    ("/cards/{card}/comments", "text=hello"),
    ("/alerts/{alert}/acknowledge", "cause=nothing"),
    ("/alerts/{alert}/resolve", ""),
]


@pytest.mark.parametrize("account", ["a-stranger", "no-role", "a-viewer", "an-auditor"])
def test_record_of_another_use_case_is_out_of_reach(
    account: str, strict: tuple[RunningServer, Access], client: httpx.Client
) -> None:
    server, access = strict
    before = server.services.db.read(lambda tx: tx.scalar("SELECT MAX(position) FROM ledger"))
    for method, path, body in _RECORD_WRITES:
        answer = client.request(method, path.format(**access.ids), json=body, headers=access.headers(account))
        assert answer.status_code == 403, (path, answer.text)
    for path, text in _RECORD_FORMS:
        headers = access.headers(account) | {"Content-Type": "application/x-www-form-urlencoded"}
        answer = client.post(path.format(**access.ids), content=text.format(**access.ids), headers=headers)
        # somebody of the other use case gets through to "this request belongs elsewhere"
        expected = (400, 403) if path.startswith("/models/elsewhere") else (403,)
        assert answer.status_code in expected, (path, answer.status_code, answer.text)
    assert (
        client.get(f"/api/v1/cards/{access.ids['card']}", headers=access.headers("no-role")).json()["card"]["title"]
        == "a card"
    )
    assert server.services.db.read(lambda tx: tx.scalar("SELECT MAX(position) FROM ledger")) == before


_REGISTRY_WRITES = [
    ("POST", "model-versions/create", {"name": HOME, "source": "s3://bucket/model"}),
    ("PATCH", "model-versions/update", {"name": HOME, "version": "1", "description": "x"}),
    ("POST", "model-versions/transition-stage", {"name": HOME, "version": "1", "stage": "Archived"}),
    ("POST", "model-versions/set-tag", {"name": HOME, "version": "1", "key": "k", "value": "v"}),
    ("DELETE", "model-versions/delete-tag", {"name": HOME, "version": "1", "key": "k"}),
    ("DELETE", "model-versions/delete", {"name": HOME, "version": "1"}),
    ("PATCH", "registered-models/update", {"name": HOME, "description": "x"}),
    ("POST", "registered-models/set-tag", {"name": HOME, "key": "k", "value": "v"}),
    ("DELETE", "registered-models/delete-tag", {"name": HOME, "key": "k"}),
    ("POST", "registered-models/alias", {"name": HOME, "alias": "candidate", "version": "1"}),
    ("DELETE", "registered-models/alias", {"name": HOME, "alias": "candidate"}),
    ("POST", "registered-models/create", {"name": HOME}),
    ("POST", "registered-models/rename", {"name": AWAY, "new_name": HOME}),
    ("POST", "registered-models/rename", {"name": HOME, "new_name": "mine"}),
    ("DELETE", "registered-models/delete", {"name": HOME}),
]


@pytest.mark.parametrize(("method", "path", "body"), _REGISTRY_WRITES)
def test_governed_model_is_not_written_by_people_of_another_use_case(
    method: str, path: str, body: dict[str, str], strict: tuple[RunningServer, Access], client: httpx.Client
) -> None:
    for prefix in ("/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"):
        answer = client.request(method, prefix + path, json=body, headers=strict[1].headers("a-stranger"))
        assert answer.status_code == 403, answer.text
        assert answer.json()["error_code"] == "PERMISSION_DENIED"


@pytest.mark.parametrize("alias", ["champion", "challenger", "shadow"])
def test_guarded_alias_is_moved_by_no_request(
    alias: str, strict: tuple[RunningServer, Access], client: httpx.Client
) -> None:
    for account in ("a-ml_engineer", "a-data_scientist", "a-machine"):
        for method, more in (("POST", {"version": "1"}), ("DELETE", {})):
            answer = client.request(
                method, "/api/2.0/mlflow/registered-models/alias", json={"name": HOME, "alias": alias, **more},
                headers=strict[1].headers(account),
            )  # fmt: skip
            assert answer.status_code == 403, answer.text


def test_token_of_somebody_else_is_neither_made_nor_seen_nor_ended(
    strict: tuple[RunningServer, Access], client: httpx.Client
) -> None:
    address = "/api/v1/people/a-compliance/tokens"
    for account in ("a-ml_engineer", "a-machine", "an-auditor", "a-stranger"):
        headers = strict[1].headers(account)
        assert client.post(address, json={}, headers=headers).status_code == 403
        assert client.get(address, headers=headers).status_code == 403
        assert client.delete(f"{address}/1", headers=headers).status_code == 403
        assert client.post("/api/v1/people/a-compliance/sign-in-links", json={}, headers=headers).status_code == 403


def test_token_made_for_somebody_else_is_in_the_ledger(
    strict: tuple[RunningServer, Access], client: httpx.Client
) -> None:
    headers = strict[1].headers("an-operator")
    made = client.post("/api/v1/people/a-viewer/tokens", json={"label": "laptop"}, headers=headers).json()
    link = client.post("/api/v1/people/a-viewer/sign-in-links", json={}, headers=headers).json()["url"]
    entries = client.get("/api/v1/ledger", headers=headers)
    noted = [(e["kind"], e["subject"]) for e in entries.json()["entries"]][-2:]
    assert noted == [("token_issued", "a-viewer"), ("sign_in_link_issued", "a-viewer")]
    assert made["token"] not in entries.text
    assert link.rsplit("/", 1)[1] not in entries.text


@pytest.mark.parametrize("role", ["compliance", "domain_expert", "product_manager"])
def test_nobody_gives_themselves_a_role_that_approves(
    role: str, strict: tuple[RunningServer, Access], client: httpx.Client
) -> None:
    address = f"/api/v1/use-cases/{HOME}/members/a-data_scientist"
    body = {"roles": ["data_scientist", role]}
    refused = client.put(address, json=body, headers=strict[1].headers("a-data_scientist"))
    assert refused.status_code == 403
    assert "Ask another person" in refused.json()["error"]["message"]
    operator = f"/api/v1/use-cases/{HOME}/members/an-operator"
    assert client.put(operator, json={"roles": [role]}, headers=strict[1].headers("an-operator")).status_code == 403


def test_team_is_not_declared_to_be_one_person(strict: tuple[RunningServer, Access], client: httpx.Client) -> None:
    answer = client.patch(
        f"/api/v1/use-cases/{HOME}", json={"solo": True}, headers=strict[1].headers("a-data_scientist")
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


def test_event_stream_opens_for_nobody_without_a_credential(client: httpx.Client) -> None:
    assert client.get("/api/v1/events").status_code == 401
    assert client.get("/api/v1/events", headers={"Cookie": "stile=guess"}).status_code == 401
