"""Where the files of a version come from: the address a client gives, and the run or model that made them."""

from __future__ import annotations

import re
from itertools import pairwise

from stile.govern import version_records
from stile.govern.version_records import ModelVersion
from stile.kernel.errors import Invalid
from stile.store.database import Tx
from stile.train import logged_model_records, logged_models, prompts, runs
from stile.train.artifact_paths import checked_path, is_remote, ours

_VERSION = re.compile(r"[0-9]{1,15}")


def resolve(tx: Tx, source: str) -> str:
    """The logical path of a version's source; '' when it lies in a remote store.

    Raises:
        Missing: the run, model or version it names is not there.
        Invalid: it is no acceptable address.
    """
    if source.startswith("runs:/"):
        run_id, _, path = source[len("runs:/") :].partition("/")
        base = runs.info(tx, run_id).artifact_uri
        return _below(base, path)
    if source.startswith("models:/"):
        first, _, rest = source[len("models:/") :].partition("/")
        if logged_model(source):
            return _below(logged_models.get(tx, first).artifact_uri, rest)
        if _VERSION.fullmatch(rest):
            found = version_records.get(tx, first, int(rest))
            return found.snapshot or found.root
        raise Invalid(
            f"Invalid model version source: {source[:200]!r}. Use models:/<name>/<version> or models:/<model id>."
        )
    own = ours(source)
    if own is not None:
        return own
    if is_remote(source):
        return ""
    raise Invalid(
        f"Invalid model version source: {source[:200]!r}. It must be a models:/, runs:/ or mlflow-artifacts:/ address, "
        "or the address of a remote store. Paths on the server or on a client are not accepted."
    )


def copied(tx: Tx, source: str) -> ModelVersion | None:
    """The version that ``source`` names, if it is the address of one."""
    name, _, number = source.removeprefix("models:/").partition("/")
    if not source.startswith("models:/") or not _VERSION.fullmatch(number):
        return None
    return version_records.find(tx, name, int(number))


def logged_model(source: str) -> str:
    """The id of the logged model whose address ``source`` is; '' when it is none's. Registered models may begin so."""
    first, _, rest = source.removeprefix("models:/").partition("/")
    return first if source.startswith("models:/m-") and not _VERSION.fullmatch(rest) else ""


def run_of(tx: Tx, root: str) -> str:
    """The run in whose folder, or in whose logged model's folder, ``root`` lies; '' when it is in none's."""
    segments = root.split("/")
    for name, below in pairwise(segments):
        if below != "artifacts":
            continue
        model = logged_model_records.find(tx, name)
        if model is not None:
            run_id, uri = model.source_run_id, model.artifact_uri
        elif runs.exists(tx, name):
            run_id, uri = name, runs.info(tx, name).artifact_uri
        else:
            continue
        base = ours(uri)
        if base is not None and f"{root}/".startswith(f"{base}/"):
            return run_id
    return ""


def of_prompt(source: str) -> str:
    """The path of a prompt's files, which has none: ''.

    Raises:
        Invalid: a source is given that has files.
    """
    if source not in prompts.PLACEHOLDERS:
        raise Invalid(
            f"Invalid prompt source: {source[:200]!r}. A prompt has no files; give {prompts.PLACEHOLDERS[1]!r}."
        )
    return ""


def _below(base: str, path: str) -> str:
    folder = ours(base)
    checked = checked_path(path.strip("/"), empty_allowed=True)
    if folder is None:
        return ""
    return f"{folder}/{checked}" if checked else folder
