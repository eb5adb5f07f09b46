"""Verbs on the model registry: register, describe, find, alias.

A version is pinned when it is registered: the digest of all its files is taken, and a view of
the same contents is made under a path that can never be written. What is loaded by name and
version is that view, so a later upload over the original changes nothing that was registered.
"""

from __future__ import annotations

from collections.abc import Mapping

from stile.govern import aliases as alias_records
from stile.govern import model_records, version_records, version_sources
from stile.govern.aliases import GUARDED, AliasMove
from stile.govern.model_records import RegisteredModel
from stile.govern.registry_events import ModelCreated, VersionRegistered, VersionTagDropped, VersionTagSet
from stile.govern.version_records import ModelFile, ModelVersion
from stile.kernel.canonical import digest_of
from stile.kernel.errors import Exists, Guarded, Invalid, Missing
from stile.people import use_cases
from stile.store.database import Tx
from stile.train import artifacts, limits, logged_models, prompts
from stile.train.artifact_paths import RESERVED, SCHEME

__all__ = ["AliasMove", "ModelFile", "ModelVersion", "RegisteredModel"]

LATEST = "latest"
STAGES = ("None", "Staging", "Production", "Archived")


def create_model(
    tx: Tx, *, name: str, by: str, description: str = "", tags: Mapping[str, str] | None = None
) -> RegisteredModel:
    """A new registered model.

    Raises:
        Exists: the name is taken.
    """
    limits.check_model_name(name)
    if model_records.row_of(tx, name) is not None:
        raise Exists(f"Registered Model (name={name}) already exists.")
    row = model_records.add(tx, name=name, description=description, by=by)
    for key, value in (tags or {}).items():
        _check_tag(key, value)
        model_records.set_tag(tx, row, key, value)
    tx.emit(ModelCreated(model=name, by=by, description=description, tags=dict(tags or {})))
    return model(tx, name)


def model(tx: Tx, name: str) -> RegisteredModel:
    """The registered model.

    Raises:
        Missing: there is none of this name.
    """
    found = model_records.find(tx, name)
    if found is None:
        limits.check_model_name(name)
        raise Missing(f"Registered Model with name={name} not found.")
    return found


def models(tx: Tx) -> list[RegisteredModel]:
    """Every registered model that is no prompt, by name."""
    rows = tx.all(f"SELECT {model_records.COLUMNS} FROM registered_models m ORDER BY m.name")
    return [found for found in model_records.of_rows(tx, rows) if not prompts.is_prompt(found.tags)]


def is_prompt(tx: Tx, name: str) -> bool:
    """Whether there is a registered model of this name and it is a prompt."""
    found = model_records.find(tx, name)
    return found is not None and prompts.is_prompt(found.tags)


def rename_model(tx: Tx, name: str, new_name: str) -> RegisteredModel:
    """Another name; versions and aliases stay.

    Raises:
        Exists: the new name is taken.
        Guarded: the model belongs to a use case, whose name it must keep, or would take a use case's name.
    """
    limits.check_model_name(new_name)
    row = model(tx, name).row
    for governed in (name, new_name):
        if use_cases.exists(tx, governed):
            raise Guarded(
                f"{governed} is the name of a use case, and so of the model decided on there. "
                "Register the version under that name instead of renaming."
            )
    if model_records.row_of(tx, new_name) is not None:
        raise Exists(f"Registered Model (name={new_name}) already exists.")
    model_records.set_name(tx, row, new_name)
    return model(tx, new_name)


def describe_model(tx: Tx, name: str, description: str) -> RegisteredModel:
    """What the model is for."""
    model_records.set_description(tx, model(tx, name).row, description)
    return model(tx, name)


def delete_model(tx: Tx, name: str, *, url: str = "") -> None:
    """Forget a model and all its versions.

    Raises:
        Guarded: it belongs to a use case, or a version of it was decided on.
    """
    found = model(tx, name)
    if use_cases.exists(tx, name):  # its numbers stand in evidence, requests and predictions: none may come twice
        raise Guarded(
            f"{name} is the model of a use case and stays with it. Delete versions of it that nothing was decided on"
            f"{': ' + url if url else '.'}",
            url=url,
        )
    for each in version_records.of_model(tx, found.row):
        _refuse_if_held(tx, each, url)
    for each in version_records.of_model(tx, found.row):
        _forget(tx, each)
    model_records.drop(tx, found.row)


def set_model_tag(tx: Tx, name: str, key: str, value: str) -> None:
    """One tag of a model."""
    _check_tag(key, value)
    model_records.set_tag(tx, model(tx, name).row, key, value)


def drop_model_tag(tx: Tx, name: str, key: str) -> None:
    """Take a model's tag away."""
    model_records.drop_tag(tx, model(tx, name).row, key)


def create_version(
    tx: Tx,
    *,
    name: str,
    source: str,
    by: str,
    run_id: str = "",
    model_id: str = "",
    run_link: str = "",
    description: str = "",
    tags: Mapping[str, str] | None = None,
) -> ModelVersion:
    """Register the files at ``source`` as the next version of a model.

    ``source`` is ``models:/<model id>``, ``models:/<name>/<version>``, ``runs:/<run id>/<path>``,
    ``mlflow-artifacts:/<path>``, or the address of a remote store, which is kept and never opened.
    A version made of another one comes from the same run and logged model. A version of a prompt has no files:
    its source is one of ``prompts.PLACEHOLDERS``.

    Raises:
        Missing: there is no such model.
        Invalid: the source is none of these, or lies with another run than the one it is said to come from.
    """
    row = model(tx, name).row
    root = version_sources.of_prompt(source) if prompts.is_prompt(tags or {}) else version_sources.resolve(tx, source)
    copied = version_sources.copied(tx, source)
    if copied is not None:
        run_id, model_id = run_id or copied.run_id, model_id or copied.model_id
    if not run_id and source.startswith("runs:/"):
        run_id = source[len("runs:/") :].partition("/")[0]
    model_id = model_id or version_sources.logged_model(source)
    if model_id and not run_id:
        run_id = logged_models.get(tx, model_id).source_run_id
    made_by = version_sources.run_of(tx, root)
    if run_id and root and made_by != run_id and not source.startswith("models:/"):
        raise Invalid(
            f"Invalid model version source: the files at {source[:200]!r} are not in the folder of run {run_id}. "
            "Give the run that made them, or the address of this run's own files."
        )
    run_id = run_id or made_by
    number = model_records.next_version(tx, row)
    snapshot = f"{RESERVED}/{row}/{number}" if root else ""
    files = artifacts.view(tx, source=root, target=snapshot) if root else []
    skip = len(snapshot) + 1
    digest = digest_of({file.path[skip:]: file.digest for file in files}) if files else ""
    version_records.add(
        tx, model=row, version=number, digest=digest, source=source, root=root, snapshot=snapshot if files else "",
        run_id=run_id, run_link=run_link, model_id=model_id, description=description, by=by,
    )  # fmt: skip
    for key, value in (tags or {}).items():
        _check_tag(key, value)
        version_records.set_tag(tx, row, number, key, value)
    tx.emit(
        VersionRegistered(
            model=name, version=number, digest=digest, by=by,
            source=source, run_id=run_id, description=description, tags=dict(tags or {}),
        )
    )  # fmt: skip
    return version(tx, name, number)


def version(tx: Tx, name: str, version: int) -> ModelVersion:
    """The version with its files.

    Raises:
        Missing: there is none.
    """
    return version_records.get(tx, name, version, files=True)


def versions(tx: Tx, name: str) -> list[ModelVersion]:
    """All versions of a model with their files, newest first; empty when there is no such model."""
    row = model_records.row_of(tx, name)
    return [] if row is None else version_records.of_model(tx, row, files=True)


def describe_version(tx: Tx, name: str, number: int, description: str) -> ModelVersion:
    """What is special about a version."""
    version_records.set_description(tx, version(tx, name, number).model, number, description)
    return version(tx, name, number)


def canonical_stage(stage: str) -> str:
    """A stage as MLflow writes it, whatever the case it was given in.

    Raises:
        Invalid: there is no such stage.
    """
    canonical = next((known for known in STAGES if known.lower() == stage.lower()), None)
    if canonical is None:
        raise Invalid(f"Invalid Model Version stage: {stage[:80]!r}. It is one of {', '.join(STAGES)}.")
    return canonical


def set_stage(tx: Tx, name: str, number: int, stage: str, *, archive_existing: bool = False) -> ModelVersion:
    """MLflow's old stage of a version. It promotes nothing here: decisions move aliases.

    Raises:
        Guarded: the model belongs to a use case and the stage is Production.
    """
    canonical = canonical_stage(stage)
    found = version(tx, name, number)
    if canonical == "Production" and use_cases.exists(tx, name):
        raise Guarded(f"{name} is governed: a version goes into production by a decision. Open a promotion instead.")
    if archive_existing and canonical in ("Staging", "Production"):
        for each in version_records.of_model(tx, found.model):
            if each.stage == canonical and each.version != number:
                version_records.set_stage(tx, found.model, each.version, "Archived")
    version_records.set_stage(tx, found.model, number, canonical)
    return version(tx, name, number)


def delete_version(tx: Tx, name: str, number: int, *, by: str, url: str = "") -> None:
    """Forget a version, and the aliases that name it.

    Raises:
        Guarded: it was decided on, or holds a guarded alias.
    """
    found = version(tx, name, number)
    _refuse_if_held(tx, found, url)
    for alias in found.aliases:
        alias_records.drop_alias(tx, name, alias, by)
    _forget(tx, found)


def set_version_tag(tx: Tx, name: str, number: int, key: str, value: str) -> None:
    """One tag of a version."""
    _check_tag(key, value)
    version_records.set_tag(tx, version(tx, name, number).model, number, key, value)
    tx.emit(VersionTagSet(model=name, version=number, key=key, value=value))


def drop_version_tag(tx: Tx, name: str, number: int, key: str) -> None:
    """Take a version's tag away."""
    version_records.drop_tag(tx, version(tx, name, number).model, number, key)
    tx.emit(VersionTagDropped(model=name, version=number, key=key))


def aliases(tx: Tx, name: str) -> dict[str, int]:
    """Alias -> version, of one model."""
    return alias_records.of_model(tx, name)


def alias_history(tx: Tx, name: str) -> list[AliasMove]:
    """Every move of every alias of a model, newest first."""
    return alias_records.history(tx, name)


def by_alias(tx: Tx, name: str, alias: str) -> ModelVersion:
    """The version an alias names; ``latest``, which nobody can set, names the newest.

    Raises:
        Missing: there is no such model, or it has no versions when the latest is asked for.
        Invalid: the model has no such alias.
    """
    found = model(tx, name)
    if alias.lower() == LATEST:
        newest = version_records.newest(tx, found.row)
        if newest is None:
            raise Missing(f"Latest version not found for model {name}.")
        return newest
    number = alias_records.of_model(tx, name).get(alias)
    if number is None:
        raise Invalid(f"Registered model alias {alias} not found.")
    return version(tx, name, number)


def set_alias(tx: Tx, name: str, alias: str, number: int, *, by: str, url: str = "") -> None:
    """Move an alias that is not guarded; one that names the version already stays, guarded or not.

    ``url`` is where decisions about this model are made; told to whoever tries to move a guarded alias.

    Raises:
        Guarded: a decision moves this alias.
    """
    limits.check_alias(alias)
    if alias_records.of_model(tx, name).get(alias) == number:
        return
    _refuse_if_guarded(tx, name, alias, url)
    model(tx, name)
    alias_records.set_alias(tx, name, alias, number, by)


def drop_alias(tx: Tx, name: str, alias: str, *, by: str, url: str = "") -> None:
    """Take an alias away that is not guarded; an absent one is no error."""
    _refuse_if_guarded(tx, name, alias, url)
    model(tx, name)
    alias_records.drop_alias(tx, name, alias, by)


def begin_to_govern(tx: Tx, name: str, *, by: str) -> list[str]:
    """A model of this name becomes governed: guarded aliases that no decision gave it are taken away.

    Their history stays. Returns the aliases that were taken away; none when there is no such model.
    """
    decided: dict[str, str] = {}
    for move in alias_records.history(tx, name):  # newest first
        decided.setdefault(move.alias, move.decision)
    free = [alias for alias in alias_records.of_model(tx, name) if alias in GUARDED and not decided[alias]]
    for alias in free:
        alias_records.drop_alias(tx, name, alias, by)
    return free


def download_uri(found: ModelVersion) -> str:
    """Where a client gets a version's files: its unchangeable view, or the remote address."""
    if found.snapshot:
        return SCHEME + found.snapshot
    return SCHEME + found.root if found.root else found.source


def refuse_change(tx: Tx, path: str) -> None:
    """Refuse to change or remove an artifact that a decided version was registered from.

    Raises:
        Guarded: such a version depends on it.
    """
    for name, number in version_records.sharing_files(tx, path):
        if version_records.decided(tx, name, number):
            raise Guarded(
                f"A decision was taken on version {number} of {name}, which was registered from these files, "
                "so they stay as they are. Log to a new run or model instead."
            )


def _refuse_if_guarded(tx: Tx, name: str, alias: str, url: str) -> None:
    if alias in GUARDED and use_cases.exists(tx, name):
        raise Guarded(
            f"The alias {alias!r} of {name} is moved by a decision, not by hand. "
            f"Open a promotion instead{': ' + url if url else '.'}",
            url=url,
        )


def _refuse_if_held(tx: Tx, found: ModelVersion, url: str) -> None:
    if version_records.decided(tx, found.name, found.version):
        raise Guarded(
            f"A decision was taken on version {found.version} of {found.name}, so it is part of the record and stays"
            f"{': ' + url if url else '.'}",
            url=url,
        )
    for alias in found.aliases:
        _refuse_if_guarded(tx, found.name, alias, url)


def _forget(tx: Tx, found: ModelVersion) -> None:
    if found.snapshot:
        artifacts.forget_view(tx, found.snapshot)
    version_records.drop(tx, found.model, found.version)


def _check_tag(key: str, value: str) -> None:
    limits.check_key("tag", key)
    limits.check_length("Registry tag value", value, limits.REGISTRY_TAG_VALUE_LENGTH)
