"""``stile.toml``: what a project folder says about itself."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from stile.kernel.errors import Invalid, Missing

FILE = "stile.toml"


class CharterFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[use_case]``: the charter, as the server keeps it, and the name."""

    name: str
    title: str = ""
    problem: str = ""
    decision: str = ""
    users: str = ""
    kpi: str = ""
    harms: list[str] = []
    tier: Literal["low", "medium", "high"] = "medium"
    segment: str = ""
    positive: str = "1"
    verdicts: list[str] = msgspec.field(default_factory=lambda: ["agree", "correct", "unsure"])
    solo: bool = False
    alias_moves: Literal["refuse", "propose"] = "refuse"

    def fields(self) -> dict[str, Any]:
        """The charter without the name."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        del fields["name"]
        return fields


class ServerTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[server]``."""

    url: str = ""


class DataTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[data]``.

    Attributes:
        table: path of the CSV, relative to the folder.
        target: the column with the outcome.
        test_ratio: share of rows kept for testing, 0..1; which rows is decided by their digest.
        split_by: columns that keep rows together (the same patient never on both sides); empty: the whole row.
        slices: columns whose values are judged apart.
        unknown_at_decision_time: columns that are not known yet when the model is asked.
    """

    table: str
    target: str
    test_ratio: float = 0.3
    split_by: list[str] = []
    slices: list[str] = []
    unknown_at_decision_time: list[str] = []


class TrainTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[train]``.

    Attributes:
        command: trains, registers candidates and writes ``.stile/candidates/<name>.json``.
        score: scores the tables given as further arguments with every candidate.
        watch: files whose change makes training run again.
        timeout_s: longest run of either.
    """

    command: list[str] = msgspec.field(default_factory=lambda: ["python", "train.py"])
    score: list[str] = msgspec.field(default_factory=lambda: ["python", "train.py", "score"])
    watch: list[str] = msgspec.field(default_factory=lambda: ["train.py"])
    timeout_s: int = 3600


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    use_case: CharterFile
    data: DataTable
    server: ServerTable = ServerTable()
    train: TrainTable = TrainTable()
    contract: str = "contract.odcs.yaml"
    policy: str = "policy.yaml"
    scenarios: str = "scenarios.yaml"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """The use case."""
        return self.manifest.use_case.name

    @property
    def work(self) -> Path:
        """Where the chain keeps what can be made again; not for git."""
        return self.folder / ".stile"

    def path(self, relative: str) -> Path:
        """A file of the project.

        Raises:
            Missing: it is not there; says which entry of stile.toml names it.
        """
        found = self.folder / relative
        if not found.is_file():
            raise Missing(f"{relative} is not in {self.folder.name}/. Put it there, or correct {FILE}.")
        return found

    def text(self, relative: str) -> str:
        """The text of a file of the project."""
        try:
            return self.path(relative).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise Invalid(f"{relative} is not UTF-8 text (byte {error.start}).") from error


def open_project(folder: Path) -> Project:
    """The project in ``folder``.

    Raises:
        Missing: there is no ``stile.toml``.
        Invalid: it cannot be read, or a name or value in it is not understood; says which.
    """
    file = folder / FILE
    if not file.is_file():
        raise Missing(f"There is no {FILE} here. Make a project with: stile init NAME --data table.csv --target COLUMN")
    try:
        manifest = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Manifest)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{FILE} cannot be read: {error}.") from error
    except msgspec.ValidationError as error:
        raise Invalid(f"{FILE} does not fit: {error}.") from error
    if not 0 < manifest.data.test_ratio < 1:
        raise Invalid(f"{FILE}: data.test_ratio must lie between 0 and 1, not at {manifest.data.test_ratio:g}.")
    return Project(folder=folder, manifest=manifest)
