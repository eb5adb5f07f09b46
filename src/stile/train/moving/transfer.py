"""From a source into a server: in batches, resumable, and telling what was not taken.

Everything is written through the server's own import routes, which add only what is missing. So
a transfer may be stopped at any moment and started again: what was finished is remembered in a
state file and passed by, and what was half done is completed.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from stile.client.session import Session
from stile.kernel.errors import Forbidden, StileError, Unauthenticated, Unavailable
from stile.train import prompts
from stile.train.artifact_paths import SCHEME, is_remote
from stile.train.moving.state import TransferState
from stile.train.moving.values import (
    FoundFile,
    MovedExperiment,
    MovedFile,
    MovedModel,
    MovedRun,
    MovedSeries,
    MovedTrace,
    MovedVersion,
    NotHere,
    Omission,
    Source,
)

_RUNS_AT_ONCE = 100
_POINTS_AT_ONCE = 20_000
_FILES_AT_ONCE = 500
_TRACES_AT_ONCE = 50
_BYTES_AT_ONCE = 1 << 20
_PLAIN = re.compile(r"[\w-][\w .-]*")
_OTHER = re.compile(r"[^\w-]+")
_FATAL = (Unavailable, Unauthenticated, Forbidden)


class Watcher(Protocol):
    """Is told how a transfer goes."""

    def total(self, runs: int | None) -> None:
        """How many runs there are, when that is known."""
        ...

    def moved(self, what: str, count: int) -> None:
        """So many more of something were dealt with (``runs``, ``points``, ``files`` ...)."""
        ...


class Report(msgspec.Struct, kw_only=True):
    """How a transfer has ended.

    Attributes:
        source: where from.
        seen: how many of each kind the source holds, passed-by runs included.
        added: how many of each kind were new to the server.
        omitted: what was not taken, and why.
    """

    source: str
    seen: dict[str, int] = msgspec.field(default_factory=dict)
    added: dict[str, int] = msgspec.field(default_factory=dict)
    omitted: list[Omission] = msgspec.field(default_factory=list)


class Transfer:
    """One transfer of a source into a server."""

    def __init__(self, source: Source, session: Session, state: TransferState, watcher: Watcher) -> None:
        self._source = source
        self._session = session
        self._state = state
        self._watcher = watcher
        self._roots: dict[str, str] = {}
        self.report = Report(source=source.name)

    def run(self) -> Report:
        """Move everything. May be repeated.

        Raises:
            Unavailable: the server or the source went away; run it again to go on.
            Forbidden: the caller may not import.
        """
        experiments = self._source.experiments()
        self._watcher.total(self._source.run_count())
        numbers = {one.id: number for one in experiments if (number := self._experiment(one)) is not None}
        for experiment in experiments:
            if experiment.id in numbers:
                self._models(experiment, numbers[experiment.id])
                self._runs(experiment, numbers[experiment.id])
                self._traces(experiment, numbers[experiment.id])
        self._registered()
        self.report.omitted += self._source.omissions()
        body = {"source": self._source.name, "counts": self.report.added, "omitted": len(self.report.omitted)}
        if any(self.report.added.values()):
            self._session.post("/api/v1/import/finished", body)
        return self.report

    def _experiment(self, given: MovedExperiment) -> str | None:
        self._see("experiments")
        try:
            answer = self._session.post("/api/v1/import/experiments", {"experiment": given})
        except _FATAL:
            raise
        except StileError as error:
            self._omit("experiment", given.name, error.message)
            return None
        self._add("experiments", answer["added"])
        self._refused("experiment", given.name, answer)
        if given.artifact_location:
            self._roots[_plain(given.artifact_location)] = answer["artifact_uri"]
        return str(answer["id"])

    def _models(self, experiment: MovedExperiment, number: str) -> None:
        for model in self._source.models(experiment):
            self._see("logged models")
            try:
                body = {"experiment_id": number, "models": [model]}
                answer = self._session.post("/api/v1/import/models", body)["models"][0]
            except _FATAL:
                raise
            except StileError as error:
                self._omit("logged model", model.model_id, error.message)
                continue
            self._add("logged models", answer["added"])
            self._refused("logged model", model.model_id, answer)
            self._files(model, model.model_id, answer["artifact_uri"])

    def _runs(self, experiment: MovedExperiment, number: str) -> None:
        batch: list[MovedRun] = []
        for run in self._source.runs(experiment):
            self._see("runs")
            batch.append(run)
            if len(batch) == _RUNS_AT_ONCE:
                self._runs_of_batch(batch, number)
                batch = []
        if batch:
            self._runs_of_batch(batch, number)

    def _runs_of_batch(self, batch: list[MovedRun], number: str) -> None:
        ids = [run.run_id for run in batch]
        here = set(self._session.post("/api/v1/import/known-runs", {"runs": ids})["runs"])
        waiting: list[MovedRun] = []
        for run in batch:
            done = self._state.done(run.run_id) if run.run_id in here else None
            if done is not None and done.end_time == run.end_time and run.end_time is not None:
                self._roots[_plain(run.artifact_uri)] = done.artifact_uri
                self._watcher.moved("runs", 1)
            else:
                waiting.append(run)
        answers = list(self._adopt(waiting, number))
        points = _Points(self._session)
        for run, answer in answers:
            self._add("runs", answer["added"])
            self._refused("run", run.run_id, answer)
            for series in self._source.series(run):
                self._see("points", len(series.at))
                points.put(series)
        self._add("points", points.flush())
        for key, why in points.refused:
            self._omit("metric", key, why)
        for run, answer in answers:
            whole = self._files(run, run.run_id, answer["artifact_uri"])
            if whole:
                self._state.finish(run.run_id, run.end_time, answer["artifact_uri"])
            self._watcher.moved("runs", 1)

    def _traces(self, experiment: MovedExperiment, number: str) -> None:
        batch: list[MovedTrace] = []
        size = 0
        for trace in self._source.traces(experiment):
            self._see("traces")
            batch.append(trace)
            size += len(msgspec.json.encode(trace))
            if len(batch) == _TRACES_AT_ONCE or size > _BYTES_AT_ONCE:
                self._traces_of_batch(batch, number)
                batch, size = [], 0
        self._traces_of_batch(batch, number)

    def _traces_of_batch(self, batch: list[MovedTrace], number: str) -> None:
        if not batch:
            return
        try:
            answers = self._session.post("/api/v1/import/traces", {"experiment_id": number, "traces": batch})["traces"]
        except _FATAL:
            raise
        except StileError as error:
            if len(batch) == 1:
                self._omit("trace", batch[0].trace_id, error.message)
                return
            middle = len(batch) // 2
            self._traces_of_batch(batch[:middle], number)
            self._traces_of_batch(batch[middle:], number)
            return
        for trace, answer in zip(batch, answers, strict=True):
            self._add("traces", answer["added"])
            if answer["added"] and trace.artifact_uri and not is_remote(trace.artifact_uri):
                with contextlib.suppress(NotHere):  # most have no files, and so no folder
                    self._put_files(self._source.folder(trace.artifact_uri), answer["artifact_uri"])

    def _adopt(self, runs: list[MovedRun], number: str) -> Iterator[tuple[MovedRun, dict[str, Any]]]:
        """Hand runs over together; if that is refused, one by one, to find out which it is."""
        if not runs:
            return
        try:
            body = {"experiment_id": number, "runs": runs}
            yield from zip(runs, self._session.post("/api/v1/import/runs", body)["runs"], strict=True)
        except _FATAL:
            raise
        except StileError as error:
            if len(runs) == 1:
                self._omit("run", runs[0].run_id, error.message)
                return
            middle = len(runs) // 2
            yield from self._adopt(runs[:middle], number)
            yield from self._adopt(runs[middle:], number)

    def _files(self, owner: MovedRun | MovedModel, name: str, uri: str) -> bool:
        """Move the files of a run or model; whether none was left behind."""
        self._roots[_plain(owner.artifact_uri)] = uri
        if is_remote(uri):
            self._omit("files", name, f"they stay at {uri}; clients go on reading them there")
            return True
        try:
            return self._put_files(self._source.files(owner), uri)
        except NotHere as error:
            self._omit("files", name, str(error))
            return False
        except _FATAL:
            raise
        except (StileError, OSError) as error:
            self._omit("files", name, str(error))
            return False

    def _put_files(self, files: Iterator[FoundFile], uri: str) -> bool:
        batch: list[tuple[MovedFile, FoundFile]] = []
        for found in files:
            self._see("files")
            digest, size = (found.digest, found.size or 0) if found.digest else _digest(found)
            batch.append((MovedFile(path=found.path, digest=digest, size=size), found))
            if len(batch) == _FILES_AT_ONCE:
                self._bind(batch, uri)
                batch = []
        if batch:
            self._bind(batch, uri)
        return True

    def _bind(self, batch: list[tuple[MovedFile, FoundFile]], uri: str) -> None:
        body = {"artifact_uri": uri, "files": [file for file, _ in batch]}
        answer = self._session.post("/api/v1/import/files", body)
        added = int(answer["added"])
        needs = set(answer["needs"])
        if needs:
            for file, found in batch:
                if file.digest in needs:
                    needs.discard(file.digest)
                    sent = self._session.upload("/api/v1/blobs", found.read())["digest"]
                    if sent != file.digest:
                        self._omit("file", file.path, "it changed while it was read; run the import again")
            added += int(self._session.post("/api/v1/import/files", body)["added"])
        self._add("files", added)
        self._watcher.moved("files", len(batch))

    def _registered(self) -> None:
        for model in self._source.registered():
            self._see("registered models")
            self._see("versions", len(model.versions))
            versions = [self._version(model.name, version) for version in model.versions]
            given = msgspec.structs.replace(model, versions=versions)
            try:
                answer = self._session.post("/api/v1/import/registered-models", {"model": given})
            except _FATAL:
                raise
            except StileError as error:
                self._omit("registered model", model.name, error.message)
                continue
            self._add("registered models", answer["added"])
            self._add("versions", answer["versions"])
            self._add("aliases", answer["aliases"])
            self.report.omitted += [Omission(**one) for one in answer["refused"]]

    def _version(self, name: str, given: MovedVersion) -> MovedVersion:
        """The version with the address its files have here."""
        place = given.storage or given.source
        if place.startswith(("models:/", "runs:/")) or is_remote(place) or prompts.is_prompt(given.tags):
            return given
        here = self._here(place)
        if here:
            return self._placed(given, here)
        uri = f"{SCHEME}imported/{_segment(name)}/{given.version}"
        try:
            self._put_files(self._source.folder(place), uri)
        except (NotHere, StileError, OSError) as error:
            if isinstance(error, _FATAL):
                raise
            self._omit("files", f"{name} v{given.version}", str(error))
            return msgspec.structs.replace(given, storage="")
        return self._placed(given, uri)

    def _placed(self, given: MovedVersion, uri: str) -> MovedVersion:
        """The version with its files at ``uri``."""
        if given.storage:
            return msgspec.structs.replace(given, storage=uri, source=self._here(given.source) or given.source)
        return msgspec.structs.replace(given, source=uri)

    def _here(self, place: str) -> str:
        """The address that a place of the source has on the server; '' when it is not below anything that was moved."""
        plain = _plain(place)
        for root in sorted(self._roots, key=len, reverse=True):
            if root and (plain == root or plain.startswith(root + "/")):
                return self._roots[root] + plain[len(root) :]
        return ""

    def _see(self, what: str, count: int = 1) -> None:
        self.report.seen[what] = self.report.seen.get(what, 0) + count

    def _add(self, what: str, count: int) -> None:
        self.report.added[what] = self.report.added.get(what, 0) + int(count)

    def _refused(self, what: str, name: str, answer: dict[str, Any]) -> None:
        for why in answer.get("refused", []):
            self._omit(what, name, why)

    def _omit(self, what: str, name: str, why: str) -> None:
        self.report.omitted.append(Omission(what=what, name=name, why=why))


def _segment(name: str) -> str:
    """A model's name as a segment of a path; the same again when it is asked for again."""
    if _PLAIN.fullmatch(name):
        return name
    return f"{_OTHER.sub('_', name)[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


class _Points:
    """Series on their way, sent some ten thousand points at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: list[MovedSeries] = []
        self._count = 0
        self._added = 0
        self.refused: list[tuple[str, str]] = []

    def put(self, series: MovedSeries) -> None:
        self._waiting.append(series)
        self._count += len(series.at)
        if self._count >= _POINTS_AT_ONCE:
            self.flush()

    def flush(self) -> int:
        """Send what waits; returns how many points were new since the beginning."""
        if self._waiting:
            self._send(self._waiting)
        self._waiting, self._count = [], 0
        return self._added

    def _send(self, series: list[MovedSeries]) -> None:
        try:
            self._added += int(self._session.post("/api/v1/import/points", {"series": series}, timeout_s=300)["added"])
        except _FATAL:
            raise
        except StileError as error:
            if len(series) == 1:
                self.refused.append((f"{series[0].key} of {series[0].run_id}", error.message))
                return
            middle = len(series) // 2
            self._send(series[:middle])
            self._send(series[middle:])


def _digest(found: FoundFile) -> tuple[str, int]:
    """The digest and size of a file."""
    digest, size = hashlib.sha256(), 0
    for chunk in found.read():
        digest.update(chunk)
        size += len(chunk)
    return f"sha256:{digest.hexdigest()}", size


def _plain(uri: str) -> str:
    """An address in the one spelling in which addresses are compared."""
    if uri.startswith("file:"):
        return "/" + uri.removeprefix("file:").lstrip("/").rstrip("/")
    return uri.rstrip("/")
