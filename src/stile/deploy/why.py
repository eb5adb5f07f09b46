"""Why was this answered? The chain of one prediction, from the answer down to the vote, the data and the commit.

Each link names the record it stands on, so the chain can be checked by hand. A link whose
record is not here says so and the chain goes on: an honest gap is part of the answer.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stile.data import dataset_records
from stile.deploy import deployment_records, feedback_records, outcome_records, predictions
from stile.deploy.prediction_records import StoredPrediction
from stile.govern import decision_records, registry
from stile.govern.decision_values import Decision
from stile.govern.version_records import ModelVersion
from stile.kernel.canonical import short
from stile.kernel.clock import iso
from stile.kernel.errors import Missing
from stile.store.database import Tx
from stile.train import evidence_records, runs
from stile.train.evidence import Evidence
from stile.train.run_values import Run

_COMMIT_TAGS = ("mlflow.source.git.commit", "stile.commit")


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the chain.

    Attributes:
        kind: ``prediction``, ``model``, ``deployment``, ``decision``, ``rules``, ``approvals``, ``evidence``,
            ``run``, ``data``, ``commit``, ``truth``.
        sentence: the step in words; ``lines``: its parts, each a sentence.
        facts: the same for machines.
        id: of the record it stands on; empty when there is none.
        known: False when the record is not here.
    """

    kind: str
    title: str
    sentence: str
    lines: list[str] = []
    facts: dict[str, Any] = {}
    id: str = ""
    url: str = ""
    known: bool = True


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """The whole chain of one prediction; ``complete`` when no link is missing."""

    prediction: str
    use_case: str
    complete: bool
    links: list[Link]


def why(tx: Tx, prediction: str) -> Chain:
    """The chain of a prediction.

    Raises:
        Missing: there is no such prediction.
    """
    said = predictions.everything(tx, prediction)
    answer = said[0]
    decision = _decision(tx, answer)
    version = _version(tx, answer)
    evidence = evidence_records.find(tx, decision.evidence) if decision and decision.evidence else None
    run = _run(tx, version)
    links = [
        _answer(answer, said[1:]),
        _model(answer, version),
        _deployment(tx, answer),
        _decided(decision, answer),
        _rules(decision),
        _approvals(decision),
        _evidence(decision, evidence),
        _trained(version, run),
        _data(tx, answer.use_case, evidence, run),
        _commit(evidence, run),
        _truth(tx, answer),
    ]
    complete = all(link.known for link in links)
    return Chain(prediction=prediction, use_case=answer.use_case, complete=complete, links=links)


def _answer(answer: StoredPrediction, others: list[StoredPrediction]) -> Link:
    score = "" if answer.score is None else f" with score {answer.score:.4f}"
    lines = [f"The {one.role} (version {one.version}) said {one.output}, score {one.score}." for one in others]
    return Link(
        kind="prediction", title="The answer", id=answer.id,
        sentence=f"Version {answer.version} answered {answer.output}{score} at {iso(answer.at)}.", lines=lines,
        facts={
            "output": answer.output, "score": answer.score, "at": answer.at, "latency_us": answer.latency_us,
            "segment": answer.segment, "unit": answer.unit, "inputs": answer.inputs, "broken": answer.broken,
        },
    )  # fmt: skip


def _model(answer: StoredPrediction, version: ModelVersion | None) -> Link:
    sentence = f"Version {answer.version} of {answer.use_case} is the bytes {short(answer.digest)}."
    same = version is not None and version.digest == answer.digest
    if version is None:
        sentence += " That version is no longer registered."
    elif not same:
        sentence += " The registered version has other bytes: look into it."
    return Link(
        kind="model", title="The model", sentence=sentence, id=f"{answer.use_case}/{answer.version}", known=same,
        url=f"/models/{answer.use_case}/versions/{answer.version}",
        facts={
            "version": answer.version, "digest": answer.digest,
            "registered_by": version.created_by if version else "",
        },
    )  # fmt: skip


def _deployment(tx: Tx, answer: StoredPrediction) -> Link:
    found = deployment_records.find(tx, answer.use_case, answer.revision)
    if found is None:
        return _gap("deployment", "The deployment", f"Deployment revision {answer.revision} is not known here.")
    document, at = found
    lines = [f"{one.role}: version {one.version} ({short(one.digest)})" for one in document.variants]
    return Link(
        kind="deployment", title="The deployment", id=str(answer.revision), lines=lines,
        sentence=f"It was given under deployment revision {answer.revision}, in force since {iso(at)}.",
        facts={"revision": answer.revision, "at": at},
    )  # fmt: skip


def _decision(tx: Tx, answer: StoredPrediction) -> Decision | None:
    """The decision that put the version in front: the one the deployment names, else the last before the answer."""
    found = deployment_records.find(tx, answer.use_case, answer.revision)
    variant = found[0].variant("champion") if found else None
    if variant is not None and variant.version == answer.version and variant.decision:
        return decision_records.find(tx, variant.decision)
    for decision in decision_records.listing(tx, answer.use_case):
        if (
            decision.at <= answer.at
            and decision.version == answer.version
            and decision.kind in ("promoted", "rolled_back")
        ):
            return decision
    return None


def _decided(decision: Decision | None, answer: StoredPrediction) -> Link:
    if decision is None:
        return _gap(
            "decision", "The decision", f"No decision that made version {answer.version} champion is known here."
        )
    word = {"promoted": "promoted", "rolled_back": "returned to"}.get(decision.kind, decision.kind)
    return Link(
        kind="decision", title="The decision", id=decision.decision, url=decision.url,
        sentence=f"{decision.by} {word} version {decision.version} at {iso(decision.at)}: {decision.sentence}",
        lines=[f"Reason: {decision.reason}"] if decision.reason else [],
        facts={
            "decision": decision.decision, "kind": decision.kind, "by": decision.by, "at": decision.at,
            "policy": decision.policy, "ledger_position": decision.position, "hash": decision.hash,
        },
    )  # fmt: skip


def _rules(decision: Decision | None) -> Link:
    if decision is None:
        return _gap("rules", "The rules", "Without a decision no rules are known.")
    judged = [*decision.verdicts, *decision.warnings]
    passed = sum(rule.verdict == "pass" for rule in decision.verdicts)
    return Link(
        kind="rules", title="The rules", id=decision.policy,
        sentence=f"{passed} of {len(decision.verdicts)} required rules of policy {short(decision.policy)} passed.",
        lines=[f"{rule.id}: {rule.sentence}" for rule in judged],
        facts={"rules": [msgspec.to_builtins(rule) for rule in judged]},
    )  # fmt: skip


def _approvals(decision: Decision | None) -> Link:
    if decision is None:
        return _gap("approvals", "The votes", "Without a decision no votes are known.")
    lines = []
    for need in decision.approvals:
        for vote in need.votes:
            reason = f": {vote.reason}" if vote.reason else ""
            lines.append(f"{vote.person} ({need.role}) said {vote.verdict} at {iso(vote.at)}{reason}")
    count = f"{len(lines)} vote{'' if len(lines) == 1 else 's'}"
    sentence = f"{count} stood behind it." if lines else "The policy asked for no approvals."
    if decision.solo:
        sentence += " One person works alone in this use case."
    return Link(
        kind="approvals", title="The votes", sentence=sentence, lines=lines, id=decision.promotion,
        facts={"approvals": [msgspec.to_builtins(need) for need in decision.approvals], "solo": decision.solo},
    )  # fmt: skip


def _evidence(decision: Decision | None, evidence: Evidence | None) -> Link:
    if decision is None or evidence is None:
        return _gap("evidence", "The evidence", "The evidence that it was decided on is not here.")
    lines = []
    for name, metric in evidence.metrics.items():
        if metric.value is not None:
            around = "" if metric.low is None or metric.high is None else f" ({metric.low:.4g} to {metric.high:.4g})"
            lines.append(f"{name} {metric.value:.4g}{around}, n = {metric.n}")
    rows = sum(use.rows for use in evidence.datasets if use.role == "test")
    return Link(
        kind="evidence", title="The evidence", id=decision.evidence, url=f"/evidence/{decision.evidence}", lines=lines,
        sentence=f"It was measured on {rows} test rows by {evidence.computed.by} at {iso(evidence.computed.at)}.",
        facts={
            "evidence": decision.evidence, "threshold": evidence.threshold,
            "computed": msgspec.to_builtins(evidence.computed),
        },
    )  # fmt: skip


def _trained(version: ModelVersion | None, run: Run | None) -> Link:
    if run is None:
        source = f" It was registered from {version.source}." if version else ""
        return _gap("run", "The run", f"No run that trained it is known here.{source}")
    name = run.info.name or run.info.run_id
    return Link(
        kind="run", title="The run", id=run.info.run_id, url=f"/runs/{run.info.run_id}",
        sentence=f"Run {name} by {run.info.created_by} trained it at {iso(run.info.start_time)}.",
        lines=[f"{key} = {value}" for key, value in run.params[:20]],
        facts={
            "run_id": run.info.run_id, "params": dict(run.params),
            "metrics": {one.key: one.value for one in run.metrics},
        },
    )  # fmt: skip


def _data(tx: Tx, use_case: str, evidence: Evidence | None, run: Run | None) -> Link:
    lines, used = [], []
    for use in evidence.datasets if evidence else ():
        found = dataset_records.find(tx, use_case, use.digest)
        words = f", contract v{found.contract_version}, registered by {found.by}" if found else ""
        lines.append(
            f"{use.role}: {use.name or (found.name if found else '')} {short(use.digest)}, {use.rows} rows{words}"
        )
        used.append(msgspec.to_builtins(use))
    for dataset in run.datasets if run else ():
        lines.append(f"logged by the run: {dataset.name} ({dataset.digest})")
    if not lines:
        return _gap("data", "The data", "No dataset versions are known for it.")
    count = f"{len(lines)} dataset{'' if len(lines) == 1 else 's'}"
    return Link(kind="data", title="The data", sentence=f"It rests on {count}.", lines=lines, facts={"datasets": used})


def _commit(evidence: Evidence | None, run: Run | None) -> Link:
    tags = dict(run.tags) if run else {}
    commit = next((tags[name] for name in _COMMIT_TAGS if tags.get(name)), "") or (
        evidence.lineage.commit if evidence else ""
    )
    if not commit:
        return _gap("commit", "The code", "The run was not started from a git commit.")
    return Link(
        kind="commit",
        title="The code",
        sentence=f"The code is at commit {commit}.",
        id=commit,
        facts={"commit": commit},
    )


def _truth(tx: Tx, answer: StoredPrediction) -> Link:
    told = outcome_records.of_prediction(tx, answer.use_case, answer.id)
    heard = feedback_records.of_prediction(tx, answer.id)
    lines = [f"{one.author} ({one.source}) at {iso(one.at)}: {one.outcome}" for one in told]
    lines += [f"{one.person} says {one.verdict}{f': {one.reason}' if one.reason else ''}" for one in heard]
    sentence = "What turned out true is not known yet."
    if answer.outcome is not None:
        sentence = f"It turned out to be {answer.outcome}, as told by {answer.author} ({answer.source})."
    return Link(
        kind="truth", title="The truth", sentence=sentence, lines=lines,
        facts={
            "outcome": answer.outcome, "source": answer.source,
            "feedback": [msgspec.to_builtins(one) for one in heard],
        },
    )  # fmt: skip


def _version(tx: Tx, answer: StoredPrediction) -> ModelVersion | None:
    try:
        return registry.version(tx, answer.use_case, answer.version)
    except Missing:
        return None


def _run(tx: Tx, version: ModelVersion | None) -> Run | None:
    if version is None or not version.run_id:
        return None
    try:
        return runs.get(tx, version.run_id)
    except Missing:
        return None


def _gap(kind: str, title: str, sentence: str) -> Link:
    return Link(kind=kind, title=title, sentence=sentence, known=False)
