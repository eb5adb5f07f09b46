"""What is asked of both servers: a scene is a function that holds one conversation.

Times and values are given, so that answers can be compared field by field; names are the scene's own,
so that scenes may follow each other on one server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conversation import Conversation

Scene = Callable[[Conversation], None]
SCENES: dict[str, Scene] = {}
T0 = 1_600_000_000_000


def scene(function: Scene) -> Scene:
    SCENES[function.__name__] = function
    return function


def _experiment(talk: Conversation, name: str) -> str:
    made: str = talk.post("experiments/create", name=name)["experiment_id"]
    return made


def _run(talk: Conversation, experiment: str, name: str, start: int = T0, **more: Any) -> str:
    made = talk.post("runs/create", experiment_id=experiment, run_name=name, start_time=start, user_id="ada", **more)
    id: str = made["run"]["info"]["run_id"]
    return id


@scene
def experiments(talk: Conversation) -> None:
    talk.post("experiments/create", name="exp one", tags=[{"key": "team", "value": "vision"}])
    made = talk.get("experiments/get-by-name", experiment_name="exp one")["experiment"]["experiment_id"]
    talk.get("experiments/get", experiment_id=made)
    talk.post("experiments/create", name="exp one")
    talk.post("experiments/create", name="")
    talk.post("experiments/create")
    talk.post("experiments/create", name=5)
    talk.post("experiments/create", name="x" * 501)
    talk.post("experiments/create", name="with newline \n inside")
    talk.get("experiments/get", experiment_id="987654321")
    talk.get("experiments/get")
    talk.get("experiments/get-by-name", experiment_name="never made")
    talk.get("experiments/get-by-name")
    talk.post("experiments/set-experiment-tag", experiment_id=made, key="owner", value="ada")
    talk.post("experiments/set-experiment-tag", experiment_id=made, key="owner", value="max")
    talk.post("experiments/set-experiment-tag", experiment_id=made, key="", value="v")
    talk.post("experiments/set-experiment-tag", experiment_id=made, key="k" * 251, value="v")
    talk.post("experiments/set-experiment-tag", experiment_id=made, key="../up", value="v")
    talk.post("experiments/set-experiment-tag", experiment_id="987654321", key="k", value="v")
    talk.post("experiments/delete-experiment-tag", experiment_id=made, key="team")
    talk.post("experiments/delete-experiment-tag", experiment_id=made, key="team")
    talk.get("experiments/get", experiment_id=made)
    talk.post("experiments/update", experiment_id=made, new_name="exp renamed")
    talk.post("experiments/update", experiment_id=made, new_name="exp renamed")
    talk.post("experiments/update", experiment_id=made, new_name="")
    talk.post("experiments/update", experiment_id=made)
    talk.get("experiments/get-by-name", experiment_name="exp one")
    talk.post("experiments/delete", experiment_id=made)
    talk.post("experiments/delete", experiment_id=made)
    talk.get("experiments/get", experiment_id=made)
    talk.get("experiments/get-by-name", experiment_name="exp renamed")
    talk.post("experiments/create", name="exp renamed")
    talk.post("runs/create", experiment_id=made, run_name="in a deleted one")
    talk.post("experiments/set-experiment-tag", experiment_id=made, key="k", value="v")
    talk.post("experiments/update", experiment_id=made, new_name="other")
    talk.post("experiments/restore", experiment_id=made)
    talk.post("experiments/restore", experiment_id=made)
    talk.post("experiments/restore", experiment_id="987654321")
    talk.post("experiments/delete", experiment_id="987654321")
    talk.post("experiments/delete")
    talk.get("experiments/get", experiment_id=made)


@scene
def experiment_search(talk: Conversation) -> None:
    for index in range(5):
        tags = [{"key": "color", "value": ("red", "blue")[index % 2]}, {"key": "n.umber", "value": str(index)}]
        talk.post("experiments/create", name=f"Search-{index}", tags=tags)
    gone = _experiment(talk, "Search-gone")
    talk.post("experiments/delete", experiment_id=gone)
    named = "name LIKE 'Search-%'"
    for filter in (
        named,
        "name ILIKE 'search-%'",
        "name = 'Search-3'",
        f"{named} AND name != 'Search-3'",
        f"{named} AND tags.color = 'red'",
        f"{named} AND tag.color = 'blue'",
        f"{named} AND tags.`n.umber` = '2'",
        f'{named} AND tags."n.umber" = "2"',
        f"{named} AND tags.color LIKE 'r%'",
        f"{named} AND tags.color ILIKE 'R%'",
        f"{named} AND tags.color != 'red'",
        f"{named} AND attribute.name = 'Search-1'",
        f"{named} AND creation_time > 0",
        f"{named} AND last_update_time >= 5",
        f"{named} AND creation_time = 3",
        "name = 3",
        "nope = 'a'",
        "name > 'a'",
        "tags.color > 'a'",
        "name = 'a' OR name = 'b'",
        "name =",
        "name 'Search'",
        "params.a = '1'",
        "creation_time > 'abc'",
        "name = unquoted",
    ):
        talk.post("experiments/search", filter=filter, max_results=100, order_by=["name ASC"])
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL", "NOPE", 2):
        talk.post("experiments/search", filter=named, view_type=view, max_results=100, order_by=["name ASC"])
    for order in (["name DESC"], ["attribute.name"], ["name", "experiment_id DESC"], ["experiment_id DESC"], ["nope"]):
        talk.post("experiments/search", filter=named, max_results=100, order_by=order)
    talk.post("experiments/search", filter=named, order_by=["name UPWARDS"], max_results=10)
    first = talk.post("experiments/search", filter=named, max_results=2, order_by=["name ASC"])
    rest = {"filter": named, "max_results": 2, "order_by": ["name ASC"]}
    second = talk.post("experiments/search", **rest, page_token=first.get("next_page_token"))
    talk.post("experiments/search", **rest, page_token=second.get("next_page_token"))
    talk.get("experiments/search", filter=named, max_results=100, order_by="name ASC")
    talk.post("experiments/search", filter=named)
    for size in (0, -1, 50_001, "many"):
        talk.post("experiments/search", filter=named, max_results=size)
    talk.post("experiments/search", filter=named, max_results=5, page_token="bm9uc2Vuc2U=")


@scene
def runs(talk: Conversation) -> None:
    experiment = _experiment(talk, "runs")
    tags = [{"key": "mlflow.user", "value": "ada"}, {"key": "a", "value": "1"}]
    run = _run(talk, experiment, "first", tags=tags)
    talk.get("runs/get", run_id=run)
    talk.get("runs/get", run_uuid=run)
    talk.get("runs/get")
    talk.get("runs/get", run_id="0" * 32)
    talk.get("runs/get", run_id="../etc")
    talk.post("runs/create", experiment_id="987654321", start_time=T0)
    talk.post("runs/create", experiment_id="not a number", start_time=T0)
    talk.post("runs/create", experiment_id=experiment, start_time="soon")
    talk.post("runs/create", experiment_id=experiment, tags={"a": "b"})
    talk.post("runs/create", experiment_id=experiment, run_name=5)
    clash = [{"key": "mlflow.runName", "value": "tagged"}]
    talk.post("runs/create", experiment_id=experiment, run_name="named", start_time=T0, tags=clash)
    talk.post("runs/create", experiment_id=experiment, start_time=T0, tags=clash)
    for status in ("FINISHED", "RUNNING", "FAILED", "SCHEDULED", "KILLED", 3, "NOPE"):
        talk.post("runs/update", run_id=run, status=status, end_time=T0 + 5)
    talk.post("runs/update", run_id=run, run_name="renamed")
    talk.get("runs/get", run_id=run)
    talk.post("runs/set-tag", run_id=run, key="mlflow.runName", value="by tag")
    talk.get("runs/get", run_id=run)
    talk.post("runs/update", run_id=run, run_name="")
    talk.post("runs/update", run_id="0" * 32, status="FINISHED")
    talk.post("runs/update", status="FINISHED")
    talk.post("runs/set-tag", run_id=run, key="t", value="x")
    talk.post("runs/set-tag", run_uuid=run, key="t", value="y")
    talk.post("runs/set-tag", run_id=run, key="", value="y")
    talk.post("runs/set-tag", run_id=run, key="t")
    talk.post("runs/set-tag", run_id=run, key="k" * 251, value="y")
    talk.post("runs/set-tag", run_id=run, key="t", value="v" * 8001)
    talk.post("runs/set-tag", run_id=run, key="mlflow.runName", value="")
    talk.post("runs/set-tag", run_id="0" * 32, key="t", value="y")
    for key in ("a/b", "../x", "/abs", "a//b", "a/./b", "sp ace", "co:lon", "ü", "semi;colon", ".", "a\x00b"):
        talk.post("runs/set-tag", run_id=run, key=key, value="v")
    talk.post("runs/delete-tag", run_id=run, key="t")
    talk.post("runs/delete-tag", run_id=run, key="t")
    talk.post("runs/delete-tag", run_id="0" * 32, key="t")
    talk.post("runs/delete-tag", run_id=run)
    talk.post("runs/delete", run_id=run)
    talk.post("runs/delete", run_id=run)
    talk.get("runs/get", run_id=run)
    talk.post("runs/update", run_id=run, status="FINISHED")
    talk.post("runs/set-tag", run_id=run, key="t", value="x")
    talk.post("runs/delete-tag", run_id=run, key="a")
    talk.post("runs/log-parameter", run_id=run, key="p", value="x")
    talk.post("runs/log-metric", run_id=run, key="m", value=1, timestamp=T0, step=0)
    talk.post("runs/log-batch", run_id=run, metrics=[{"key": "m", "value": 1, "timestamp": T0, "step": 0}])
    talk.post("runs/restore", run_id=run)
    talk.post("runs/restore", run_id=run)
    talk.post("runs/restore", run_id="0" * 32)
    talk.post("runs/delete", run_id="0" * 32)
    talk.post("runs/delete")
    talk.get("runs/get", run_id=run)
    talk.post("experiments/delete", experiment_id=experiment)
    talk.get("runs/get", run_id=run)
    talk.post("experiments/restore", experiment_id=experiment)
    talk.get("runs/get", run_id=run)


@scene
def params_and_metrics(talk: Conversation) -> None:
    experiment = _experiment(talk, "values")
    run = _run(talk, experiment, "values")
    talk.post("runs/log-parameter", run_id=run, key="depth", value="5")
    talk.post("runs/log-parameter", run_id=run, key="depth", value="5")
    talk.post("runs/log-parameter", run_id=run, key="depth", value="6")
    talk.post("runs/log-parameter", run_id=run, key="number", value=5)
    talk.post("runs/log-parameter", run_id=run, key="empty", value="")
    talk.post("runs/log-parameter", run_id=run, key="", value="5")
    talk.post("runs/log-parameter", run_id=run, value="5")
    talk.post("runs/log-parameter", run_id=run, key="missing value")
    talk.post("runs/log-parameter", run_id=run, key="k" * 251, value="5")
    talk.post("runs/log-parameter", run_id=run, key="fits", value="v" * 6000)
    talk.post("runs/log-parameter", run_id=run, key="a/../b", value="5")
    talk.post("runs/log-parameter", key="a", value="5")
    talk.post("runs/log-parameter", run_id="0" * 32, key="a", value="5")
    points: list[dict[str, Any]] = [
        {"value": 0.5, "timestamp": T0, "step": 0},
        {"value": 0.7, "timestamp": T0 + 1, "step": 3},
        {"value": 0.6, "timestamp": T0 + 2, "step": 2},
        {"value": 0.9, "timestamp": T0 + 1, "step": 3},
        {"value": 0.8, "timestamp": T0 + 1, "step": 3},
        {"value": 0.8, "timestamp": T0 + 1, "step": 3},
        {"value": -1, "timestamp": T0, "step": -5},
    ]
    for point in points:
        talk.post("runs/log-metric", run_id=run, key="auc", **point)
    talk.get("runs/get", run_id=run)
    talk.get("metrics/get-history", run_id=run, metric_key="auc")
    for value in ("NaN", "Infinity", "-Infinity", "1.5", "1e400", "abc", None, 1e308):
        talk.post("runs/log-metric", run_id=run, key=f"v {value}", value=value, timestamp=T0, step=0)
    talk.post("runs/log-metric", run_id=run, key="no step", value=1, timestamp=T0)
    talk.post("runs/log-metric", run_id=run, key="no time", value=1)
    talk.post("runs/log-metric", run_id=run, key="no value", timestamp=T0)
    talk.post("runs/log-metric", run_id=run, value=1, timestamp=T0)
    talk.post("runs/log-metric", run_id=run, key="", value=1, timestamp=T0)
    talk.post("runs/log-metric", run_id=run, key="text time", value=1, timestamp=str(T0), step="7")
    talk.post("runs/log-metric", run_id=run, key="negative time", value=1, timestamp=-5, step=0)
    talk.post("runs/log-metric", run_id=run, key="bad time", value=1, timestamp="soon", step=0)
    talk.post("runs/log-metric", run_id=run, key="../up", value=1, timestamp=T0, step=0)
    talk.post("runs/log-metric", run_id=run, key="k" * 251, value=1, timestamp=T0, step=0)
    talk.post("runs/log-metric", run_id="0" * 32, key="m", value=1, timestamp=T0, step=0)
    talk.get("runs/get", run_id=run)
    talk.get("metrics/get-history", run_id=run, metric_key="never logged")
    talk.get("metrics/get-history", run_id=run)
    talk.get("metrics/get-history", metric_key="auc")
    talk.get("metrics/get-history", run_id="0" * 32, metric_key="auc")
    page = talk.get("metrics/get-history", run_id=run, metric_key="auc", max_results=2)
    talk.get("metrics/get-history", run_id=run, metric_key="auc", max_results=2, page_token=page.get("next_page_token"))
    talk.get("metrics/get-history", run_id=run, metric_key="auc", max_results=0)
    talk.get("metrics/get-history", run_id=run, metric_key="auc", max_results="few")
    spoiled = _run(
        talk, talk.get("experiments/get-by-name", experiment_name="values")["experiment"]["experiment_id"], "spoiled"
    )
    talk.post("runs/log-parameter", run_id=spoiled, key="long", value="v" * 6001)
    for value in (True, [1], {"a": 1}):
        talk.post("runs/log-metric", run_id=spoiled, key=f"v {value}", value=value, timestamp=T0, step=0)
    talk.post("runs/log-metric", run_id=spoiled, key="float step", value=1, timestamp=T0, step=1.5)
    talk.post("runs/log-metric", run_id=spoiled, key="big step", value=1, timestamp=T0, step=2**63)


@scene
def batches(talk: Conversation) -> None:
    experiment = _experiment(talk, "batches")
    run = _run(talk, experiment, "batch")
    point = {"key": "m", "value": 1.0, "timestamp": T0, "step": 0}
    talk.post(
        "runs/log-batch",
        run_id=run,
        metrics=[point, {**point, "step": 2, "value": 0.25}, {**point, "step": 1}, {**point, "key": "n"}],
        params=[{"key": "p", "value": "1"}, {"key": "q", "value": "2"}],
        tags=[{"key": "t", "value": "1"}],
    )
    talk.get("runs/get", run_id=run)
    talk.post("runs/log-batch", run_id=run, params=[{"key": "new", "value": "1"}, {"key": "p", "value": "other"}])
    talk.post("runs/log-batch", run_id=run, params=[{"key": "r", "value": "1"}, {"key": "r", "value": "1"}])
    talk.post("runs/log-batch", run_id=run, params=[{"key": "s", "value": "1"}, {"key": "s", "value": "2"}])
    talk.post("runs/log-batch", run_id=run, tags=[{"key": "t", "value": "2"}, {"key": "t", "value": "3"}])
    talk.post("runs/log-batch", run_id=run, metrics=[point, {**point, "key": "../x"}])
    talk.post("runs/log-batch", run_id=run, metrics=[{**point, "value": "NaN"}, {**point, "value": "Infinity"}])
    talk.post("runs/log-batch", run_id=run, metrics="many")
    talk.post("runs/log-batch", run_id=run, metrics=[point] * 1001)
    talk.post("runs/log-batch", run_id=run, params=[{"key": f"k{i}", "value": "v"} for i in range(101)])
    talk.post("runs/log-batch", run_id=run, tags=[{"key": f"k{i}", "value": "v"} for i in range(101)])
    many = {
        "metrics": [{**point, "step": i} for i in range(950)],
        "params": [{"key": f"z{i}", "value": "v"} for i in range(60)],
    }
    talk.post("runs/log-batch", run_id=run, **many)
    talk.post("runs/log-batch", run_id=run)
    talk.post("runs/log-batch")
    talk.post("runs/log-batch", run_id="0" * 32, metrics=[point])
    talk.ask("POST", "runs/log-batch", body="{not json")
    talk.ask("POST", "runs/log-batch", body="[]")
    talk.ask("POST", "runs/log-batch", body='"text"')
    talk.ask("POST", "runs/log-batch")
    talk.get("runs/get", run_id=run)
    talk.get("metrics/get-history", run_id=run, metric_key="m")
    spoiled = _run(talk, experiment, "spoiled")
    talk.post("runs/log-batch", run_id=spoiled, metrics=[{**point, "key": "fresh"}, {**point, "value": "abc"}])
    talk.post("runs/log-batch", run_id=spoiled, metrics=[{"key": "m"}])
    talk.post("runs/log-batch", run_id=spoiled, params=[{"key": "long", "value": "v" * 6001}])
    talk.post("runs/log-batch", run_id=spoiled, tags=[{"key": "long", "value": "v" * 8001}])
    talk.get("runs/get", run_id=spoiled)
    other = _run(talk, experiment, "other", T0 + 1)
    steps = [{**point, "step": i, "timestamp": T0 + i, "value": float((i * 37) % 11)} for i in range(100)]
    talk.post("runs/log-batch", run_id=other, metrics=steps)
    bulk = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    talk.ask("GET", bulk, query={"run_id": [other], "metric_key": "m", "max_results": 8})
    talk.ask("GET", bulk, query={"run_id": [run], "metric_key": "none"})
    talk.ask("GET", bulk, query={"metric_key": "m"})
    talk.ask("GET", bulk, query={"run_id": [run]})
    interval = "metrics/get-history-bulk-interval"
    for more in (
        {},
        {"max_results": 10},
        {"start_step": 10, "end_step": 20},
        {"start_step": 10, "end_step": 90, "max_results": 5},
    ):
        talk.get(interval, run_ids=[other], metric_key="m", **more)
    talk.get(interval, run_ids=[run, other], metric_key="n")
    for more in ({"start_step": 5}, {"start_step": 9, "end_step": 3}, {"max_results": 0}, {"max_results": 2501}):
        talk.get(interval, run_ids=[other], metric_key="m", **more)
    talk.get(interval, metric_key="m")
    talk.get(interval, run_ids=[other])
    talk.get(interval, run_ids=["0" * 32], metric_key="m")


_RUNS = (
    # name, acc, loss, params, tags, status, dataset
    ("alpha", 0.9, 0.1, {"lr": "0.1", "model": "Forest"}, {"team": "Vision"}, "FINISHED"),
    ("beta", 0.8, 0.2, {"lr": "0.01", "model": "forest"}, {"team": "vision", "best": "yes"}, "FINISHED"),
    ("gamma", 0.7, None, {"lr": "0.1"}, {}, "FAILED"),
    ("delta", None, 0.4, {"model": "Linear"}, {"team": "Text"}, "RUNNING"),
    ("Epsilon", "NaN", 0.5, {}, {"sp ace": "x"}, "FINISHED"),
    ("zeta", "Infinity", -0.5, {"lr": "1"}, {"team": ""}, "KILLED"),
    ("eta 100%_x", 0.8, 0.2, {"lr": "0.1", "a.b": "dotted", "ba`ck": "t"}, {"team": "Vision"}, "SCHEDULED"),
)


@scene
def run_search(talk: Conversation) -> None:
    experiment = _experiment(talk, "searched")
    other = _experiment(talk, "searched too")
    ids = []
    for index, (name, acc, loss, params, tags, status) in enumerate(_RUNS):
        where = experiment if index < 6 else other
        run = _run(talk, where, name, T0 + 1000 * index)
        ids.append(run)
        metrics = [("acc", acc), ("loss", loss), ("a b/c", index)]
        talk.post(
            "runs/log-batch",
            run_id=run,
            metrics=[{"key": k, "value": v, "timestamp": T0, "step": 0} for k, v in metrics if v is not None],
            params=[{"key": k, "value": v} for k, v in params.items()],
            tags=[{"key": k, "value": v} for k, v in tags.items()],
        )
        talk.post("runs/update", run_id=run, status=status, **({"end_time": T0 + 5000 + index} if index % 2 else {}))
    for run, digest, context in ((ids[0], "d1", "training"), (ids[1], "d2", "eval"), (ids[6], "d1", "training")):
        dataset = {"name": "wine", "digest": digest, "source_type": "local", "source": "{}"}
        tag = [{"key": "mlflow.data.context", "value": context}]
        talk.post("runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": tag}])
    talk.post("runs/delete", run_id=ids[2])
    both = [experiment, other]

    def search(**more: Any) -> Any:
        return talk.post("runs/search", experiment_ids=both, **more)

    for filter in (
        "",
        "metrics.acc > 0.75",
        "metrics.acc >= 0.8 AND metrics.loss < 0.2",
        "metric.acc = 0.8",
        "metrics.acc != 0.8",
        "metrics.acc <= 1e3",
        "metrics.loss < -0.1",
        "metrics.loss > .15",
        "metrics.`a b/c` >= 5",
        'metrics."a b/c" >= 5',
        "params.lr = '0.1'",
        'params.lr = "0.1"',
        "param.lr != '0.1'",
        "parameters.lr LIKE '0.%'",
        "params.model LIKE 'For%'",
        "params.model ILIKE 'for%'",
        "params.model LIKE 'forest'",
        "params.`a.b` = 'dotted'",
        "params.a.b = 'dotted'",
        "params.lr IS NULL",
        "params.lr IS NOT NULL",
        "tags.team IS NULL",
        "tags.team IS NOT NULL AND tags.team != ''",
        "metrics.acc IS NULL",
        "tags.team = 'Vision'",
        "tags.team = 'vision'",
        "tag.team ILIKE 'VISION'",
        "tags.`sp ace` = 'x'",
        "tags.best = 'yes' AND params.model = 'forest'",
        "tags.mlflow.runName = 'beta'",
        "status = 'FINISHED'",
        "attributes.status != 'FINISHED'",
        "attribute.status LIKE 'FIN%'",
        "attr.status = 'finished'",
        "run.status = 'RUNNING'",
        "run_name = 'alpha'",
        "`run name` = 'alpha'",
        "attributes.`Run name` = 'alpha'",
        "run_name LIKE '%eta%'",
        "run_name LIKE 'eta 100%_x'",
        "run_name LIKE '_eta'",
        "run_name ILIKE 'EPS%'",
        "user_id = 'ada'",
        "attributes.user_id = 'max'",
        "artifact_uri LIKE '%artifacts'",
        f"start_time > {T0 + 2000}",
        f"attributes.start_time <= {T0}",
        f"created > {T0 + 2000}",
        f"attributes.Created < {T0 + 2000}",
        f"end_time > {T0}",
        f"run_id = '{ids[0]}'",
        f"attributes.run_id IN ('{ids[0]}', '{ids[1]}')",
        f"attributes.run_id NOT IN ('{ids[0]}', '{ids[1]}')",
        f'run_id IN ("{ids[0]}")',
        "run_id IN ()",
        "dataset.digest = 'd1'",
        "datasets.name = 'wine'",
        "dataset.name ILIKE 'WI%'",
        "dataset.digest IN ('d1', 'd2')",
        "dataset.digest NOT IN ('d1')",
        "dataset.context = 'eval'",
        "dataset.context != 'eval'",
        "dataset.nope = 'x'",
        "metrics.acc > 'high'",
        "metrics.acc > '0.5'",
        "metrics.acc LIKE '1'",
        "params.lr > '0.1'",
        "params.lr = 0.1",
        "params.lr = unquoted",
        "tags.team = 5",
        "nope.x = '1'",
        "nope = '1'",
        "attribute.nope = '1'",
        "status > 'A'",
        "status = 5",
        "start_time = 'abc'",
        "start_time LIKE '1%'",
        "metrics.acc > 0.5 OR metrics.acc < 0.1",
        "(metrics.acc > 0.5)",
        "metrics.acc >",
        "metrics.acc",
        "> 0.5",
        "metrics. > 0.5",
        "metrics.acc > 0.5 AND",
        "AND metrics.acc > 0.5",
        "metrics.acc > 0.5 metrics.loss < 1",
        "metrics.acc > 0.5; DROP TABLE runs",
        "params.x = 'it''s'",
        "params.x = 'open",
        "params.lr IN ('0.1', '1')",
        "tags.team IN ('Vision')",
        "status IN ('FINISHED')",
        "metrics.acc BETWEEN 0 AND 1",
        "params.lr IS 5",
        "   metrics.acc   >   0.75   ",
        "metrics.acc>0.75",
        "metrics.acc > 0.75 and params.lr = '0.1'",
        "metrics.acc > 0.5 AND metrics.acc < 0.85",
        "\tmetrics.acc > 0.5\n",
    ):
        search(filter=filter)
    for order in (
        ["metrics.acc DESC"],
        ["metrics.acc ASC"],
        ["metrics.acc"],
        ["metric.loss desc"],
        ["params.lr"],
        ["params.lr DESC"],
        ["params.model ASC", "metrics.loss DESC"],
        ["tags.team ASC"],
        ["tags.`sp ace` DESC"],
        ["metrics.`a b/c` DESC"],
        ["start_time ASC"],
        ["attributes.start_time DESC"],
        ["end_time DESC"],
        ["end_time ASC"],
        ["status ASC", "run_name ASC"],
        ["run_name DESC"],
        ["attributes.`Run Name`"],
        ["metrics.never ASC"],
        ["params.never DESC"],
        ["metrics.acc DESC", "metrics.acc ASC"],
        ["Created DESC"],
        ["dataset.name"],
        ["nope"],
        ["metrics.acc SIDEWAYS"],
        ["metrics.acc DESC, params.lr"],
        [""],
        ["metrics.acc; DROP"],
        ["user_id"],
    ):
        search(order_by=order)
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL", 3, "NOPE"):
        search(run_view_type=view)
    page = search(max_results=4, order_by=["metrics.acc DESC"])
    search(max_results=4, order_by=["metrics.acc DESC"], page_token=page.get("next_page_token"))
    for size in (0, -1, 50_001, "many", 50_000):
        search(max_results=size)
    talk.post("runs/search", filter="metrics.acc > 0.1")
    talk.post("runs/search", experiment_ids=[])
    talk.post("runs/search", experiment_ids=["987654321"])
    talk.post("runs/search", experiment_ids=experiment)
    talk.post("runs/search", experiment_ids=[int(experiment)])


@scene
def inputs_and_outputs(talk: Conversation) -> None:
    experiment = _experiment(talk, "inputs")
    run = _run(talk, experiment, "with data")
    dataset = {
        "name": "wine",
        "digest": "abc",
        "source_type": "http",
        "source": '{"url": "x"}',
        "schema": "{}",
        "profile": "{}",
    }
    context = [{"key": "mlflow.data.context", "value": "training"}]
    talk.post("runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": context}])
    talk.post("runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": context}])
    talk.post("runs/log-inputs", run_id=run, datasets=[{"dataset": {**dataset, "digest": "def"}}])
    talk.get("runs/get", run_id=run)
    talk.post("runs/log-inputs", run_id=run, datasets=[{"dataset": {"name": "incomplete"}}])
    talk.post("runs/log-inputs", run_id=run, datasets=[{"tags": context}])
    talk.post("runs/log-inputs", run_id=run, datasets=[{"dataset": {**dataset, "name": "n" * 501}}])
    talk.post("runs/log-inputs", run_id=run, datasets=[{"dataset": {**dataset, "digest": "d" * 37}}])
    talk.post("runs/log-inputs", run_id=run, datasets=[])
    talk.post("runs/log-inputs", run_id=run)
    talk.post("runs/log-inputs", run_id="0" * 32, datasets=[{"dataset": dataset}])
    talk.post("runs/log-inputs", datasets=[{"dataset": dataset}])
    model = talk.post("logged-models", experiment_id=experiment, name="m", source_run_id=run)["model"]["info"][
        "model_id"
    ]
    talk.post("runs/log-inputs", run_id=run, models=[{"model_id": model}])
    talk.post("runs/outputs", run_id=run, models=[{"model_id": model, "step": 3}])
    talk.post("runs/outputs", run_id=run, models=[{"model_id": model, "step": 3}])
    talk.post("runs/outputs", run_id="0" * 32, models=[{"model_id": model, "step": 3}])
    talk.post("runs/outputs", run_id=run, models=[])
    talk.get("runs/get", run_id=run)
    metric = {"key": "acc", "value": 0.5, "timestamp": T0, "step": 0, "model_id": model}
    talk.post("runs/log-metric", run_id=run, **metric, dataset_name="wine", dataset_digest="abc")
    talk.post("runs/log-batch", run_id=run, metrics=[{**metric, "value": 0.75, "step": 1}])
    talk.get(f"logged-models/{model}")
    talk.get("runs/get", run_id=run)
    talk.ask("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", body={"experiment_ids": [experiment]})
    talk.ask("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", body={"experiment_ids": []})


@scene
def logged_models(talk: Conversation) -> None:
    experiment = _experiment(talk, "models")
    run = _run(talk, experiment, "maker")
    made = talk.post(
        "logged-models",
        experiment_id=experiment,
        name="forest",
        model_type="sklearn",
        source_run_id=run,
        params=[{"key": "depth", "value": "3"}],
        tags=[{"key": "team", "value": "vision"}],
    )["model"]["info"]["model_id"]
    talk.get(f"logged-models/{made}")
    talk.get("logged-models/m-00000000000000000000000000000000")
    talk.post("logged-models", experiment_id="987654321", name="x")
    talk.post("logged-models", name="x")
    talk.post("logged-models", experiment_id=experiment, name="a/b")
    talk.post("logged-models", experiment_id=experiment, source_run_id="0" * 32, name="orphan")
    talk.patch(f"logged-models/{made}", model_id=made, status="LOGGED_MODEL_READY")
    talk.patch(f"logged-models/{made}", model_id=made, status=2)
    nobody = "m-00000000000000000000000000000000"
    talk.patch(f"logged-models/{nobody}", model_id=nobody, status="LOGGED_MODEL_READY")
    new_tags = [{"key": "a", "value": "1"}, {"key": "team", "value": "text"}]
    talk.patch(f"logged-models/{made}/tags", model_id=made, tags=new_tags)
    talk.delete(f"logged-models/{made}/tags/a")
    talk.delete(f"logged-models/{made}/tags/a")
    talk.post(f"logged-models/{made}/params", model_id=made, params=[{"key": "width", "value": "9"}])
    talk.post(f"logged-models/{made}/params", model_id=made, params=[{"key": "width", "value": "9"}])
    talk.post(f"logged-models/{made}/params", model_id=made, params=[{"key": "width", "value": "10"}])
    talk.get(f"logged-models/{made}")
    second = talk.post("logged-models", experiment_id=experiment, name="linear", source_run_id=run)["model"]["info"]
    point = {"key": "acc", "timestamp": T0, "step": 0}
    talk.post("runs/log-metric", run_id=run, **point, value=0.5, model_id=made)
    talk.post("runs/log-metric", run_id=run, **point, value=0.75, model_id=second["model_id"])
    search = "logged-models/search"
    by_name = [{"field_name": "name", "ascending": True}]
    for filter in (
        "",
        "name = 'forest'",
        "name LIKE 'for%'",
        "name ILIKE 'FOR%'",
        "metrics.acc > 0.6",
        "params.depth = '3'",
        "tags.team = 'text'",
        "tags.team != 'x'",
        f"source_run_id = '{run}'",
        "model_type = 'sklearn'",
        "status = 'READY'",
        "status != 'READY'",
        "model_id = 'm-0'",
        f"model_id IN ('{made}')",
        "creation_timestamp > 5",
        "last_updated_timestamp > 5",
        "attributes.name = 'linear'",
        "name = 5",
        "nope = 'x'",
        "metrics.acc > 'x'",
        "name = 'a' OR name = 'b'",
        "name =",
    ):
        talk.post(
            search, experiment_ids=[experiment], filter=filter, order_by=[{"field_name": "name", "ascending": True}]
        )
    for order in (
        {"field_name": "metrics.acc", "ascending": False},
        {"field_name": "creation_timestamp"},
        {"field_name": "nope"},
    ):
        talk.post(search, experiment_ids=[experiment], order_by=[order])
    by_name = [{"field_name": "name", "ascending": True}]
    page = talk.post(search, experiment_ids=[experiment], max_results=1, order_by=by_name)
    talk.post(
        search, experiment_ids=[experiment], max_results=1, order_by=by_name, page_token=page.get("next_page_token")
    )
    talk.post(search, experiment_ids=[])
    talk.post(search, experiment_ids=[experiment], max_results=0)
    talk.delete(f"logged-models/{made}")
    talk.get(f"logged-models/{made}")
    talk.delete(f"logged-models/{made}")
    talk.post(search, experiment_ids=[experiment])
    spoiled = talk.post("logged-models", experiment_id=experiment, name="spoiled")["model"]["info"]["model_id"]
    talk.post("logged-models", experiment_id=experiment, name="n" * 300)
    talk.patch(f"logged-models/{spoiled}/tags", model_id=spoiled, tags=[{"key": "", "value": "1"}])
    talk.patch(f"logged-models/{spoiled}", model_id=spoiled, status="NOPE")
    talk.post("logged-models", experiment_id=experiment, name="")


@scene
def registered_models(talk: Conversation) -> None:
    talk.post("registered-models/create", name="reg", description="about", tags=[{"key": "a", "value": "1"}])
    talk.post("registered-models/create", name="reg")
    for name in ("", "a/b", "a:b", 5, None):
        talk.post("registered-models/create", name=name)
    talk.get("registered-models/get", name="reg")
    talk.get("registered-models/get", name="nope")
    talk.get("registered-models/get")
    talk.patch("registered-models/update", name="reg", description="changed")
    talk.patch("registered-models/update", name="nope", description="changed")
    talk.post("registered-models/set-tag", name="reg", key="b", value="2")
    talk.post("registered-models/set-tag", name="reg", key="", value="2")
    talk.post("registered-models/set-tag", name="nope", key="b", value="2")
    talk.post("registered-models/set-tag", name="reg", key="k" * 251, value="2")
    talk.post("registered-models/set-tag", name="reg", key="long", value="v" * 100_001)
    talk.delete("registered-models/delete-tag", name="reg", key="b")
    talk.delete("registered-models/delete-tag", name="reg", key="b")
    talk.get("registered-models/get", name="reg")
    run = _run(talk, _experiment(talk, "for versions"), "v")
    source = talk.get("runs/get", run_id=run)["run"]["info"]["artifact_uri"] + "/model"
    for more in ({}, {"tags": [{"key": "t", "value": "1"}]}, {"description": "third"}):
        talk.post("model-versions/create", name="reg", source=source, run_id=run, **more)
    talk.post("model-versions/create", name="reg", source=source.replace(run, "0" * 32), run_id=run)
    talk.post("model-versions/create", name="nope", source=source)
    talk.post("model-versions/create", name="reg")
    talk.post("model-versions/create", source=source)
    talk.post("model-versions/create", name="reg", source="/etc/passwd")
    talk.post("model-versions/create", name="reg", source="file:///etc")
    talk.post("model-versions/create", name="reg", source="../../etc", run_id=run)
    talk.get("model-versions/get", name="reg", version="1")
    talk.get("model-versions/get", name="reg", version="99")
    talk.get("model-versions/get", name="reg", version="x")
    talk.get("model-versions/get", name="reg")
    talk.get("model-versions/get-download-uri", name="reg", version="1")
    talk.get("model-versions/get-download-uri", name="reg", version="99")
    talk.patch("model-versions/update", name="reg", version="1", description="first")
    talk.patch("model-versions/update", name="reg", version="99", description="first")
    talk.post("model-versions/set-tag", name="reg", version="1", key="k", value="v")
    talk.post("model-versions/set-tag", name="reg", version="99", key="k", value="v")
    talk.post("model-versions/set-tag", name="reg", version="1", key="", value="v")
    talk.delete("model-versions/delete-tag", name="reg", version="1", key="k")
    talk.delete("model-versions/delete-tag", name="reg", version="1", key="k")
    for stage in ("Staging", "production", "Archived", "None", "Nope"):
        archive = {"archive_existing_versions": stage == "production"}
        talk.post("model-versions/transition-stage", name="reg", version="1", stage=stage, **archive)
    talk.post("model-versions/transition-stage", name="reg", version="2", stage="Staging")
    talk.post("registered-models/get-latest-versions", name="reg")
    talk.get("registered-models/get-latest-versions", name="reg", stages=["Staging"])
    talk.post("registered-models/get-latest-versions", name="reg", stages=["Nope"])
    talk.post("registered-models/get-latest-versions", name="nope")
    talk.post("registered-models/alias", name="reg", alias="best", version="1")
    talk.post("registered-models/alias", name="reg", alias="best", version="2")
    talk.post("registered-models/alias", name="reg", alias="other", version="2")
    talk.post("registered-models/alias", name="reg", alias="missing", version="99")
    for alias in ("latest", "v1", "a b", "", "x" * 256, "ok-1_x", "V3"):
        talk.post("registered-models/alias", name="reg", alias=alias, version="1")
    talk.get("registered-models/alias", name="reg", alias="best")
    talk.get("registered-models/alias", name="reg", alias="none such")
    talk.get("registered-models/alias", name="nope", alias="best")
    talk.delete("registered-models/alias", name="reg", alias="ok-1_x")
    talk.delete("registered-models/alias", name="reg", alias="ok-1_x")
    talk.get("registered-models/get", name="reg")
    talk.get("model-versions/get", name="reg", version="2")
    talk.delete("model-versions/delete", name="reg", version="3")
    talk.delete("model-versions/delete", name="reg", version="3")
    talk.get("model-versions/get", name="reg", version="3")
    talk.post("model-versions/create", name="reg", source=source, run_id=run)
    talk.post("registered-models/rename", name="reg", new_name="renamed")
    talk.post("registered-models/rename", name="reg", new_name="again")
    talk.post("registered-models/rename", name="renamed", new_name="")
    talk.post("registered-models/rename", name="renamed", new_name="a/b")
    talk.get("registered-models/get", name="renamed")
    talk.get("registered-models/alias", name="renamed", alias="best")
    talk.delete("model-versions/delete", name="renamed", version="2")
    talk.get("registered-models/alias", name="renamed", alias="best")
    talk.delete("registered-models/delete", name="renamed")
    talk.delete("registered-models/delete", name="renamed")
    talk.get("registered-models/get", name="renamed")
    talk.get("model-versions/search", filter="name='renamed'")
    talk.post("registered-models/create", name="without runs")
    talk.post("model-versions/create", name="without runs", source=source)


@scene
def registry_search(talk: Conversation) -> None:
    run = _run(talk, _experiment(talk, "for registry search"), "v")
    root = talk.get("runs/get", run_id=run)["run"]["info"]["artifact_uri"]
    for index, name in enumerate(("Find-a", "find-b", "Find-c")):
        talk.post("registered-models/create", name=name, tags=[{"key": "color", "value": ("red", "blue")[index % 2]}])
        for version in range(index + 1):
            tags = [{"key": "n", "value": str(version)}]
            talk.post("model-versions/create", name=name, source=f"{root}/{version}", run_id=run, tags=tags)
    talk.post("registered-models/alias", name="Find-c", alias="best", version="2")
    found = "name ILIKE 'find-%'"
    for filter in (
        found,
        "name LIKE 'Find-%'",
        "name = 'Find-a'",
        f"{found} AND tags.color = 'red'",
        f"{found} AND tag.color != 'red'",
        f"{found} AND tags.`color` ILIKE 'B%'",
        "name > 'a'",
        "nope = 'x'",
        "name = 5",
        "name = 'a' OR name = 'b'",
        "tags.color IS NULL",
        "version_number > 1",
    ):
        talk.get("registered-models/search", filter=filter, order_by=["name ASC"])
    for order in (["name DESC"], ["last_updated_timestamp DESC", "name"], ["timestamp"], ["nope"], ["name SIDEWAYS"]):
        talk.get("registered-models/search", filter="name = 'Find-a'", order_by=order)
    page = talk.get("registered-models/search", filter=found, max_results=2, order_by=["name ASC"])
    more = {"filter": found, "max_results": 2, "order_by": ["name ASC"]}
    talk.get("registered-models/search", **more, page_token=page.get("next_page_token"))
    for size in (0, -1, 1001, "many"):
        talk.get("registered-models/search", filter=found, max_results=size)
    versions = "name = 'Find-c'"
    for filter in (
        versions,
        "name='Find-c'",
        "name LIKE 'Find-%'",
        f"{versions} AND version_number > 1",
        f"{versions} AND version_number = 2",
        f"run_id = '{run}'",
        f"run_id IN ('{run}')",
        f"{versions} AND run_id IN ('{run}', 'x')",
        f"{versions} AND source_path LIKE '%/2'",
        f"{versions} AND tags.n = '1'",
        f"{versions} AND tags.n != '1'",
        f"{versions} AND version_number > 'x'",
        "version = 2",
        "nope = 'x'",
        "name = 5",
        "run_id IN ()",
        "name = 'a' OR name = 'b'",
        "aliases = 'best'",
    ):
        talk.get("model-versions/search", filter=filter, order_by=["name ASC", "version_number ASC"])
    for order in (["version_number DESC"], ["creation_timestamp ASC", "version_number"], ["nope"], ["name ASC"]):
        talk.get("model-versions/search", filter=versions, order_by=order)
    page = talk.get("model-versions/search", filter=versions, max_results=2, order_by=["version_number ASC"])
    more = {"filter": versions, "max_results": 2, "order_by": ["version_number ASC"]}
    talk.get("model-versions/search", **more, page_token=page.get("next_page_token"))
    for size in (-1, 200_001, "many"):
        talk.get("model-versions/search", filter=versions, max_results=size)


@scene
def artifacts(talk: Conversation) -> None:
    experiment = _experiment(talk, "artifacts")
    run = _run(talk, experiment, "files")
    root = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts"
    for name, content in (
        ("a.txt", b"hello"),
        ("dir/b.json", b"{}"),
        ("dir/deep/c.bin", bytes(range(256))),
        ("sp ace/ü.txt", b"x"),
    ):
        talk.ask("PUT", f"{root}/{name}", body=content)
    talk.ask("PUT", f"{root}/a.txt", body=b"hello again")
    talk.ask("GET", f"{root}/a.txt")
    talk.ask("GET", f"{root}/none.txt")
    listing = "/api/2.0/mlflow-artifacts/artifacts"
    talk.ask("GET", listing, query={"path": f"{experiment}/{run}/artifacts"})
    talk.ask("GET", listing, query={"path": f"{experiment}/{run}/artifacts/dir"})
    talk.ask("GET", listing, query={"path": f"{experiment}/{run}/artifacts/none"})
    talk.get("artifacts/list", run_id=run)
    talk.get("artifacts/list", run_id=run, path="dir")
    talk.get("artifacts/list", run_id=run, path="dir/deep")
    talk.get("artifacts/list", run_id=run, path="a.txt")
    talk.get("artifacts/list", run_id=run, path="none")
    talk.get("artifacts/list", run_id=run, path="../..")
    talk.get("artifacts/list", run_id="0" * 32)
    talk.get("artifacts/list")
    for path in ("../../../etc/passwd", "..%2F..%2Fetc%2Fpasswd", "%2e%2e/%2e%2e/etc/passwd", "a/%00/b"):
        talk.ask("GET", f"{root}/{path}")
    talk.ask("GET", "/get-artifact", query={"run_uuid": run, "path": "a.txt"})
    talk.ask("GET", "/get-artifact", query={"run_uuid": run, "path": "none.txt"})
    talk.ask("DELETE", f"{root}/a.txt")
    talk.ask("GET", f"{root}/a.txt")
    talk.ask("DELETE", f"{root}/dir")
    talk.get("artifacts/list", run_id=run)


@scene
def server(talk: Conversation) -> None:
    talk.ask("GET", "/health")
    talk.ask("GET", "/version")
    talk.ask("GET", "/api/2.0/mlflow/no-such-route")
    talk.ask("GET", "/api/2.0/mlflow/runs/create")
    talk.ask("POST", "/api/2.0/mlflow/runs/get", body={})
    talk.ask("GET", "/ajax-api/2.0/mlflow/experiments/get", query={"experiment_id": "987654321"})
    talk.ask("GET", "/api/3.0/mlflow/server-info")
