"""Where we answer otherwise than a genuine MLflow server on purpose, and why."""

from __future__ import annotations

import re
from typing import NamedTuple

from comparison import Differing


class Difference(NamedTuple):
    """Fields that may differ.

    Attributes:
        reason: why.
        field: which fields; a pattern that must match all of ``/answer/...`` or be ``status``.
        asked: in which exchanges; a pattern found in ``METHOD path query body``; '' for all.
    """

    reason: str
    field: str
    asked: str = ""


STATUS = "status"
DIFFERENCES = (
    Difference("our messages say what to do", r"/message"),
    Difference("MLflow has no part of its interface for a class of errors; clients read error_code", r"/(error_class|sqlstate)"),
    Difference("workspaces are a feature of MLflow's we do not have", r"(/.*)?/workspace"),
    Difference("we also say who registered a model or version", r"/(.*/)?user_id"),
    Difference("we also say which logged model a version is, and how it measured", r"/(.*/)?(model_id|model_metrics)"),
    Difference("we also list a version's aliases inside lists", r"/(.*/)?aliases"),
    Difference("we also say as which versions a logged model is registered", r"/(.*/)?registrations"),
    Difference("a route that is not there is answered in JSON", r"/(bytes|text|error_code)", r"no-such-route"),
    Difference("a wrong method is answered in JSON", r"/(text|error_code)", r"GET \S+/runs/create |POST \S+/runs/get "),
    Difference("each server tells its own features", r"/.*", "server-info"),
    # What a user gets wrong is never a 5xx, and says what to do.
    Difference("renaming a deleted experiment is a mistake of the caller", STATUS, "experiments/update.*other"),
    Difference("a value that is no number is a mistake of the caller", STATUS, r'log-metric.*"value": [\[{]'),
    Difference("a body that is not a JSON object is a mistake of the caller", STATUS, r'log-batch ("|$)'),
    Difference("an unknown key is a mistake of the caller", STATUS, r"logged-models/search.*nope = "),
    Difference("a text where a number belongs is a mistake of the caller", STATUS, r"logged-models/search.*acc > 'x'"),
    Difference("IS NULL works for tags of registered models, too", STATUS, r"registered-models/search.*IS NULL"),
    Difference("sorting twice by one key changes nothing", STATUS, r"metrics.acc DESC., .metrics.acc ASC"),
    Difference("a trace without a time or place is a mistake of the caller", STATUS, r'3.0/mlflow/traces \{.*"tr-1"'),
    # What cannot be meant is refused instead of being dropped or stored wrongly.
    Difference("an unknown word for the view is refused, not ignored", STATUS, r'(run_)?view_type": "NOPE"'),
    Difference("an unknown status is refused, not ignored", STATUS, r'"status": "NOPE"'),
    Difference("tags that are no list are refused, not dropped", STATUS, r'"tags": \{"a"'),
    Difference("true is not a number", STATUS, r'log-metric.*"value": true'),
    Difference("a step that is no 64-bit whole number is refused, not stored as 0", STATUS, r"(float|big) step"),
    Difference("a value that is no number is refused, not stored as 0", STATUS, r'log-batch.*"value": "abc"'),
    Difference("the points of that refused batch are not there", r"/run/data/metrics#?(/.*)?", r'^batches .*runs/get \{"run_id": "<id 2\d'),
    Difference("a number of rows that is no number is refused, not ignored", STATUS, r"max_results=?\W+(few|many)"),
    Difference("a page of no rows is refused", STATUS, r'(logged|registered)-models/search.*"max_results": (0|-1)'),
    Difference("a filter that cannot be read is refused whole, not half applied", STATUS, r'runs/search.*"filter": "(metrics\. >|AND |metrics.acc > 0.5 (AND"|metrics))'),
    Difference("a number where a text belongs is refused", STATUS, r'logged-models/search.*"name = 5"'),
    Difference("an id that is no text is refused, not ignored", STATUS, r'"experiment_ids": \[\d'),
    Difference("an id of an experiment that can be none is not there", STATUS, "not a number"),
    Difference("an id that can be no run's is refused before it is looked for", STATUS, r"run_id.*\.\./etc"),
    Difference("a dataset without a name or digest is refused, not stored broken", STATUS, r'log-inputs.*("incomplete"|"datasets": \[\{"tags")'),
    Difference("so it is not among the run's inputs", r"/run/inputs/dataset_inputs(#|/.*)", "inputs_and_outputs"),
    Difference("nor among the datasets", r"/dataset_summaries(#|/.*)", "search-datasets"),
    Difference("a tag needs a name", STATUS, r'logged-models.*"key": ""'),
    Difference("a name is at most 250 characters long", STATUS, r'POST \S+/logged-models .*"nnnn'),
    Difference("a control character in a path is refused", STATUS, "%00"),
    Difference("a time that is no number is refused, not without result", STATUS, "timestamp_ms = 'x'"),
    Difference("what is said about a trace has a name", STATUS, r'"assessment_name": ""'),
    Difference("a trace that is not there is not found, not a broken database", STATUS, r"PATCH \S+/traces/tr-<id [\d.]+>/tags"),
    Difference("the files of a run are registered with that run", STATUS, r"model-versions/create.*nope"),
    # Asking again changes nothing.
    Difference("saying again which model a run has made changes nothing", STATUS, "runs/outputs"),
    Difference("a parameter logged again keeps its value", STATUS, r"logged-models/m-<id [\d.]+>/params"),
    Difference("deleting again says that it is not there", STATUS, r"DELETE \S+/logged-models/m-<id [\d.]+> "),
    # More is understood.
    Difference("experiments may be searched without a number of rows", STATUS, r'experiments/search \{"filter": "name LIKE .Search-%."\}'),
    Difference("'Run Name' may be sorted by as it may be filtered by", STATUS, "`Run Name`"),
    Difference("'trace_id' is understood as 'request_id'", STATUS, "trace_id = "),
    Difference("'version' is understood as 'version_number'", STATUS, r"version = 2"),
    Difference("the history of a run that is not there is an error, not empty", STATUS, r'get-history \{"metric_key": "auc", "run_id": "<id (?!2\.)'),
    Difference("a version without a run takes the run its files lie with", STATUS, "model-versions/create"),
    Difference("a logged model is READY when it said so", r"/models(#|/.*)?", r"logged-models/search.*status !?= 'READY'"),
    # The same in another form.
    Difference("a duration of nothing is written with its thousandths", r"/(.*/)?execution_duration"),
    Difference("a mark of MLflow's own about how it keeps a trace", r"/(.*/)?trace_metadata/mlflow.trace.infoFinalized"),
    Difference("NaN comes last among values of one time and step, not where 0 would", r"/metrics/\d+ m/value", "get-history"),
    Difference("curves are thinned by least and greatest, not by steps alone", r"/metrics(#|/.*)", "bulk-interval"),
    Difference("who began a run is known even when the client does not say", r"/run/info/user_id"),
    Difference("setting tags answers with the model", r"/model", r"PATCH \S+m-<id [\d.]+>/tags"),
    Difference("a model without a name is called by its id, not by chance", r"/model/info/name", r'logged-models .*"name": ""'),
    Difference("registrations says what this tag says twice", r"/(.*/)?tags/mlflow.modelVersions(/.*)?"),
    Difference("a version's files are kept by the registry, where nobody can change them", r"/artifact_uri", "get-download-uri"),
)  # fmt: skip


def unexplained(scene: str, asked: str, found: Differing) -> bool:
    """Whether no reason is listed for this difference."""
    return not any(_explains(reason, scene, asked, found.field) for reason in DIFFERENCES)


def used(scene: str, asked: str, found: Differing) -> set[Difference]:
    """The reasons that explain this difference."""
    return {reason for reason in DIFFERENCES if _explains(reason, scene, asked, found.field)}


def _explains(reason: Difference, scene: str, asked: str, field: str) -> bool:
    return re.fullmatch(reason.field, field) is not None and re.search(reason.asked, f"{scene} {asked}") is not None
