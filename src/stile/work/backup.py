"""Backups of a data folder, taken while its server runs, and their way back into an empty folder.

A backup is a folder, or one ``.tar`` file with the same content:

    stile.db, work.db          the rows, as they were at one moment
    blobs/ab/cdef...           the contents that those rows refer to, each checked against its digest
    keys/ledger.key            what the ledger's checkpoints are signed with: a backup is as secret as the folder
    keys/webhooks.key          what the secrets of webhooks are sealed with
    checkpoints.txt            the checkpoints
    stile-backup.json          every file with its sha256; the ledger's root; rows per table. Written last.

Contents come from where the server keeps them, its folder or a bucket, and go back to such a place. So do the
rows: a backup of a store in PostgreSQL holds them in the same ``stile.db``, and any backup may be brought back into
either engine, which is also how a store moves from one to the other.

Contents are copied before the rows, and those that have come since after them: a collection that runs meanwhile
takes nothing from a backup. The background work's file is copied before the rows, too: what it had not finished by
then is done again after a restore, and nothing it had finished is missing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import IO, Protocol, cast

import msgspec

from stile import __version__
from stile.kernel.clock import Clock
from stile.kernel.errors import Corrupt, Exists, Invalid, Missing
from stile.store import ledger
from stile.store.blobs import BlobStore, LocalBlobs
from stile.store.blobs_arriving import ArrivingBlobs
from stile.store.database import Tx
from stile.store.offline import read_only
from stile.store.snapshot import copy_database, counts, is_intact
from stile.work.references import mentions, required, wanted

MANIFEST = "stile-backup.json"
SQLITE = "sqlite"
FORMAT = 1
_ROWS, _WORK = "stile.db", "work.db"
_PLAIN = ("checkpoints.txt", "keys/ledger.key", "keys/webhooks.key")
_PATH = re.compile(
    r"stile\.db|work\.db|checkpoints\.txt|keys/(?:ledger|webhooks)\.key|stile-backup\.json|"
    r"blobs/[0-9a-f]{2}/[0-9a-f]{62}"
)
_CHUNK = 1 << 20

Told = Callable[[str, int], None]
"""Called with what was copied or checked and how many of it."""


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a backup."""

    path: str
    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds.

    Attributes:
        at: when it was taken, ms since 1970 UTC.
        ledger_size, ledger_root: the ledger's entries and its Merkle root.
        counts: rows by table.
        files: every file beside the manifest.
        missing: contents that the rows need but that were not there when the backup was taken.
    """

    format: int
    stile: str
    at: int
    ledger_size: int
    ledger_root: str
    counts: dict[str, int]
    files: list[BackedUp]
    missing: list[str]


class _Target(Protocol):
    def put(self, path: str, size: int, chunks: Iterator[bytes]) -> BackedUp: ...


def back_up(
    folder: Path, target: Path, clock: Clock, told: Told, *, blobs: BlobStore | None = None, store: str = SQLITE
) -> Manifest:
    """Back up the data folder to ``target``: a new file when it ends in ``.tar``, else a new or empty folder.

    The server may go on serving.

    Args:
        folder: the data folder.
        target: where the backup goes.
        clock: source of time.
        told: hears how far it is.
        blobs: where the server keeps its contents; in the data folder by default.
        store: where it keeps its rows: ``sqlite`` for the folder, or a ``postgresql://`` address.

    Raises:
        Missing: the folder holds no rows of a server (with PostgreSQL they are in that database).
        Exists: the target is there already.
        Unavailable: PostgreSQL cannot be reached.
        Corrupt: a content is not what was stored, or the rows are damaged. No backup is left.
    """
    if store == SQLITE and not (folder / _ROWS).is_file():
        raise Missing(
            f"{folder} holds no {_ROWS}. Give a server's data folder with --data, and when its rows are in PostgreSQL "
            "that address with --store."
        )
    now = clock.now_ms()
    kept = blobs or LocalBlobs(folder / "blobs", sweep=False)
    with _opened(target) as out, tempfile.TemporaryDirectory(dir=target.absolute().parent) as scratch:
        contents = _Contents(out, told)
        # First, while nothing depends on it: what is purged and collected after the rows were copied is here already.
        look: _Look = partial(_looking, folder, store)
        contents.take(_digests(look, arrived := ArrivingBlobs(kept, partial(_asked, look))), arrived)
        files = [_put(out, name, folder / name) for name in _PLAIN if (folder / name).is_file()]
        for name in (_WORK, _ROWS) if store == SQLITE else (_ROWS,):
            copy = Path(scratch) / name
            if store != SQLITE:
                engine_copy().to_sqlite(store, copy)
            elif (folder / name).is_file():
                copy_database(folder / name, copy)
            else:
                continue
            files.append(_put(out, name, copy))
            told("databases", 1)
        rows = Path(scratch) / _ROWS
        look = partial(read_only, rows)
        contents.take(_digests(look, arrived := ArrivingBlobs(kept, partial(_asked, look))), arrived)
        with look() as tx:
            size, root = ledger.root(tx)
            missing = sorted(required(tx) - contents.taken.keys())
        manifest = Manifest(
            format=FORMAT, stile=__version__, at=now, ledger_size=size, ledger_root=root, counts=counts(rows),
            files=[*files, *contents.taken.values()], missing=missing,
        )  # fmt: skip
        last = Path(scratch) / MANIFEST
        last.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        _put(out, MANIFEST, last)
    return manifest


def restore(source: Path, folder: Path, told: Told, *, blobs: BlobStore | None = None, store: str = SQLITE) -> Manifest:
    """Bring a backup back into ``folder``, which must be new or empty, and verify it there.

    Args:
        source: the backup.
        folder: becomes the data folder.
        told: hears how far it is.
        blobs: where the server will keep its contents; in the data folder by default. What is there stays.
        store: where it will keep its rows: ``sqlite`` for the folder, or the address of an empty PostgreSQL database.

    Raises:
        Exists: the folder or the database is not empty.
        Invalid: this is no backup, or one of a newer form.
        Corrupt: a file is not what was backed up, or the rows do not hold together. The folder stays empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Exists(f"{folder} is not empty. Restore into a new folder, or move the old one away first.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "keys").mkdir(mode=0o700)
    try:
        found: dict[str, BackedUp] = {}
        for path, content in _members(source):
            if blobs is not None and path.startswith("blobs/"):
                found[path] = _store(blobs, content, path)
            else:
                found[path] = _write(folder / path, _pieces(content), path)
            told("files", 1)
        if MANIFEST not in found:
            raise Invalid(f"{source} is no whole backup: it holds no {MANIFEST}.")
        manifest = _manifest(folder / MANIFEST)
        _verify(folder, manifest, found)
        if store != SQLITE:
            engine_copy().to_postgres(folder / _ROWS, store)
            (folder / _ROWS).unlink()
            (folder / _WORK).unlink(missing_ok=True)  # what it had not finished is begun anew
        (folder / MANIFEST).unlink()
    except BaseException:
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise
    return manifest


def engine_copy() -> ModuleType:
    """What copies rows between engines; PostgreSQL's driver is an extra.

    Raises:
        MissingExtra: it is not installed.
    """
    from stile.store import engine_copy as found  # noqa: PLC0415

    return found


_Look = Callable[[], AbstractContextManager[Tx]]
"""Gives one consistent view of the rows."""


def _looking(folder: Path, store: str) -> AbstractContextManager[Tx]:
    """A view of the rows as they are now."""
    if store == SQLITE:
        return read_only(folder / _ROWS)
    from stile.store import postgres  # noqa: PLC0415  an extra, asked for by engine_copy

    return postgres.read_only(store)


def _asked(look: _Look, question: Callable[[Tx], bytes | None]) -> bytes | None:
    with look() as tx:
        return question(tx)


def _digests(look: _Look, blobs: BlobStore) -> set[str]:
    """The contents that are referred to."""
    with look() as tx:
        named = mentions(tx).digests
    return wanted(named, blobs)  # small ones may still be among the rows


class _Contents:
    """The contents of a backup, each copied once."""

    def __init__(self, out: _Target, told: Told) -> None:
        self._out = out
        self._told = told
        self.taken: dict[str, BackedUp] = {}

    def take(self, digests: Collection[str], blobs: BlobStore) -> None:
        """Copy those that are there and were not copied yet.

        Raises:
            Corrupt: one is not what was stored.
        """
        for digest in sorted(set(digests) - self.taken.keys()):
            name = digest.removeprefix("sha256:")
            try:
                copied = self._out.put(f"blobs/{name[:2]}/{name[2:]}", blobs.size(digest), blobs.chunks(digest))
            except Missing:
                continue
            if copied.sha256 != name:
                raise Corrupt(f"The content {digest} has been altered since it was stored. Restore it first.")
            self.taken[digest] = copied
            self._told("contents", 1)


def _verify(folder: Path, manifest: Manifest, found: dict[str, BackedUp]) -> None:
    for expected in manifest.files:
        if found.get(expected.path) != expected:
            raise Corrupt(f"The file {expected.path} of the backup is missing or was changed. Use another backup.")
    rows = folder / _ROWS
    if not is_intact(rows) or counts(rows) != manifest.counts:
        raise Corrupt("The rows of the backup do not hold together. Use another backup.")
    with read_only(rows) as tx:
        problems = ledger.verify(tx)
        if problems or ledger.root(tx) != (manifest.ledger_size, manifest.ledger_root):
            raise Corrupt("The ledger of the backup does not hold together. Use another backup.")
        here = {path.removeprefix("blobs/").replace("/", "") for path in found if path.startswith("blobs/")}
        lost = sorted({digest.removeprefix("sha256:") for digest in required(tx)} - here)
        if [f"sha256:{name}" for name in lost] != sorted(manifest.missing):
            raise Corrupt(f"{len(lost)} contents that the rows refer to are not in the backup. Use another backup.")


def _manifest(file: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise Corrupt(f"{MANIFEST} of the backup cannot be read: {error}.") from error
    if manifest.format != FORMAT:
        raise Invalid(f"This backup has the form {manifest.format}; this Stile reads {FORMAT}. Use the Stile it names.")
    return manifest


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The files of a backup; a path that no backup has is refused."""
    if source.is_dir():
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            path = file.relative_to(source).as_posix()
            _check(path)
            with file.open("rb") as opened:
                yield path, opened
        return
    try:
        with tarfile.open(source, "r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                _check(member.name)
                if content is None:
                    raise Invalid(f"{member.name!r} in the backup is not a plain file.")
                yield member.name, content
    except FileNotFoundError:
        raise Missing(f"There is no backup {source}.") from None
    except tarfile.TarError as error:
        raise Corrupt(f"{source.name} cannot be read as a backup: {error}.") from error


def _check(path: str) -> None:
    if not _PATH.fullmatch(path):
        raise Invalid(f"{path[:100]!r} is not a file of a backup.")


def _put(out: _Target, path: str, source: Path) -> BackedUp:
    with source.open("rb") as content:
        return out.put(path, source.stat().st_size, _pieces(content))


def _write(file: Path, chunks: Iterator[bytes], path: str) -> BackedUp:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if path.startswith("keys/") else 0o644)
    digest, size = hashlib.sha256(), 0
    with os.fdopen(descriptor, "wb") as out:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return BackedUp(path=path, sha256=digest.hexdigest(), size=size)


def _store(blobs: BlobStore, content: IO[bytes], path: str) -> BackedUp:
    """Keep a content; one whose bytes are not those it is named by is found by the manifest's digests."""
    with blobs.writer() as writer:
        for chunk in _pieces(content):
            writer.write(chunk)
        digest = writer.commit()
    return BackedUp(path=path, sha256=digest.removeprefix("sha256:"), size=writer.size)


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while chunk := content.read(_CHUNK):
        yield chunk


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: str, size: int, chunks: Iterator[bytes]) -> BackedUp:  # noqa: ARG002  a tar must know it first
        return _write(self._root / path, chunks, path)


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def put(self, path: str, size: int, chunks: Iterator[bytes]) -> BackedUp:
        member = tarfile.TarInfo(path)
        member.size = size
        member.mode = 0o600
        content = _Measured(chunks)
        self._archive.addfile(member, cast("IO[bytes]", content))  # it only reads
        return BackedUp(path=path, sha256=content.digest.hexdigest(), size=size)


class _Measured:
    """Pieces as a file to read from; takes their digest on the way."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (chunk := next(self._chunks, b"")):
            self._left += chunk
        given, self._left = self._left[:size], self._left[size:]
        self.digest.update(given)
        return given


@contextmanager
def _opened(target: Path) -> Iterator[_Target]:
    """Where a backup goes; what was begun is removed again when it fails."""
    if target.suffix == ".tar":
        if target.exists():
            raise Exists(f"{target} is there already. Choose another name.")
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        begun = target.with_name(target.name + ".part")
        try:
            with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                with tarfile.open(fileobj=file, mode="w") as archive:
                    yield _Tar(archive)
                file.flush()
                os.fsync(file.fileno())
            begun.replace(target)
        finally:
            begun.unlink(missing_ok=True)
        return
    if target.exists() and any(target.iterdir()):
        raise Exists(f"{target} is not empty. Back up into a new folder, or a file that ends in .tar.")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        yield _Folder(target)
    except BaseException:
        shutil.rmtree(target)
        raise
