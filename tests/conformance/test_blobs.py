"""Every blob store passes the same suite; and what only one of them can do wrong."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from obstore.store import MemoryStore

from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import Corrupt, Invalid, MissingExtra, StileError, Unavailable
from stile.store.blobs import BlobStore, LocalBlobs
from stile.store.blobs_objects import ObjectBlobs
from stile.store.blobs_opening import open_blobs
from stile.testing.blob_suite import BlobSuite
from stile.testing.s3 import LoopbackS3, loopback_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[LoopbackS3]:
    with loopback_s3() as running:
        yield running


class TestLocal(BlobSuite):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        return LocalBlobs(tmp_path / "blobs")

    def test_altered_bytes_are_found_when_read(self, blobs: BlobStore, tmp_path: Path) -> None:
        digest = blobs.put(b"truth")
        next(path for path in (tmp_path / "blobs").glob("??/*") if path.is_file()).write_bytes(b"truht")
        with pytest.raises(Corrupt):
            blobs.get(digest)

    def test_nothing_is_lost_when_a_collection_was_cut_short(self, blobs: BlobStore, tmp_path: Path) -> None:
        digest = blobs.put(b"set aside")
        file = next(path for path in (tmp_path / "blobs").glob("??/*") if path.is_file())
        file.rename(file.with_name(file.name + ".doomed"))
        assert LocalBlobs(tmp_path / "blobs").get(digest) == b"set aside"

    def test_what_another_server_is_writing_stays_when_one_starts(self, blobs: BlobStore, tmp_path: Path) -> None:
        with blobs.writer() as writer:
            writer.write(b"slow upload")
            LocalBlobs(tmp_path / "blobs")
            assert blobs.get(writer.commit()) == b"slow upload"

    def test_what_a_killed_server_left_is_cleared_away(self, tmp_path: Path) -> None:
        _in_a_child(tmp_path, "writer = blobs.writer(); writer.write(b'half'); writer._file.flush()")
        assert len(_incoming(tmp_path)) > 10
        blobs = LocalBlobs(tmp_path / "blobs")
        assert _incoming(tmp_path) == []
        assert list(blobs.listing()) == []

    @pytest.mark.parametrize("lost", ["name", "nothing"])
    def test_acknowledged_content_is_there_after_a_power_cut(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
    ) -> None:
        """What was synced is a content under its first name; its renaming may be undone."""
        _in_a_child(tmp_path, "print(blobs.put(b'acknowledged')); blobs.put(b'')")
        digest = digest_bytes(b"acknowledged")
        final = tmp_path / "blobs" / digest[7:9] / digest[9:]
        if lost == "name":
            (desk,) = (tmp_path / "blobs" / "incoming").iterdir()
            final.rename(desk / "0123456789abcdef")
            final.parent.rmdir()
        monkeypatch.setattr("stile.store.blobs_desk._this_boot", lambda: "another")
        blobs = LocalBlobs(tmp_path / "blobs")
        assert blobs.get(digest) == b"acknowledged"
        assert _incoming(tmp_path) == []

    def test_bytes_are_synced_under_a_durable_name_before_they_are_acknowledged(
        self, blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blobs.put(b"the desk is laid")
        synced: list[tuple[str, int]] = []
        fsync = os.fsync

        def noted(descriptor: int) -> None:
            synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), os.fstat(descriptor).st_size))
            fsync(descriptor)

        before = set(_incoming(tmp_path))
        monkeypatch.setattr(os, "fsync", noted)
        blobs.put(b"0123456789")
        ((name, size),) = synced
        assert size == 10
        assert Path(name) in before, "its name was there, and synced, before"


def _in_a_child(folder: Path, work: str) -> None:
    """Do something with a store and be killed."""
    code = (
        "import os, signal, sys; from pathlib import Path; from stile.store.blobs import LocalBlobs; "
        f"blobs = LocalBlobs(Path(sys.argv[1])); {work}; sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder / "blobs")], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def _incoming(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs" / "incoming").rglob("*") if path.is_file()]


class TestMemory(BlobSuite):
    @pytest.fixture
    def blobs(self) -> ObjectBlobs:
        return ObjectBlobs(MemoryStore(), name="memory", young_ms=-60_000)

    def test_young_contents_are_not_marked(self) -> None:
        store = MemoryStore()
        blobs = ObjectBlobs(store, name="memory")
        for _ in range(3):
            blobs.put(b"the same conda.yaml of every model")
        assert len([found for page in store.list() for found in page]) == 1

    def test_what_is_kept_just_before_it_is_taken_away_comes_back(
        self, blobs: ObjectBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The collection has looked at the marks already; the one who keeps the content still sees it."""
        digest = blobs.put(b"in between")
        before = next(iter(blobs.listing())).at + 1
        time.sleep(0.01)
        copy, kept = blobs._copy, []

        def interrupted(source: str, target: str, size: int) -> None:
            copy(source, target, size)
            if not kept:
                kept.append(blobs.keep(digest))

        monkeypatch.setattr(blobs, "_copy", interrupted)
        assert blobs.collect([digest], before_ms=before, wanted=lambda _: ()) == []
        assert kept == [True]
        assert blobs.get(digest) == b"in between"


class TestS3(BlobSuite):
    @pytest.fixture
    def place(self, s3: LoopbackS3) -> str:
        return s3.fresh()

    @pytest.fixture
    def blobs(self, place: str, tmp_path: Path) -> BlobStore:
        found = open_blobs(place, tmp_path)
        assert isinstance(found, ObjectBlobs)
        found._young_ms = -60_000  # everything is old enough to be marked
        return found

    def test_altered_bytes_are_found_when_read(self, blobs: BlobStore, s3: LoopbackS3, place: str) -> None:
        digest = blobs.put(b"truth")
        (key,) = [key for key in s3.keys(place) if key.startswith("blobs/")]
        s3.client.put_object(Bucket=place.split("/")[2], Key=f"stile/{key}", Body=b"truht")
        with pytest.raises(Corrupt):
            blobs.get(digest)

    def test_a_content_is_never_written_over(self, blobs: BlobStore, s3: LoopbackS3, place: str) -> None:
        digest = blobs.put(b"first")
        (key,) = [key for key in s3.keys(place) if key.startswith("blobs/")]
        before = s3.client.head_object(Bucket=place.split("/")[2], Key=f"stile/{key}")
        time.sleep(1.1)
        assert blobs.put(b"first") == digest
        after = s3.client.head_object(Bucket=place.split("/")[2], Key=f"stile/{key}")
        assert after["LastModified"] == before["LastModified"]

    def test_nothing_is_lost_when_a_collection_was_cut_short(
        self, blobs: BlobStore, s3: LoopbackS3, place: str, tmp_path: Path
    ) -> None:
        digest = blobs.put(b"set aside")
        bucket = place.split("/")[2]
        name = digest.removeprefix("sha256:")
        s3.client.put_object(Bucket=bucket, Key=f"stile/doomed/{name}", Body=b"set aside")
        s3.client.delete_object(Bucket=bucket, Key=f"stile/blobs/{name[:2]}/{name[2:]}")
        assert not blobs.has(digest)
        assert open_blobs(place, tmp_path).get(digest) == b"set aside"
        assert [key for key in s3.keys(place) if key.startswith("doomed/")] == []

    def test_marks_do_not_pile_up_when_contents_are_collected(
        self, blobs: BlobStore, s3: LoopbackS3, place: str
    ) -> None:
        digest = blobs.put(b"often")
        for _ in range(3):
            blobs.put(b"often")
        assert len(s3.keys(place)) == 2
        assert blobs.collect([digest], before_ms=1 << 50, wanted=lambda _: ()) == [digest]
        assert s3.keys(place) == []

    def test_an_address_gives_the_content_to_whoever_holds_it_and_takes_none(self, blobs: BlobStore) -> None:
        digest = blobs.put(b"for your eyes")
        address = blobs.address(digest, seconds=60)
        assert address is not None
        assert httpx.get(address).content == b"for your eyes"
        assert httpx.get(address, headers={"Range": "bytes=4-7"}).content == b"your"
        assert "X-Amz-Expires=60" in address

    def test_memory_is_bounded_when_a_large_content_goes_up(self, blobs: BlobStore, tmp_path: Path) -> None:
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        digest = hashlib.sha256()
        with blobs.writer() as writer:
            for number in range(48):
                piece = bytes([number]) * (1 << 20)
                digest.update(piece)
                writer.write(piece)
            assert list((tmp_path / "incoming").iterdir()) == []  # no name: a killed server leaves nothing
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 24 << 10, "KiB"


def test_memory_has_no_addresses() -> None:
    blobs = ObjectBlobs(MemoryStore(), name="memory")
    assert blobs.address(digest_bytes(b""), seconds=5) is None


@pytest.mark.parametrize(
    ("address", "environ", "says"),
    [
        ("ftp://host/x", {}, "s3://bucket/prefix"),
        ("s3://", {}, "does not fit"),
        ("s3://bucket/../other", {}, "does not fit"),
        ("s3://bucket/.hidden", {}, "does not fit"),
        ("s3://key:secret@bucket/x", {}, "name bucket and prefix only"),
        ("s3://bucket/x?endpoint=http://elsewhere", {}, "name bucket and prefix only"),
        ("s3://[bucket", {}, "no address"),
        ("s3://bucket", {"AWS_ENDPOINT_URL": "http://minio.example:9000"}, "plain http"),
        ("s3://bucket", {"AWS_ENDPOINT_URL_S3": "http://10.0.0.7:9000"}, "plain http"),
        ("gs://bucket", {"GOOGLE_BASE_URL": "http://gcs.example"}, "plain http"),
        ("az://container", {"AZURE_STORAGE_ENDPOINT": "http://azurite.example"}, "plain http"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_words(
    address: str, environ: dict[str, str], says: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match=says) as refused:
        open_blobs(address, tmp_path, environ=environ)
    assert "secret" not in str(refused.value)


def test_the_command_is_named_when_the_extra_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stile.store.blobs_objects", None)
    with pytest.raises(MissingExtra, match=r"pip install 'stile-ml\[objects\]'"):
        open_blobs("s3://bucket", tmp_path, environ={})


def test_a_bucket_that_is_not_there_or_not_reached_is_said_in_one_line(
    s3: LoopbackS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="no such bucket") as refused:
        open_blobs("s3://not-there", tmp_path)
    assert "\n" not in str(refused.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="cannot be used now") as refused:
        open_blobs("s3://not-there", tmp_path)
    assert "\n" not in str(refused.value)


def test_google_and_azure_say_what_is_missing_when_there_are_no_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StileError) as refused:
        open_blobs("az://container", tmp_path, environ={})
    assert "\n" not in str(refused.value)
