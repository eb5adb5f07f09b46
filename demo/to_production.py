"""The story's first half: from a charter to a governed champion."""

from __future__ import annotations

import json
import os
import secrets
import tomllib
import warnings
from pathlib import Path
from typing import Any

import edits
import pandas as pd
from stage import Stage

from stile.client import Client
from stile.kernel.errors import ContractBroken

USE_CASE = "early-detection"

PEOPLE = {
    "ada": ("Ada Lind", ["data_scientist", "domain_expert"]),  # a physician who trains models: two roles, one person
    "max": ("Max Ofori", ["ml_engineer"]),
    "dana": ("Dana Weiss", ["data_engineer"]),
    "petra": ("Petra Novak", ["product_manager"]),
    "elias": ("Dr. Elias Kern", ["domain_expert"]),
    "cora": ("Cora Meyer", ["compliance"]),
}


def charter(stage: Stage, project: Path, history: Path) -> dict[str, str]:
    """Accounts, charter, roles; returns everybody's password."""
    stage.chapter(1, "Charter: which problem, for whom, and who answers for what")
    stage.stile(
        "init", USE_CASE, "--data", str(history), "--target", "malignant", "--positive", "1", "--segment", "site",
        "--into", str(project), "--url", stage.url, by="petra",
    )  # fmt: skip
    edits.edit_charter(project)
    described = tomllib.loads((project / "stile.toml").read_text())["use_case"]
    operator = Client(stage.url, token="")
    operator.create_use_case(described.pop("name"), **described)
    passwords = {}
    for name, (display, roles) in PEOPLE.items():
        passwords[name] = secrets.token_urlsafe(9)
        operator.add_person(name, display=display, password=passwords[name])
        stage.stile("member", "add", name, *roles, "--use-case", USE_CASE, quiet=True)
        stage.tokens[name] = stage.stile("token", "create", name, quiet=True)[1].splitlines()[0]
    stage.stile("user", "add", "gateway", "--service", quiet=True)
    stage.stile("member", "add", "gateway", "service", "--use-case", USE_CASE, quiet=True)
    stage.tokens["gateway"] = stage.stile("token", "create", "gateway", quiet=True)[1].splitlines()[0]
    kept = operator.use_case(USE_CASE).charter()
    stage.say(f"  {kept['title']}: {kept['decision'].lower()}. Harm to avoid: {kept['harms'][0].lower()}.")
    stage.check(
        "the charter is kept as written in stile.toml", kept["harms"] == edits.HARMS and kept["segment"] == "site"
    )
    roles_kept = {(m["person"], m["role"]) for m in kept["members"]}
    wanted = {(name, role) for name, (_, roles) in PEOPLE.items() for role in roles}
    stage.check("six people hold their roles, each acts with a token", wanted <= roles_kept, ", ".join(PEOPLE))
    return passwords


def data(stage: Stage, project: Path, files: dict[str, Path]) -> None:
    """A contract is inferred, edited and kept; a bad table is refused."""
    stage.chapter(2, "Data: a contract, kept or refused")
    edits.edit_contract(project)
    contract = project / "contract.odcs.yaml"
    code, said = stage.stile("contract", "publish", str(contract), "--use-case", USE_CASE, by="dana")
    stage.check("the inferred and edited contract is published", code == 0, said)
    code, said = stage.stile("data", "check", str(files["bad"]), "--contract", str(contract), by="dana")
    stage.console.print(said, markup=False)
    stage.check("the bad table breaks three promises, each told once", code == 1 and said.count("  - ") == 3)
    scope = Client(stage.url, stage.tokens["dana"]).use_case(USE_CASE)
    try:
        scope.register_dataset("patients", "train", files["bad"].read_bytes())
        rules = []
    except ContractBroken as refused:
        rules = sorted(one["rule"] for one in refused.details["violations"])
    wanted = ["missing_column", "out_of_range", "wrong_type"]
    stage.check("the server refuses it too, for the same reasons", rules == wanted, ", ".join(rules))
    stage.check("nothing of it is stored as a dataset", scope.datasets() == [])
    code, said = stage.stile("run", "--until", "contract", "--project", str(project), by="dana")
    kept = {one["role"]: one for one in scope.datasets()}
    stage.check("the good table is kept in two parts, by digest", code == 0 and set(kept) == {"train", "test"})
    rows = {role: one["rows"] for role, one in kept.items()}
    stage.say(
        f"  {rows.get('train')} patients to train on, {rows.get('test')} to test on: {kept['test']['digest'][:19]}..."
    )
    profile = scope.profile(kept["test"]["profile_digest"])
    stage.check("with a profile of every column", len(profile["columns"]) >= 31, f"{len(profile['columns'])} columns")


def without_evidence(stage: Stage, project: Path) -> None:
    """A first version through our own SDK; without evidence the gate says unknown, and never yes."""
    stage.chapter(3, "Train: every number archived. First through our own SDK")
    edits.edit_policy_and_scenarios(project)
    code, said = stage.stile("policy", "publish", str(project / "policy.yaml"), "--use-case", USE_CASE, by="petra")
    stage.check("the policy is published by the product manager", code == 0, said)
    version = train_with_sdk(stage, project)
    stage.check("the SDK registered version 1", version == 1)
    code, said = stage.stile("gate", USE_CASE, "--candidate", "1", by="ada")
    stage.console.print(said, markup=False)
    stage.check("without evidence the verdict is waiting (exit 2), with what to produce", code == 2 and "→" in said)


def train_with_sdk(stage: Stage, project: Path) -> int:
    """Logistic regression on all thirty measurements, logged and registered with ``stile.client``."""
    import mlflow.sklearn
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss, roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = (read(project, name) for name in ("train", "test"))
    features = features_of(train)
    folder = stage.folder / "model-of-ada"
    with Client(stage.url, stage.tokens["ada"]).start_run(USE_CASE, "logistic-all-thirty") as run:
        run.log_params({"model": "logistic-all-thirty", "C": 0.3, "features": len(features), "rows": len(train)})
        model = make_pipeline(
            SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=0.3, max_iter=2000)
        )
        points = []
        for step, share in enumerate((0.2, 0.4, 0.6, 0.8, 1.0)):
            part = train.head(int(len(train) * share))
            model.fit(part[features], part["malignant"])
            for name, table in (("train", train), ("test", test)):
                scores = model.predict_proba(table[features])[:, 1]
                points += [(f"{name}_auc", roc_auc_score(table["malignant"], scores), step),
                           (f"{name}_loss", log_loss(table["malignant"], scores), step)]  # fmt: skip
        run.log_batch(points)
        run.log_figure(coefficients_graph(model, features), "coefficients")
        run.log_artifact(project / "policy.yaml", "policy.yaml")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.sklearn.save_model(
                model, folder, serialization_format="skops", skops_trusted_types=["numpy.dtype"],
                pip_requirements=["scikit-learn", "skops"],
                signature=mlflow.models.infer_signature(test[features], model.predict(test[features])),
                input_example=test[features].head(3),
            )  # fmt: skip
        version = run.register(USE_CASE, folder, description="All thirty measurements, strongly regularised")
    return int(version["version"])


def chain(stage: Stage, project: Path) -> None:
    """Three candidates through the unmodified mlflow client, and all that follows, with one command."""
    stage.chapter(4, "Train, evaluate, judge: three candidates through the unmodified mlflow client, in one command")
    edits.edit_training(project)
    words = ["run", "--project", str(project), "--url", stage.url, "--token", stage.tokens["ada"]]
    stage.console.print("  ada $ stile run", style="cyan")
    from stile.cli.outcome import run_command
    from stile.cli.root import stile

    stage.check("the chain walked from contract to labels", run_command(stile, words) == 0)
    code, said = stage.stile("status", "--project", str(project), "--json", by="ada", quiet=True)
    steps = json.loads(said)["steps"] if code == 0 else []
    fresh = [one["standing"] for one in steps[:5]]
    stage.check("a second walk would run nothing again", fresh == ["up to date"] * 5, ", ".join(fresh))
    check_evidence(stage, project)


def check_evidence(stage: Stage, project: Path) -> None:
    """What the evidence of one candidate holds."""
    version = versions(project)["logistic-ten-means"]
    client = Client(stage.url, stage.tokens["ada"])
    mine = [one for one in client.use_case(USE_CASE).evidence() if str(one.get("version")) == str(version)]
    evidence = client.evidence(mine[0]["digest"])
    recall, sites = evidence["metrics"]["recall"], evidence["slices"]["site"]
    shown = f"{recall['value']:.3f} (95 %: {recall['low']:.3f} to {recall['high']:.3f}, n = {recall['n']})"
    stage.check("recall has an interval and its n", recall["low"] < recall["value"] <= recall["high"], shown)
    named = ", ".join(f"{one['value']} {one['metrics']['recall']['value']:.3f}" for one in sites)
    stage.check("recall per hospital", len(sites) == 2, named)
    stage.check("a scenario, calibration, fairness, latency, size and overlap were measured",
                "texture-sensor-missing" in evidence["scenarios"] and evidence["calibration"] and evidence["fairness"]
                and {"latency", "size", "row_overlap"} <= set(evidence["facts"]))  # fmt: skip
    stage.check("a reference profile and graphs are archived", evidence["profile"] and evidence["graphs"],
                f"{len(evidence['graphs'])} graphs")  # fmt: skip
    run = client.session.get("/api/2.0/mlflow/runs/get", run_id=evidence["lineage"]["run_id"])["run"]
    keys = {metric["key"] for metric in run["data"]["metrics"]}
    stage.check(
        "training and testing metrics are in the run", {"train_auc", "test_auc"} <= keys, f"{len(keys)} metrics"
    )


def verdicts(stage: Stage, project: Path) -> None:
    """Different candidates, different verdicts, each with its reason."""
    stage.chapter(5, "Govern: different candidates, different verdicts")
    by_name = versions(project)
    report = stage.answer("gate", USE_CASE, by="ada")
    found = {one["version"]: one for one in report["candidates"]}
    standing = {one["version"]: one for one in stage.answer("labels", USE_CASE, by="ada")}
    for name, version in sorted(by_name.items(), key=lambda pair: pair[1]):
        stage.say(f"  v{version} {name}: {found[version]['outcome']}. {found[version]['sentence']}")
    leaky, forest, ten = (by_name[n] for n in ("logistic-more-data", "gradient-boosting", "logistic-ten-means"))
    stage.check("the one that saw test patients is rejected for it", "honest-test" in found[leaky]["failed"],
                standing[leaky]["text"])  # fmt: skip
    stage.check("the one that misses too many is labelled shadow, with its margin",
                standing[forest]["label"] == "shadow" and standing[forest]["margin"] is not None,
                standing[forest]["text"])  # fmt: skip
    stage.check("the best waits until somebody proposes it", found[ten]["outcome"] == "wait", standing[ten]["text"])
    stage.check(
        "the one without evidence is unknown", found[1]["unknown"] and not found[1]["failed"], standing[1]["text"]
    )
    folder = stage.folder / "ci"
    folder.mkdir(exist_ok=True)
    code, _ = stage.stile("gate", USE_CASE, "--candidate", str(leaky), "--junit", str(folder / "gate.xml"),
                          "--summary", str(folder / "summary.md"), by="ada")  # fmt: skip
    junit = (folder / "gate.xml").read_text()
    stage.check("CI reads the same: exit 1, JUnit, a summary", code == 1 and "<failure" in junit)


def decide(stage: Stage, project: Path) -> int:
    """Proposal, separation of duties, plan, apply; returns the champion."""
    version = versions(project)["logistic-ten-means"]
    early = stage.answer("plan", USE_CASE, by="max")
    made = stage.answer("propose", USE_CASE, str(version), "-m", "Fewest misses of those that pass", by="ada")
    request = made["id"]
    code, said = stage.stile("approve", request, "--role", "domain_expert", "-m", "I trained it, it is good", by="ada")
    stage.check("the author cannot approve", code == 1, said)
    code, said = stage.stile("approve", request, "--role", "product_manager", "-m", "me too")
    stage.check("nor can somebody who has not signed in", code == 1, said)
    waiting = [one for one in Client(stage.url, stage.tokens["petra"]).inbox() if one["kind"] == "approval"]
    stage.check("the product manager finds it in her inbox", waiting, waiting[0]["title"] if waiting else "")
    stage.stile("approve", request, "--role", "product_manager", "-m", "Worth it: days matter", by="petra")
    code, _ = stage.stile("gate", USE_CASE, "--candidate", str(version), by="ada")
    stage.check("with one of two approvals it still waits (exit 2)", code == 2)
    stage.stile("approve", request, "--role", "domain_expert", "-m", "Checked the misses by hand", by="elias")
    code, said = stage.stile("gate", USE_CASE, "--candidate", str(version), by="ada")
    stage.check("with both it may be promoted (exit 0)", code == 0)
    stage.console.print(said, markup=False)
    code, said = stage.stile("apply", USE_CASE, "--plan", early["digest"], by="max")
    stage.check("an old plan is refused: the world has moved", code == 1, said.splitlines()[0])
    plan = stage.answer("plan", USE_CASE, by="max")
    for effect in plan["effects"][:6]:
        stage.say(f"    ~ {effect['sentence']}")
    decision = stage.answer("apply", USE_CASE, "--plan", plan["digest"], by="max")
    stage.check("promoted, by the plan as shown", decision["kind"] == "promoted" and decision["plan"] == plan["digest"],
                decision["sentence"])  # fmt: skip
    recall = next(one for one in decision["verdicts"] if one["id"] == "recall-floor")
    stage.check("the decision keeps every rule's numbers", recall["verdict"] == "pass", recall["sentence"])
    on_ledger = Client(stage.url, stage.tokens["cora"]).ledger(after=decision["position"] - 1, limit=1)
    stage.check(
        "it is an entry of the ledger, bound to the one before", on_ledger and on_ledger[0]["hash"] == decision["hash"]
    )
    load_with_mlflow(stage, project, version)
    return version


def load_with_mlflow(stage: Stage, project: Path, version: int) -> None:
    """The unmodified client sees the alias and may not move it by itself."""
    import mlflow
    from mlflow.exceptions import MlflowException

    os.environ["MLFLOW_TRACKING_TOKEN"] = stage.tokens["ada"]
    mlflow.set_tracking_uri(stage.url)
    mlflow.set_registry_uri(stage.url)
    test = read(project, "test")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mlflow.pyfunc.load_model(f"models:/{USE_CASE}@champion")
        answers = model.predict(test[features_of(test)])
    right = (pd.Series(answers).astype(str).to_numpy() == test["malignant"].astype(str).to_numpy()).mean()
    stage.check(f"mlflow loads models:/{USE_CASE}@champion and predicts", right > 0.9, f"{right:.1%} right")
    try:
        mlflow.MlflowClient().set_registered_model_alias(USE_CASE, "champion", "1")
        moved = "it moved"
    except MlflowException as error:
        moved = error.error_code
    stage.check("but nobody moves the alias around the gate", moved == "PERMISSION_DENIED", moved)
    stage.check("champion is the decided version", alias(stage) == str(version), f"v{alias(stage)}")


def alias(stage: Stage, name: str = "champion") -> str:
    """The version an alias points at."""
    client = Client(stage.url, stage.tokens["ada"])
    answer: Any = client.session.get("/api/2.0/mlflow/registered-models/alias", name=USE_CASE, alias=name)
    return str(answer["model_version"]["version"])


def versions(project: Path) -> dict[str, int]:
    """Candidate -> version, as train.py told."""
    told = [json.loads(file.read_text()) for file in (project / ".stile" / "candidates").glob("*.json")]
    return {one["name"]: one["version"] for one in told}


def read(project: Path, part: str) -> pd.DataFrame:
    """One of the chain's tables."""
    return pd.read_csv(project / ".stile" / "tables" / f"{part}.csv")


def features_of(table: pd.DataFrame) -> list[str]:
    """The thirty measurements."""
    return [name for name in table.columns if name not in ("row", "site", "malignant")]


def coefficients_graph(model: Any, features: list[str]) -> dict[str, Any]:
    """Which measurements speak for a malignant tumour, as a Vega-Lite spec."""
    weights = model[-1].coef_[0]
    values = [{"measurement": name, "weight": float(weight)} for name, weight in zip(features, weights, strict=True)]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": "Weight of each measurement, in standard deviations",
        "data": {"values": values},
        "mark": "bar",
        "encoding": {
            "y": {"field": "measurement", "type": "nominal", "sort": "-x"},
            "x": {"field": "weight", "type": "quantitative"},
        },
    }
