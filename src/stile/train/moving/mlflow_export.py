"""``stile export --layout mlflow``: a folder that a genuine MLflow serves as it is, with the same ids and times.

    mlflow.db       MLflow's tables in SQLite; under this name only when all is in it
    artifacts/      the files, under the paths that the addresses ``mlflow-artifacts:/...`` name

Until it is whole the database is ``mlflow.db.unfinished``. A write that was stopped goes on from there when it is
repeated: runs and models that are done are not read again, except for what can still change of them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from stile.kernel.errors import Invalid, Missing, Unavailable
from stile.train import prompts
from stile.train.artifact_paths import SCHEME, checked_path, is_remote, ours
from stile.train.moving.mlflow_database import MlflowDatabase
from stile.train.moving.transfer import Report, Watcher
from stile.train.moving.values import (
    FoundFile,
    MovedExperiment,
    MovedModel,
    MovedRegistered,
    MovedRun,
    MovedTrace,
    MovedVersion,
    NotHere,
    Omission,
    Source,
)

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
_UNFINISHED = f"{DATABASE}.unfinished"
_INCOMING = "file.unfinished"
_NO_PLACE = {
    errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL, errno.EILSEQ,
}  # fmt: skip
"""Errors of a disk that cannot have a file of this name, or has another thing where it belongs."""
_OURS = {ARTIFACTS, _INCOMING, *(_UNFINISHED + suffix for suffix in ("", "-wal", "-shm", "-journal"))}
Pinned = Callable[[str, int], str]
"""Where the files of a version of a registered model are, by its name and number."""


class MlflowExport:
    """One export of a source into a folder.

    Args:
        source: what is exported; may be asked for the same again.
        folder: where to; new, empty, or with a begun export of the same source.
        pinned: where the files of versions are, as they were when they were registered.
        now: ms since 1970 UTC.

    Raises:
        Invalid: the folder holds something else, or an export that is whole. Nothing is written before ``run``.
    """

    def __init__(self, source: Source, folder: Path, watcher: Watcher, *, pinned: Pinned, now: int) -> None:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise Invalid(f"{folder} is not a folder. Export into a new one.")
        there = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
        if there and not (there <= _OURS and _UNFINISHED in there):
            raise Invalid(f"{folder} is not empty. Export into a new folder.")
        self._source, self._watcher, self._pinned, self._now = source, watcher, pinned, now
        self._folder, self._files = folder, _Files(folder)
        self._database: MlflowDatabase
        self._omitted: list[Omission] = []
        self.report = Report(source=source.name)

    def run(self) -> Report:
        """Write everything; when it returns, the folder is whole.

        Raises:
            Invalid: the folder holds a begun export of another source.
            Unavailable: the source went away, or the folder cannot be written; run it again to go on.
        """
        experiments = self._source.experiments()  # a source that is not there leaves no folder behind
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with closing(MlflowDatabase(self._folder / _UNFINISHED, self._source.name)) as self._database:
                self._write(experiments)
        except Unavailable as error:
            raise Unavailable(f"{error.message} What is written is kept: run the same again to go on.") from error
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(
                f"{self._folder} cannot be written: {error}. What is written is kept: run the same again to go on."
            ) from error
        finally:
            self._files.close()
        return self.report

    def _write(self, experiments: list[MovedExperiment]) -> None:
        (self._folder / ARTIFACTS).mkdir(exist_ok=True)
        self._watcher.total(self._source.run_count())
        for experiment in experiments:
            self._experiment(experiment)
        for experiment in experiments:
            for model in self._source.models(experiment):
                self._model(model)
            for run in self._source.runs(experiment):
                self._run(run)
            for trace in self._source.traces(experiment):
                self._trace(trace)
        for registered in self._source.registered():
            self._registered(registered)
        self._end()

    def _experiment(self, given: MovedExperiment) -> None:
        place = given.artifact_location or f"{SCHEME}{given.id}"
        with self._database.together():
            name = self._database.experiment(msgspec.structs.replace(given, artifact_location=place))
            if name != given.name:
                self._omit("experiment name", given.name, f"another has it there; it is now called {name!r}")
            self._keep(f"experiment {given.id}")
        self._count("experiments")

    def _model(self, given: MovedModel) -> None:
        mark = str(given.updated_at)
        fresh = self._database.done("model", given.model_id) != mark
        if fresh:
            self._copy(given.artifact_uri, given.model_id, lambda: self._source.files(given))
        numbers = [metric for metric in given.metrics if metric.value is not None]
        if fresh:
            for key in (metric.key for metric in given.metrics if metric.value is None):
                self._omit("metric", f"{key} of {given.model_id}", "MLflow keeps no NaN there; its run has it")
        with self._database.together():
            self._database.model(msgspec.structs.replace(given, metrics=numbers))
            if fresh:
                self._keep(f"model {given.model_id}")
            if given.status != "LOGGED_MODEL_PENDING":
                self._database.finish("model", given.model_id, mark)
        self._count("logged models")

    def _run(self, given: MovedRun) -> None:
        mark = str(given.end_time)
        fresh = given.end_time is None or self._database.done("run", given.run_id) != mark
        came = 0
        if fresh:
            self._copy(given.artifact_uri, given.run_id, lambda: self._source.files(given))
        with self._database.together():
            self._database.run(given, now=self._now)
            if fresh:
                came, kept = self._database.points(given.run_id, self._source.series(given))
                if came > kept:
                    self._omit("points", f"{came - kept} of {given.run_id}", "the same in everything as another point")
                self._keep(f"run {given.run_id}")
                self._database.finish("run", given.run_id, mark)
        self._count("points", came)
        self._count("runs")

    def _trace(self, given: MovedTrace) -> None:
        place = given.artifact_uri
        fresh = self._database.done("trace", given.trace_id) is None
        if fresh and place.startswith(SCHEME):
            self._copy(place, given.trace_id, lambda: self._source.folder(place), needed=not given.spans)
        try:
            with self._database.together():
                self._database.trace(given)
                if fresh:
                    self._keep(f"trace {given.trace_id}")
                self._database.finish("trace", given.trace_id, "")
        except Invalid as error:
            self._omit("trace", given.trace_id, error.message)
            self._keep(f"trace {given.trace_id}")
        self._count("traces")

    def _registered(self, given: MovedRegistered) -> None:
        places = {one.version: place for one in given.versions if (place := self._place(given, one))}
        with self._database.together():
            self._database.registered(given, places)
            self._keep(f"registered model {given.name}")
        self._count("registered models")
        self._count("versions", len(given.versions))
        self._count("aliases", len(given.aliases))

    def _place(self, model: MovedRegistered, given: MovedVersion) -> str:
        """Where the files of a version lie in the export; '' when it has none there."""
        if prompts.is_prompt(given.tags) or prompts.is_prompt(model.tags):
            return ""
        name = f"{model.name} v{given.version}"
        try:
            place = self._pinned(model.name, given.version)
        except Missing as error:
            self._omit("files", name, error.message)
            return ""
        if is_remote(place):
            return place
        if _path(place) is None:
            self._omit("files", name, f"no files were found at {place or given.source}")
            return ""
        for near in self._database.places_of(given):
            if self._same(place, near):
                return near
        if not self._copy(place, name, lambda: self._source.folder(place)):
            self._omit("files", name, f"no files were found at {given.source}")
        return place

    def _same(self, place: str, near: str) -> bool:
        """Whether the files of a version are those that lie at ``near``, and so need not be there twice."""
        root = _path(near)
        there = self._database.files_below(root) if root else {}
        if not there or place == near:
            return bool(there)
        try:
            found = list(self._source.folder(place))
            if {one.path: one.size for one in found} != {path: size for path, (_, size) in there.items()}:
                return False
            return all(_digest(one) == there[one.path][0] for one in found)
        except NotHere:
            return False

    def _copy(self, uri: str, name: str, files: Callable[[], Iterator[FoundFile]], *, needed: bool = True) -> int:
        """Put the files of an address where MLflow looks for them; returns how many."""
        root = _path(uri)
        if root is None:
            if uri:
                self._omit("files", name, f"they stay at {uri}; clients go on reading them there")
            return 0
        count = 0
        try:
            for found in files():
                try:
                    path, digest, size = self._files.put(root, found)
                except (Invalid, Missing) as error:
                    self._omit("file", f"{name}: {found.path}", error.message)
                    continue
                except OSError as error:
                    if error.errno not in _NO_PLACE:
                        raise
                    self._omit("file", f"{name}: {found.path}", error.strerror or str(error))
                    continue
                self._database.file(path, digest, size)
                count += 1
                self._count("files")
        except NotHere as error:
            if needed:
                self._omit("files", name, str(error))
        return count

    def _end(self) -> None:
        self._omitted += self._source.omissions()
        with self._database.together():
            lost = self._database.orphans()
            self._omitted += [Omission(what="row", name=one, why="MLflow's own keys forbid it") for one in lost]
            self._keep("all")
        self.report.omitted = self._database.omissions()
        self._files.close()
        self._database.complete()
        if hasattr(os, "sync"):
            os.sync()  # the files, before the name that says they are there
        (self._folder / _UNFINISHED).replace(self._folder / DATABASE)
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _keep(self, owner: str) -> None:
        """Remember with an owner what was not taken of it."""
        self._database.omitted(owner, self._omitted)
        self._omitted = []

    def _omit(self, what: str, name: str, why: str) -> None:
        self._omitted.append(Omission(what=what, name=name, why=why))

    def _count(self, what: str, more: int = 1) -> None:
        self.report.seen[what] = self.report.seen.get(what, 0) + more
        self._watcher.moved(what, more)


class _Files:
    """The files of an export, each under the path that its address names."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / ARTIFACTS
        self._incoming = folder / _INCOMING

    def put(self, root: str, found: FoundFile) -> tuple[str, str, int]:
        """Write a file; returns its path, digest and size.

        Raises:
            Invalid: its path leads elsewhere.
            OSError: this disk has no place for a file of this name.
        """
        path = f"{root}/{checked_path(found.path)}"
        digest, size = hashlib.sha256(), 0
        with self._incoming.open("wb") as out:
            for chunk in found.read():
                digest.update(chunk)
                size += len(chunk)
                out.write(chunk)
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._incoming.replace(target)
        return path, f"sha256:{digest.hexdigest()}", size

    def close(self) -> None:
        """Leave no half file behind."""
        self._incoming.unlink(missing_ok=True)


def _path(uri: str) -> str | None:
    """The path below ``artifacts`` that an address names; None for another address, or one that leads elsewhere."""
    try:
        return ours(uri)
    except Invalid:
        return None


def _digest(found: FoundFile) -> str:
    digest = hashlib.sha256()
    for chunk in found.read():
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
