"""Every blob store passes the same suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stile.kernel.canonical import digest_bytes
from stile.kernel.errors import Corrupt, Invalid, Missing, TooLarge
from stile.store.blobs import LocalBlobs


@given(content=st.binary(max_size=5000))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_content_comes_back_under_its_digest_when_stored(blobs: LocalBlobs, content: bytes) -> None:
    digest = blobs.put(content)
    assert digest == digest_bytes(content)
    assert blobs.get(digest) == content
    assert blobs.size(digest) == len(content)
    assert blobs.put(content) == digest


def test_nothing_is_kept_when_a_writer_is_left_without_commit(blobs: LocalBlobs, tmp_path: Path) -> None:
    with blobs.writer() as writer:
        writer.write(b"half")
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_content_beyond_the_limit_is_refused_when_written(blobs: LocalBlobs) -> None:
    with blobs.writer(limit=10) as writer, pytest.raises(TooLarge):
        for _ in range(4):
            writer.write(b"abc")


def test_altered_bytes_are_found_when_read(blobs: LocalBlobs, tmp_path: Path) -> None:
    digest = blobs.put(b"truth")
    next(path for path in (tmp_path / "blobs").rglob("*") if path.is_file()).write_bytes(b"truht")
    with pytest.raises(Corrupt):
        blobs.get(digest)


@pytest.mark.parametrize("name", ["../../etc/passwd", "sha256:../x", "sha256:" + "A" * 64, "", "sha256:" + "0" * 63])
def test_a_name_that_is_no_digest_never_becomes_a_path(blobs: LocalBlobs, name: str) -> None:
    with pytest.raises(Invalid):
        blobs.get(name)


def test_an_unknown_digest_is_missing_when_asked(blobs: LocalBlobs) -> None:
    digest = digest_bytes(b"never stored")
    assert not blobs.has(digest)
    with pytest.raises(Missing):
        blobs.get(digest)
    blobs.delete(digest)
