"""Writing an MLflow database: rows of one thing after the other, each whole or not at all.

While it is written it holds three tables of its own, by which a write that was stopped goes on: what is done,
which files were put down, and what was not taken. They are gone when it is finished.

Source: ``mlflow.store.tracking.dbmodels.models`` and ``mlflow.store.model_registry.dbmodels.models``, what their
stores write into each column.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from stile.kernel.errors import Invalid
from stile.train.moving.mlflow_tables import DATABASE, REVISION
from stile.train.moving.trace_forms import assessment_row, span_row
from stile.train.moving.values import (
    MovedExperiment,
    MovedModel,
    MovedRegistered,
    MovedRun,
    MovedSeries,
    MovedTrace,
    MovedVersion,
    Omission,
    is_copy,
)
from stile.train.trace_values import PROMPTS_TAG, RUN_METADATA, SPANS_HERE, SPANS_TAG

_WORK = """
CREATE TABLE stile_source (name TEXT NOT NULL);
CREATE TABLE stile_done (kind TEXT NOT NULL, id TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (kind, id));
CREATE TABLE stile_files (path TEXT PRIMARY KEY, digest TEXT NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE stile_omitted (owner TEXT NOT NULL, what TEXT NOT NULL, name TEXT NOT NULL, why TEXT NOT NULL);
CREATE INDEX stile_omitted_owner ON stile_omitted (owner);
"""
_MODEL_STATUSES = {"LOGGED_MODEL_PENDING": 1, "LOGGED_MODEL_READY": 2, "LOGGED_MODEL_UPLOAD_FAILED": 3}


class MlflowDatabase:
    """An MLflow database under construction.

    Args:
        file: where it is; made when it is not there.
        source: what it is made of; a file that was begun from something else is refused.

    Raises:
        Invalid: the file is not one that was begun here, or was begun from another source.
    """

    def __init__(self, file: Path, source: str) -> None:
        fresh = not file.is_file()
        self._rows = sqlite3.connect(file, isolation_level=None)
        try:
            self._rows.execute("PRAGMA journal_mode = WAL")
            self._rows.execute("PRAGMA synchronous = NORMAL")
            if fresh:
                self._rows.executescript(f"BEGIN; {DATABASE} {_WORK} COMMIT;")
                self._add("alembic_version", (REVISION,))
                self._add("stile_source", (source,))
            begun = self._one("SELECT name FROM stile_source")
        except sqlite3.DatabaseError as error:
            self._rows.close()
            raise Invalid(f"{file} is not an export that was begun: {error}. Choose a new folder.") from error
        if begun != source:
            self._rows.close()
            raise Invalid(f"{file.parent} holds a begun export of {begun}, not of {source}. Choose a new folder.")

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is written inside is kept, or nothing of it."""
        self._rows.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._rows.execute("ROLLBACK")
            raise
        self._rows.execute("COMMIT")

    def done(self, kind: str, id: str) -> str | None:
        """The mark under which it was done, or None."""
        found = self._one("SELECT mark FROM stile_done WHERE kind = ? AND id = ?", kind, id)
        return None if found is None else str(found)

    def finish(self, kind: str, id: str, mark: str) -> None:
        """Remember that something is done."""
        self._add("stile_done", (kind, id, mark))

    def experiment(self, given: MovedExperiment) -> str:
        """Write an experiment with its tags; returns the name it has, which no other has."""
        number = int(given.id)
        name = given.name
        if self._one("SELECT 1 FROM experiments WHERE name = ? AND experiment_id <> ?", name, number):
            name = f"{name} ({number})"
        row = (number, name, given.artifact_location, given.lifecycle, given.created_at, given.updated_at)
        self._add("experiments", row)
        self._forget("experiment_tags", "experiment_id", number)
        self._add("experiment_tags", *((key, value, number) for key, value in given.tags.items()))
        return name

    def run(self, given: MovedRun, *, now: int) -> None:
        """Write a run without its points; ``now`` (ms) is when a deleted one is said to have been deleted."""
        id, number = given.run_id, int(given.experiment)
        deleted = now if given.lifecycle == "deleted" else None
        self._add("runs", (
            id, given.name, "UNKNOWN", "", "", given.user_id, given.status, given.start_time, given.end_time, "",
            given.lifecycle, given.artifact_uri, number, deleted,
        ))  # fmt: skip
        for table in ("params", "tags"):
            self._forget(table, "run_uuid", id)
        self._add("params", *((key, value, id) for key, value in given.params.items()))
        named = {"mlflow.runName": given.name} if given.name else {}
        self._add("tags", *((key, value, id) for key, value in (given.tags | named).items()))
        for input_uuid in self._all("SELECT input_uuid FROM inputs WHERE source_id = ? OR destination_id = ?", id, id):
            self._forget("input_tags", "input_uuid", input_uuid)
            self._forget("inputs", "input_uuid", input_uuid)
        for one in given.datasets:
            dataset = _id("dataset", number, one.name, one.digest)
            self._add("datasets", (
                dataset, number, one.name, one.digest, one.source_type, one.source, one.schema or None,
                one.profile or None,
            ))  # fmt: skip
            link = _id("input", dataset, id)
            self._add("inputs", (link, "DATASET", dataset, "RUN", id, 0))
            self._add("input_tags", *((link, key, value) for key, value in one.tags.items()))
        for use in given.models:
            kind = use.direction.upper()
            link = _id(kind, id, use.model_id)
            self._add("inputs", (link, f"RUN_{kind}", id, f"MODEL_{kind}", use.model_id, use.step))

    def points(self, run_id: str, several: Iterable[MovedSeries]) -> tuple[int, int]:
        """Write a run's metric histories, in place of those it has; returns how many came, and how many are kept.

        A point that is the same in everything is there once.
        """
        for table in ("metrics", "latest_metrics"):
            self._forget(table, "run_uuid", run_id)
        before, came = self._rows.total_changes, 0
        latest: dict[str, tuple[int, int, float, bool]] = {}
        for one in several:
            rows = [
                (one.key, 0.0 if value is None else value, at, run_id, step, value is None)
                for at, step, value in zip(one.at, one.step, one.value, strict=True)
            ]
            came += len(rows)
            self._rows.executemany("INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
            newest = max((step, at, value, nan) for _, value, at, _, step, nan in rows) if rows else None
            if newest is not None:
                latest[one.key] = max(latest.get(one.key, newest), newest)
        kept = self._rows.total_changes - before
        self._add("latest_metrics", *(
            (key, value, at, step, nan, run_id) for key, (step, at, value, nan) in latest.items()
        ))  # fmt: skip
        return came, kept

    def model(self, given: MovedModel) -> None:
        """Write a logged model. Its table of metrics has no form for NaN: such a metric must not be among them."""
        id, number = given.model_id, int(given.experiment)
        self._add("logged_models", (
            id, number, given.name, given.artifact_uri, given.created_at, given.updated_at,
            _MODEL_STATUSES.get(given.status, 2), "active", given.model_type or None, given.source_run_id or None, None,
        ))  # fmt: skip
        for table in ("logged_model_tags", "logged_model_params", "logged_model_metrics"):
            self._forget(table, "model_id", id)
        self._add("logged_model_tags", *((id, number, key, value) for key, value in given.tags.items()))
        self._add("logged_model_params", *((id, number, key, value) for key, value in given.params.items()))
        self._add("logged_model_metrics", *(
            (id, one.key, one.at, one.step, one.value, number, one.run_id,
             _id("dataset", number, one.dataset_name, one.dataset_digest) if one.dataset_name else None,
             one.dataset_name or None, one.dataset_digest or None)
            for one in given.metrics
        ))  # fmt: skip

    def trace(self, given: MovedTrace) -> None:
        """Write a trace with its spans, assessments and links."""
        id, number = given.trace_id, int(given.experiment)
        self._add("trace_info", (
            id, number, given.at, given.took, given.state, given.client_request_id or None,
            given.request or None, given.response or None,
        ))  # fmt: skip
        for table in ("trace_tags", "trace_request_metadata"):
            self._forget(table, "request_id", id)
        for table in ("spans", "assessments"):
            self._forget(table, "trace_id", id)
        tags = given.tags | ({SPANS_TAG: SPANS_HERE} if given.spans else {})
        self._add("trace_tags", *((key, value, id) for key, value in tags.items()))
        self._add("trace_request_metadata", *((key, value, id) for key, value in given.metadata.items()))
        spans = "trace_id, span_id, experiment_id, parent_span_id, name, type, status, start_time_unix_nano, "
        spans += "end_time_unix_nano, content"  # the column between is counted by the database
        self._add(f"spans ({spans})", *(
            (id, span.span_id, number, span.parent_id, span.name, span.kind, span.status, span.start, span.end,
             span.content)
            for span in map(span_row, given.spans)
        ))  # fmt: skip
        self._add("assessments", *(assessment_row(one, id) for one in given.assessments))
        self._forget("entity_associations", "source_id", id)
        runs = (run for run in given.runs if run != given.metadata.get(RUN_METADATA))
        ends = [("run", run) for run in runs] + [("prompt_version", one) for one in _linked_prompts(given.tags)]
        links = (("trace", id, kind, end) for kind, end in ends)
        self._add("entity_associations", *((_id(*link), *link, given.at) for link in links))

    def registered(self, given: MovedRegistered, places: Mapping[int, str]) -> None:
        """Write a registered model; ``places`` says by version where its files are."""
        name = given.name
        self._add("registered_models", (name, given.created_at, given.updated_at, given.description or None))
        for table in ("registered_model_tags", "registered_model_aliases", "model_versions", "model_version_tags"):
            self._forget(table, "name", name)
        self._add("registered_model_tags", *((key, value, name) for key, value in given.tags.items()))
        self._add("registered_model_aliases", *((alias, number, name) for alias, number in given.aliases.items()))
        for one in given.versions:
            self._add("model_versions", (
                name, one.version, one.created_at, one.updated_at, one.description or None, None, one.stage,
                one.source, one.run_id or None, "READY", None, one.run_link or None,
                places.get(one.version, one.source),
            ))  # fmt: skip
            self._add("model_version_tags", *((key, value, name, one.version) for key, value in one.tags.items()))

    def places_of(self, given: MovedVersion) -> list[str]:
        """Where the files of a version may lie because of what it was made of: a run, a logged model, a version."""
        name, _, rest = given.source.removeprefix("runs:/").partition("/")
        other, _, number = given.source.removeprefix("models:/").partition("/")
        found = [
            given.source,
            self._one("SELECT artifact_location FROM logged_models WHERE model_id = ?", given.model_id),
        ]
        if given.source.startswith("runs:/"):
            root = self._one("SELECT artifact_uri FROM runs WHERE run_uuid = ?", name)
            found.append(root and f"{root}/{rest}".rstrip("/"))
        if is_copy(given.source):
            asked = "SELECT storage_location FROM model_versions WHERE name = ? AND version = ?"
            found.append(self._one(asked, other, int(number)))
        return [place for place in found if place]

    def file(self, path: str, digest: str, size: int) -> None:
        """Remember a file that was put down."""
        self._add("stile_files", (path, digest, size))

    def files_below(self, root: str) -> dict[str, tuple[str, int]]:
        """(digest, bytes) of the files below a root, by their path from there."""
        skip = len(root) + 1
        rows = self._rows.execute(
            "SELECT path, digest, size FROM stile_files WHERE path >= ? AND path < ?", (f"{root}/", f"{root}0")
        )
        return {path[skip:]: (digest, size) for path, digest, size in rows}  # "0" comes after "/"

    def omitted(self, owner: str, several: Sequence[Omission]) -> None:
        """Remember what was not taken of an owner, in place of what was remembered before."""
        self._forget("stile_omitted", "owner", owner)
        self._add("stile_omitted", *((owner, one.what, one.name, one.why) for one in several))

    def omissions(self) -> list[Omission]:
        """What was not taken, in the order in which that was found."""
        rows = self._rows.execute("SELECT what, name, why FROM stile_omitted ORDER BY rowid")
        return [Omission(what=what, name=name, why=why) for what, name, why in rows]

    def orphans(self) -> list[str]:
        """Remove rows that belong to something that is not there, which MLflow's own keys forbid; says which."""
        found = self._rows.execute("PRAGMA foreign_key_check").fetchall()
        for table, row, _, _ in found:
            self._rows.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
        return [f"a row of {table} without its row of {parent}" for table, _, parent, _ in found]

    def complete(self) -> None:
        """Take away what only the writing needed; the database is then as MLflow expects it, in one file."""
        with self.together():
            for table in ("stile_source", "stile_done", "stile_files", "stile_omitted"):
                self._rows.execute(f"DROP TABLE {table}")
        self._rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._rows.execute("PRAGMA journal_mode = DELETE")
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def _add(self, table: str, *rows: tuple[Any, ...]) -> None:
        """Put rows into a table of ours or a part of it, each in place of the one with its key."""
        if rows:
            self._rows.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def _forget(self, table: str, column: str, value: Any) -> None:
        self._rows.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))

    def _one(self, sql: str, *values: Any) -> Any:
        with closing(self._rows.execute(sql, values)) as found:
            row = found.fetchone()
        return None if row is None else row[0]

    def _all(self, sql: str, *values: Any) -> list[Any]:
        return [row[0] for row in self._rows.execute(sql, values).fetchall()]


def _id(*of: object) -> str:
    """An id that is the same again for the same."""
    return hashlib.sha256("\0".join(map(str, of)).encode()).hexdigest()[:32]


def _linked_prompts(tags: Mapping[str, str]) -> list[str]:
    """The prompt versions a trace has used, as ``name/version``."""
    try:
        told = json.loads(tags.get(PROMPTS_TAG) or "[]")
    except ValueError:
        return []
    pairs = [(one.get("name"), one.get("version")) for one in told if isinstance(one, dict)]
    return [f"{name}/{version}" for name, version in pairs if name and version]
