"""Blobs in an object store: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.

Objects lie under the address's prefix:

    blobs/ab/cdef...         contents, named by their sha256; written once, by a conditional create
    kept/abcdef...           empty: the content was stored or kept again when this was written
    doomed/abcdef...         a content that a collection has put out of reach
    apart/<name>/...         stores of their own for pieces of what is still coming

An object store has neither "touch" nor "rename", so a content that is stored again gets a mark of its
own beside it (unless it is so young that no collection takes it), and a collection copies what it
wants to forget aside before it asks whether anybody wants it. Whoever stores or keeps a content writes
the mark first and looks at the content second; the collection takes the content away first and looks
at the mark second: one of them sees the other.

Source: strong read-after-write consistency of Amazon S3, Google Cloud Storage and Azure Blob Storage.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import AzureStore, GCSStore, MemoryStore, ObjectStore, S3Store

from stile.kernel.canonical import is_digest
from stile.kernel.clock import Clock, SystemClock
from stile.kernel.errors import Corrupt, Invalid, Missing, StorageFull, TooLarge, Unavailable
from stile.store.blobs import StoredBlob, Wanted, checked_apart

T = TypeVar("T")

PIECE = 8 << 20
"""Bytes of one request for a part of a content; what is larger goes up in several at once."""

_AT_ONCE = 4
_MOST_PARTS = 9_000  # S3 takes 10,000
_COPIED_AT_ONCE = 5_000_000_000  # S3 copies no larger object in one request
_PAGE = 1000
_TRIES = 3
_YOUNG_MS = 600_000
_NAME = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]{0,40})")
_AS_DOWNLOAD = {"Content-Type": "application/octet-stream"}


class ObjectBlobs:
    """A ``BlobStore`` in a bucket.

    Args:
        store: the bucket.
        name: how messages call it.
        prefix: of every key; empty, or ending with a slash.
        spool: folder for uploads that do not fit into memory; None for the system's.
        clock: tells how old a content is; may differ from the bucket's by minutes.
        young_ms: what was stored or kept less than this ago need not be marked when it is stored again:
            far less than any collection's ``before_ms`` lies back.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        name: str,
        prefix: str = "",
        spool: Path | None = None,
        clock: Clock | None = None,
        young_ms: int = _YOUNG_MS,
    ) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._young_ms = young_ms
        self._name = name
        self._prefix = prefix
        self._spool = spool

    def open(self) -> None:
        """Make sure that the bucket can be written, read and listed, and put back what a collection left half done.

        Raises:
            Unavailable: it cannot; says why and what to do.
        """
        probe = f"{self._prefix}probe/{secrets.token_hex(8)}"
        with self._told(writing=True):
            obstore.put(self._store, probe, b"stile")
            obstore.get(self._store, probe).bytes()
            self._remove(probe)
            doomed = list(self._keys("doomed/"))
        for key, _, size in doomed:
            name = key.rpartition("/")[2]
            if _NAME.fullmatch(name):
                with self._told():
                    if self._head(self._key(name)) is None:
                        self._copy(key, self._key(name), size)
                    self._remove(key)

    def put(self, content: bytes) -> str:
        with self.writer() as writer:
            writer.write(content)
            return writer.commit()

    def writer(self, *, limit: int | None = None) -> _ObjectWriter:
        return _ObjectWriter(self, limit, self._spool)

    def get(self, digest: str) -> bytes:
        content = b"".join(self.chunks(digest))
        if hashlib.sha256(content).hexdigest() != digest.removeprefix("sha256:"):
            raise Corrupt(f"The blob {digest} has been altered since it was stored. Restore it from a backup.")
        return content

    def chunks(self, digest: str, *, first: int = 0, count: int | None = None) -> Iterator[bytes]:
        self._key_of(digest)
        if count is not None and count <= 0:
            return iter(())
        most = PIECE if count is None else min(PIECE, count)
        with self._told(digest):
            piece, size = self._of(digest, lambda key: self._piece(key, first, most))
        end = size if count is None else min(size, first + count)
        return self._rest(digest, piece, first + len(piece), end)

    def size(self, digest: str) -> int:
        with self._told(digest):
            found = self._head(self._key_of(digest)) or self._head(self._aside(digest))
        if found is None:
            raise Missing(f"There is no blob {digest}.")
        return found[0]

    def has(self, digest: str) -> bool:
        with self._told():
            return self._head(self._key_of(digest)) is not None

    def keep(self, digest: str) -> bool:
        key = self._key_of(digest)
        with self._told():
            found = self._head(key)
            if found is None:
                return False
            if max(found[1], self._kept_at(digest)) > self._clock.now_ms() - self._young_ms:
                return True
            obstore.put(self._store, self._mark(digest), b"")
            return self._head(key) is not None

    def listing(self) -> Iterator[StoredBlob]:
        with self._told():
            kept: dict[str, int] = {}
            for key, at, _ in self._keys("kept/"):
                kept[key.rpartition("/")[2]] = at
            for key, at, size in self._keys("blobs/"):
                name = "".join(key.split("/")[-2:])
                if _NAME.fullmatch(name):
                    yield StoredBlob(f"sha256:{name}", size, max(at, kept.get(name, 0)))

    def collect(self, digests: Collection[str], *, before_ms: int, wanted: Wanted) -> list[str]:
        doomed: list[tuple[str, int]] = []
        young: set[str] = set()
        try:
            for digest in digests:
                with self._told():
                    found = self._head(self._key_of(digest))
                    if found is None:
                        continue
                    if max(found[1], self._kept_at(digest)) >= before_ms:
                        young.add(digest)
                        continue
                    doomed.append((digest, found[0]))
                    self._copy(self._key_of(digest), self._aside(digest), found[0])
                    self._remove(self._key_of(digest))
            young.update(digest for digest, _ in doomed if self._marked_since(digest, before_ms))
            still = young.union(wanted(young))
        except BaseException:
            for digest, size in doomed:
                self._put_back(digest, size)
            raise
        gone = []
        for digest, size in doomed:
            if digest in still or self._marked_since(digest, before_ms):
                self._put_back(digest, size)
                continue
            with self._told():
                self._remove(self._aside(digest), self._mark(digest))
            gone.append(digest)
        return gone

    def delete(self, digest: str) -> None:
        with self._told():
            self._remove(self._key_of(digest))

    def address(self, digest: str, *, seconds: int) -> str | None:
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        with self._told():
            return obstore.sign(self._store, "GET", self._key_of(digest), timedelta(seconds=seconds))

    def apart(self, name: str) -> ObjectBlobs:
        prefix = f"{self._prefix}apart/{checked_apart(name)}/"
        return ObjectBlobs(
            self._store, name=self._name, prefix=prefix, spool=self._spool, clock=self._clock, young_ms=self._young_ms
        )

    def drop_apart(self, name: str) -> None:
        with self._told():
            keys = [key for key, _, _ in self._keys(f"apart/{checked_apart(name)}/")]
            for start in range(0, len(keys), _PAGE):
                self._remove(*keys[start : start + _PAGE])

    def store_small(self, digest: str, content: bytes) -> None:
        """Make a content that is in memory durable, unless it is there already."""
        key = self._key_of(digest)
        for _ in range(_TRIES):
            with self._told(writing=True):
                try:
                    obstore.put(self._store, key, content, mode="create", attributes=self._attributes())
                    return
                except AlreadyExistsError:
                    pass  # looked at below; a collection may take it away meanwhile, then it is stored anew
                except NotSupportedError:  # a store without conditional writes: the same bytes once more change nothing
                    obstore.put(self._store, key, content, attributes=self._attributes())
                    return
            if self.keep(digest):
                return
        raise Unavailable(f"The content {digest} comes and goes in {self._name}. Try again.")

    def store_large(self, digest: str, content: IO[bytes], size: int) -> None:
        """Make a content that lies in a file durable, in several requests, unless it is there already."""
        if self.keep(digest):
            return
        with self._told(writing=True):
            obstore.put(
                self._store, self._key_of(digest), content, attributes=self._attributes(), use_multipart=True,
                chunk_size=max(PIECE, size // _MOST_PARTS), max_concurrency=_AT_ONCE,
            )  # fmt: skip

    def _attributes(self) -> dict[str, str] | None:
        return None if isinstance(self._store, MemoryStore) else _AS_DOWNLOAD

    def _piece(self, key: str, first: int, count: int) -> tuple[bytes, int]:
        """(bytes from an offset on, size of the whole)."""
        try:
            found = obstore.get(self._store, key, options={"range": (first, first + count)})
            return bytes(found.bytes()), found.meta["size"]
        except BaseError:
            size = self._head(key)
            if size is not None and first >= size[0]:  # an empty content has no range at all
                return b"", size[0]
            raise

    def _rest(self, digest: str, piece: bytes, at: int, end: int) -> Iterator[bytes]:
        yield piece
        while at < end:
            start, stop = at, min(at + PIECE, end)
            with self._told(digest):
                piece = self._of(digest, lambda key: bytes(obstore.get_range(self._store, key, start=start, end=stop)))  # noqa: B023
            at += len(piece)
            yield piece

    def _of(self, digest: str, ask: Callable[[str], T]) -> T:
        """What a content's object answers; one that a collection has set aside, or puts back now, is no less there.

        Raises:
            FileNotFoundError: there is no such content.
        """
        for key in (self._key_of(digest), self._aside(digest)):
            with suppress(FileNotFoundError):
                return ask(key)
        return ask(self._key_of(digest))

    def _keys(self, below: str) -> Iterator[tuple[str, int, int]]:
        """(key, when it was written in ms, size) of what lies below a part of this store."""
        for page in obstore.list(self._store, prefix=self._prefix + below, chunk_size=_PAGE):
            for found in page:
                yield found["path"], _ms(found["last_modified"]), found["size"]

    def _head(self, key: str) -> tuple[int, int] | None:
        """(size, when it was written in ms), None when it is not there."""
        try:
            found = obstore.head(self._store, key)
        except FileNotFoundError:
            return None
        return found["size"], _ms(found["last_modified"])

    def _copy(self, source: str, target: str, size: int) -> None:
        if size < _COPIED_AT_ONCE:
            obstore.copy(self._store, source, target)
        else:
            whole = obstore.get(self._store, source).stream(min_chunk_size=PIECE)
            obstore.put(
                self._store, target, whole, chunk_size=max(PIECE, size // _MOST_PARTS), max_concurrency=_AT_ONCE
            )

    def _put_back(self, digest: str, size: int) -> None:
        with self._told():
            if self._head(self._aside(digest)) is None:  # another server that has just started put it back
                return
            if self._head(self._key_of(digest)) is None:
                self._copy(self._aside(digest), self._key_of(digest), size)
            self._remove(self._aside(digest))

    def _marked_since(self, digest: str, before_ms: int) -> bool:
        with self._told():
            return self._kept_at(digest) >= before_ms

    def _remove(self, *keys: str) -> None:
        """Delete, together where the store can do that; what is not there is no error anywhere."""
        try:
            obstore.delete(self._store, keys)
        except FileNotFoundError:  # Google and Azure delete one by one and say so
            for key in keys:
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, key)

    def _kept_at(self, digest: str) -> int:
        found = self._head(self._mark(digest))
        return 0 if found is None else found[1]

    def _key_of(self, digest: str) -> str:
        if not is_digest(digest):
            raise Invalid(f"{digest!r} is not a digest: sha256:<64 hex digits> is expected.")
        return self._key(digest.removeprefix("sha256:"))

    def _key(self, name: str) -> str:
        return f"{self._prefix}blobs/{name[:2]}/{name[2:]}"

    def _aside(self, digest: str) -> str:
        return f"{self._prefix}doomed/{digest.removeprefix('sha256:')}"

    def _mark(self, digest: str) -> str:
        return f"{self._prefix}kept/{digest.removeprefix('sha256:')}"

    @contextmanager
    def _told(self, digest: str = "", *, writing: bool = False) -> Iterator[None]:
        """Say in Stile's words what the object store refused."""
        try:
            yield
        except FileNotFoundError:
            if writing or not digest:
                raise Unavailable(f"The artifact store {self._name} has no such bucket. Create it first.") from None
            raise Missing(f"There is no blob {digest}.") from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise Unavailable(
                f"The artifact store {self._name} refuses this server ({_reason(error)}). Check its keys and "
                "that they may read, write, list and delete there."
            ) from error
        except BaseError as error:
            raise Unavailable(
                f"The artifact store {self._name} cannot be used now ({_reason(error)}). Nothing was recorded. "
                "Check its address and the network, then try again."
            ) from error


class _ObjectWriter:
    """Keeps what is written in memory, then in a file, until its digest (and with it its key) is known."""

    def __init__(self, blobs: ObjectBlobs, limit: int | None, spool: Path | None) -> None:
        self._blobs = blobs
        self._limit = limit
        self._hash = hashlib.sha256()
        self.size = 0
        self._file = tempfile.SpooledTemporaryFile(PIECE, dir=None if spool is None else str(spool))  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self._limit is not None and self.size > self._limit:
            raise TooLarge(f"The content is larger than the limit of {self._limit} bytes.", limit=self._limit)
        self._hash.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise StorageFull(
                f"The content could not be taken in ({error.strerror}). Free some space and try again."
            ) from error

    def commit(self) -> str:
        digest = f"sha256:{self._hash.hexdigest()}"
        self._file.seek(0)
        if self.size <= PIECE:
            self._blobs.store_small(digest, self._file.read())
        else:
            self._blobs.store_large(digest, self._file, self.size)
        return digest


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _reason(error: Exception) -> str:
    """What the store said, in a few words that hold no address and no signature."""
    text = str(error)
    for pattern in (_CODE, _STATUS):
        found = pattern.search(text)
        if found:
            return found[1].strip()
    if "HTTP error" in text:
        return "no connection"
    return type(error).__name__
