"""Small contents on their way into the blob store: readable at once, durable at once, and there in the end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
from obstore.store import MemoryStore

from stile.kernel.canonical import digest_bytes
from stile.kernel.clock import SystemClock
from stile.kernel.errors import Corrupt, Missing, StorageFull
from stile.store import arrivals
from stile.store.blobs import BlobStore, LocalBlobs
from stile.store.blobs_arriving import MOST_BYTES, ArrivingBlobs, Settling
from stile.store.blobs_objects import ObjectBlobs
from stile.store.database import Database, Tx
from stile.testing.blob_suite import BlobSuite
from stile.testing.power import watched_syncs
from stile.testing.server import running_server
from stile.train import artifacts
from stile.work.backup import back_up, restore
from stile.work.inline import InlineBackground

both = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(params=["near", "far"])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """A folder, or a bucket."""
    return LocalBlobs(tmp_path / "blobs") if request.param == "near" else ObjectBlobs(MemoryStore(), name="memory")


@pytest.fixture
def arriving(inner: BlobStore, db: Database) -> ArrivingBlobs:
    return ArrivingBlobs(inner, db.read)


def _arrive(db: Database, blobs: ArrivingBlobs, content: bytes) -> str:
    digest = digest_bytes(content)
    db.write(lambda tx: blobs.arrive(tx, digest, content))
    return digest


def _waiting(db: Database) -> list[str]:
    return db.read(lambda tx: [digest for digest, _ in arrivals.some(tx, 1000)])


def _refused(content: bytes) -> str:
    raise StorageFull(f"No room for {len(content)} bytes.")


class TestInFront(BlobSuite):
    """With nothing waiting it is the store behind it."""

    @pytest.fixture
    def blobs(self, tmp_path: Path, db: Database) -> BlobStore:
        return ArrivingBlobs(LocalBlobs(tmp_path / "behind"), db.read)


@both
def test_a_content_is_the_same_before_and_after_it_has_settled(
    db: Database, inner: BlobStore, arriving: ArrivingBlobs
) -> None:
    contents = [b"", b"x", b"0123456789" * 50, bytes(range(256)) * 256]
    digests = [_arrive(db, arriving, content) for content in contents]
    assert sorted(_waiting(db)) == sorted(digests)
    for settled in (False, True):
        for digest, content in zip(digests, contents, strict=True):
            assert inner.has(digest) is settled
            assert arriving.get(digest) == content
            assert b"".join(arriving.chunks(digest)) == content
            assert b"".join(arriving.chunks(digest, first=3, count=4)) == content[3:7]
            assert b"".join(arriving.chunks(digest, first=3)) == content[3:]
            assert arriving.size(digest) == len(content)
            assert arriving.has(digest)
            assert db.read(partial(arriving.get_within, digest=digest)) == content
        if not settled:
            assert Settling(db, arriving).settle() == len(contents)
            assert _waiting(db) == []
    assert {found.digest: found.size for found in inner.listing()} == {
        digest_bytes(content): len(content) for content in contents
    }
    assert Settling(db, arriving).settle() == 0


@both
def test_a_content_comes_and_goes_with_its_transaction(db: Database, arriving: ArrivingBlobs) -> None:
    digest = digest_bytes(b"refused")

    def work(tx: Tx) -> None:
        arriving.arrive(tx, digest, b"refused")
        artifacts.bind(tx, path="registry/x", digest=digest, size=7, by="ana")

    with pytest.raises(Exception, match="never change"):
        db.write(work)
    assert not arriving.has(digest)
    for ask in (arriving.get, arriving.size, arriving.chunks):
        with pytest.raises(Missing):
            ask(digest)
    with pytest.raises(Missing):
        db.read(lambda tx: arriving.get_within(tx, digest))


@both
def test_a_content_that_comes_again_is_kept_once(db: Database, inner: BlobStore, arriving: ArrivingBlobs) -> None:
    digest = _arrive(db, arriving, b"again")
    _arrive(db, arriving, b"again")
    assert _waiting(db) == [digest]
    Settling(db, arriving).settle()
    _arrive(db, arriving, b"again")
    assert _waiting(db) == ([] if isinstance(inner, LocalBlobs) else [digest])
    Settling(db, arriving).settle()
    assert arriving.get(digest) == b"again"


def test_nothing_more_is_taken_in_when_what_waits_cannot_settle(
    db: Database, inner: BlobStore, arriving: ArrivingBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert arriving.takes(MOST_BYTES)
    assert not arriving.takes(MOST_BYTES + 1)
    digest = _arrive(db, arriving, b"waits")
    with monkeypatch.context() as patch:
        patch.setattr(inner, "put", _refused)
        with pytest.raises(StorageFull):
            Settling(db, arriving).settle()
        assert not arriving.takes(1)
        assert arriving.get(digest) == b"waits"
    Settling(db, arriving).settle()
    assert arriving.takes(1)
    assert inner.get(digest) == b"waits"


def test_contents_are_taken_in_again_when_another_server_has_settled_what_waited(
    db: Database, inner: BlobStore, arriving: ArrivingBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    _arrive(db, arriving, b"waits")
    with monkeypatch.context() as patch:
        patch.setattr(inner, "put", _refused)
        with pytest.raises(StorageFull):
            Settling(db, arriving).settle()
    Settling(db, ArrivingBlobs(inner, db.read)).settle()
    assert not arriving.takes(1)
    Settling(db, arriving).settle()
    assert arriving.takes(1)


def test_a_content_that_was_altered_is_found_and_holds_up_nobody(db: Database, arriving: ArrivingBlobs) -> None:
    bad, good = (_arrive(db, arriving, content) for content in (b"truth", b"also true"))
    db.write(lambda tx: tx.run("UPDATE arrivals SET content = ? WHERE digest = ?", (b"truht", bad)))
    for ask in (arriving.get, arriving.size, arriving.chunks):
        with pytest.raises(Corrupt):
            ask(bad)
    with pytest.raises(Corrupt):
        Settling(db, arriving).settle()
    assert _waiting(db) == [bad]
    assert arriving.get(good) == b"also true"


def test_what_waits_is_settled_before_a_bucket_gives_its_address(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = ObjectBlobs(MemoryStore(), name="memory")
    arriving = ArrivingBlobs(bucket, db.read)
    monkeypatch.setattr(bucket, "address", lambda digest, **_: f"https://bucket/{digest}")
    digest = _arrive(db, arriving, b"wanted from elsewhere")
    assert arriving.address(digest, seconds=5) == f"https://bucket/{digest}"
    assert bucket.get(digest) == b"wanted from elsewhere"
    near = ArrivingBlobs(LocalBlobs(tmp_path / "blobs"), db.read)
    assert near.address(digest, seconds=5) is None


def test_an_acknowledged_file_is_there_after_a_power_cut(tmp_path: Path) -> None:
    """One sync makes it durable: that of the rows. What of the blobs' folder was not synced is gone."""
    contents = {f"f{number}": bytes([number]) * (number * 700 + 1) for number in range(20)}
    with watched_syncs(tmp_path / "disk") as disk:
        with running_server(tmp_path / "server") as server, httpx.Client(base_url=server.url) as client:
            assert client.put(f"{FILES}/0/r/first", content=b"first").status_code == 200
            before = disk.syncs["stile.db-wal"]
            for name, content in contents.items():
                assert client.put(f"{FILES}/0/r/{name}", content=content).status_code == 200
            assert disk.syncs["stile.db-wal"] - before == len(contents)
            cut = disk.after_power_cut(tmp_path / "cut")
        with running_server(cut) as server, httpx.Client(base_url=server.url) as client:
            for settled in (False, True):
                for name, content in contents.items():
                    assert client.get(f"{FILES}/0/r/{name}").content == content
                if not settled:
                    background = server.services.background
                    assert isinstance(background, InlineBackground)
                    background.tick("settling")
            assert len(list((cut / "blobs").glob("??/*"))) == len(contents) + 1


WRITER = """
import sys
from pathlib import Path
from stile.store.blobs import LocalBlobs
from stile.store.blobs_arriving import ArrivingBlobs, Settling
from stile.store.engines import open_database
from stile.kernel.canonical import digest_bytes
import threading

folder = Path(sys.argv[2])
db = open_database(sys.argv[1], folder)
blobs = ArrivingBlobs(LocalBlobs(folder / "blobs"), db.read)

def settle():
    while True:
        Settling(db, blobs).settle()

threading.Thread(target=settle, daemon=True).start()
n = 0
while True:
    content = b"content %d" % n
    db.write(lambda tx: blobs.arrive(tx, digest_bytes(content), content))
    print(n, flush=True)
    n += 1
"""


@both
def test_no_acknowledged_content_is_lost_when_the_server_is_killed(
    store_url: str, open_db: Callable[[], Database], tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, store_url, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= 60 and any((tmp_path / "blobs").glob("??/*")):
                break  # some have settled, others wait
        child.kill()
        last = max(int(line), *(int(more) for more in child.stdout.read().split()), 0)
    blobs = ArrivingBlobs(LocalBlobs(tmp_path / "blobs"), open_db().read)
    for number in range(last + 1):
        content = b"content %d" % number
        assert blobs.get(digest_bytes(content)) == content


def test_a_backup_and_its_restore_hold_what_waits(tmp_path: Path) -> None:
    def silent(what: str, more: int) -> None:
        """Say nothing."""

    with running_server(tmp_path / "server") as server:
        assert httpx.put(f"{server.url}{FILES}/0/r/f", content=b"just arrived").status_code == 200
        manifest = back_up(tmp_path / "server", tmp_path / "backup", SystemClock(), silent)
    assert manifest.missing == []
    name = digest_bytes(b"just arrived").removeprefix("sha256:")
    assert (tmp_path / "backup" / "blobs" / name[:2] / name[2:]).read_bytes() == b"just arrived"
    shutil.rmtree(tmp_path / "server")
    restore(tmp_path / "backup", tmp_path / "again", silent)
    with running_server(tmp_path / "again") as server:
        assert httpx.get(f"{server.url}{FILES}/0/r/f").content == b"just arrived"
