"""Reading a running MLflow server (or Stile, which speaks the same): page after page over its REST API.

Source: MLflow REST API 2.0 (classic routes) and the logged-model and artifact-proxy routes of MLflow 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from stile.client.session import Session
from stile.kernel.errors import Invalid, Missing, StileError
from stile.train import prompts
from stile.train.moving.trace_forms import length, milliseconds, sent_assessment, sent_span
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
    NotHere,
    Omission,
    is_copy,
    stored_at,
)

_API = "/api/2.0/mlflow"
_TRACES = "/api/3.0/mlflow/traces"
_TRACES_AT_ONCE = 50
_PROMPTS = f"tags.`{prompts.MARK}` = 'true'"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_LARGEST = 1.7976931348623157e308

Json = dict[str, Any]


class ServerSource:
    """A server as a source.

    Args:
        session: the connection to it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._omissions: list[Omission] = []
        self.name = f"server {session.url}"

    def close(self) -> None:
        self._session.close()

    def experiments(self) -> list[MovedExperiment]:
        found = self._pages("experiments/search", "experiments", {"view_type": "ALL", "max_results": 1000})
        return [
            MovedExperiment(
                id=str(one["experiment_id"]), name=one["name"], lifecycle=one.get("lifecycle_stage", "active"),
                artifact_location=one.get("artifact_location", ""), created_at=int(one.get("creation_time", 0)),
                updated_at=int(one.get("last_update_time", 0)), tags=_pairs(one.get("tags")),
            )
            for one in found
        ]  # fmt: skip

    def run_count(self) -> int | None:
        return None

    def runs(self, experiment: MovedExperiment) -> Iterator[MovedRun]:
        body = {
            "experiment_ids": [experiment.id], "run_view_type": "ALL", "max_results": 500,
            "order_by": ["attributes.start_time ASC"],
        }  # fmt: skip
        for one in self._pages("runs/search", "runs", body):
            info, data = one["info"], one.get("data", {})
            tags = _pairs(data.get("tags"))
            yield MovedRun(
                run_id=info["run_id"], experiment=experiment.id,
                name=info.get("run_name") or tags.get("mlflow.runName", ""), user_id=info.get("user_id", ""),
                status=info.get("status", "RUNNING"), start_time=int(info.get("start_time", 0)),
                end_time=int(info["end_time"]) if info.get("end_time") else None,
                lifecycle=info.get("lifecycle_stage", "active"), artifact_uri=info.get("artifact_uri", ""),
                params=_pairs(data.get("params")), tags=tags,
                datasets=[_dataset(each) for each in one.get("inputs", {}).get("dataset_inputs", [])],
                models=[*_uses(one, "inputs", "model_inputs"), *_uses(one, "outputs", "model_outputs")],
            )  # fmt: skip

    def series(self, run: MovedRun) -> Iterator[MovedSeries]:
        found = self._session.get(f"{_API}/runs/get", run_id=run.run_id)
        for key in [metric["key"] for metric in found["run"].get("data", {}).get("metrics", [])]:
            token: str | None = ""
            while token is not None:
                page = self._session.get(
                    f"{_API}/metrics/get-history", run_id=run.run_id, metric_key=key,
                    max_results=POINTS_PER_SERIES, page_token=token or None, timeout_s=600,
                )  # fmt: skip
                points = page.get("metrics", [])
                for start in range(0, len(points), POINTS_PER_SERIES):
                    part = points[start : start + POINTS_PER_SERIES]
                    yield MovedSeries(
                        run_id=run.run_id, key=key, at=[int(point["timestamp"]) for point in part],
                        step=[int(point.get("step", 0)) for point in part],
                        value=[_number(point["value"]) for point in part],
                    )  # fmt: skip
                token = page.get("next_page_token") or None

    def models(self, experiment: MovedExperiment) -> Iterator[MovedModel]:
        body = {"experiment_ids": [experiment.id], "max_results": 50}
        try:
            for one in self._pages("logged-models/search", "models", body):
                info, data = one["info"], one.get("data", {})
                yield MovedModel(
                    model_id=info["model_id"], experiment=experiment.id, name=info.get("name", ""),
                    model_type=info.get("model_type", ""), source_run_id=info.get("source_run_id", ""),
                    artifact_uri=info.get("artifact_uri", ""), status=info.get("status", "LOGGED_MODEL_READY"),
                    created_at=int(info.get("creation_timestamp_ms", 0)),
                    updated_at=int(info.get("last_updated_timestamp_ms", 0)),
                    tags=_pairs(info.get("tags")), params=_pairs(data.get("params")),
                    metrics=[_model_metric(metric) for metric in data.get("metrics", [])],
                )  # fmt: skip
        except Missing:
            return  # a server older than logged models

    def traces(self, experiment: MovedExperiment) -> Iterator[MovedTrace]:
        place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment.id}}
        body = {"locations": [place], "max_results": _TRACES_AT_ONCE, "order_by": ["timestamp_ms ASC"]}
        try:
            yield from self._traces(experiment.id, body)
        except Missing:
            return  # a server older than traces

    def _trace_infos(self, body: Json) -> Iterator[dict[str, Json]]:
        """What a search for traces finds, page after page, by id."""
        following: str | None = ""
        while following is not None:
            page = self._session.post(f"{_TRACES}/search", {**body, "page_token": following} if following else body)
            following = page.get("next_page_token") or None
            infos = {info["trace_id"]: info for info in page.get("traces", [])}
            if infos:
                yield infos

    def _linked(self, experiment: str, body: Json) -> dict[str, list[str]]:
        """The runs each trace of an experiment belongs to; a trace does not tell, so each run is asked about."""
        runs = {"experiment_ids": [experiment], "run_view_type": "ALL", "max_results": 500}
        found: dict[str, list[str]] = {}
        try:
            for run in self._pages("runs/search", "runs", runs):
                run_id = run["info"]["run_id"]
                for infos in self._trace_infos({**body, "filter": f"attributes.run_id = '{run_id}'"}):
                    for id in infos:
                        found.setdefault(id, []).append(run_id)
        except Invalid as error:  # a server that cannot search for this
            why = f"the server does not tell them: {error.message}"
            self._omissions.append(Omission(what="links of traces to runs", name=f"experiment {experiment}", why=why))
        return found

    def _traces(self, experiment: str, body: Json) -> Iterator[MovedTrace]:
        linked: dict[str, list[str]] | None = None
        for infos in self._trace_infos(body):
            linked = self._linked(experiment, body) if linked is None else linked
            asked = urlencode([("trace_ids", id) for id in infos])
            found: Json = self._session.call("GET", f"{_TRACES}/batchGet?{asked}") or {}
            spans = {one["trace_info"]["trace_id"]: one.get("spans", []) for one in found.get("traces", [])}
            for id, info in infos.items():
                yield MovedTrace(
                    trace_id=id, experiment=experiment, state=info.get("state", "STATE_UNSPECIFIED"),
                    at=milliseconds(info.get("request_time")), took=length(info.get("execution_duration")),
                    client_request_id=info.get("client_request_id") or "", request=info.get("request_preview") or "",
                    response=info.get("response_preview") or "", tags=info.get("tags") or {},
                    metadata=info.get("trace_metadata") or {}, runs=linked.get(id, []),
                    spans=[sent_span(span) for span in spans.get(id, [])],
                    assessments=[sent_assessment(one) for one in info.get("assessments", [])],
                )  # fmt: skip

    def pinned(self, name: str, version: int) -> str:
        """Where the files of a version of a registered model are."""
        told = self._session.get(f"{_API}/model-versions/get-download-uri", name=name, version=str(version))
        return str(told.get("artifact_uri") or "")

    def registered(self) -> Iterator[MovedRegistered]:
        names = [one["name"] for asked in ("", _PROMPTS) for one in self._found("registered-models", asked)]
        for name in dict.fromkeys(names):
            full = self._session.get(f"{_API}/registered-models/get", name=name)["registered_model"]
            is_prompt = prompts.is_prompt(_pairs(full.get("tags")))
            quoted = name.replace("'", "''")
            versions = self._found("model-versions", f"name='{quoted}'" + (f" AND {_PROMPTS}" if is_prompt else ""))
            yield MovedRegistered(
                name=name, description=full.get("description", ""),
                created_at=int(full.get("creation_timestamp", 0)),
                updated_at=int(full.get("last_updated_timestamp", 0)), tags=_pairs(full.get("tags")),
                aliases={alias["alias"]: int(alias["version"]) for alias in full.get("aliases", [])},
                versions=[self._version(each) for each in versions],
            )  # fmt: skip

    def files(self, owner: MovedRun | MovedModel) -> Iterator[FoundFile]:
        if owner.artifact_uri.startswith("mlflow-artifacts:"):
            return self.folder(owner.artifact_uri)
        if isinstance(owner, MovedRun):
            return self._walk(
                lambda below: self._listed(f"{_API}/artifacts/list", run_id=owner.run_id, path=below),
                lambda path: f"/get-artifact?run_uuid={quote(owner.run_id)}&path={quote(path)}",
            )
        raise NotHere(f"the files are at {owner.artifact_uri}, which the server does not hand out")

    def folder(self, uri: str) -> Iterator[FoundFile]:
        if not uri.startswith("mlflow-artifacts:"):
            raise NotHere(f"the files are at {uri}, which the server does not hand out")
        root = uri.removeprefix("mlflow-artifacts:").lstrip("/").rstrip("/")

        def entries(below: str) -> Json:
            found: Json = self._listed(_PROXY, path=f"{root}/{below}" if below else root)
            named = [{**entry, "path": f"{below}/{entry['path']}" if below else entry["path"]}
                     for entry in found.get("files", [])]  # fmt: skip
            return {"files": named}

        return self._walk(entries, lambda path: f"{_PROXY}/{quote(root)}/{quote(path)}")

    def omissions(self) -> list[Omission]:
        return self._omissions

    def _walk(self, entries: Callable[[str], Json], address: Callable[[str], str]) -> Iterator[FoundFile]:
        waiting = [""]
        while waiting:
            try:
                found = entries(waiting.pop()).get("files", [])
            except StileError as error:
                raise NotHere(f"the server does not list them: {error.message}") from error
            for entry in found:
                if entry.get("is_dir"):
                    waiting.append(entry["path"])
                else:
                    size = int(entry["file_size"]) if "file_size" in entry else None
                    yield FoundFile(path=entry["path"], size=size, read=self._reader(address(entry["path"])))

    def _listed(self, address: str, **query: str) -> Json:
        asked = {name: value for name, value in query.items() if value}
        found: Json = self._session.call("GET", address, query=asked) or {}
        return found

    def _reader(self, address: str) -> Callable[[], Iterator[bytes]]:
        return lambda: self._session.download_pieces(address)

    def _found(self, what: str, wanted: str) -> Iterator[Json]:
        """What the registry finds; without being asked for prompts it keeps them to itself."""
        return self._got(f"{what}/search", what.replace("-", "_"), filter=wanted or None, max_results=100)

    def _version(self, given: Json) -> MovedVersion:
        source = given.get("source", "")
        pinned = self.pinned(given["name"], int(given["version"])) if is_copy(source) else ""
        return MovedVersion(
            version=int(given["version"]), source=source,
            storage=stored_at(source, pinned), run_id=given.get("run_id") or "",
            run_link=given.get("run_link") or "",
            model_id=given.get("model_id") or (source[len("models:/") :] if source.startswith("models:/m-") else ""),
            description=given.get("description") or "", stage=given.get("current_stage") or "None",
            created_at=int(given.get("creation_timestamp", 0)), updated_at=int(given.get("last_updated_timestamp", 0)),
            tags=_pairs(given.get("tags")),
        )  # fmt: skip

    def _pages(self, path: str, field: str, body: Mapping[str, Any]) -> Iterator[Json]:
        token: str | None = ""
        while token is not None:
            asked = {**body, "page_token": token} if token else dict(body)
            page = self._session.post(f"{_API}/{path}", asked, timeout_s=600)
            yield from page.get(field, [])
            token = page.get("next_page_token") or None

    def _got(self, path: str, field: str, **query: Any) -> Iterator[Json]:
        token: str | None = ""
        while token is not None:
            page = self._session.get(f"{_API}/{path}", page_token=token or None, timeout_s=600, **query)
            yield from page.get(field, [])
            token = page.get("next_page_token") or None


def _pairs(entries: list[Json] | None) -> dict[str, str]:
    return {entry["key"]: entry.get("value", "") for entry in entries or []}


def _dataset(given: Json) -> MovedDataset:
    told = given["dataset"]
    fields = {name: told.get(name) or "" for name in ("name", "digest", "source_type", "source", "schema", "profile")}
    return MovedDataset(**fields, tags=_pairs(given.get("tags")))


def _uses(run: Json, side: str, field: str) -> list[MovedModelUse]:
    return [
        MovedModelUse(
            direction="input" if side == "inputs" else "output",
            model_id=one["model_id"],
            step=int(one.get("step", 0)),
        )
        for one in (run.get(side) or {}).get(field, [])
    ]


def _model_metric(given: Json) -> MovedModelMetric:
    return MovedModelMetric(
        key=given["key"], value=_number(given["value"]), step=int(given.get("step", 0)),
        at=int(given.get("timestamp", 0)), run_id=given.get("run_id", ""),
        dataset_name=given.get("dataset_name", ""), dataset_digest=given.get("dataset_digest", ""),
    )  # fmt: skip


def _number(value: Any) -> float | None:
    """A value as the protocol writes it; NaN and infinities come as words."""
    number = float(value)
    return None if math.isnan(number) else max(min(number, _LARGEST), -_LARGEST)
