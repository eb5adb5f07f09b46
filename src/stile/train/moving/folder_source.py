"""Reading an ``mlruns`` folder, MLflow's file store: one folder per experiment and run, small text files in them.

Source: the layout of ``mlflow.store.tracking.file_store`` and ``mlflow.store.model_registry.file_store``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from stile.kernel.errors import Invalid
from stile.train.moving.local_files import files_below, has_files, local_path
from stile.train.moving.values import (
    POINTS_PER_SERIES,
    FoundFile,
    MovedDataset,
    MovedExperiment,
    MovedModel,
    MovedModelMetric,
    MovedModelUse,
    MovedRegistered,
    MovedRun,
    MovedSeries,
    MovedTrace,
    MovedVersion,
    Omission,
    stored_at,
)

_STATUSES: dict[Any, Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]] = {
    1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED",
}  # fmt: skip
_MODEL_STATUSES: dict[Any, str] = {1: "LOGGED_MODEL_PENDING", 2: "LOGGED_MODEL_READY", 3: "LOGGED_MODEL_UPLOAD_FAILED"}

Meta = dict[str, Any]


class FolderSource:
    """An ``mlruns`` folder as a source.

    Args:
        root: the folder.
        artifacts: where a server kept proxied artifacts, when there was one.

    Raises:
        Invalid: it is not such a folder.
    """

    def __init__(self, root: Path, artifacts: Path | None = None) -> None:
        self._root = root
        self._artifacts = artifacts
        self._omissions: list[Omission] = []
        self.name = f"folder {root.name}"
        self._folders = {
            str(meta["experiment_id"]): folder
            for folder in [*_folders(root), *_folders(root / ".trash")]
            if (meta := self._meta(folder)) is not None and "experiment_id" in meta and "run_id" not in meta
        }
        if not self._folders and not _folders(root / "models"):
            raise Invalid(f"{root} is no mlruns folder: no folder in it has a meta.yaml of an experiment.")

    def close(self) -> None:
        """Nothing is kept open."""

    def experiments(self) -> list[MovedExperiment]:
        found = []
        for number, folder in sorted(self._folders.items(), key=lambda entry: (len(entry[0]), entry[0])):
            meta = self._meta(folder) or {}
            found.append(
                MovedExperiment(
                    id=number, name=str(meta.get("name") or number), lifecycle=_lifecycle(meta),
                    artifact_location=str(meta.get("artifact_location") or ""),
                    created_at=meta.get("creation_time") or 0, updated_at=meta.get("last_update_time") or 0,
                    tags=_texts(folder / "tags"),
                )
            )  # fmt: skip
        return found

    def run_count(self) -> int | None:
        return sum(len(list(self._run_folders(folder))) for folder in self._folders.values())

    def runs(self, experiment: MovedExperiment) -> Iterator[MovedRun]:
        for folder in self._run_folders(self._folders[experiment.id]):
            meta = self._meta(folder)
            if meta is None:
                continue
            tags = _texts(folder / "tags")
            status = meta.get("status", 1)
            yield MovedRun(
                run_id=str(meta.get("run_id") or meta.get("run_uuid") or folder.name), experiment=experiment.id,
                name=str(meta.get("run_name") or meta.get("name") or tags.get("mlflow.runName", "")),
                user_id=str(meta.get("user_id") or ""), status=_STATUSES.get(status, "RUNNING"),
                start_time=meta.get("start_time") or 0, end_time=meta.get("end_time"), lifecycle=_lifecycle(meta),
                artifact_uri=str(folder / "artifacts") if has_files(folder / "artifacts")
                else str(meta.get("artifact_uri") or ""),
                params=_texts(folder / "params"), tags=tags,
                datasets=list(self._datasets(folder)), models=list(self._models_of(folder)),
            )  # fmt: skip

    def series(self, run: MovedRun) -> Iterator[MovedSeries]:
        folder = self._folders[run.experiment] / run.run_id / "metrics"
        for key, file in _named_files(folder):
            points = [point for line in file.read_text("utf-8").splitlines() if (point := _point(line.split()))]
            for start in range(0, len(points), POINTS_PER_SERIES):
                part = points[start : start + POINTS_PER_SERIES]
                yield MovedSeries(
                    run_id=run.run_id, key=key, at=[at for at, _, _ in part],
                    value=[value for _, value, _ in part], step=[step for _, _, step in part],
                )  # fmt: skip

    def models(self, experiment: MovedExperiment) -> Iterator[MovedModel]:
        for folder in _folders(self._folders[experiment.id] / "models"):
            meta = self._meta(folder)
            if meta is None or "model_id" not in meta:
                continue
            if _lifecycle(meta) == "deleted":
                self._omissions.append(Omission(what="logged model", name=folder.name, why="it was deleted there"))
                continue
            yield MovedModel(
                model_id=str(meta["model_id"]), experiment=experiment.id, name=str(meta.get("name") or ""),
                model_type=str(meta.get("model_type") or ""), source_run_id=str(meta.get("source_run_id") or ""),
                artifact_uri=str(folder / "artifacts") if has_files(folder / "artifacts")
                else str(meta.get("artifact_location") or ""),
                status=_MODEL_STATUSES.get(meta.get("status"), "LOGGED_MODEL_PENDING"),
                created_at=meta.get("creation_timestamp") or 0, updated_at=meta.get("last_updated_timestamp") or 0,
                tags=_texts(folder / "tags"), params=_texts(folder / "params"),
                metrics=list(_model_metrics(folder / "metrics")),
            )  # fmt: skip

    def traces(self, experiment: MovedExperiment) -> Iterator[MovedTrace]:  # noqa: ARG002  told as an omission
        return iter(())

    def registered(self) -> Iterator[MovedRegistered]:
        for folder in _folders(self._root / "models"):
            meta = self._meta(folder)
            if meta is None:
                continue
            yield MovedRegistered(
                name=str(meta.get("name") or folder.name), description=str(meta.get("description") or ""),
                created_at=meta.get("creation_timestamp") or 0, updated_at=meta.get("last_updated_timestamp") or 0,
                tags=_texts(folder / "tags"), versions=list(self._versions(folder)),
                aliases={alias: int(number) for alias, number in _texts(folder / "aliases").items()},
            )  # fmt: skip

    def files(self, owner: MovedRun | MovedModel) -> Iterator[FoundFile]:
        folder = local_path(owner.artifact_uri, self._artifacts)
        return files_below(folder) if has_files(folder) else iter(())

    def folder(self, uri: str) -> Iterator[FoundFile]:
        return files_below(local_path(uri, self._artifacts))

    def omissions(self) -> list[Omission]:
        traces = sum(len(_folders(folder / "traces")) for folder in self._folders.values())
        found = Omission(
            what="traces", name=f"{traces} of them", why="the import takes those of databases and servers only"
        )
        more = [found] if traces else []
        return [*self._omissions, *more]

    def _run_folders(self, folder: Path) -> list[Path]:
        return [run for run in _folders(folder) if run.name not in ("tags", "models", "datasets", "traces", ".trash")]

    def _datasets(self, run: Path) -> Iterator[MovedDataset]:
        for link in _folders(run / "inputs"):
            meta = self._meta(link) or {}
            if meta.get("source_type") != "DATASET":
                continue
            told = self._meta(run.parent / "datasets" / str(meta.get("source_id")))
            if told is not None:
                fields = {name: str(told.get(name) or "") for name in ("name", "digest", "source_type", "source")}
                yield MovedDataset(
                    **fields, schema=str(told.get("schema") or ""), profile=str(told.get("profile") or ""),
                    tags={str(key): str(value) for key, value in (meta.get("tags") or {}).items()},
                )  # fmt: skip

    def _models_of(self, run: Path) -> Iterator[MovedModelUse]:
        for link in _folders(run / "outputs"):
            meta = self._meta(link) or {}
            model_id = str(meta.get("destination_id") or link.name)
            yield MovedModelUse(direction="output", model_id=model_id, step=meta.get("step") or 0)
        for link in _folders(run / "inputs"):
            meta = self._meta(link) or {}
            if str(meta.get("destination_type", "")).startswith("MODEL"):
                yield MovedModelUse(direction="input", model_id=str(meta.get("destination_id") or link.name))

    def _versions(self, model: Path) -> Iterator[MovedVersion]:
        for folder in _folders(model):
            meta = self._meta(folder) if folder.name.startswith("version-") else None
            if meta is None or meta.get("current_stage") == "Deleted_Internal":
                continue
            source = str(meta.get("source") or "")
            yield MovedVersion(
                version=int(meta["version"]), source=source,
                storage=stored_at(source, meta.get("storage_location")), run_id=str(meta.get("run_id") or ""),
                run_link=str(meta.get("run_link") or ""),
                model_id=str(meta.get("model_id") or "")
                or (source[len("models:/") :] if source.startswith("models:/m-") else ""),
                description=str(meta.get("description") or ""), stage=str(meta.get("current_stage") or "None"),
                created_at=meta.get("creation_timestamp") or 0, updated_at=meta.get("last_updated_timestamp") or 0,
                tags=_texts(folder / "tags"),
            )  # fmt: skip

    def _meta(self, folder: Path) -> Meta | None:
        """The folder's meta.yaml; None when it has none or it cannot be read, which is then told."""
        file = folder / "meta.yaml"
        if not file.is_file():
            return None
        try:
            found = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        except yaml.YAMLError as error:
            omission = Omission(what="folder", name=folder.name, why=f"its meta.yaml is broken: {error}")
            if omission not in self._omissions:
                self._omissions.append(omission)
            return None
        return found if isinstance(found, dict) else None


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name != ".trash")


def _named_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files below a folder; a key with slashes is a path."""
    for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if file.is_file():
            yield file.relative_to(folder).as_posix(), file


def _texts(folder: Path) -> dict[str, str]:
    return {key: file.read_text("utf-8").rstrip("\n") for key, file in _named_files(folder)}


def _point(words: list[str]) -> tuple[int, float | None, int] | None:
    """(time, value, step) of a line; the oldest stores wrote no step."""
    if len(words) < 2:
        return None
    value = float(words[1])
    finite = max(min(value, 1.7976931348623157e308), -1.7976931348623157e308)
    return int(words[0]), None if value != value else finite, int(words[2]) if len(words) > 2 else 0  # noqa: PLR0124


def _model_metrics(folder: Path) -> Iterator[MovedModelMetric]:
    for key, file in _named_files(folder):
        for line in file.read_text("utf-8").splitlines():
            words = line.split()
            point = _point(words[:3])
            if point is not None:
                name, digest = (words[4], words[5]) if len(words) > 5 else ("", "")
                yield MovedModelMetric(
                    key=key, value=point[1], step=point[2], at=point[0], run_id=words[3] if len(words) > 3 else "",
                    dataset_name=name, dataset_digest=digest,
                )  # fmt: skip


def _lifecycle(meta: Meta) -> Literal["active", "deleted"]:
    return "deleted" if meta.get("lifecycle_stage") == "deleted" else "active"
