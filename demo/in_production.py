"""The story's second half: serving, swapping, watching, hearing the experts, and proving it all."""

from __future__ import annotations

import csv
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from stage import Stage, free_port
from to_production import USE_CASE, alias, features_of, read

from stile.client import Client
from stile.client.data import wait_for_evidence
from stile.client.gateway import Answer, Gateway
from stile.kernel.errors import StileError

Answered = list[tuple[Answer, int]]
"""Answers next to what is true about the patient."""


class Ward:
    """The gateway of the story, and who was seen by it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.gateway = Gateway(self.url)

    def open(self) -> None:
        """Start the gateway process and wait until it answers."""
        self.stage.start(
            "gateway", "serve", USE_CASE, "--port", str(self.port), "--data", str(self.stage.folder / "gateway"),
            env={"STILE_URL": self.stage.url, "STILE_TOKEN": self.stage.tokens["gateway"]}, ready="gateway is ready",
        )  # fmt: skip
        wait(lambda: self.gateway.session.get("/v2/health/ready").get("ready"), 40, "the gateway to be ready")

    def see(self, patients: pd.DataFrame, says: str) -> Answered:
        """Ask about every patient, one request each."""
        answered = []
        with self.stage.progress(says, len(patients)) as one_more:
            for patient in patients.to_dict("records"):
                truth = patient.pop("malignant")
                answered.append((self.gateway.predict(patient), int(truth)))
                one_more()
        return answered


def serve(stage: Stage, ward: Ward, calm: pd.DataFrame, champion: int) -> Answered:
    """The champion answers, the shadow watches; kill -9 loses nothing that was answered."""
    stage.chapter(6, "Deploy: the champion answers, the shadow watches")
    stage.console.print(f"  max $ stile serve {USE_CASE}", style="cyan")
    ward.open()
    first = ward.see(calm.head(30), "Thirty patients, one by one")
    stage.check("every answer names its prediction and its version",
                all(one.id.startswith("pred_") and one.version == str(champion) for one, _ in first))  # fmt: skip
    row = calm.iloc[0]
    tensors = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [float(row[name])]} for name in features_of(calm)
    ]
    spoken = ward.gateway.session.post(f"/v2/models/{USE_CASE}/infer", {"inputs": tensors})
    stage.check(
        "it speaks Open Inference Protocol V2 as well", spoken["outputs"], f"version {spoken.get('model_version')}"
    )
    answered = [*first, *crash(stage, ward, calm.iloc[30:60])]
    scope = Client(stage.url, stage.tokens["max"]).use_case(USE_CASE)
    wanted = {one.id for one, _ in answered}
    kept = wait(lambda: found if wanted <= (found := ids(scope)) else None, 20, "the predictions to arrive") or ids(
        scope
    )
    lost = wanted - kept
    stage.check("kill -9 lost no answered prediction", not lost, f"{len(answered)} answered, {len(lost)} lost")
    watched = scope.predictions(role="shadow", limit=1000)
    stage.check("the shadow scored the same patients unseen", len({one["id"] for one in watched} & wanted) >= 55,
                f"{len(watched)} scores by v{watched[0]['version'] if watched else '?'}")  # fmt: skip
    return answered


def crash(stage: Stage, ward: Ward, patients: pd.DataFrame) -> Answered:
    """Kill the gateway in the middle of traffic and start it again; returns what was acknowledged."""
    answered: Answered = []

    def ask() -> None:
        for patient in patients.to_dict("records"):
            truth = patient.pop("malignant")
            try:
                answered.append((ward.gateway.predict(patient), int(truth)))
            except StileError:
                return

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive() and len(answered) < 12:
        time.sleep(0.001)
    stage.kill("gateway")
    asking.join()
    stage.say(f"  kill -9 after {len(answered)} more answers; starting again")
    ward.open()
    rest = patients.iloc[len(answered) :]
    return [*answered, *ward.see(rest, "The others, after the restart")]


def swap(stage: Stage, ward: Ward, project: Path, calm: pd.DataFrame, before: Answered) -> None:
    """Evidence for version 1 through the SDK, a second decision, and a swap under traffic."""
    stage.say("")
    stage.say("  A better version: evidence for v1, compared with the champion on the same patients")
    evidence = measured_through_a_crash(stage, ward, project, calm, before)
    paired = evidence["paired"]["metrics"]["auc"]
    stage.check("it was compared with the champion on the same rows", evidence["paired"]["champion"],
                f"AUC {paired['difference']:+.4f} (95 %: {paired['low']:+.4f} to {paired['high']:+.4f})")  # fmt: skip
    made = stage.answer("propose", USE_CASE, "1", "-m", "Finds what ten means miss", by="ada")
    for role, person in (("product_manager", "petra"), ("domain_expert", "elias")):
        stage.stile("approve", made["id"], "--role", role, "-m", "Better on the same patients", by=person)
    failed: list[str] = []
    seen: list[str] = []
    stop = threading.Event()

    def traffic() -> None:
        patients = list(calm.drop(columns="malignant").to_dict("records"))
        patients = patients[70:] + patients[:70]  # first those that nobody has seen yet
        with Gateway(ward.url) as gateway:
            while not stop.is_set():
                try:
                    seen.append(gateway.predict(patients[len(seen) % len(patients)]).version)
                except StileError as error:
                    failed.append(error.message)
                time.sleep(0.005)

    asking = threading.Thread(target=traffic)
    asking.start()
    code, _ = stage.stile("apply", USE_CASE, "--yes", by="max")
    began = time.monotonic()
    wait(lambda: seen[-1:] == ["1"], 30, "the gateway to swap")
    stop.set()
    asking.join()
    stage.check("promoted under traffic", code == 0 and alias(stage) == "1", f"champion is v{alias(stage)}")
    after = f"new version after {time.monotonic() - began:.1f} s"
    stage.check("the gateway swapped without one failed request", not failed and seen[-1:] == ["1"],
                f"{len(seen)} answered, {len(failed)} failed, {after}")  # fmt: skip


def measured_through_a_crash(
    stage: Stage, ward: Ward, project: Path, calm: pd.DataFrame, before: Answered
) -> dict[str, Any]:
    """Evidence for version 1, although the server is killed while it computes; the gateway goes on answering."""
    client = Client(stage.url, stage.tokens["ada"])
    started = client.use_case(USE_CASE).start_evaluation(request_for_first(stage, project, client))
    stage.kill("server")
    stage.say("  kill -9 of the server in the middle of the evaluation")
    answered = ward.see(calm.iloc[60:70], "Patients while the server is away")
    before += answered
    stage.check("the gateway answers without the server", len(answered) == 10)
    stage.start_server()
    with stage.progress("Measuring v1", 100) as step:
        done = [0]

        def told(ratio: float, _: str) -> None:
            while done[0] < ratio * 100:
                done[0] += 1
                step()

        evidence = wait_for_evidence(client.session, started, progress=told, wait_s=60)
    stage.check("the evaluation went on by itself after the restart", evidence["subject"]["version"] == "1",
                f"evidence {evidence['digest'][7:19]}")  # fmt: skip
    return evidence


def request_for_first(stage: Stage, project: Path, client: Client) -> dict[str, Any]:
    """What ``stile run`` asks for a candidate, put together by hand with the SDK."""
    import mlflow.sklearn

    scope = client.use_case(USE_CASE)
    test = read(project, "test")
    model = mlflow.sklearn.load_model(str(stage.folder / "model-of-ada"))
    tables = {"test": test, "texture-sensor-missing": read(project, "scenario-texture-sensor-missing")}
    uploaded = {}
    for name, table in tables.items():
        scores = model.predict_proba(table[features_of(table)])[:, 1]
        answers = table[["row", "site"]].assign(y_true=table["malignant"], score=scores)
        uploaded[name] = client.put_blob(answers.to_csv(index=False).encode())
    timings = []
    for place in range(100):
        row = test[features_of(test)].iloc[[place % len(test)]]
        began = time.perf_counter()
        model.predict_proba(row)
        timings.append(1000 * (time.perf_counter() - began))
    kept = {one["role"]: one["digest"] for one in reversed(scope.datasets()) if one["name"] in ("train", "test")}
    request: dict[str, Any] = {
        "version": 1, "predictions": uploaded["test"], "test": kept["test"], "train": kept["train"], "slices": ["site"],
        "scenarios": {
            "texture-sensor-missing": {"says": "Texture down", "predictions": uploaded["texture-sensor-missing"]},
        },
        "latency_ms": timings, "unknown_at_decision_time": [], "threshold": 0.22,
    }  # fmt: skip
    return request


def watch(stage: Stage, ward: Ward, calm: pd.DataFrame, later: pd.DataFrame, before: Answered) -> Answered:
    """A calm window, then the recalibrated device: alert, held decision, moved card."""
    stage.chapter(7, "Monitor: a calm window, then one hospital's device is recalibrated")
    scope = Client(stage.url, stage.tokens["max"]).use_case(USE_CASE)
    quiet = ward.see(calm, "Patients while all is well")
    label(stage, scope, [*before, *quiet])
    window = close_windows(stage, scope, "1")
    verdicts = {one["id"]: one["result"]["verdict"] for one in window["verdicts"]}
    stage.check(
        "the calm window passes the living gate", verdicts == {"inputs-moved": "pass", "needless-biopsies": "pass"}
    )
    stage.check("nobody is alarmed", scope.alerts() == [])
    stage.say("  Now the imaging device in Basel reports lengths 30 % larger.")
    moved = ward.see(later, "Patients after the recalibration")
    label(stage, scope, moved)
    window = scope.close_window()
    tell(stage, window)
    drifted = sorted(evidence_of(stage, window)["drift"], key=lambda one: -(one["psi"] or 0))[:3]
    for one in drifted:
        stage.say(
            f"    {one['column']}: PSI {one['psi']:.2f} (chance alone: {one['psi_null']:.2f}), KS {one['ks'] or 0:.2f}"
        )
    lengths = ("radius", "perimeter", "area")
    stage.check("the columns that moved most are those of the device", drifted[0]["column"].endswith(lengths))
    alerts = wait(scope.alerts, 10, "the alert") or []
    raised = {one["rule"]: one["finding"] for one in alerts}
    stage.check("the living gate raised an alert", "inputs-moved" in raised, raised.get("inputs-moved", ""))
    held = [one for one in scope.decisions() if one["kind"] == "held"]
    stage.check(
        "and opened a decision with its evidence", held and held[0]["evidence"], held[0]["reason"] if held else ""
    )
    card = wait(lambda: [one for one in scope.cards() if one["column"] == "incident"], 10, "the card to move") or []
    stage.check("the card of the version moved to Incident", card, card[0]["title"] if card else "")
    asked = [one for one in Client(stage.url, stage.tokens["petra"]).inbox() if one["kind"] == "decision"]
    stage.check("the product manager is asked: keep or roll back?", asked, asked[0]["title"] if asked else "")
    return moved


def listen(stage: Stage, moved: Answered) -> str:
    """The expert disputes single predictions; returns the id of a disputed one."""
    stage.chapter(8, "Feedback: the expert disputes single predictions")
    scope = Client(stage.url, stage.tokens["elias"]).use_case(USE_CASE)
    queue = scope.feedback_queue()
    stage.check(
        "predictions worth a look wait in the queue", queue, f"{len(queue)}; first: {queue[0]['why'] if queue else ''}"
    )
    positive = [(one, truth) for one, truth in moved if one.score is not None and one.score >= 0.22]
    wrong = next(one for one, truth in positive if truth == 0)
    right = next(one for one, truth in positive if truth == 1)
    unsure = next(one for one, truth in moved if one.id not in (wrong.id, right.id))
    said = [
        stage.stile(
            "feedback", wrong.id, "correct", "--corrected", "0", "-m", "Benign: the image is enlarged", by="elias"
        ),
        stage.stile("feedback", right.id, "agree", "-m", "Clearly malignant", by="elias"),
        stage.stile("feedback", unsure.id, "unsure", "-m", "Image out of focus", by="elias"),
    ]
    stage.check("three verdicts are kept, with reasons", [code for code, _ in said] == [0, 0, 0])
    kept = Client(stage.url, stage.tokens["ada"]).prediction(wrong.id)
    given = kept["feedback"][0] if kept["feedback"] else {}
    stage.check("the correction is on the prediction, by name", given.get("person") == "elias", given.get("reason", ""))
    stage.check("and an accepted outcome for the next evaluation", kept["outcome"] == "0", f"outcome {kept['outcome']}")
    labelled, contract = stage.folder / "labelled.csv", stage.folder / USE_CASE / "contract.odcs.yaml"
    told, text = stage.stile("labelled", str(labelled), USE_CASE, by="dana")
    broken, why = stage.stile("data", "check", str(labelled), "--contract", str(contract), by="dana")
    stage.check("live patients whose truth is known become a table for the next candidate", told == 0, text)
    stage.check("whose contract notices what the recalibrated device reports", broken == 1, why.splitlines()[-1])
    code, text = stage.stile("feedback", wrong.id, "nonsense", by="elias")
    stage.check("a verdict outside the vocabulary is refused", code == 1, text)
    return wrong.id


def prove(stage: Stage, prediction: str, data_dir: Path) -> None:
    """From the answer to the vote; and the ledger against a flipped byte."""
    stage.chapter(9, "Why, and is it true?")
    chain = stage.answer("why", prediction, by="cora")
    _, said = stage.stile("why", prediction, by="cora", quiet=True)
    stage.console.print(said, markup=False)
    kinds = [link["kind"] for link in chain["links"] if link["known"]]
    wanted = {"prediction", "model", "deployment", "decision", "rules", "approvals", "evidence", "run", "data"}
    stage.check("one chain from the answer to the vote", wanted <= set(kinds), " > ".join(kinds))
    export = stage.folder / "ledger.jsonl"
    code, said = stage.stile("verify", "--export", str(export), by="cora")
    stage.check("the ledger is untouched", code == 0, said.splitlines()[0])
    code, said = stage.stile("verify", "--data", str(data_dir), by="cora", quiet=True)
    stage.check("so says its file on disk", code == 0)
    lines = export.read_bytes()
    place = lines.index(b'"promoted"') + 1
    (stage.folder / "forged.jsonl").write_bytes(lines[:place] + b"P" + lines[place + 1 :])
    code, said = stage.stile("verify", str(stage.folder / "forged.jsonl"), by="cora")
    stage.check(
        "one flipped byte in a copy is found", code == 1, said.splitlines()[1].strip() if "\n" in said else said
    )
    copy = stage.folder / "forged-data"
    copy.mkdir(exist_ok=True)
    with sqlite3.connect(data_dir / "stile.db") as source, sqlite3.connect(copy / "stile.db") as target:
        source.backup(target)
        target.execute(
            "UPDATE ledger SET body = CAST(replace(CAST(body AS TEXT), 'promoted', 'promoteD') AS BLOB) "
            "WHERE position = (SELECT MIN(position) FROM ledger WHERE CAST(body AS TEXT) LIKE '%promoted%')"
        )
    code, _ = stage.stile("verify", "--data", str(copy), by="cora", quiet=True)
    stage.check("and in a copy of the database", code == 1)
    shutil.rmtree(copy)


def label(stage: Stage, scope: Any, answered: Answered) -> None:
    """Tell what turned out true, once the predictions are on the server."""
    wanted = {one.id for one, _ in answered}
    wait(lambda: wanted <= ids(scope), 20, "the predictions to arrive")
    file = stage.folder / "outcomes.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["prediction", "outcome", "source"])
        writer.writerows((one.id, truth, "biopsy") for one, truth in answered)
    code, said = stage.stile("label", str(file), USE_CASE, by="dana")
    stage.check("biopsies tell what was true", code == 0, said)


def close_windows(stage: Stage, scope: Any, version: str) -> dict[str, Any]:
    """Close what is open until a window of ``version`` is closed: a window never mixes two versions."""
    while True:
        window: dict[str, Any] = scope.close_window()
        tell(stage, window)
        if str(window["version"]) == version:
            return window


def tell(stage: Stage, window: dict[str, Any]) -> None:
    """A window in one line per live rule."""
    stage.say(f"  window {window['number']}: {window['rows']} predictions of v{window['version']}, {window['state']}")
    for one in window["verdicts"]:
        stage.say(f"    {one['result']['verdict']:<8}{one['id']}: {one['sentence']}")


def evidence_of(stage: Stage, window: dict[str, Any]) -> dict[str, Any]:
    """The evidence a window was judged on."""
    return Client(stage.url, stage.tokens["max"]).evidence(window["evidence"])


def ids(scope: Any) -> set[str]:
    """Every prediction on the server."""
    found: set[str] = set()
    after = 0
    while page := scope.predictions(after=after, limit=1000):
        found |= {one["id"] for one in page}
        after = page[-1]["position"]
    return found


def wait(ask: Callable[[], Any], seconds: float, what: str) -> Any:
    """What ``ask`` answers as soon as it is something; None when it never is (the check after it then says so)."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if found := ask():
                return found
        except StileError:
            pass
        time.sleep(0.1)
    print(f"  (waited {seconds:.0f} s for {what})")
    return None
