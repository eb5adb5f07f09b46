"""The last steps: evidence for every candidate, the gate's verdict, the standing of every version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from stile.client.data import put_blob
from stile.data.table import parse_csv, to_csv
from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import Forbidden, Invalid, Missing
from stile.project.chain import Progress, Walk
from stile.project.prepare import read_rows
from stile.project.training import Candidate, candidates, predictions_file


def evidence_inputs(walk: Walk) -> dict[str, Any]:
    """What evidence depends on: predictions, data, and the champion it is compared with."""
    return {
        "datasets": walk.result("contract")["datasets"],
        "candidates": walk.result("train")["candidates"],
        "predictions": walk.result("evaluate")["predictions"],
        "scenarios": walk.result("scenarios")["predictions"],
        "slices": slices(walk),
        "unknown": walk.project.manifest.data.unknown_at_decision_time,
        "champion": champion(walk),
    }


def gather(walk: Walk, progress: Progress) -> dict[str, Any]:
    """Have the server compute evidence for every candidate; it resumes by itself if the server is killed."""
    made = candidates(walk.project)
    found: dict[str, str] = {}
    for place, candidate in enumerate(made):
        progress(place / len(made), f"{candidate.name}: uploading predictions")
        request = evaluation_request(walk, candidate)

        def told(ratio: float, says: str, done: int = place, name: str = candidate.name) -> None:
            progress((done + ratio) / len(made), f"{name}: {says}")

        found[candidate.name] = str(walk.scope.evaluate(request, progress=told)["digest"])
    return {"says": f"evidence for {len(found)} candidates", "evidence": found}


def evaluation_request(walk: Walk, candidate: Candidate) -> dict[str, Any]:
    """What is asked of the server for one candidate; tables are uploaded on the way."""
    project = walk.project
    datasets = walk.result("contract")["datasets"]
    uploaded = {
        name: {
            "says": says,
            "predictions": _upload(walk, predictions_file(project, candidate.name, f"scenario-{name}")),
        }
        for name, says in walk.result("scenarios")["scenarios"].items()
    }
    latency = project.work / "predictions" / candidate.name / "latency.json"
    return {
        "version": candidate.version,
        "predictions": _upload(walk, predictions_file(project, candidate.name, "test")),
        "test": datasets["test"]["digest"],
        "train": _trained_on(walk, candidate, datasets),
        "scenarios": uploaded,
        "slices": slices(walk),
        "threshold": candidate.threshold,
        "latency_ms": msgspec.json.decode(latency.read_bytes(), type=list[float]) if latency.is_file() else None,
        "unknown_at_decision_time": unknown_used(walk, candidate),
    }


def gate(walk: Walk, progress: Progress) -> dict[str, Any]:
    """Publish the policy if it is new, then ask for the verdict on every version."""
    progress(0.1, "publishing the policy")
    text = walk.project.text(walk.project.manifest.policy)
    note = publish_policy(walk, text)
    progress(0.5, "judging")
    report = walk.scope.gate()
    return {"says": note + summary(report), "report": report}


def labels(walk: Walk, progress: Progress) -> dict[str, Any]:
    """Ask for the standing of every version."""
    progress(0.5, "reading")
    found = walk.scope.labels()
    return {"says": "; ".join(label_line(entry) for entry in found) or "no versions", "labels": found}


def publish_policy(walk: Walk, text: str) -> str:
    """Publish the policy unless it is the one in force; a service account, which may not, is told so in the note."""
    try:
        walk.scope.publish_policy(text)
    except Forbidden as error:
        try:
            walk.scope.policy()
        except Missing:
            raise error from None
        return "judged by the published policy (publishing one takes a person); "
    return ""


def outcomes(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The verdicts of a gate report, one per candidate."""
    found: list[dict[str, Any]] = report.get("candidates", [])
    return found


def summary(report: dict[str, Any]) -> str:
    """A gate report in one line."""
    verdicts = [f"v{one.get('version')} {one.get('outcome')}" for one in outcomes(report)]
    return ", ".join(verdicts) or "nothing to judge"


def label_line(entry: dict[str, Any]) -> str:
    """One version's standing in a few words."""
    return f"v{entry.get('version')} {entry.get('text') or entry.get('label')}"


def slices(walk: Walk) -> list[str]:
    """Columns judged apart: the segment and those stile.toml names."""
    manifest = walk.project.manifest
    wanted = [manifest.use_case.segment, *manifest.data.slices]
    return list(dict.fromkeys(column for column in wanted if column))


def champion(walk: Walk) -> str:
    """The version in production, as text; empty when there is none."""
    try:
        answer = walk.client.session.get(
            "/api/2.0/mlflow/registered-models/alias", name=walk.project.name, alias="champion"
        )
    except (Missing, Invalid):
        return ""
    return str(answer["model_version"]["version"])


def unknown_used(walk: Walk, candidate: Candidate) -> list[str]:
    """Columns the candidate was given (all, when it does not say) although they are not known when it is asked."""
    late = walk.project.manifest.data.unknown_at_decision_time
    return [column for column in late if candidate.features is None or column in candidate.features]


def _trained_on(walk: Walk, candidate: Candidate, datasets: dict[str, Any]) -> str:
    """The dataset version a candidate says it was trained on, registered when it is another than the chain's."""
    file = walk.project.path(candidate.trained_on)
    _, table = read_rows(file)
    if table.digest == datasets["train"]["digest"]:
        return str(datasets["train"]["digest"])
    made = walk.scope.register_dataset(f"train-{candidate.name}", "train", to_csv(table), source=candidate.trained_on)
    return str(made["digest"])


def _upload(walk: Walk, file: Path) -> str:
    content = file.read_bytes()
    parse_csv(content)
    digest = put_blob(walk.client.session, content)
    assert digest == digest_bytes(content)
    return digest
