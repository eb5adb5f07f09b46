"""A run as it is read: who it is, what was logged, what it read and made."""

from __future__ import annotations

from typing import Literal

import msgspec

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
STATUSES: tuple[str, ...] = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})

NAME_TAG = "mlflow.runName"
USER_TAG = "mlflow.user"
CONTEXT_TAG = "mlflow.data.context"


class Latest(msgspec.Struct, frozen=True, gc=False):
    """The newest point of a metric; ``value`` may be NaN, ``at`` is ms since 1970 UTC."""

    key: str
    value: float
    step: int
    at: int


class InputDataset(msgspec.Struct, frozen=True, kw_only=True):
    """A table as a client described it when it logged the input. ``tags`` has the part it played."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    tags: dict[str, str] = {}


class RunModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model a run has read or made."""

    direction: Literal["input", "output"]
    model_id: str
    step: int = 0


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who a run is. Times in ms since 1970 UTC; ``created_by`` is the account, ``user_id`` what the client claims."""

    row: int
    run_id: str
    experiment_id: str
    name: str
    user_id: str
    status: str
    start_time: int
    end_time: int | None
    artifact_uri: str
    lifecycle: str
    created_by: str


class DatasetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that runs of an experiment have read, in one context (training, evaluation, ...)."""

    experiment_id: str
    name: str
    digest: str
    context: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run with all that was logged to it; keys in alphabetical order."""

    info: RunInfo
    metrics: list[Latest]
    params: list[tuple[str, str]]
    tags: list[tuple[str, str]]
    datasets: list[InputDataset]
    models: list[RunModel]

    def metric(self, key: str) -> float | None:
        """The newest value of a metric, or None."""
        return next((m.value for m in self.metrics if m.key == key), None)

    def tag(self, key: str) -> str:
        """A tag's value, or nothing."""
        return next((value for name, value in self.tags if name == key), "")
