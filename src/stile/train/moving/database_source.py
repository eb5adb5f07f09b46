"""Reading an MLflow database: SQLite file or PostgreSQL, with plain SELECTs on one read-only snapshot.

Columns and tables that an older MLflow did not have yet are simply not there. Nothing is written.
Source: the tables of MLflow 1.0 to 3.17 (``mlflow.store.tracking.dbmodels``, ``mlflow.store.model_registry.dbmodels``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from stile.kernel.errors import Invalid, MissingExtra, Unavailable
from stile.train.moving.local_files import files_below, has_files, local_path
from stile.train.moving.trace_forms import kept_assessment, kept_metadata, kept_span
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
from stile.train.trace_values import NAME_TAG

_RUN_PAGE = 200
_TRACE_PAGE = 50
_STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
_MODEL_STATUSES = {1: "LOGGED_MODEL_PENDING", 2: "LOGGED_MODEL_READY", 3: "LOGGED_MODEL_UPLOAD_FAILED"}
_NOT_TAKEN = {
    "evaluation_datasets": "evaluation datasets",
    "webhooks": "webhooks",
    "scorers": "scorers",
    "endpoints": "gateway endpoints",
    "mcp_servers": "MCP servers",
    "review_queues": "review queues",
    "issues": "issues",
}

Named = dict[str, Any]


class _Cursor(Protocol):
    description: Any

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...
    def fetchmany(self, size: int = ..., /) -> list[Any]: ...


class DatabaseSource:
    """An MLflow database as a source.

    Args:
        address: path of a SQLite file, or ``sqlite:///...`` or ``postgresql://...``.
        artifacts: where the server that used the database kept proxied artifacts.

    Raises:
        Invalid: the address is of another kind, or the database is not MLflow's.
        Unavailable: it cannot be opened.
    """

    def __init__(self, address: str, artifacts: Path | None = None) -> None:
        self._mark = "?"
        self._artifacts = artifacts
        if address.startswith(("postgresql:", "postgresql+", "postgres:")):
            self._connection: Any = _postgres(address)
            self._mark = "%s"
            parts = urlsplit(address)
            self.name = f"PostgreSQL database {parts.hostname or 'local'}{parts.path}"
            known = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        else:
            file = Path(unquote(address.removeprefix("sqlite:///"))) if address.startswith("sqlite:") else Path(address)
            self._connection = _sqlite(file)
            self.name = f"SQLite file {file.name}"
            known = "SELECT name FROM sqlite_master WHERE type = 'table'"
        self._tables = {next(iter(row.values())) for row in self._select(known)}
        if not {"experiments", "runs", "metrics"} <= self._tables:
            self.close()
            raise Invalid(f"The {self.name} is not a database of MLflow: it has no tables of runs and metrics.")
        self._omissions: list[Omission] = []
        self._datasets: dict[str, Named] = {}

    def close(self) -> None:
        self._connection.close()

    def experiments(self) -> list[MovedExperiment]:
        tags = _grouped(self._all("experiment_tags"), "experiment_id")
        return [
            MovedExperiment(
                id=str(row["experiment_id"]), name=row["name"], lifecycle=_lifecycle(row),
                artifact_location=row.get("artifact_location") or "", created_at=row.get("creation_time") or 0,
                updated_at=row.get("last_update_time") or 0, tags=_pairs(tags.get(row["experiment_id"], ())),
            )
            for row in self._all("experiments", order="experiment_id")
        ]  # fmt: skip

    def run_count(self) -> int | None:
        return int(next(self._select("SELECT COUNT(*) AS n FROM runs"))["n"])

    def runs(self, experiment: MovedExperiment) -> Iterator[MovedRun]:
        ids = [
            row["run_uuid"]
            for row in self._select(
                f"SELECT run_uuid FROM runs WHERE experiment_id = {self._mark} ORDER BY start_time, run_uuid",
                (int(experiment.id),),
            )
        ]
        for start in range(0, len(ids), _RUN_PAGE):
            page = ids[start : start + _RUN_PAGE]
            rows = {row["run_uuid"]: row for row in self._where("runs", "run_uuid", page)}
            params = _grouped(self._where("params", "run_uuid", page), "run_uuid")
            tags = _grouped(self._where("tags", "run_uuid", page), "run_uuid")
            datasets, models = self._links(page)
            for run_id in page:
                row = rows[run_id]
                tagged = _pairs(tags.get(run_id, ()))
                status: Any = row.get("status") if row.get("status") in _STATUSES else "RUNNING"
                yield MovedRun(
                    run_id=run_id, experiment=experiment.id, name=row.get("name") or tagged.get("mlflow.runName", ""),
                    user_id=row.get("user_id") or "", status=status,
                    start_time=row.get("start_time") or 0, end_time=row.get("end_time"), lifecycle=_lifecycle(row),
                    artifact_uri=row.get("artifact_uri") or "", params=_pairs(params.get(run_id, ())), tags=tagged,
                    datasets=datasets.get(run_id, []), models=models.get(run_id, []),
                )  # fmt: skip

    def series(self, run: MovedRun) -> Iterator[MovedSeries]:
        sql = f"SELECT * FROM metrics WHERE run_uuid = {self._mark} ORDER BY key, timestamp, step"
        for key, rows in groupby(self._select(sql, (run.run_id,)), key=lambda row: str(row["key"])):
            while part := [row for _, row in zip(range(POINTS_PER_SERIES), rows, strict=False)]:
                yield MovedSeries(
                    run_id=run.run_id, key=key, at=[row["timestamp"] for row in part],
                    step=[row.get("step") or 0 for row in part],
                    value=[None if row.get("is_nan") else row["value"] for row in part],
                )  # fmt: skip

    def models(self, experiment: MovedExperiment) -> Iterator[MovedModel]:
        number = int(experiment.id)
        tags = _grouped(self._where("logged_model_tags", "experiment_id", [number]), "model_id")
        params = _grouped(self._where("logged_model_params", "experiment_id", [number]), "model_id")
        metrics = _grouped(self._where("logged_model_metrics", "experiment_id", [number]), "model_id")
        for row in self._where("logged_models", "experiment_id", [number], order="creation_timestamp_ms"):
            model_id = row["model_id"]
            if row.get("lifecycle_stage") == "deleted":
                self._omissions.append(Omission(what="logged model", name=model_id, why="it was deleted there"))
                continue
            yield MovedModel(
                model_id=model_id, experiment=experiment.id, name=row["name"], model_type=row.get("model_type") or "",
                source_run_id=row.get("source_run_id") or "", artifact_uri=row["artifact_location"],
                status=_MODEL_STATUSES.get(row["status"], "LOGGED_MODEL_PENDING"),
                created_at=row["creation_timestamp_ms"], updated_at=row["last_updated_timestamp_ms"],
                tags=_pairs(tags.get(model_id, ()), "tag_"), params=_pairs(params.get(model_id, ()), "param_"),
                metrics=[_model_metric(metric) for metric in metrics.get(model_id, ())],
            )  # fmt: skip

    def traces(self, experiment: MovedExperiment) -> Iterator[MovedTrace]:
        if "trace_info" not in self._tables:
            return
        sql = f"SELECT request_id FROM trace_info WHERE experiment_id = {self._mark} ORDER BY timestamp_ms, request_id"
        ids = [row["request_id"] for row in self._select(sql, (int(experiment.id),))]
        for start in range(0, len(ids), _TRACE_PAGE):
            page = ids[start : start + _TRACE_PAGE]
            rows = {row["request_id"]: row for row in self._where("trace_info", "request_id", page)}
            tags = _grouped(self._where("trace_tags", "request_id", page), "request_id")
            metadata = _grouped(self._where("trace_request_metadata", "request_id", page), "request_id")
            spans = _grouped(self._where("spans", "trace_id", page, order="start_time_unix_nano"), "trace_id")
            said = _grouped(self._where("assessments", "trace_id", page, order="created_timestamp"), "trace_id")
            links = _grouped(self._where("entity_associations", "source_id", page), "source_id")
            for id in page:
                row = rows[id]
                name = {NAME_TAG: row["trace_name"]} if row.get("trace_name") else {}
                yield MovedTrace(
                    trace_id=id, experiment=experiment.id, state=row["status"], at=row["timestamp_ms"],
                    took=row.get("execution_time_ms"), client_request_id=row.get("client_request_id") or "",
                    request=row.get("request_preview") or "", response=row.get("response_preview") or "",
                    tags=_pairs(tags.get(id, ())) | name,
                    metadata=_pairs(metadata.get(id, ())) | kept_metadata(row),
                    runs=[link["destination_id"] for link in links.get(id, ()) if link["destination_type"] == "run"],
                    spans=[kept_span(span["content"]) for span in spans.get(id, ())],
                    assessments=[kept_assessment(one) for one in said.get(id, ())],
                )  # fmt: skip

    def registered(self) -> Iterator[MovedRegistered]:
        tags = _grouped(self._all("registered_model_tags"), "name")
        aliases = _grouped(self._all("registered_model_aliases"), "name")
        for row in self._all("registered_models", order="name"):
            name = row["name"]
            yield MovedRegistered(
                name=name, description=row.get("description") or "", created_at=row.get("creation_time") or 0,
                updated_at=row.get("last_updated_time") or 0, tags=_pairs(tags.get(name, ())),
                aliases={alias["alias"]: int(alias["version"]) for alias in aliases.get(name, ())},
                versions=self._versions(name),
            )  # fmt: skip

    def files(self, owner: MovedRun | MovedModel) -> Iterator[FoundFile]:
        folder = local_path(owner.artifact_uri, self._artifacts)
        # MLflow makes the folder with the first file: no folder means no file
        return files_below(folder) if has_files(folder) else iter(())

    def folder(self, uri: str) -> Iterator[FoundFile]:
        return files_below(local_path(uri, self._artifacts))

    def omissions(self) -> list[Omission]:
        found = list(self._omissions)
        for table, what in _NOT_TAKEN.items():
            if table in self._tables:
                count = int(next(self._select(f"SELECT COUNT(*) AS n FROM {table}"))["n"])
                if count:
                    found.append(Omission(what=what, name=f"{count} of them", why="the import does not take these"))
        return found

    def _versions(self, name: str) -> list[MovedVersion]:
        tags = _grouped(self._where("model_version_tags", "name", [name]), "version")
        found = []
        for row in self._where("model_versions", "name", [name], order="version"):
            if row.get("current_stage") == "Deleted_Internal":
                continue
            source = row.get("source") or ""
            found.append(
                MovedVersion(
                    version=int(row["version"]), source=source,
                    storage=stored_at(source, row.get("storage_location")),
                    run_id=row.get("run_id") or "", run_link=row.get("run_link") or "",
                    model_id=source[len("models:/") :] if source.startswith("models:/m-") else "",
                    description=row.get("description") or "", stage=row.get("current_stage") or "None",
                    created_at=row.get("creation_time") or 0, updated_at=row.get("last_updated_time") or 0,
                    tags=_pairs(tags.get(row["version"], ())),
                )
            )  # fmt: skip
        return found

    def _links(self, run_ids: Sequence[str]) -> tuple[dict[str, list[MovedDataset]], dict[str, list[MovedModelUse]]]:
        """What the runs have read and made. MLflow writes the run at either end of a link, by its kind."""
        datasets: dict[str, list[MovedDataset]] = {}
        models: dict[str, list[MovedModelUse]] = {}
        links = [
            *self._where("inputs", "destination_id", run_ids),
            *self._where("inputs", "source_id", run_ids),
        ]
        tags = _grouped(self._where("input_tags", "input_uuid", [link["input_uuid"] for link in links]), "input_uuid")
        wanted = [link["source_id"] for link in links if link["source_type"] == "DATASET"]
        missing = sorted(set(wanted) - self._datasets.keys())
        self._datasets |= {row["dataset_uuid"]: row for row in self._where("datasets", "dataset_uuid", missing)}
        for link in links:
            kinds = (link["source_type"], link["destination_type"])
            if kinds == ("DATASET", "RUN") and link["source_id"] in self._datasets:
                told = {tag["name"]: tag["value"] for tag in tags.get(link["input_uuid"], ())}
                dataset = _dataset(self._datasets[link["source_id"]], told)
                datasets.setdefault(link["destination_id"], []).append(dataset)
            elif kinds[0] in ("RUN_INPUT", "RUN_OUTPUT"):
                use = MovedModelUse(
                    direction="input" if kinds[0] == "RUN_INPUT" else "output",
                    model_id=link["destination_id"], step=link.get("step") or 0,
                )  # fmt: skip
                models.setdefault(link["source_id"], []).append(use)
        return datasets, models

    def _all(self, table: str, order: str = "") -> Iterator[Named]:
        if table not in self._tables:
            return iter(())
        return self._select(f"SELECT * FROM {table}" + (f" ORDER BY {order}" if order else ""))

    def _where(self, table: str, column: str, values: Sequence[Any], order: str = "") -> Iterator[Named]:
        if table not in self._tables:
            return
        for start in range(0, len(values), _RUN_PAGE):
            part = values[start : start + _RUN_PAGE]
            marks = ", ".join([self._mark] * len(part))
            sql = f"SELECT * FROM {table} WHERE {column} IN ({marks})" + (f" ORDER BY {order}" if order else "")
            yield from self._select(sql, part)

    def _select(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Named]:
        cursor: _Cursor = self._connection.cursor()
        try:
            cursor.execute(sql, tuple(parameters))
        except sqlite3.Error as error:
            raise Unavailable(f"The {self.name} cannot be read: {error}.") from error
        names = [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(1000):
            for row in rows:
                yield dict(zip(names, row, strict=True))


def _sqlite(file: Path) -> sqlite3.Connection:
    if not file.is_file():
        raise Invalid(f"There is no file {file}. Give the path of MLflow's database, such as mlflow.db.")
    try:
        connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        connection.execute("BEGIN")
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise Unavailable(f"{file.name} cannot be opened as a database: {error}.") from error
    return connection


def _postgres(address: str) -> Any:
    try:
        import psycopg  # noqa: PLC0415  only for this kind of source
    except ImportError:
        raise MissingExtra("psycopg", "postgres", "Reading a PostgreSQL database") from None
    scheme, _, rest = address.partition("://")
    try:
        connection = psycopg.connect(f"{scheme.partition('+')[0]}://{rest}")
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
    except psycopg.Error as error:
        raise Unavailable(f"The database cannot be reached: {error}") from error
    return connection


def _lifecycle(row: Named) -> Any:
    return "deleted" if row.get("lifecycle_stage") == "deleted" else "active"


def _grouped(rows: Iterable[Named], key: str) -> dict[Any, list[Named]]:
    found: dict[Any, list[Named]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def _pairs(rows: Iterable[Named], prefix: str = "") -> dict[str, str]:
    return {row[prefix + "key"]: row[prefix + "value"] or "" for row in rows}


def _dataset(row: Named, tags: dict[str, str]) -> MovedDataset:
    return MovedDataset(
        name=row["name"], digest=row["digest"], source_type=row["dataset_source_type"], source=row["dataset_source"],
        schema=row.get("dataset_schema") or "", profile=row.get("dataset_profile") or "", tags=tags,
    )  # fmt: skip


def _model_metric(row: Named) -> MovedModelMetric:
    return MovedModelMetric(
        key=row["metric_name"], value=row["metric_value"], step=row["metric_step"], at=row["metric_timestamp_ms"],
        run_id=row["run_id"],
        dataset_name=row.get("dataset_name") or "", dataset_digest=row.get("dataset_digest") or "",
    )  # fmt: skip
