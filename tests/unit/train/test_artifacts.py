"""The artifact table: folders are read from the paths alone."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stile.kernel.errors import Forbidden, Invalid, Missing
from stile.store.sqlite import SqliteDatabase
from stile.train import artifacts

DIGEST = "sha256:" + "a" * 64


def _bind(db: SqliteDatabase, path: str) -> None:
    db.write(lambda tx: artifacts.bind(tx, path=path, digest=DIGEST, size=len(path), by="ann"))


def test_folder_lists_files_and_folders_beside_each_other(db: SqliteDatabase) -> None:
    for path in ("1/a/x", "1/a/y/z", "1/a0", "1/a.txt", "1/a-b", "1/b/c/d/e", "10/x", "1x"):
        _bind(db, path)
    found = db.read(lambda tx: artifacts.folder(tx, "1"))
    assert [(e.name, e.is_folder, e.size) for e in found] == [
        ("a", True, None),
        ("a-b", False, 5),
        ("a.txt", False, 7),
        ("a0", False, 4),
        ("b", True, None),
    ]
    assert [e.name for e in db.read(lambda tx: artifacts.folder(tx, ""))] == ["1", "10", "1x"]
    assert db.read(lambda tx: artifacts.folder(tx, "1/a.txt")) == []
    assert [a.path for a in db.read(lambda tx: artifacts.listing(tx, "1/a"))] == ["1/a/x", "1/a/y/z"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sets(st.lists(st.sampled_from(["a", "a0", "a-", "b", "ü"]), min_size=1, max_size=3).map("/".join), max_size=8)
)
def test_folder_agrees_with_the_paths(db: SqliteDatabase, paths: set[str]) -> None:
    db.write(lambda tx: tx.run("DELETE FROM artifacts"))
    kept = [p for p in paths if not any(other.startswith(p + "/") for other in paths)]
    for path in kept:
        _bind(db, path)
    expected = sorted({path.partition("/")[0] for path in kept})
    assert [e.name for e in db.read(lambda tx: artifacts.folder(tx, ""))] == expected


def test_a_path_is_a_file_or_a_folder_and_never_both(db: SqliteDatabase) -> None:
    _bind(db, "1/a")
    _bind(db, "1/a")
    with pytest.raises(Invalid, match="is a file"):
        _bind(db, "1/a/b")
    _bind(db, "1/c/d")
    with pytest.raises(Invalid, match="is a folder"):
        _bind(db, "1/c")


def test_removing_a_folder_takes_what_is_below_and_nothing_else(db: SqliteDatabase) -> None:
    for path in ("1/a/x", "1/a/y/z", "1/a0"):
        _bind(db, path)
    assert db.write(lambda tx: artifacts.remove(tx, "1/a")) == 2
    assert [e.name for e in db.read(lambda tx: artifacts.folder(tx, "1"))] == ["a0"]
    with pytest.raises(Missing):
        db.read(lambda tx: artifacts.find(tx, "1/a/x"))


def test_registrys_part_takes_no_writes(db: SqliteDatabase) -> None:
    with pytest.raises(Forbidden):
        _bind(db, "registry/1/1/MLmodel")
    with pytest.raises(Forbidden):
        db.write(lambda tx: artifacts.remove(tx, "registry"))
