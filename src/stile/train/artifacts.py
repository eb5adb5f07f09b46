"""Verbs on artifacts. Content lies in the blob store; here a logical path is bound to a digest."""

from __future__ import annotations

import msgspec

from stile.kernel.errors import Forbidden, Invalid, Missing
from stile.store.database import Tx
from stile.train import artifact_records as records
from stile.train.artifact_paths import RESERVED, checked_path
from stile.train.artifact_records import Artifact

__all__ = [
    "Artifact",
    "ListedEntry",
    "bind",
    "find",
    "folder",
    "forget_view",
    "listing",
    "refuse_reserved",
    "remove",
    "view",
]

_MOST_FILES = 10_000


class ListedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a folder: a file with its size in bytes, or a folder."""

    name: str
    is_folder: bool
    size: int | None = None


def bind(tx: Tx, *, path: str, digest: str, size: int, by: str) -> None:
    """Make ``path`` name the content ``digest``.

    Raises:
        Invalid: the path is not acceptable.
        Forbidden: it lies in the registry's part, which never changes.
    """
    refuse_reserved(checked_path(path))
    parts = path.split("/")
    for end in range(1, len(parts)):
        if records.find(tx, "/".join(parts[:end])) is not None:
            raise Invalid(f"Invalid path: {'/'.join(parts[:end])!r} is a file, so nothing can lie below it.")
    if records.has_below(tx, path):
        raise Invalid(f"Invalid path: {path!r} is a folder, so it cannot be a file as well.")
    records.put(tx, path=path, digest=digest, size=size, by=by)


def find(tx: Tx, path: str) -> Artifact:
    """The file at ``path``.

    Raises:
        Missing: there is none.
    """
    found = records.find(tx, checked_path(path))
    if found is None:
        raise Missing(f"There is no artifact at {path!r}.")
    return found


def listing(tx: Tx, prefix: str) -> list[Artifact]:
    """All files below the folder ``prefix``, by path."""
    return records.below(tx, checked_path(prefix.rstrip("/"), empty_allowed=True))


def folder(tx: Tx, prefix: str) -> list[ListedEntry]:
    """What lies directly in a folder, by name; empty when there is nothing."""
    found = records.children(tx, checked_path(prefix.rstrip("/"), empty_allowed=True))
    return [ListedEntry(name=name, is_folder=size is None, size=size) for name, size in found]


def remove(tx: Tx, path: str) -> int:
    """Take a file or a folder away; how many files that were. Their content stays until it is collected."""
    refuse_reserved(checked_path(path))
    return records.drop(tx, path)


def view(tx: Tx, *, source: str, target: str) -> list[Artifact]:
    """A second, unchangeable name in the registry's part for all below ``source``; who put a file there stays known."""
    files = listing(tx, source)
    if len(files) > _MOST_FILES:
        raise Invalid(f"A version may have at most {_MOST_FILES} files; there are {len(files)} below {source!r}.")
    for artifact in files:
        path = target + artifact.path[len(source) :]
        records.put(tx, path=path, digest=artifact.digest, size=artifact.size, by=artifact.by)
    return listing(tx, target) if files else []


def forget_view(tx: Tx, target: str) -> None:
    """Take a view in the registry's part away, when its version is forgotten."""
    records.drop(tx, target)


def refuse_reserved(path: str) -> None:
    """Refuse a path that nobody may write.

    Raises:
        Forbidden: it lies in the registry's part, which never changes.
    """
    if path.partition("/")[0] == RESERVED:
        raise Forbidden("Files of a registered version never change. Register a new version instead.")
