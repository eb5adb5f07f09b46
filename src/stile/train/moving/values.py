"""What moves between stores: experiments, runs, series, models and files, with their ids and times.

One shape for every source and for the files of ``stile export``. Times are ms since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import msgspec

from stile.train.trace_values import ARTIFACTS_TAG, Assessment

POINTS_PER_SERIES = 10_000
"""Most points of one ``MovedSeries``; a longer history comes in several."""


class MovedExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment; ``id`` is the one it had where it comes from."""

    id: str
    name: str
    lifecycle: Literal["active", "deleted"] = "active"
    artifact_location: str = ""
    created_at: int = 0
    updated_at: int = 0
    tags: dict[str, str] = {}


class MovedDataset(msgspec.Struct, frozen=True, kw_only=True):
    """A table a run has read."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    tags: dict[str, str] = {}


class MovedModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model that a run has read or made."""

    direction: Literal["input", "output"]
    model_id: str
    step: int = 0


class MovedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run without its metric histories and files. ``experiment`` is the experiment's id where it comes from."""

    run_id: str
    experiment: str
    name: str = ""
    user_id: str = ""
    status: Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"] = "RUNNING"
    start_time: int = 0
    end_time: int | None = None
    lifecycle: Literal["active", "deleted"] = "active"
    artifact_uri: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    datasets: list[MovedDataset] = []
    models: list[MovedModelUse] = []


class MovedSeries(msgspec.Struct, frozen=True, kw_only=True):
    """Points of one metric, columns of equal length; a value of None is NaN, infinities are clamped."""

    run_id: str
    key: str
    at: list[int]
    step: list[int]
    value: list[float | None]


class MovedModelMetric(msgspec.Struct, frozen=True, kw_only=True):
    """The newest point of a metric that was measured for a logged model; a value of None is NaN."""

    key: str
    value: float | None
    step: int = 0
    at: int = 0
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class MovedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model without its files."""

    model_id: str
    experiment: str
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    artifact_uri: str = ""
    status: str = "LOGGED_MODEL_READY"
    created_at: int = 0
    updated_at: int = 0
    tags: dict[str, str] = {}
    params: dict[str, str] = {}
    metrics: list[MovedModelMetric] = []


class MovedTrace(msgspec.Struct, frozen=True, kw_only=True):
    """A trace with its spans, each as the JSON of its protocol buffer, and what was said about it.

    Attributes:
        at: ms since 1970 UTC; ``took`` is ms.
        runs: the runs it belongs to.
    """

    trace_id: str
    experiment: str
    state: str = "STATE_UNSPECIFIED"
    at: int = 0
    took: int | None = None
    client_request_id: str = ""
    request: str = ""
    response: str = ""
    tags: dict[str, str] = {}
    metadata: dict[str, str] = {}
    runs: list[str] = []
    spans: list[dict[str, Any]] = []
    assessments: list[Assessment] = []

    @property
    def artifact_uri(self) -> str:
        """Where its files are; '' when that is not said."""
        return self.tags.get(ARTIFACTS_TAG, "")


class MovedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a registered model; ``source`` is an address in the store it comes from or goes to.

    Attributes:
        storage: where its files are, when that is not ``source``: it was made of another version, which may be gone
            by now or have another name, or what lies at ``source`` has changed since.
    """

    version: int
    source: str = ""
    storage: str = ""
    run_id: str = ""
    run_link: str = ""
    model_id: str = ""
    description: str = ""
    stage: str = "None"
    created_at: int = 0
    updated_at: int = 0
    tags: dict[str, str] = {}


class MovedRegistered(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model with its versions and aliases."""

    name: str
    description: str = ""
    created_at: int = 0
    updated_at: int = 0
    tags: dict[str, str] = {}
    versions: list[MovedVersion] = []
    aliases: dict[str, int] = {}


class MovedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file below the artifact root of its run or model, known by the digest of its content."""

    path: str
    digest: str
    size: int


class Omission(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was not taken, and why."""

    what: str
    name: str
    why: str


class FoundFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file at its source: where it goes below the artifact root, and how to get it, piece by piece."""

    path: str
    size: int | None
    read: Callable[[], Iterator[bytes]]
    digest: str = ""


class Source(Protocol):
    """Where things are moved from. Reads only; asks no more of the source than one pass needs."""

    name: str
    """What it is, in words and without secrets."""

    def experiments(self) -> list[MovedExperiment]:
        """All experiments, deleted ones too."""
        ...

    def run_count(self) -> int | None:
        """How many runs there are, when that is cheap to know."""
        ...

    def runs(self, experiment: MovedExperiment) -> Iterator[MovedRun]:
        """The runs of an experiment, deleted ones too, oldest first."""
        ...

    def series(self, run: MovedRun) -> Iterator[MovedSeries]:
        """The full metric histories of a run."""
        ...

    def models(self, experiment: MovedExperiment) -> Iterator[MovedModel]:
        """The logged models of an experiment."""
        ...

    def traces(self, experiment: MovedExperiment) -> Iterator[MovedTrace]:
        """The traces of an experiment."""
        ...

    def registered(self) -> Iterator[MovedRegistered]:
        """The registered models."""
        ...

    def files(self, owner: MovedRun | MovedModel) -> Iterator[FoundFile]:
        """The files of a run or model.

        Raises:
            NotHere: they cannot be read from here; the message says why and what to do.
        """
        ...

    def folder(self, uri: str) -> Iterator[FoundFile]:
        """The files below an address that belongs to neither a run nor a model.

        Raises:
            NotHere: they cannot be read from here.
        """
        ...

    def omissions(self) -> list[Omission]:
        """What the source holds that Stile does not take, and what could not be read."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class NotHere(Exception):
    """Files cannot be read from where the move runs; the text says why."""


def is_copy(source: str) -> bool:
    """Whether this is the address of a version of a registered model, not of files or of a logged model."""
    name, _, version = source.removeprefix("models:/").partition("/")
    return source.startswith("models:/") and bool(name) and version.isdecimal()


def stored_at(source: str, storage: str | None) -> str:
    """Where the files of a version are, when that is known and not its source; '' otherwise."""
    return storage if storage and storage != source else ""
