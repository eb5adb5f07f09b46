"""Every page there is, with what makes its address."""

from __future__ import annotations

from web_world import USE_CASE, World

NAMES = (
    "inbox", "portfolio", "use case", "plan", "experiments", "experiments of a use case", "runs", "runs found",
    "runs sorted", "runs pinned", "runs chosen", "runs mistyped", "experiments found",
    "run", "run beside another", "files", "file", "compare", "compare best", "compare nothing",
    "runs by best", "runs refused", "runs deleted", "experiments deleted",
    "graph", "model", "gate of the waiting", "gate of the rejected", "gate of the champion",
    "decisions", "decision", "evidence", "monitor", "feedback", "prediction", "board", "card", "people",
    "ledger", "sign in", "style", "traces", "traces found", "traces mistyped", "trace", "trace at a span",
)  # fmt: skip

OF_OPERATORS = ("webhooks", "webhook")
"""Pages that only operators may see."""


def address(name: str, world: World) -> str:
    """The path of a page in this world."""
    model = f"/models/{USE_CASE}"
    return {
        "inbox": "/",
        "portfolio": "/portfolio",
        "use case": f"/use-cases/{USE_CASE}",
        "plan": f"/use-cases/{USE_CASE}/plan",
        "experiments": "/experiments",
        "experiments of a use case": f"/experiments?use_case={USE_CASE}",
        "runs": f"/experiments/{world.experiment_id}",
        "runs found": f"/experiments/{world.experiment_id}?filter=metrics.auc+%3E+0.92",
        "runs sorted": f"/experiments/{world.experiment_id}?sort=metrics.`auc`+DESC",
        "runs pinned": f"/experiments/{world.experiment_id}?filter=params.model+%3D+'forest'&baseline={world.run_id}",
        "runs chosen": f"/experiments/{world.experiment_id}?cols=metrics.loss,params.model,tags.team,took,end_time",
        "runs mistyped": f"/experiments/{world.experiment_id}?filter=auc+%3E+0.9",
        "experiments found": "/experiments?q=early",
        "run": f"/runs/{world.run_id}",
        "run beside another": f"/runs/{world.run_id}?baseline={world.other_run_id}&smooth=0.5&log=1",
        "files": f"/runs/{world.run_id}/files",
        "file": f"/runs/{world.run_id}/files/model-1/MLmodel",
        "compare": f"/compare?run={world.other_run_id}&run={world.run_id}&all=1",
        "compare best": f"/compare?run={world.other_run_id}&run={world.run_id}&show=best&smooth=0.6",
        "compare nothing": "/compare",
        "runs by best": f"/experiments/{world.experiment_id}?cols=best(metrics.auc)&sort=min(metrics.loss)",
        "runs refused": f"/experiments/{world.experiment_id}?filter=metrics.auc+%3E+0.92&refused=No+run+was+ticked.",
        "runs deleted": f"/experiments/{world.experiment_id}?lifecycle=deleted",
        "experiments deleted": "/experiments?lifecycle=deleted",
        "graph": f"/graphs/{world.graph}",
        "model": model,
        "gate of the waiting": f"{model}/versions/2/gate",
        "gate of the rejected": f"{model}/versions/3/gate",
        "gate of the champion": f"{model}/versions/1/gate?metric=auc",
        "decisions": "/decisions",
        "decision": f"/decisions/{world.decision}",
        "evidence": f"/evidence/{world.evidence}",
        "monitor": f"{model}/monitor",
        "feedback": f"/feedback?model={USE_CASE}",
        "prediction": f"/predictions/{world.prediction}",
        "board": f"/board?use_case={USE_CASE}",
        "card": f"/cards/{world.card}",
        "people": "/people",
        "ledger": "/ledger",
        "webhooks": "/webhooks",
        "webhook": f"/webhooks/{world.webhook}",
        "sign in": "/sign-in",
        "style": "/style",
        "traces": f"/experiments/{world.experiment_id}/traces",
        "traces found": f"/experiments/{world.experiment_id}/traces?filter=name+LIKE+'a%25'&sort=timestamp_ms+ASC",
        "traces mistyped": f"/experiments/{world.experiment_id}/traces?filter=name+%3D+answer",
        "trace": f"/traces/{world.trace}",
        "trace at a span": f"/traces/{world.trace}?span={2:016x}",
    }[name]


def json_address(path: str) -> str:
    """Where the same page is as JSON."""
    head, mark, query = path.partition("?")
    if "/files" in head:  # a file may be called x.json itself
        run, _, file = head.partition("/files")
        return f"{run}/file.json?path={file.strip('/')}"
    return ("/inbox" if head == "/" else head) + ".json" + mark + query
