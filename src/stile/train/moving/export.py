"""The open layout that ``stile export`` writes and ``stile import`` reads: JSON lines, and files by digest.

    stile-export.json          {"format": 1, "of": where it comes from}, written last: without it it is not whole
    experiments.jsonl          one MovedExperiment per line
    runs/RUN_ID.jsonl          {"run": MovedRun}, then {"series": MovedSeries} and {"file": MovedFile} lines
    models/MODEL_ID.jsonl      {"model": MovedModel}, then {"file": MovedFile} lines
    traces.jsonl               one MovedTrace per line
    registered-models.jsonl    one MovedRegistered per line
    folders.jsonl              {"uri": address, "file": MovedFile}: files of traces and of other versions
    omissions.jsonl            what could not be exported, and why
    blobs/ab/cdef...           the files' content, named by its sha256

Shapes: ``stile.train.moving.values``. A value of null in a series is NaN.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from stile.kernel.errors import Invalid
from stile.train.artifact_paths import SCHEME
from stile.train.limits import check_run_id
from stile.train.moving.values import (
    FoundFile,
    MovedExperiment,
    MovedFile,
    MovedModel,
    MovedRegistered,
    MovedRun,
    MovedSeries,
    MovedTrace,
    NotHere,
    Omission,
    Source,
)

T = TypeVar("T")

FORMAT = 1
MARK = "stile-export.json"
_CHUNK = 1 << 20

Told = Callable[[str, int], None]
"""Called with what was written and how many of it."""


class _Line(msgspec.Struct, omit_defaults=True):
    uri: str = ""
    run: MovedRun | None = None
    model: MovedModel | None = None
    series: MovedSeries | None = None
    file: MovedFile | None = None


def export(source: Source, folder: Path, told: Told) -> dict[str, int]:
    """Write everything of ``source`` below ``folder``, which must be new or empty; returns counts.

    Raises:
        Invalid: the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Invalid(f"{folder} is not empty. Export into a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    counts = {"experiments": 0, "runs": 0, "points": 0, "files": 0, "logged models": 0, "traces": 0,
              "registered models": 0}  # fmt: skip
    omitted: list[Omission] = []

    def count(what: str, more: int = 1) -> None:
        counts[what] += more
        told(what, counts[what])

    uris: set[str] = set()
    places: dict[str, None] = {}
    experiments = source.experiments()
    _write_lines(folder / "experiments.jsonl", experiments)
    count("experiments", len(experiments))
    for experiment in experiments:
        for model in source.models(experiment):
            with _opened(folder / "models", model.model_id) as out:
                _write(out, _Line(model=model))
                count("files", _export_files(source, model, folder, out, omitted))
            uris.add(model.artifact_uri)
            count("logged models")
        for run in source.runs(experiment):
            with _opened(folder / "runs", run.run_id) as out:
                _write(out, _Line(run=run))
                for series in source.series(run):
                    _write(out, _Line(series=series))
                    count("points", len(series.at))
                count("files", _export_files(source, run, folder, out, omitted))
            uris.add(run.artifact_uri)
            count("runs")
    with (folder / "traces.jsonl").open("wb") as out:
        for trace in (trace for experiment in experiments for trace in source.traces(experiment)):
            _write(out, trace)
            places[trace.artifact_uri] = None
            count("traces")
    registered = list(source.registered())
    _write_lines(folder / "registered-models.jsonl", registered)
    count("registered models", len(registered))
    with (folder / "folders.jsonl").open("wb") as out:
        for uri in [place for place in places if place.startswith(SCHEME)] + _elsewhere(registered, uris):
            try:
                for found in source.folder(uri):
                    _write(out, _Line(uri=uri, file=_keep(found, folder / "blobs")))
                    count("files")
            except NotHere as error:
                omitted.append(Omission(what="files", name=uri, why=str(error)))
    _write_lines(folder / "omissions.jsonl", [*source.omissions(), *omitted])
    mark = {"format": FORMAT, "of": source.name, "counts": counts, "omitted": len(omitted)}
    (folder / MARK).write_bytes(msgspec.json.format(msgspec.json.encode(mark)) + b"\n")
    return counts


class ExportSource:
    """An export as a source.

    Raises:
        Invalid: the folder holds no whole export, or one of a newer form.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        mark = root / MARK
        if not mark.is_file():
            raise Invalid(f"{root} holds no whole export: there is no {MARK} in it.")
        told = msgspec.json.decode(mark.read_bytes())
        if told.get("format") != FORMAT:
            raise Invalid(f"This export has the form {told.get('format')}; this Stile reads {FORMAT}. Upgrade Stile.")
        self.name = f"export of {told.get('of')}"
        self._folders: dict[str, list[MovedFile]] | None = None

    def close(self) -> None:
        """Nothing is kept open."""

    def experiments(self) -> list[MovedExperiment]:
        return list(_read_lines(self._root / "experiments.jsonl", MovedExperiment))

    def run_count(self) -> int | None:
        return sum(1 for _ in (self._root / "runs").glob("*.jsonl"))

    def runs(self, experiment: MovedExperiment) -> Iterator[MovedRun]:
        for file in sorted((self._root / "runs").glob("*.jsonl")):
            first = next(_read_lines(file, _Line), None)
            if first is not None and first.run is not None and first.run.experiment == experiment.id:
                yield first.run

    def series(self, run: MovedRun) -> Iterator[MovedSeries]:
        for line in _read_lines(self._file("runs", run.run_id), _Line):
            if line.series is not None:
                yield line.series

    def models(self, experiment: MovedExperiment) -> Iterator[MovedModel]:
        for file in sorted((self._root / "models").glob("*.jsonl")):
            first = next(_read_lines(file, _Line), None)
            if first is not None and first.model is not None and first.model.experiment == experiment.id:
                yield first.model

    def traces(self, experiment: MovedExperiment) -> Iterator[MovedTrace]:
        file = self._root / "traces.jsonl"
        found = _read_lines(file, MovedTrace) if file.is_file() else iter(())
        return (trace for trace in found if trace.experiment == experiment.id)

    def registered(self) -> Iterator[MovedRegistered]:
        return _read_lines(self._root / "registered-models.jsonl", MovedRegistered)

    def files(self, owner: MovedRun | MovedModel) -> Iterator[FoundFile]:
        file = self._file("runs", owner.run_id) if isinstance(owner, MovedRun) else self._file("models", owner.model_id)
        for line in _read_lines(file, _Line):
            if line.file is not None:
                yield self._found(line.file)

    def folder(self, uri: str) -> Iterator[FoundFile]:
        if self._folders is None:
            self._folders = {}
            file = self._root / "folders.jsonl"
            for line in _read_lines(file, _Line) if file.is_file() else ():
                if line.file is not None:
                    self._folders.setdefault(line.uri, []).append(line.file)
        if uri not in self._folders:
            raise NotHere(f"the files at {uri} are not part of the export")
        return map(self._found, self._folders[uri])

    def omissions(self) -> list[Omission]:
        file = self._root / "omissions.jsonl"
        return list(_read_lines(file, Omission)) if file.is_file() else []

    def _file(self, kind: str, name: str) -> Path:
        check_run_id(name)
        return self._root / kind / f"{name}.jsonl"

    def _found(self, file: MovedFile) -> FoundFile:
        return FoundFile(path=file.path, size=file.size, read=self._reader(file.digest), digest=file.digest)

    def _reader(self, digest: str) -> Callable[[], Iterator[bytes]]:
        name = digest.removeprefix("sha256:")

        def read() -> Iterator[bytes]:
            with (self._root / "blobs" / name[:2] / name[2:]).open("rb") as content:
                while chunk := content.read(_CHUNK):
                    yield chunk

        return read


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export."""
    return (folder / MARK).is_file()


def _export_files(
    source: Source, owner: MovedRun | MovedModel, folder: Path, out: BinaryIO, omitted: list[Omission]
) -> int:
    if not owner.artifact_uri.startswith(SCHEME):
        return 0  # in a store of its own: the address is exported, and stays good
    count = 0
    name = owner.run_id if isinstance(owner, MovedRun) else owner.model_id
    try:
        for found in source.files(owner):
            _write(out, _Line(file=_keep(found, folder / "blobs")))
            count += 1
    except NotHere as error:
        omitted.append(Omission(what="files", name=name, why=str(error)))
    return count


def _elsewhere(registered: list[MovedRegistered], uris: set[str]) -> list[str]:
    """Where files of versions are that are not below any of ``uris``."""
    places = dict.fromkeys(version.storage or version.source for model in registered for version in model.versions)

    def inside(place: str) -> bool:
        parts = place.split("/")
        return any("/".join(parts[:end]) in uris for end in range(1, len(parts) + 1))

    return [place for place in places if place.startswith(SCHEME) and not inside(place)]


def _keep(found: FoundFile, blobs: Path) -> MovedFile:
    blobs.mkdir(exist_ok=True)
    incoming = blobs / "incoming"
    digest, size = hashlib.sha256(), 0
    with incoming.open("wb") as out:
        for chunk in found.read():
            digest.update(chunk)
            size += len(chunk)
            out.write(chunk)
    name = digest.hexdigest()
    (blobs / name[:2]).mkdir(exist_ok=True)
    incoming.replace(blobs / name[:2] / name[2:])
    return MovedFile(path=found.path, digest=f"sha256:{name}", size=size)


def _opened(folder: Path, name: str) -> BinaryIO:
    check_run_id(name)
    folder.mkdir(exist_ok=True)
    return (folder / f"{name}.jsonl").open("wb")


def _write(out: BinaryIO, line: Any) -> None:
    out.write(msgspec.json.encode(line) + b"\n")


def _write_lines(file: Path, lines: list[Any]) -> None:
    with file.open("wb") as out:
        for line in lines:
            _write(out, line)


def _read_lines(file: Path, kind: type[T]) -> Iterator[T]:
    decoder = msgspec.json.Decoder(kind)
    try:
        with file.open("rb") as lines:
            for line in lines:
                yield decoder.decode(line)
    except (msgspec.DecodeError, FileNotFoundError) as error:
        raise Invalid(f"{file.name} of the export cannot be read: {error}. Export again.") from error
