"""Small contents are committed with the row that names them, and settle into the blob store behind.

A content of its own needs a sync (or a request to a bucket) before the row that refers to it can be
committed, which needs another. Up to ``MOST_BYTES`` it is cheaper to commit the bytes together with the
row: one sync, shared with whatever else is committed then. From that moment the content is durable and
can be read from here, wherever it lies. ``Settling`` brings what waits into the blob store and only then
takes it out of the database; after a power cut it goes on where it was, as nothing is lost by doing it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TypeVar

from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import Corrupt, Missing, StileError
from stile.store import arrivals
from stile.store.blobs import BlobStore, BlobWriter, LocalBlobs, StoredBlob, Wanted
from stile.store.database import Database, Tx

T = TypeVar("T")

MOST_BYTES = 64 << 10
"""Larger contents are not worth writing twice."""

_AT_ONCE = 32

Read = Callable[[Callable[[Tx], bytes | None]], bytes | None]
"""Runs a question to the database that keeps what waits."""


class ArrivingBlobs:
    """A ``BlobStore``, and what is still on its way into it. Safe to use from any thread.

    Inside a transaction use ``at_hand`` and ``get_within``: the other methods that read ask the database by themselves.

    Args:
        inner: where contents stay.
        read: asks the database where they wait.
    """

    def __init__(self, inner: BlobStore, read: Read) -> None:
        self._inner = inner
        self._read = read
        self._is_near = isinstance(inner, LocalBlobs)
        self._closed = False

    def takes(self, size: int) -> bool:
        """Whether a content of ``size`` bytes may be handed to ``arrive``."""
        return size <= MOST_BYTES and not self._closed

    def arrive(self, tx: Tx, digest: str, content: bytes) -> None:
        """Keep a content in the transaction that refers to it: both are there, or neither.

        Args:
            tx: the transaction.
            digest: of the content.
            content: bytes that ``takes`` accepts.
        """
        if not (self._is_near and self._inner.keep(digest)):  # asking a bucket would hold up the writer
            arrivals.add(tx, digest, content)

    def at_hand(self, tx: Tx, digest: str, size: int, *, most: int = MOST_BYTES) -> bytes | None:
        """A small content that can be had at once, for work inside a transaction.

        Returns:
            The content; None when it has more than ``most`` bytes or has to come over a network.

        Raises:
            Missing: there is no such content.
            Corrupt: the stored bytes are not what was stored.
        """
        if size > most:
            return None
        return self.get_within(tx, digest) if self._is_near else _found(tx, digest)

    def get_within(self, tx: Tx, digest: str) -> bytes:
        """As ``get``, inside a transaction."""
        content = None if self._is_near else _found(tx, digest)
        if content is not None:
            return content
        try:
            return self._inner.get(digest)
        except Missing:
            content = _found(tx, digest)
            if content is None:
                raise
            return content

    def settle(self, digest: str, content: bytes) -> None:
        """Bring a content to where it stays.

        Raises:
            Corrupt: it is not what its digest says.
            StorageFull, Unavailable: it cannot be kept there now. Until all that waits has settled, no further
                ones are taken in: what a full disk or a bucket that is away refuses shall not pile up in the database.
        """
        _check(digest, content)
        try:
            self._inner.put(content)
        except StileError:
            self._closed = True
            raise

    def all_settled(self) -> None:
        """Nothing waits any more, whoever has settled it: further contents are taken in."""
        self._closed = False

    def put(self, content: bytes) -> str:
        return self._inner.put(content)

    def writer(self, *, limit: int | None = None) -> BlobWriter:
        return self._inner.writer(limit=limit)

    def get(self, digest: str) -> bytes:
        return self._or_waiting(digest, lambda: self._inner.get(digest), lambda content: content)

    def chunks(self, digest: str, *, first: int = 0, count: int | None = None) -> Iterator[bytes]:
        return self._or_waiting(
            digest,
            lambda: self._inner.chunks(digest, first=first, count=count),
            lambda content: iter([content[first : None if count is None else first + count]]),
        )

    def size(self, digest: str) -> int:
        return self._or_waiting(digest, lambda: self._inner.size(digest), len)

    def has(self, digest: str) -> bool:
        return self._inner.has(digest) or self._waiting(digest) is not None or self._inner.has(digest)

    def keep(self, digest: str) -> bool:
        return self._inner.keep(digest)

    def listing(self) -> Iterator[StoredBlob]:
        return self._inner.listing()

    def collect(self, digests: Collection[str], *, before_ms: int, wanted: Wanted) -> list[str]:
        return self._inner.collect(digests, before_ms=before_ms, wanted=wanted)

    def delete(self, digest: str) -> None:
        self._inner.delete(digest)

    def address(self, digest: str, *, seconds: int) -> str | None:
        if not self._is_near and not self._inner.has(digest):
            content = self._waiting(digest)
            if content is not None:
                self.settle(digest, content)
        return self._inner.address(digest, seconds=seconds)

    def apart(self, name: str) -> BlobStore:
        return self._inner.apart(name)

    def drop_apart(self, name: str) -> None:
        self._inner.drop_apart(name)

    def _waiting(self, digest: str) -> bytes | None:
        return self._read(lambda tx: _found(tx, digest))

    def _or_waiting(self, digest: str, settled: Callable[[], T], of: Callable[[bytes], T]) -> T:
        """What ``settled`` gives, or else what is made ``of`` the content that waits."""
        content = None if self._is_near else self._waiting(digest)  # asked first where the other takes a journey
        if content is not None:
            return of(content)
        try:
            return settled()
        except Missing:
            content = self._waiting(digest)
            return settled() if content is None else of(content)  # it may have settled in between


class Settling:
    """Takes contents from the database into the blob store.

    Args:
        db: where they wait.
        blobs: where they go.
    """

    def __init__(self, db: Database, blobs: ArrivingBlobs) -> None:
        self._db = db
        self._blobs = blobs

    def settle(self) -> int:
        """Settle everything that waits; returns how many contents that were.

        Raises:
            StorageFull, Unavailable: the blob store cannot take them now; they stay where they are.
            Corrupt: a content is not what its digest says. It stays where it is; the others were settled.
        """
        count = 0
        while waiting := self._db.read(lambda tx: arrivals.some(tx, _AT_ONCE)):
            settled, damage = [], None
            for digest, content in waiting:
                try:
                    self._blobs.settle(digest, content)
                    settled.append(digest)
                except Corrupt as error:
                    damage = error
            if damage is not None and not settled:
                raise damage
            # after a power cut they may be there once more: then they are settled once more
            self._db.write(partial(arrivals.drop, digests=settled), relaxed=True)
            count += len(settled)
        self._blobs.all_settled()
        return count


def _found(tx: Tx, digest: str) -> bytes | None:
    content = arrivals.find(tx, digest)
    if content is not None:
        _check(digest, content)
    return content


def _check(digest: str, content: bytes) -> None:
    if digest_bytes(content) != digest:
        raise Corrupt(f"The content {digest} has been altered since it was stored. Restore it from a backup.")
