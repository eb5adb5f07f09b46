"""One run: what it was given, what it measured, how its metrics went, what it left behind, what became of it."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from starlette.responses import Response

from stile.edge.call import Call, json_response
from stile.edge.route import Route
from stile.govern import registry
from stile.kernel.permission import Permission
from stile.store.database import Tx
from stile.train import artifacts, evidence_records, experiments, logged_models, runs
from stile.train.artifact_paths import ours
from stile.train.artifact_records import Artifact
from stile.train.evidence import Evidence
from stile.train.experiment_records import Experiment
from stile.train.run_values import Run
from stile.web.charts.curves import curve
from stile.web.charts.lineage import Node, lineage
from stile.web.render import Crumb, Frame, Page

_MOST_CURVES = 12
_SERVED_POINTS = 2000
_MOST_ARTIFACTS = 200
_SPEC_ENDINGS = (".vl.json", ".vega.json", ".vega-lite.json")


class RegisteredAs(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was registered from this run."""

    model: str
    version: int
    aliases: list[str]
    digest: str


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A metric with more than one point, thinned for drawing; values that are not numbers are left out."""

    key: str
    steps: list[int]
    values: list[float]


class RunData(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run.

    Attributes:
        registered: versions of any model that came from it.
        files: what it left behind, by path inside the run.
        evidence: what was measured about its version later, when it was evaluated.
    """

    run: Run
    experiment: Experiment
    curves: list[Curve]
    files: list[Artifact]
    prefix: str
    registered: list[RegisteredAs]
    evidence: Evidence | None


def _load(tx: Tx, call: Call) -> RunData:
    run = runs.get(tx, call.path("run_id"))
    experiment = experiments.get(tx, run.info.experiment_id)
    curves = [_curve(tx, run.info.run_id, metric.key) for metric in run.metrics if metric.step > 0][:_MOST_CURVES]
    prefix = ours(run.info.artifact_uri) or ""
    files = artifacts.listing(tx, prefix)[:_MOST_ARTIFACTS] if prefix else []
    for model in run.models:
        if model.direction == "output":
            folder = ours(logged_models.get(tx, model.model_id).artifact_uri) or ""
            files += artifacts.listing(tx, folder)[:_MOST_ARTIFACTS] if folder else []
    registered = _registered(tx, run.info.run_id)
    evidence = next(
        (e for r in registered if (e := evidence_records.latest_for_version(tx, r.model, r.digest)) is not None), None
    )
    return RunData(
        run=run, experiment=experiment, curves=[each for each in curves if len(each.values) > 1], files=files,
        prefix=prefix, registered=registered, evidence=evidence,
    )  # fmt: skip


def _registered(tx: Tx, run_id: str) -> list[RegisteredAs]:
    return [
        RegisteredAs(model=model.name, version=each.version, aliases=each.aliases, digest=each.digest)
        for model in registry.models(tx)
        for each in registry.versions(tx, model.name)
        if each.run_id == run_id
    ]


def _curve(tx: Tx, run_id: str, key: str, most: int = 320) -> Curve:
    points = [point for point in runs.curve(tx, run_id, key, most=most) if math.isfinite(point.value)]
    points.sort(key=lambda point: point.step)
    return Curve(key=key, steps=[point.step for point in points], values=[point.value for point in points])


def _frame(data: RunData) -> Frame:
    experiment = data.experiment
    return Frame(
        title=data.run.info.name,
        here="runs",
        crumbs=[
            Crumb("Runs", "/experiments"),
            Crumb(experiment.name, f"/experiments/{experiment.experiment_id}"),
            Crumb(data.run.info.name),
        ],
        live="train" if data.run.info.status == "RUNNING" else "",
    )


def _extras(data: RunData, call: Call) -> dict[str, Any]:  # noqa: ARG001  all is in the data
    info = data.run.info
    return {
        "charts": [curve(each.key, each.steps, each.values) for each in data.curves],
        "took_ms": info.end_time - info.start_time if info.end_time else None,
        "strip": lineage(_columns(data)),
        "lacking": _lacking(data),
        "specs": [file for file in data.files if file.path.endswith(_SPEC_ENDINGS)],
        "shown_tags": [(key, value) for key, value in data.run.tags if not key.startswith("mlflow.")],
        "source": {key: value for key, value in data.run.tags if key.startswith("mlflow.source")},
    }


def _columns(data: RunData) -> list[list[Node]]:
    run = data.run
    tables = [Node("dataset", each.name or each.digest[:12], "both") for each in run.datasets[:4]]
    versions = [
        Node("version", f"{each.model} v{each.version}", "ds", f"/models/{each.model}/versions/{each.version}/gate")
        for each in data.registered[:4]
    ]
    return [tables, [Node("run", run.info.name, "ds")], versions]


def _lacking(data: RunData) -> list[str]:
    """What an unfinished or bare run still lacks before anybody can judge it."""
    run, missing = data.run, []
    if run.info.status == "RUNNING":
        missing.append("it has not ended")
    if not run.metrics:
        missing.append("no metric was logged")
    if not run.params:
        missing.append("no parameter was logged")
    if not data.registered:
        missing.append("no version was registered from it")
    elif data.evidence is None:
        missing.append("its version was not evaluated")
    return missing


async def _metric(call: Call) -> Response:
    """The points of one metric for the zoomable chart."""
    run_id, key = call.path("run_id"), call.query("key")
    return json_response(await call.read(lambda tx: _curve(tx, run_id, key, _SERVED_POINTS)))


PAGE = Page("/runs/{run_id}", "run.html", _load, _frame, extras=_extras)

ROUTES = [Route("GET", "/runs/{run_id}/curve.json", Permission.READ, _metric), *PAGE.routes]
