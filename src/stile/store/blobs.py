"""Content-addressed bytes: named by their sha256, written once, never changed.

A blob's name is the digest of its content, so no text a user sends ever becomes part of a
path, two equal files are kept once, and a file that was tampered with is found out on reading.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol, Self, TypeVar

from stile.kernel.canonical import is_digest
from stile.kernel.errors import Corrupt, Invalid, Missing, StorageFull, TooLarge
from stile.store.blobs_desk import Desk, clear, sync_folder

T = TypeVar("T")

_CHUNK = 1 << 20
_DOOMED = ".doomed"
_APART = re.compile(r"[a-z0-9]{1,64}")


Wanted = Callable[[Collection[str]], Collection[str]]
"""Which contents are wanted, given some that will stay in any case."""


class BlobWriter(Protocol):
    """Takes a blob piece by piece; nothing is visible before ``commit``.

    Used as a context manager; leaving it without a commit drops what was written.
    """

    size: int

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            TooLarge: the limit given to ``writer`` was passed.
            StorageFull: no room; nothing is kept.
        """
        ...

    def commit(self) -> str:
        """Make the blob durable; returns its digest."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlobStore(Protocol):
    """Keeps blobs. Safe to use from any thread; may wait for a disk or a network, so never on the event loop.

    Every method raises ``Unavailable`` when what it keeps them in cannot be reached.
    """

    def put(self, content: bytes) -> str:
        """Store ``content`` durably; returns its digest. Storing it again is free."""
        ...

    def writer(self, *, limit: int | None = None) -> BlobWriter:
        """A writer for content that does not fit in memory, refused beyond ``limit`` bytes."""
        ...

    def get(self, digest: str) -> bytes:
        """The content, checked against its digest.

        Raises:
            Missing: there is no such blob.
            Corrupt: the stored bytes are not what was stored.
        """
        ...

    def chunks(self, digest: str, *, first: int = 0, count: int | None = None) -> Iterator[bytes]:
        """The content in pieces of at most 8 MiB, not checked; opened before this returns.

        Args:
            digest: names the blob.
            first: offset of the first byte wanted, within the content.
            count: how many bytes at most; None for all to the end.

        Raises:
            Missing: there is no such blob.
        """
        ...

    def size(self, digest: str) -> int:
        """Bytes of the content."""
        ...

    def has(self, digest: str) -> bool:
        """Whether the blob is here."""
        ...

    def keep(self, digest: str) -> bool:
        """Whether the blob is here; if it is, ``collect`` counts it as stored now."""
        ...

    def listing(self) -> Iterator[StoredBlob]:
        """Every blob, in no particular order; those that come or go meanwhile may be missed."""
        ...

    def collect(self, digests: Collection[str], *, before_ms: int, wanted: Wanted) -> list[str]:
        """Forget those of the blobs that were stored before a time and are still not wanted; returns them.

        They can be read until then, but not kept.

        ``wanted`` is asked once the blobs are out of reach, so that nothing can be referred to unseen:
        whoever stores or keeps one of them meanwhile gets it back. It is told which were stored or kept
        since ``before_ms``: these come back whatever it says, so it must want what they need, too.
        """
        ...

    def delete(self, digest: str) -> None:
        """Forget a blob; absent ones are ignored. Where several may refer to it, use ``collect``."""
        ...

    def address(self, digest: str, *, seconds: int) -> str | None:
        """A URL that gives the content to whoever holds it, for so many seconds; None when this store has none."""
        ...

    def apart(self, name: str) -> BlobStore:
        """A store of its own beside this one, for pieces of what is still coming; neither sees the other's blobs.

        Args:
            name: 1 to 64 characters of ``a-z0-9``.
        """
        ...

    def drop_apart(self, name: str) -> None:
        """Forget everything in the store that ``apart(name)`` gives; nothing happens when there is none."""
        ...


class StoredBlob(NamedTuple):
    """A blob as it lies there: its digest, its size in bytes, when it was last stored or kept (ms since 1970 UTC)."""

    digest: str
    size: int
    at: int


class LocalBlobs:
    """Blobs as files ``ab/cdef...`` under one folder, synced before they are acknowledged (``blobs_desk``).

    Args:
        root: the folder; created when missing.
        sweep: put away what a killed server or a power cut left half done. False for looking at a folder in use.
        desk: of the store this one is apart from. Its contents come in there too; after a power cut they
            would be taken for the other's, so here a name is synced as well before it is acknowledged.
    """

    def __init__(self, root: Path, *, sweep: bool = True, desk: Desk | None = None) -> None:
        self._root = root
        self._desk = desk or Desk(root / "incoming")
        self._syncs_names = desk is not None
        if not sweep or desk is not None:
            return
        (root / "incoming").mkdir(parents=True, exist_ok=True)
        clear(root / "incoming", self._adopt)
        for doomed in root.glob(f"*/*{_DOOMED}"):  # a collection was cut short: nothing is lost by it
            doomed.replace(doomed.with_name(doomed.name.removesuffix(_DOOMED)))

    def put(self, content: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        if self.keep(digest):
            return digest
        with self.writer() as writer:
            writer.write(content)
            return writer.commit()

    def writer(self, *, limit: int | None = None) -> BlobWriter:
        return _LocalWriter(self._root, self._desk, limit, syncs_names=self._syncs_names)

    def get(self, digest: str) -> bytes:
        content = b"".join(self.chunks(digest))
        if hashlib.sha256(content).hexdigest() != digest.removeprefix("sha256:"):
            raise Corrupt(f"The blob {digest} has been altered since it was stored. Restore it from a backup.")
        return content

    def chunks(self, digest: str, *, first: int = 0, count: int | None = None) -> Iterator[bytes]:
        self.size(digest)
        return self._pieces(digest, first, count)

    def size(self, digest: str) -> int:
        return self._of(digest, lambda file: file.stat().st_size)

    def has(self, digest: str) -> bool:
        return self._path(digest).exists()

    def keep(self, digest: str) -> bool:
        return _touched(self._path(digest))

    def listing(self) -> Iterator[StoredBlob]:
        for folder in self._root.iterdir() if self._root.exists() else ():
            if len(folder.name) != 2:
                continue
            for entry in os.scandir(folder):
                digest = f"sha256:{folder.name}{entry.name}"
                with contextlib.suppress(FileNotFoundError):
                    if is_digest(digest):
                        found = entry.stat()
                        yield StoredBlob(digest, found.st_size, found.st_mtime_ns // 1_000_000)

    def collect(self, digests: Collection[str], *, before_ms: int, wanted: Wanted) -> list[str]:
        doomed: list[tuple[str, Path, Path]] = []
        for digest in digests:
            path = self._path(digest)
            aside = _aside(path)
            with contextlib.suppress(FileNotFoundError):
                path.replace(aside)
                doomed.append((digest, path, aside))
        try:
            young = {digest for digest, _, aside in doomed if _is_young(aside, before_ms)}
            still = young.union(wanted(young))
        except BaseException:
            for _, path, aside in doomed:
                aside.replace(path)
            raise
        gone = []
        for digest, path, aside in doomed:
            with contextlib.suppress(FileNotFoundError):  # another server that has just started put it back
                if digest in still or _is_young(aside, before_ms):
                    aside.replace(path)
                else:
                    aside.unlink()
                    gone.append(digest)
        return gone

    def delete(self, digest: str) -> None:
        self._path(digest).unlink(missing_ok=True)

    def address(self, digest: str, *, seconds: int) -> str | None:  # noqa: ARG002  a folder has no addresses
        return None

    def apart(self, name: str) -> LocalBlobs:
        return LocalBlobs(self._root / "apart" / checked_apart(name), desk=self._desk)

    def drop_apart(self, name: str) -> None:
        folder = self._root / "apart" / checked_apart(name)
        if folder.exists():
            shutil.rmtree(folder)

    def _adopt(self, file: Path) -> None:
        """Name a content that a power cut left under its first name; one that never was whole is collected one day."""
        with file.open("rb") as content:
            name = hashlib.file_digest(content, "sha256").hexdigest()
        target = self._path(f"sha256:{name}")
        if not target.exists():
            _move(file, target)
            sync_folder(target.parent)
            sync_folder(self._root)

    def _pieces(self, digest: str, first: int, count: int | None) -> Iterator[bytes]:
        with self._open(digest) as file:
            file.seek(first)
            left = count
            while chunk := file.read(_CHUNK if left is None else min(_CHUNK, left)):
                if left is not None:
                    left -= len(chunk)
                yield chunk

    def _open(self, digest: str) -> BinaryIO:
        return self._of(digest, lambda file: file.open("rb"))

    def _of(self, digest: str, ask: Callable[[Path], T]) -> T:
        """What a blob's file answers; one that a collection has set aside, or puts back just now, is no less there.

        Raises:
            Missing: there is no such blob.
        """
        path = self._path(digest)
        for file in (path, _aside(path), path):
            with contextlib.suppress(FileNotFoundError):
                return ask(file)
        raise Missing(f"There is no blob {digest}.")

    def _path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise Invalid(f"{digest!r} is not a digest: sha256:<64 hex digits> is expected.")
        name = digest.removeprefix("sha256:")
        return self._root / name[:2] / name[2:]


class _LocalWriter:
    def __init__(self, root: Path, desk: Desk, limit: int | None, *, syncs_names: bool) -> None:
        self._root = root
        self._desk = desk  # stays as long as something is being written there
        self._syncs_names = syncs_names
        self._limit = limit
        self._hash = hashlib.sha256()
        self.size = 0
        try:
            self._name = desk.take()
            # not created: its name is durable already, or this fails
            self._file = os.fdopen(os.open(self._name, os.O_WRONLY), "wb")
        except OSError as error:
            raise _full(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._name.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self._limit is not None and self.size > self._limit:
            raise TooLarge(f"The content is larger than the limit of {self._limit} bytes.", limit=self._limit)
        self._hash.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _full(error) from error

    def commit(self) -> str:
        digest = self._hash.hexdigest()
        target = self._root / digest[:2] / digest[2:]
        try:
            if not _touched(target):
                self._file.flush()
                os.fsync(self._file.fileno())  # the only one: see blobs_desk
                self._file.close()
                _move(self._name, target)
                if self._syncs_names:
                    for folder in (target.parent, self._root, self._root.parent):
                        sync_folder(folder)
        except OSError as error:
            raise _full(error) from error
        return f"sha256:{digest}"


def _full(error: OSError) -> StorageFull:
    return StorageFull(f"The content could not be stored ({error.strerror}). Free some space and try again.")


def _move(file: Path, target: Path) -> None:
    try:
        file.replace(target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)


def checked_apart(name: str) -> str:
    """``name``, or the refusal of a name that no store apart may have.

    Raises:
        Invalid: it has other characters than ``a-z0-9``, or too many.
    """
    if not _APART.fullmatch(name):
        raise Invalid(f"{name[:80]!r} cannot name a store: 1 to 64 of a-z and 0-9 are expected.")
    return name


def _aside(path: Path) -> Path:
    """Where a collection keeps a blob until it knows whether anybody wants it."""
    return path.with_name(path.name + _DOOMED)


def _is_young(aside: Path, before_ms: int) -> bool:
    """Whether a content that is set aside was stored or kept since; another server that starts may have put it back."""
    try:
        return aside.stat().st_mtime_ns // 1_000_000 >= before_ms
    except FileNotFoundError:
        return True


def _touched(path: Path) -> bool:
    """Whether the file is there; if so it counts as written now, which a running collection respects."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
