"""Verbs that purge for good what was deleted before: runs, logged models, experiments, with all that belongs to them.

Who calls them says what is held: a run that a version, evidence or a decision refers to is never purged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from stile.kernel.errors import Missing
from stile.store.database import Tx
from stile.train import purge_records as records
from stile.train import traces
from stile.train.purge_records import DeletedModel, DeletedRun


class PurgedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run in a purge: what goes with it. ``bytes`` counts its files, which others may share."""

    run_id: str
    name: str
    experiment_id: str
    points: int
    files: int
    bytes: int


class PurgedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model in a purge."""

    model_id: str
    name: str
    files: int
    bytes: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What stays although it was asked to go, and why."""

    what: str
    name: str
    why: str


class Found(msgspec.Struct, kw_only=True):
    """What was deleted and may be purged, before anybody has said what is held."""

    runs: list[DeletedRun]
    models: list[DeletedModel]
    experiments: list[tuple[int, str]]
    kept: list[Kept]


class Purge(msgspec.Struct, kw_only=True):
    """What a purge takes away, or has taken away."""

    runs: list[PurgedRun] = []
    models: list[PurgedModel] = []
    experiments: list[str] = []
    kept: list[Kept] = []


def deleted(tx: Tx, *, before: int, run_ids: Sequence[str] = ()) -> Found:
    """Everything that was deleted before ``before`` (ms since 1970 UTC), or only the runs named, whenever that was.

    Raises:
        Missing: a run that was named is not there.
    """
    if run_ids:
        named = records.runs(tx, run_ids)
        missing = sorted(set(run_ids) - {run.run_id for run in named})
        if missing:
            raise Missing(f"There is no run {', '.join(missing[:5])}. Nothing was purged.")
        why = "it is not deleted: delete it first"
        active = [Kept(what="run", name=run.run_id, why=why) for run in named if run.lifecycle != "deleted"]
        runs = [run for run in named if run.lifecycle == "deleted"]
        return Found(runs=runs, models=[], experiments=[], kept=active)
    experiments = records.deleted_experiments(tx, before)
    models = records.deleted_models(tx, before, [number for number, _ in experiments])
    return Found(runs=records.deleted_runs(tx, before), models=models, experiments=experiments, kept=[])


def weigh(tx: Tx, found: Found, held: Mapping[str, str]) -> Purge:
    """What would go, leaving what is held (run or model id -> why), and experiments that something would stay in."""
    purge = Purge(kept=list(found.kept))
    staying: set[int] = set()
    for run in found.runs:
        if run.run_id in held:
            staying.add(run.experiment)
            purge.kept.append(Kept(what="run", name=run.run_id, why=held[run.run_id]))
            continue
        files, size = records.files_of(tx, run.artifact_uri)
        points = records.points_of(tx, run.row)
        purge.runs.append(
            PurgedRun(
                run_id=run.run_id, name=run.name, experiment_id=str(run.experiment),
                points=points, files=files, bytes=size,
            )
        )  # fmt: skip
    for model in found.models:
        if model.model_id in held:
            staying.add(model.experiment)
            purge.kept.append(Kept(what="logged model", name=model.model_id, why=held[model.model_id]))
            continue
        files, size = records.files_of(tx, model.artifact_uri)
        purge.models.append(PurgedModel(model_id=model.model_id, name=model.name, files=files, bytes=size))
    for number, name in found.experiments:
        if number in staying:
            purge.kept.append(Kept(what="experiment", name=name, why="something in it is kept"))
        else:
            purge.experiments.append(str(number))
    return purge


def drop(tx: Tx, *, runs: Sequence[DeletedRun] = (), models: Sequence[DeletedModel] = ()) -> None:
    """Take runs and models away for good."""
    for run in runs:
        records.drop_run(tx, run)
    for model in models:
        records.drop_model(tx, model)


def drop_empty(tx: Tx, experiment_ids: Sequence[str]) -> list[str]:
    """Take experiments away that no run and no logged model is left in, with their traces; returns which."""
    gone = [number for number in experiment_ids if records.is_empty(tx, int(number))]
    for number in gone:
        traces.drop_all(tx, number)
        records.drop_experiment(tx, int(number))
    return gone
