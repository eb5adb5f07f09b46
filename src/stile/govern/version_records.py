"""Rows of model versions and their tags."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stile.kernel.errors import Missing
from stile.store.database import Row, Tx
from stile.train import artifact_records
from stile.train.run_keys import marks

COLUMNS = (
    "v.model, v.version, m.name, v.digest, v.source, v.root, v.snapshot, v.run_id, v.run_link, v.model_id, "
    "v.description, v.stage, v.created_at, v.updated_at, v.created_by"
)
FROM = "model_versions v JOIN registered_models m ON m.id = v.model"


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a version: its path in the model's folder, the digest and size (bytes) of its content."""

    path: str
    digest: str
    size: int


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a registered model.

    Attributes:
        digest: of all its files at the time it was registered; '' when they are not kept here.
        source: the address it was registered from, as the client gave it.
        root: logical path of that folder; '' when it is not in this store.
        snapshot: logical path of its own unchangeable view of the same files.
        created_by: the account that registered it.
        files: its files, when they were asked for.
    """

    model: int
    name: str
    version: int
    digest: str
    source: str
    root: str
    snapshot: str
    run_id: str
    run_link: str
    model_id: str
    description: str
    stage: str
    created_at: int
    updated_at: int
    created_by: str
    tags: dict[str, str]
    aliases: list[str]
    files: list[ModelFile] = []


def of_rows(tx: Tx, rows: Sequence[Row], *, files: bool = False) -> list[ModelVersion]:
    """Versions of selected ``COLUMNS``, with tags and aliases, and with files when asked."""
    tags: dict[tuple[int, int], dict[str, str]] = {(row[0], row[1]): {} for row in rows}
    aliases: dict[tuple[int, int], list[str]] = {(row[0], row[1]): [] for row in rows}
    models = sorted({row[0] for row in rows})
    for start in range(0, len(models), 500):
        part = models[start : start + 500]
        where = f"IN ({marks(part)})"
        for model, version, key, value in tx.all(
            f"SELECT model, version, key, value FROM version_tags WHERE model {where} ORDER BY key", part
        ):
            if (model, version) in tags:
                tags[model, version][key] = value
        for model, version, alias in tx.all(
            f"SELECT model, version, alias FROM model_aliases WHERE model {where} ORDER BY alias", part
        ):
            if (model, version) in aliases:
                aliases[model, version].append(alias)
    return [
        ModelVersion(
            model=row[0], version=row[1], name=row[2], digest=row[3], source=row[4], root=row[5], snapshot=row[6],
            run_id=row[7], run_link=row[8], model_id=row[9], description=row[10], stage=row[11], created_at=row[12],
            updated_at=row[13], created_by=row[14], tags=tags[row[0], row[1]], aliases=aliases[row[0], row[1]],
            files=files_of(tx, row[6]) if files else [],
        )
        for row in rows
    ]  # fmt: skip


def files_of(tx: Tx, snapshot: str) -> list[ModelFile]:
    """The files of a version by its snapshot."""
    if not snapshot:
        return []
    skip = len(snapshot) + 1
    return [ModelFile(path=a.path[skip:], digest=a.digest, size=a.size) for a in artifact_records.below(tx, snapshot)]


def find(tx: Tx, name: str, version: int, *, files: bool = False) -> ModelVersion | None:
    """The version, if it is there."""
    rows = tx.all(f"SELECT {COLUMNS} FROM {FROM} WHERE m.name = ? AND v.version = ?", (name, version))
    return next(iter(of_rows(tx, rows, files=files)), None)


def get(tx: Tx, name: str, version: int, *, files: bool = False) -> ModelVersion:
    """The version.

    Raises:
        Missing: there is none.
    """
    found = find(tx, name, version, files=files)
    if found is None:
        raise Missing(f"Model Version (name={name}, version={version}) not found.")
    return found


def of_model(tx: Tx, model: int, *, files: bool = False) -> list[ModelVersion]:
    """All versions of a model, newest first."""
    rows = tx.all(f"SELECT {COLUMNS} FROM {FROM} WHERE v.model = ? ORDER BY v.version DESC", (model,))
    return of_rows(tx, rows, files=files)


def add(
    tx: Tx, *, model: int, version: int, digest: str, source: str, root: str, snapshot: str,
    run_id: str, run_link: str, model_id: str, description: str, by: str,
) -> None:  # fmt: skip
    """A new version."""
    now = tx.now_ms()
    tx.run(
        "INSERT INTO model_versions (model, version, digest, source, root, snapshot, run_id, run_link, model_id, "
        "description, stage, created_at, updated_at, created_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'None', ?, ?, ?)",
        (model, version, digest, source, root, snapshot, run_id, run_link, model_id, description, now, now, by),
    )


def newest(tx: Tx, model: int) -> ModelVersion | None:
    """The version of a model that was registered last, if it has one."""
    rows = tx.all(f"SELECT {COLUMNS} FROM {FROM} WHERE v.model = ? ORDER BY v.version DESC LIMIT 1", (model,))
    return next(iter(of_rows(tx, rows)), None)


def set_description(tx: Tx, model: int, version: int, description: str) -> None:
    """What is special about it."""
    tx.run(
        "UPDATE model_versions SET description = ?, updated_at = ? WHERE model = ? AND version = ?",
        (description, tx.now_ms(), model, version),
    )


def set_stage(tx: Tx, model: int, version: int, stage: str) -> None:
    """MLflow's old stage, kept for clients that still set it; nothing here depends on it."""
    tx.run(
        "UPDATE model_versions SET stage = ?, updated_at = ? WHERE model = ? AND version = ?",
        (stage, tx.now_ms(), model, version),
    )


def set_tag(tx: Tx, model: int, version: int, key: str, value: str) -> None:
    """One tag."""
    tx.run(
        "INSERT INTO version_tags (model, version, key, value) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (model, version, key) DO UPDATE SET value = excluded.value",
        (model, version, key, value),
    )


def drop_tag(tx: Tx, model: int, version: int, key: str) -> None:
    """Take a tag away; an absent one is no error."""
    tx.run("DELETE FROM version_tags WHERE model = ? AND version = ? AND key = ?", (model, version, key))


def drop(tx: Tx, model: int, version: int) -> None:
    """Forget a version. Its number is not used again."""
    tx.run("DELETE FROM version_tags WHERE model = ? AND version = ?", (model, version))
    tx.run("DELETE FROM model_versions WHERE model = ? AND version = ?", (model, version))


def of_logged_model(tx: Tx, model_id: str) -> list[tuple[str, int]]:
    """(model name, version) of every version registered from a logged model."""
    sql = f"SELECT m.name, v.version FROM {FROM} WHERE v.model_id = ? ORDER BY m.name, v.version"
    rows = tx.all(sql, (model_id,))
    return [(row[0], row[1]) for row in rows]


def of_run(tx: Tx, run_id: str) -> list[tuple[str, int]]:
    """(model name, version) of every version registered from a run."""
    sql = f"SELECT m.name, v.version FROM {FROM} WHERE v.run_id = ? ORDER BY m.name, v.version"
    return [(row[0], row[1]) for row in tx.all(sql, (run_id,))]


def sharing_files(tx: Tx, path: str) -> list[tuple[str, int]]:
    """(model name, version) of every version whose folder is this path, lies above it, or below it."""
    parts = path.split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    columns = "m.name, v.version"
    rows = tx.all(f"SELECT {columns} FROM {FROM} WHERE v.root IN ({marks(above)})", above)
    rows += tx.all(f"SELECT {columns} FROM {FROM} WHERE v.root > ? AND v.root < ?", (path + "/", path + "0"))
    return [(row[0], row[1]) for row in rows]


def decided(tx: Tx, name: str, version: int) -> bool:
    """Whether a decision was taken on this version, or gave it an alias: then it is part of the record."""
    on_it = "SELECT 1 FROM decisions WHERE use_case = ? AND subject_version = ? LIMIT 1"
    if tx.one(on_it, (name, version)) is not None:
        return True
    by_alias = (
        "SELECT 1 FROM alias_history h JOIN registered_models m ON m.id = h.model "
        "WHERE m.name = ? AND h.version = ? AND h.decision <> '' LIMIT 1"
    )
    return tx.one(by_alias, (name, version)) is not None
