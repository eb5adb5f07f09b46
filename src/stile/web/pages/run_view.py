"""What the page of a run says, worked out from what was read. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal

import msgspec

from stile.client.capture import (
    COMMAND_TAG,
    COMMIT_TAG,
    DIFF_PATH,
    DIFF_TAG,
    ENVIRONMENT_TAG,
    PYTHON_TAG,
    REQUIREMENTS_PATH,
)
from stile.train.artifact_records import Artifact
from stile.train.metric_direction import better, direction
from stile.train.run_values import Run
from stile.web.previews import kind_of
from stile.web.words import short_whole, signed, size

SYSTEM = "system"
NOTE_TAG = "mlflow.note.content"
PARENT_TAG = "mlflow.parentRunId"
HIDDEN = ("mlflow.", "stile.")
_TEXT_LETTERS = 300
_LARGEST_PICTURE = 1 << 20

Change = Literal["", "same", "changed", "new", "gone"]


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """The newest value of a metric; with a baseline the difference to it, and whether that is better."""

    key: str
    value: float
    step: int
    points: int
    before: float | None = None
    difference: float | None = None
    better: bool | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics with the same prefix: ``train/loss`` and ``train/auc``. ``name`` is empty for those without."""

    name: str
    rows: list[MetricRow]

    @property
    def curves(self) -> list[MetricRow]:
        """Those with more than one point."""
        return [row for row in self.rows if row.points > 1]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows of a group of metrics; the rest is loaded when somebody asks for it.

    Attributes:
        rows: in the table.
        curves: with a figure.
        total: curves it has.
    """

    name: str
    rows: list[MetricRow]
    curves: list[MetricRow]
    total: int


class ParamRow(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter; with a baseline what it was there, and whether it differs."""

    key: str
    value: str
    before: str = ""
    change: Change = ""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One line about the environment; ``file`` is the path of an artifact that tells more."""

    name: str
    text: str
    file: str = ""


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of files: ``path`` from the root, folders and files by name."""

    name: str
    path: str
    folders: list[Folder]
    files: list[Artifact]
    size: int
    count: int


def metric_groups(run: Run, sizes: Mapping[str, int], baseline: Run | None, find: str = "") -> list[Group]:
    """Metrics by prefix, those without one first and the machine's own last; only keys that contain ``find``."""
    before = {} if baseline is None else {metric.key: metric.value for metric in baseline.metrics}
    groups: dict[str, list[MetricRow]] = {}
    for metric in run.metrics:
        if find.lower() not in metric.key.lower():
            continue
        prefix = metric.key.partition("/")[0] if "/" in metric.key else ""
        old = before.get(metric.key)
        difference = None if old is None else metric.value - old
        row = MetricRow(
            key=metric.key, value=metric.value, step=metric.step, points=sizes.get(metric.key, 1), before=old,
            difference=difference, better=None if difference is None else better(metric.key, difference),
        )  # fmt: skip
        groups.setdefault(prefix, []).append(row)
    names = sorted(groups, key=lambda name: (name == SYSTEM, name != "", name))
    return [Group(name=name, rows=groups[name]) for name in names]


def difference_words(row: MetricRow) -> str:
    """``+0.012 better``, or only the number where nobody knows which way is better."""
    if row.difference is None:
        return ""
    word = "" if row.better is None else " better" if row.better else " worse"
    return signed(row.difference, digits_beside(row.value)) + word


def digits_beside(value: float) -> int:
    """Digits behind the point of a difference: as many as the value has."""
    return 1 if abs(value) >= 1000 else 4


def shown(groups: Sequence[Group], opened: Sequence[str], *, rows: int, curves: int, most: int) -> list[Shown]:
    """The first rows and figures of all groups together; those of the machine only when it is opened.

    Args:
        groups: as ``metric_groups`` orders them.
        opened: names of groups that are shown with all their figures.
        rows: of the table, of all groups together.
        curves: figures of all groups together that are not opened.
        most: figures of an opened group.
    """
    found = []
    for group in groups:
        if group.name in opened:
            figures = group.curves[:most]
        else:
            figures = [] if group.name == SYSTEM else group.curves[:curves]
            curves -= len(figures)
        found.append(Shown(name=group.name, rows=group.rows[:rows], curves=figures, total=len(group.curves)))
        rows -= len(found[-1].rows)
    return found


def param_rows(run: Run, baseline: Run | None, find: str = "") -> list[ParamRow]:
    """Parameters by name; with a baseline those that differ first."""
    wanted = find.lower()
    own = {key: value for key, value in run.params if wanted in key.lower() or wanted in value.lower()}
    if baseline is None:
        return [ParamRow(key=key, value=value) for key, value in own.items()]
    theirs = {key: value for key, value in baseline.params if wanted in key.lower() or wanted in value.lower()}
    rows = []
    for key in sorted({*own, *theirs}):
        here, there = own.get(key), theirs.get(key)
        change: Change = "gone" if here is None else "new" if there is None else "same" if here == there else "changed"
        rows.append(ParamRow(key=key, value=here or "", before=there or "", change=change))
    return sorted(rows, key=lambda row: row.change == "same")


def shown_tags(run: Run) -> list[tuple[str, str]]:
    """Tags that people and their scripts have set, without those of the clients."""
    return [(key, value) for key, value in run.tags if not key.startswith(HIDDEN)]


def environment(run: Run, files: Sequence[Artifact], root: str, machine: Mapping[str, Any]) -> list[Fact]:
    """What it was made with: commit, changes, command, Python, packages, machine. Empty when nothing was kept."""
    there = {file.path.removeprefix(root + "/"): file for file in files}
    facts: list[Fact] = []

    def say(name: str, text: str, file: str = "") -> None:
        if text or file:
            facts.append(Fact(name=name, text=text[:_TEXT_LETTERS], file=file))

    say("Commit", run.tag("mlflow.source.git.commit") or run.tag(COMMIT_TAG))
    say("Branch", run.tag("mlflow.source.git.branch"))
    say("Repository", run.tag("mlflow.source.git.repoURL"))
    if DIFF_PATH in there:
        say("Uncommitted changes", size(there[DIFF_PATH].size), DIFF_PATH)
    elif run.tag(DIFF_TAG):
        say("Uncommitted changes", run.tag(DIFF_TAG))
    say("Command", command_words(run.tag(COMMAND_TAG)))
    say("Source", run.tag("mlflow.source.name"))
    say("Project entry point", run.tag("mlflow.project.entryPoint"))
    say(
        "Python",
        " ".join(
            filter(
                None, (run.tag(PYTHON_TAG) or str(machine.get("python", "")), str(machine.get("implementation", "")))
            )
        ),
    )
    packages = next((path for path in (REQUIREMENTS_PATH, *_requirements(there)) if path in there), "")
    count = machine.get("packages")
    say("Packages", f"{count} packages" if isinstance(count, int) else "", packages)
    say("Machine", ", ".join(str(machine[key]) for key in ("platform", "machine") if machine.get(key)))
    say("Environment digest", run.tag(ENVIRONMENT_TAG)[:20])
    return facts


def _requirements(there: Mapping[str, Artifact]) -> list[str]:
    """Files in which MLflow keeps a model's packages, the shallowest first."""
    named = [path for path in there if path.rpartition("/")[2] in ("requirements.txt", "conda.yaml")]
    return sorted(named, key=lambda path: (path.count("/"), not path.endswith("requirements.txt"), path))


def command_words(text: str) -> str:
    """A command as it is typed, from the list it was kept as."""
    try:
        words = json.loads(text) if text else []
    except ValueError:
        return text
    return " ".join(map(str, words)) if isinstance(words, list) else text


def tree(files: Sequence[Artifact], root: str, name: str = "") -> Folder:
    """Files below ``root`` as a tree."""
    return _folder(name, "", [(file.path.removeprefix(root + "/").split("/"), file) for file in files])


def pictures(files: Sequence[Artifact], root: str, most: int = 12) -> list[str]:
    """Paths of the pictures among a run's files that are shown at once: the first of those that are small enough."""
    found = (file for file in files if kind_of(file.path, file.size) == "image" and file.size <= _LARGEST_PICTURE)
    return [file.path.removeprefix(root + "/") for file in islice(found, most)]


def _folder(name: str, path: str, entries: Sequence[tuple[list[str], Artifact]]) -> Folder:
    files = [file for parts, file in entries if len(parts) == 1]
    below: dict[str, list[tuple[list[str], Artifact]]] = {}
    for parts, file in entries:
        if len(parts) > 1:
            below.setdefault(parts[0], []).append((parts[1:], file))
    folders = [_folder(child, f"{path}/{child}".lstrip("/"), inner) for child, inner in sorted(below.items())]
    return Folder(
        name=name,
        path=path,
        folders=folders,
        files=files,
        size=sum(file.size for _, file in entries),
        count=len(entries),
    )


def lacking(run: Run, registered: bool, evaluated: bool) -> list[str]:
    """What an unfinished or bare run still lacks before anybody can judge it."""
    missing = []
    if run.info.status in ("RUNNING", "SCHEDULED"):
        missing.append("it has not ended")
    if not run.metrics:
        missing.append("no metric was logged")
    if not run.params:
        missing.append("no parameter was logged")
    if not registered:
        missing.append("no version was registered from it")
    elif not evaluated:
        missing.append("its version was not evaluated")
    return missing


def headline(groups: Sequence[Group], most: int = 3) -> list[MetricRow]:
    """The few metrics a run is known by: those that say how good it is, never the machine's.

    Among them final figures come before curves, and what was measured on unseen data before training.
    """
    rows = [row for group in groups if group.name != SYSTEM for row in group.rows]
    return sorted(
        rows, key=lambda row: (not direction(row.key), row.points > 1, "train" in row.key.lower(), len(row.key))
    )[:most]


def value_words(value: float) -> str:
    """A metric's value as it is shown: four digits, whole numbers as they are."""
    return short_whole(value, 4)
