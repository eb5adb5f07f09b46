"""The promises of ``store.blobs.BlobStore``, as tests that every blob store passes.

Use it by subclassing with a fixture ``blobs`` that gives an empty store:

    class TestMyStore(BlobSuite):
        @pytest.fixture
        def blobs(self): ...
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection

import pytest

from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import Invalid, Missing, TooLarge
from stile.store.blobs import BlobStore

_LARGE = 11 << 20  # more than one request of an object store, more than one piece
_SIZES = (0, 1, 1000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, _LARGE)
_LONG_AGO, _FAR_AHEAD = 1, 1 << 50


def _content(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311  reproducible bytes


def _nothing(young: Collection[str]) -> Collection[str]:  # noqa: ARG001  whatever stays needs nothing
    return ()


def _listed(blobs: BlobStore) -> dict[str, int]:
    return {found.digest: found.size for found in blobs.listing()}


class BlobSuite:
    """Behaviour every ``BlobStore`` shares."""

    @pytest.mark.parametrize("size", _SIZES)
    def test_content_comes_back_under_its_digest_when_stored(self, blobs: BlobStore, size: int) -> None:
        """What goes in comes out, whole and in pieces, and storing it again is free."""
        content = _content(size)
        with blobs.writer() as writer:
            for start in range(0, size, 400_000):
                writer.write(content[start : start + 400_000])
            digest = writer.commit()
        assert digest == digest_bytes(content)
        assert blobs.put(content) == digest
        assert blobs.get(digest) == content
        pieces = list(blobs.chunks(digest))
        assert b"".join(pieces) == content
        assert max(map(len, pieces), default=0) <= 8 << 20
        assert blobs.size(digest) == size
        assert blobs.has(digest)
        assert _listed(blobs) == {digest: size}

    @pytest.mark.parametrize(
        ("first", "count"), [(0, 5), (3, 4), (9, 5), (0, 10), (10, 1), (15, 3), (4, None), (10, None), (2, 0)]
    )
    def test_part_of_a_content_is_that_part(self, blobs: BlobStore, first: int, count: int | None) -> None:
        """Ranges are those of slices, whatever lies outside."""
        digest = blobs.put(b"0123456789")
        end = None if count is None else first + count
        assert b"".join(blobs.chunks(digest, first=first, count=count)) == b"0123456789"[first:end]

    def test_part_of_a_large_content_is_that_part(self, blobs: BlobStore) -> None:
        """Ranges that span several requests are joined in order."""
        content = _content(_LARGE)
        digest = blobs.put(content)
        for first, count in [(5, 9 << 20), ((8 << 20) - 3, 6), (_LARGE - 7, None), (1 << 20, 9 << 20)]:
            end = None if count is None else first + count
            assert b"".join(blobs.chunks(digest, first=first, count=count)) == content[first:end]

    def test_nothing_is_kept_when_a_writer_is_left_without_commit(self, blobs: BlobStore) -> None:
        """Bytes are visible only after a commit."""
        with blobs.writer() as writer:
            writer.write(b"half")
        assert not blobs.has(digest_bytes(b"half"))
        assert _listed(blobs) == {}

    def test_content_beyond_the_limit_is_refused_when_written(self, blobs: BlobStore) -> None:
        """The limit holds while bytes come in, and nothing of it stays."""
        with blobs.writer(limit=10) as writer:
            for _ in range(3):
                writer.write(b"abc")
            with pytest.raises(TooLarge):
                writer.write(b"abc")
        assert _listed(blobs) == {}

    @pytest.mark.parametrize(
        "name", ["../../etc/passwd", "sha256:../x", "sha256:" + "A" * 64, "", "sha256:" + "0" * 63]
    )
    def test_a_name_that_is_no_digest_is_refused_everywhere(self, blobs: BlobStore, name: str) -> None:
        """No text of a caller becomes a place."""
        for ask in (blobs.get, blobs.size, blobs.has, blobs.keep, blobs.delete, blobs.chunks):
            with pytest.raises(Invalid):
                ask(name)

    def test_an_unknown_digest_is_missing_when_asked(self, blobs: BlobStore) -> None:
        """Asking for what was never stored says so at once, before anything is read."""
        digest = digest_bytes(b"never stored")
        assert not blobs.has(digest)
        assert not blobs.keep(digest)
        for ask in (blobs.get, blobs.size, blobs.chunks):
            with pytest.raises(Missing):
                ask(digest)
        blobs.delete(digest)

    def test_a_deleted_content_is_gone_and_may_come_again(self, blobs: BlobStore) -> None:
        """Delete, then put."""
        digest = blobs.put(b"short-lived")
        blobs.delete(digest)
        assert not blobs.has(digest)
        assert blobs.put(b"short-lived") == digest
        assert blobs.get(digest) == b"short-lived"

    def test_only_what_is_old_and_unwanted_is_collected(self, blobs: BlobStore) -> None:
        """Young contents and wanted ones stay; the others are gone for good."""
        young, wanted, loose = (blobs.put(name) for name in (b"young", b"wanted", b"loose"))
        assert blobs.collect([young], before_ms=_LONG_AGO, wanted=_nothing) == []
        assert blobs.collect([wanted, loose], before_ms=_FAR_AHEAD, wanted=lambda _: {wanted}) == [loose]
        assert set(_listed(blobs)) == {young, wanted}
        assert blobs.get(wanted) == b"wanted"
        assert blobs.collect([loose], before_ms=_FAR_AHEAD, wanted=_nothing) == []

    def test_nothing_is_lost_when_a_collection_cannot_ask(self, blobs: BlobStore) -> None:
        """A collection that fails puts everything back."""

        def fail(_: Collection[str]) -> Collection[str]:
            raise Invalid("no")

        digest = blobs.put(b"precious")
        with pytest.raises(Invalid):
            blobs.collect([digest], before_ms=_FAR_AHEAD, wanted=fail)
        assert blobs.get(digest) == b"precious"

    def test_what_is_stored_while_a_collection_asks_is_there_afterwards(self, blobs: BlobStore) -> None:
        """Whoever gets a digest back may refer to it, whatever a collection was doing meanwhile."""
        digest = blobs.put(b"wanted in the last moment")
        now = {found.digest: found.at for found in blobs.listing()}[digest]

        def meanwhile(young: Collection[str]) -> Collection[str]:
            assert not young
            assert not blobs.keep(digest)  # out of reach: who asks must bring the content again
            assert blobs.get(digest) == b"wanted in the last moment"  # but it is no less there for who reads
            assert blobs.size(digest) == 25
            assert blobs.put(b"wanted in the last moment") == digest
            return {digest}

        assert blobs.collect([digest], before_ms=now + 1, wanted=meanwhile) == []
        assert blobs.get(digest) == b"wanted in the last moment"

    def test_keeping_counts_as_storing(self, blobs: BlobStore) -> None:
        """A kept content is as young as the moment it was kept."""
        digest = blobs.put(b"kept")
        assert blobs.keep(digest)
        kept = {found.digest: found.at for found in blobs.listing()}[digest]
        assert blobs.collect([digest], before_ms=kept, wanted=_nothing) == []
        assert blobs.get(digest) == b"kept"

    def test_what_was_kept_in_the_last_moment_is_told_to_who_knows_what_it_needs(self, blobs: BlobStore) -> None:
        """A document that stays because somebody kept it saves the contents it names."""
        document, named, loose = (blobs.put(name) for name in (b"document", b"named", b"loose"))
        time.sleep(2.1)  # object stores tell times in whole seconds
        before = time.time_ns() // 1_000_000 - 1000
        assert blobs.keep(document)

        def wanted(young: Collection[str]) -> Collection[str]:
            return {named} if document in young else set()

        assert blobs.collect([document, named, loose], before_ms=before, wanted=wanted) == [loose]
        assert set(_listed(blobs)) == {document, named}

    def test_what_is_stored_again_is_there_when_a_collection_runs_against_it(self, blobs: BlobStore) -> None:
        """Old contents that nobody wants race with uploads of the same: what was acknowledged is not collected."""
        contents = [b"%d" % number for number in range(40)]
        digests = [blobs.put(content) for content in contents]
        time.sleep(2.1)  # object stores tell times in whole seconds
        before = time.time_ns() // 1_000_000 - 1000
        collected: list[str] = []

        def upload(order: int) -> None:
            for content in contents[order::3]:
                blobs.put(content)

        def collect() -> None:
            for start in range(0, len(digests), 4):
                collected.extend(blobs.collect(digests[start : start + 4], before_ms=before, wanted=_nothing))

        threads = [threading.Thread(target=upload, args=(order,)) for order in range(3)]
        threads.append(threading.Thread(target=collect))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [digest for digest in digests if not blobs.has(digest)] == []

    def test_stores_apart_do_not_see_each_other(self, blobs: BlobStore) -> None:
        """Pieces of what is coming are nobody else's business, and go away together."""
        digest = blobs.put(b"whole")
        one, two = blobs.apart("one"), blobs.apart("two")
        piece = one.put(b"piece")
        assert two.put(b"piece") == piece
        assert not blobs.has(piece)
        assert not one.has(digest)
        assert _listed(blobs) == {digest: 5}
        blobs.drop_apart("one")
        assert not blobs.apart("one").has(piece)
        assert two.get(piece) == b"piece"
        blobs.drop_apart("one")
        for name in ("", "..", "a/b", "A", "x" * 65):
            with pytest.raises(Invalid):
                blobs.apart(name)
            with pytest.raises(Invalid):
                blobs.drop_apart(name)
