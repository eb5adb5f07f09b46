"""Verbs that take registered models in from elsewhere, with their version numbers and times.

Each may be repeated. A version that is taken in is pinned like one registered here. Aliases
that only a decision may move are not taken: whoever decided elsewhere did not decide here.
"""

from __future__ import annotations

import msgspec

from stile.govern import adoption_records, model_records, registry, version_records, version_sources
from stile.govern.registry import STAGES
from stile.kernel.canonical import digest_of
from stile.kernel.errors import Invalid, Missing, StileError
from stile.people import use_cases
from stile.store import ledger
from stile.store.database import Tx
from stile.train import artifacts, limits, prompts
from stile.train.artifact_paths import RESERVED, SCHEME, is_remote
from stile.train.moving.values import MovedRegistered, MovedVersion, Omission


class AdoptedModel(msgspec.Struct, frozen=True, kw_only=True):
    """How taking a registered model in has ended: what was new, and what was not taken."""

    added: bool
    versions: int
    aliases: int
    refused: list[Omission]


def registered(tx: Tx, given: MovedRegistered, *, by: str) -> AdoptedModel:
    """The registered model of this name with the versions and aliases it lacks.

    Raises:
        Invalid: the name is not one of a registered model.
    """
    found = model_records.find(tx, given.name)
    added = found is None
    model = found or registry.create_model(tx, name=given.name, by=by, description=given.description)
    for key, value in given.tags.items():
        if key not in model.tags:
            registry.set_model_tag(tx, given.name, key, value)
    refused: list[Omission] = []
    versions = 0
    for one in sorted(given.versions, key=lambda version: version.version):
        try:
            if _version(tx, given.name, model.row, one, by=by):
                versions += 1
                refused += _without_files(tx, given.name, one)
        except StileError as error:
            refused.append(Omission(what="version", name=f"{given.name} v{one.version}", why=error.message))
    aliases = 0
    current = registry.aliases(tx, given.name)
    for alias, number in given.aliases.items():
        if current.get(alias) == number:
            continue
        try:
            registry.set_alias(tx, given.name, alias, number, by=by)
            aliases += 1
        except StileError as error:
            refused.append(Omission(what="alias", name=f"{given.name}@{alias}", why=error.message))
    if added and given.created_at:
        adoption_records.set_model_times(tx, model.row, given.created_at, given.updated_at or given.created_at)
    return AdoptedModel(added=added, versions=versions, aliases=aliases, refused=refused)


def finished(tx: Tx, *, source: str, counts: dict[str, int], omitted: int, by: str) -> None:
    """Write into the ledger that history was taken in from elsewhere, by whom and how much."""
    body = {"source": source[:500], "counts": counts, "omitted": omitted, "by": by}
    ledger.append(tx, kind="history.imported", use_case="", subject=source[:200], body=body)


def _version(tx: Tx, name: str, model: int, given: MovedVersion, *, by: str) -> bool:
    """Take one version in; False when it is here already.

    Raises:
        Invalid: the number belongs to another version here.
    """
    if given.version < 1:
        raise Invalid("A version's number counts from 1.")
    before = version_records.find(tx, name, given.version)
    if before is not None:
        if before.run_id == given.run_id and before.created_at == given.created_at:
            return False
        raise Invalid("Another version has this number here. Register the files under a new number, or another name.")
    root = _root(tx, given)
    snapshot = f"{RESERVED}/{model}/{given.version}" if root else ""
    files = artifacts.view(tx, source=root, target=snapshot) if root else []
    skip = len(snapshot) + 1
    version_records.add(
        tx, model=model, version=given.version,
        digest=digest_of({file.path[skip:]: file.digest for file in files}) if files else "",
        source=given.source, root=root, snapshot=snapshot if files else "", run_id=given.run_id,
        run_link=given.run_link, model_id=given.model_id, description=given.description, by=by,
    )  # fmt: skip
    adoption_records.raise_last_version(tx, model, given.version)
    governed = use_cases.exists(tx, name)
    if given.stage in STAGES and given.stage != "None" and not (governed and given.stage == "Production"):
        version_records.set_stage(tx, model, given.version, given.stage)
    _tags(tx, model, given)
    created = given.created_at or tx.now_ms()
    adoption_records.set_version_times(tx, model, given.version, (created, given.updated_at or created))
    return True


def _without_files(tx: Tx, name: str, given: MovedVersion) -> list[Omission]:
    """What to tell when a version came without files that should have been here."""
    found = registry.version(tx, name, given.version)
    if found.files or not given.source or is_remote(given.storage or given.source) or prompts.is_prompt(given.tags):
        return []
    return [Omission(what="files", name=f"{name} v{given.version}", why=f"no files were found at {given.source}")]


def _tags(tx: Tx, model: int, given: MovedVersion) -> None:
    for key, value in given.tags.items():
        limits.check_key("tag", key)
        limits.check_length("Registry tag value", value, limits.REGISTRY_TAG_VALUE_LENGTH)
        version_records.set_tag(tx, model, given.version, key, value)


def _root(tx: Tx, given: MovedVersion) -> str:
    """The logical path of the files; '' when they are not here (a remote store, or files that were not taken)."""
    place = given.storage or given.source
    if place.startswith(f"{SCHEME}{RESERVED}/"):
        return ""  # the registry of the other side: here another version may be under that number
    try:
        return version_sources.resolve(tx, place)
    except (Invalid, Missing):
        return ""
