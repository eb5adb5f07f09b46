"""A use case walked through the whole value chain over the real API, for looking at its pages."""

from __future__ import annotations

import csv
import io
import math
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from stile.data.contract import Contract, ContractColumn
from stile.data.odcs import write_contract
from stile.edge.services import Services
from stile.people import accounts
from stile.train import artifacts

USE_CASE = "early-detection"
TEAM = {
    "ada": ["data_scientist"],
    "emil": ["ml_engineer"],
    "dana": ["data_engineer"],
    "paula": ["product_manager"],
    "dora": ["domain_expert"],
    "cora": ["compliance"],
}
FEATURES = ["radius_mean", "texture_mean", "concavity_mean", "symmetry_mean", "area_worst", "smoothness_worst"]
POLICY = """\
policy: early-detection
says: Promote the model that misses the fewest malignant cases at every site, if experts and product agree.
scope: site
require:
  - id: recall-floor
    says: Misses at most 20 % of malignant cases, even at the low end of the interval
    owner: domain_expert
    rule: ci_low(metric("recall")) >= 0.80
  - id: every-site
    says: No site below 0.85; a site with fewer than 20 malignant cases is unknown, not passed
    rule: slices("site").all(s, s.recall >= 0.85)
    min_n: {positives: 20}
  - id: not-worse-than-champion
    says: Not worse than the model in production on the same patients
    rule: no_champion() || better("auc").low > -0.02
  - id: honest-test
    says: No patient of the test set was seen in training
    rule: evidence("row_overlap").rows == 0
  - id: sensor-outage
    says: Still finds most cases when the texture sensor is missing
    rule: scenario("texture-sensor-missing").recall >= 0.5
  - id: fast-enough
    says: Answers 99 of 100 requests within 20 ms
    owner: ml_engineer
    rule: evidence("latency").p99_ms <= 20
warn:
  - {id: calibration, says: Scores mean what they say, rule: metric("ece") <= 0.05}
choose: ['metric("auc")']
approvals:
  - {role: product_manager}
  - {role: domain_expert}
labels:
  - {label: challenger, when: failed.size() == 0}
  - {label: shadow, when: 'failed == ["not-worse-than-champion"]'}
live:
  - {id: live-recall, says: Live recall stays at 0.80, rule: metric("recall") >= 0.80, else: open_decision}
  - {id: inputs-moved, says: No input moves far from what was tested, rule: worst("psi") < 0.25, else: alert}
"""


@dataclass
class World:
    """What was built, and how to reach it."""

    url: str
    services: Services
    tokens: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    run_id: str = ""
    other_run_id: str = ""
    experiment_id: str = ""
    promotion: str = ""
    decision: str = ""
    evidence: str = ""
    prediction: str = ""
    card: str = ""
    graph: str = ""
    trace: str = ""
    webhook: str = ""

    def call(self, method: str, path: str, *, by: str = "", **arguments: Any) -> Any:
        """One API call that must succeed."""
        headers = {"Authorization": f"Bearer {self.tokens[by]}"} if by else {}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=60, **arguments)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None


def build(url: str, services: Services, *, whole: bool = True) -> World:
    """The world; with ``whole`` one version is in production with live traffic, else the second waits for approval."""
    world = World(url=url, services=services)
    _people(world)
    _contract(world)
    test = _table(220, seed=1)
    train = _table(220, seed=2)
    test_digest = _dataset(world, "patients-test", "test", test)
    train_digest = _dataset(world, "patients-train", "train", train)
    world.call("POST", f"/api/v1/use-cases/{USE_CASE}/policies", by="paula", json={"yaml": POLICY})
    _runs(world)
    _traces(world)
    for version, sharpness in ((1, 0.9), (2, 1.5)):
        _version(world, version)
        world.evidence = _evaluate(world, version, sharpness, rows=test, test=test_digest, train=train_digest)
        if version == 1:
            _promote(world, 1)
    asked = _propose(world, 2, "Finds four more cases of a hundred on the same patients.")
    world.promotion = asked["id"]
    _evaluate_bad(world, test, test_digest)
    if whole:
        _live(world)
    _board(world)
    _webhook(world)
    return world


def _people(world: World) -> None:
    charter = {
        "name": USE_CASE,
        "title": "Early detection",
        "problem": "Malignant tumours are found too late because every sample waits days for a second reading.",
        "decision": "Which samples a pathologist reads first, today.",
        "users": "Pathologists of two hospitals",
        "kpi": "Days from sample to diagnosis for malignant cases",
        "harms": ["A missed malignant case is treated too late", "A false alarm frightens a patient"],
        "tier": "medium",
        "segment": "site",
        "positive": "1",
    }
    world.call("POST", "/api/v1/use-cases", json=charter)
    for name, roles in TEAM.items():
        world.passwords[name] = f"a long secret of {name}"
        world.call(
            "POST", "/api/v1/people", json={"name": name, "display": name.title(), "password": world.passwords[name]}
        )
        world.call("PUT", f"/api/v1/use-cases/{USE_CASE}/members/{name}", json={"roles": roles})
        world.tokens[name] = world.services.db.write(
            lambda tx, n=name: accounts.issue_token(tx, person=n, label="t")
        ).token


def _contract(world: World) -> None:
    says = ["mean radius of the nuclei", "", "depth of the dents in the outline", "", "area of the largest nuclei", ""]
    columns = [ContractColumn(name="row", kind="string", part="key", required=True)]
    columns += [
        ContractColumn(name=n, kind="number", says=s, unit="mm" if "radius" in n else "")
        for n, s in zip(FEATURES, says, strict=True)
    ]
    columns += [
        ContractColumn(name="site", kind="string"),
        ContractColumn(name="malignant", kind="integer", part="target", required=True),
    ]
    text = write_contract(Contract(name=USE_CASE, columns=columns))
    world.call("POST", f"/api/v1/use-cases/{USE_CASE}/contracts", by="dana", json={"yaml": text})


def _table(rows: int, *, seed: int, shift: float = 0.0) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    table = []
    for _ in range(rows):
        ill = dice.random() < 0.42
        row = {
            name: round(dice.gauss(1.2 if ill else 0.0, 1.0) * (i + 1) + 10 * (i + 1), 3)
            for i, name in enumerate(FEATURES)
        }
        row["site"] = "north" if dice.random() < 0.55 else "south"
        if shift and row["site"] == "south":
            row["radius_mean"] = round(row["radius_mean"] + shift, 3)
        row["malignant"] = int(ill)
        table.append(row)
    return table


def score(row: dict[str, Any], sharpness: float, *, blind: str = "") -> float:
    """What the made-up model says: the better the sharper."""
    total = sum((row[n] - 10 * (i + 1)) / (i + 1) - 0.6 for i, n in enumerate(FEATURES) if n != blind)
    return round(1 / (1 + math.exp(-sharpness * total / 2)), 6)


def _csv(rows: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _dataset(world: World, name: str, role: str, rows: list[dict[str, Any]]) -> str:
    blob = world.call(
        "PUT", "/api/v1/blobs", content=_csv([{"row": f"{name}-{i}", **row} for i, row in enumerate(rows)])
    )
    body = {"name": name, "role": role, "table": blob["digest"], "source": "two hospitals, 2024"}
    return world.call("POST", f"/api/v1/use-cases/{USE_CASE}/datasets", by="dana", json=body)["digest"]


def _runs(world: World) -> None:
    made = world.call("POST", "/api/2.0/mlflow/experiments/create", by="ada", json={"name": "early-detection"})
    world.experiment_id = made["experiment_id"]
    for model, depth, auc in (("logistic", "1", 0.91), ("forest", "4", 0.94), ("boosting", "3", 0.96)):
        run = world.call(
            "POST", "/api/2.0/mlflow/runs/create", by="ada",
            json={"experiment_id": world.experiment_id, "start_time": int(time.time() * 1000) - 90_000},
        )["run"]["info"]  # fmt: skip
        metrics = [
            {
                "key": "loss",
                "value": 0.2 + 0.8 / (1 + s / 4) + 0.02 * ((s * 7) % 5),
                "step": s,
                "timestamp": 1_760_000_000_000 + s,
            }
            for s in range(40)
        ]
        metrics += [
            {"key": k, "value": auc - d, "step": 0, "timestamp": 1}
            for k, d in (("auc", 0), ("recall", 0.03), ("f1", 0.05))
        ]
        params = [{"key": "model", "value": model}, {"key": "max_depth", "value": depth}, {"key": "seed", "value": "7"}]
        world.call(
            "POST", "/api/2.0/mlflow/runs/log-batch", by="ada",
            json={
                "run_id": run["run_id"], "metrics": metrics, "params": params,
                "tags": [{"key": "team", "value": "oncology"}],
            },
        )  # fmt: skip
        world.call(
            "POST", "/api/2.0/mlflow/runs/update", by="ada",
            json={"run_id": run["run_id"], "status": "FINISHED", "end_time": int(time.time() * 1000)},
        )  # fmt: skip
        world.other_run_id, world.run_id = world.run_id, run["run_id"]
    world.call("POST", "/api/2.0/mlflow/registered-models/create", by="ada", json={"name": USE_CASE})


def _traces(world: World) -> None:
    """A trace with three spans, one of which failed, that two people disagree about."""

    def text(key: str, value: str) -> dict[str, Any]:
        return {"key": key, "value": {"stringValue": value}}

    def span(number: int, parent: int, name: str, begin: int, end: int, **more: Any) -> dict[str, Any]:
        made = {"traceId": f"{7:032x}", "spanId": f"{number:016x}", "name": name, **more}
        made |= {"startTimeUnixNano": str(at + begin * 1_000_000), "endTimeUnixNano": str(at + end * 1_000_000)}
        return made | ({"parentSpanId": f"{parent:016x}"} if parent else {})

    at = time.time_ns() - 60_000_000_000
    asked = [text("mlflow.spanInputs", '{"question": "Is this <b>malignant</b>?"}'), text("mlflow.spanType", "CHAIN")]
    broken = [text("exception.type", "TimeoutError"), text("exception.message", "the index did not answer")]
    found = [
        span(1, 0, "answer", 0, 420, attributes=[*asked, text("mlflow.spanOutputs", '{"answer": "yes"}')]),
        span(2, 1, "retrieve", 10, 190, attributes=[text("mlflow.spanType", "RETRIEVER")], status={"code": 2},
             events=[{"name": "exception", "timeUnixNano": str(at), "attributes": broken}]),
        span(3, 1, "generate", 200, 410, attributes=[text("mlflow.spanType", "LLM"), text("model", "small")]),
    ]  # fmt: skip
    headers = {"Authorization": f"Bearer {world.tokens['ada']}", "x-mlflow-experiment-id": world.experiment_id,
               "x-mlflow-run-id": world.run_id}  # fmt: skip
    body = {"resourceSpans": [{"scopeSpans": [{"spans": found}]}]}
    answer = httpx.post(f"{world.url}/v1/traces", json=body, headers=headers, timeout=60)
    assert answer.is_success, answer.text
    world.trace = f"tr-{7:032x}"
    for value, source in ((True, "ada"), (False, "emil")):
        said = {"assessment_name": "correct", "feedback": {"value": value}, "rationale": "I looked it up.",
                "source": {"source_type": "HUMAN", "source_id": source}}  # fmt: skip
        path = f"/api/3.0/mlflow/traces/{world.trace}/assessments"
        world.call("POST", path, by=source, json={"assessment": said})


def _version(world: World, number: int) -> None:
    folder = f"{world.experiment_id}/{world.run_id}/artifacts/model-{number}"

    def bind(tx: Any) -> None:
        for name in ("MLmodel", "model.skops"):
            content = f"{name} of {number}".encode() * 40
            digest = world.services.blobs.put(content)
            artifacts.bind(tx, path=f"{folder}/{name}", digest=digest, size=len(content), by="ada")

    world.services.db.write(bind)
    world.call(
        "POST", "/api/2.0/mlflow/model-versions/create", by="ada",
        json={"name": USE_CASE, "source": f"mlflow-artifacts:/{folder}", "run_id": world.run_id},
    )  # fmt: skip


def _predictions(world: World, rows: list[dict[str, Any]], sharpness: float, *, blind: str = "") -> str:
    lines = [
        {
            "row": f"patients-test-{i}",
            "y_true": row["malignant"],
            "score": score(row, sharpness, blind=blind),
            "site": row["site"],
        }
        for i, row in enumerate(rows)
    ]
    return world.call("PUT", "/api/v1/blobs", content=_csv(lines))["digest"]


def _evaluate(
    world: World, version: int, sharpness: float, *, rows: list[dict[str, Any]], test: str, train: str
) -> str:
    body = {
        "version": version,
        "predictions": _predictions(world, rows, sharpness),
        "test": test,
        "train": train,
        "scenarios": {
            "texture-sensor-missing": {
                "says": "The texture sensor is missing",
                "predictions": _predictions(world, rows, sharpness, blind="texture_mean"),
            }
        },
        "slices": ["site"],
        "threshold": 0.4,
        "latency_ms": [1.0 + (i % 7) / 10 for i in range(200)],
        "unknown_at_decision_time": [],
    }
    return _evaluated(world, body)


def _evaluate_bad(world: World, rows: list[dict[str, Any]], test: str) -> None:
    """A third version that saw the test set and misses cases at one site."""
    _version(world, 3)
    worse = [{**row, "radius_mean": row["radius_mean"] - (2.5 if row["site"] == "south" else 0)} for row in rows]
    _evaluated(
        world,
        {
            "version": 3,
            "predictions": _predictions(world, worse, 0.8),
            "test": test,
            "train": test,
            "slices": ["site"],
            "threshold": 0.5,
        },
    )


def _evaluated(world: World, body: dict[str, Any]) -> str:
    asked = world.call("POST", f"/api/v1/use-cases/{USE_CASE}/evaluations", by="ada", json=body)
    for _ in range(600):
        found = world.call("GET", f"/api/v1/evaluations/{asked['evaluation']}")
        if found["state"] in ("done", "failed", "finished"):
            assert found["evidence"], found
            return str(found["evidence"])
        time.sleep(0.05)
    raise AssertionError(f"the evaluation did not end: {found}")


def _propose(world: World, version: int, reason: str) -> Any:
    return world.call(
        "POST", f"/api/v1/use-cases/{USE_CASE}/promotions", by="ada", json={"version": version, "reason": reason}
    )


def _promote(world: World, version: int) -> None:
    asked = _propose(world, version, "The first model that finds enough cases at both sites.")
    for name, role, reason in (
        ("paula", "product_manager", "It shortens the queue."),
        ("dora", "domain_expert", "I read the cases."),
    ):
        world.call(
            "POST", f"/api/v1/promotions/{asked['id']}/approvals", by=name,
            json={"role": role, "verdict": "yes", "reason": reason},
        )  # fmt: skip
    plan = world.call("POST", f"/api/v1/use-cases/{USE_CASE}/plan", by="emil", json={})
    decided = world.call("POST", f"/api/v1/use-cases/{USE_CASE}/apply", by="emil", json={"plan": plan["digest"]})
    world.decision = decided["decision"]


def _live(world: World) -> None:
    """Two windows: one like the test set, one after a device at one site was recalibrated."""
    version = world.call("GET", f"/api/v1/use-cases/{USE_CASE}/deployment")
    champion = next(v for v in version["variants"] if v["role"] == "champion")
    offset = 0
    for number, shift in enumerate((0.0, 0.3, 3.5)):
        rows = _table(160, seed=10 + number, shift=shift)
        began = int(time.time() * 1000) - (3 - number) * 3_600_000
        records = [
            {
                "id": f"pred_{number}{i:06d}", "at": began + i * 1000, "role": "champion",
                "version": champion["version"], "digest": champion["digest"], "revision": version["revision"],
                "columns": "f", "inputs": [row[n] for n in FEATURES], "output": int(score(row, 0.9) >= 0.4),
                "score": score(row, 0.9), "latency_us": 1400, "segment": row["site"],
            }
            for i, row in enumerate(rows)
        ]  # fmt: skip
        body = {"gateway": "gw", "segment": "s1", "offset": offset, "columns": {"f": FEATURES}, "records": records}
        world.call("POST", f"/api/v1/use-cases/{USE_CASE}/predictions", by="emil", json=body)
        offset += len(records)
        truth = [
            {"prediction": r["id"], "outcome": rows[i]["malignant"], "source": "laboratory"}
            for i, r in enumerate(records)
            if i % 3
        ]
        world.call("POST", f"/api/v1/use-cases/{USE_CASE}/outcomes", by="emil", json={"outcomes": truth})
        made = world.call("POST", f"/api/v1/use-cases/{USE_CASE}/windows", by="emil", json={})
        for _ in range(600):
            if world.call("GET", f"/api/v1/windows/{made['id']}")["window"]["state"] != "closing":
                break
            time.sleep(0.05)
    queue = world.call("GET", f"/api/v1/use-cases/{USE_CASE}/feedback-queue", by="dora")
    world.prediction = (queue.get("queue") or queue.get("items") or [{"prediction": "pred_0000001"}])[0]["prediction"]


def _webhook(world: World) -> None:
    """A webhook that is paused, so that nothing leaves this machine."""
    body = {"name": "release-bot", "url": "https://93.184.216.34/hook", "events": ["decision.taken"], "secret": "hush"}
    made = world.call("POST", "/api/v1/webhooks", json=body | {"status": "DISABLED", "description": "Tells the chat."})
    world.webhook = made["webhook"]["webhook_id"]


def _board(world: World) -> None:
    made = world.call(
        "POST",
        f"/api/v1/use-cases/{USE_CASE}/cards",
        by="dana",
        json={"title": "Ask the second hospital for its calibration log"},
    )
    world.card = made["id"]
    world.call("POST", f"/api/v1/cards/{made['id']}/comments", by="paula", json={"text": "@dora can you call them?"})
