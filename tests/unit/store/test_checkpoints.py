"""Signed checkpoints of the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from stile.kernel.errors import Corrupt
from stile.store import checkpoints, ledger
from stile.store.sqlite import SqliteDatabase


def _grow(db: SqliteDatabase, count: int) -> None:
    for n in range(count):
        db.write(lambda tx, n=n: ledger.append(tx, kind="k", use_case="u", subject=str(n), body={"n": n}))


def test_a_checkpoint_fixes_the_ledger_when_taken(db: SqliteDatabase, tmp_path: Path) -> None:
    key, copy = tmp_path / "keys" / "ledger.key", tmp_path / "checkpoints.txt"
    assert checkpoints.take(db, key, copy) is None
    _grow(db, 5)
    note = checkpoints.take(db, key, copy)
    assert note is not None
    assert checkpoints.read(note) == db.read(ledger.root)
    assert checkpoints.take(db, key, copy) is None
    assert note in copy.read_text()
    assert key.stat().st_mode & 0o077 == 0
    _grow(db, 3)
    assert db.read(ledger.verify) == []


def test_a_rewritten_ledger_contradicts_its_checkpoint_when_verified(db: SqliteDatabase, tmp_path: Path) -> None:
    _grow(db, 6)
    checkpoints.take(db, tmp_path / "k", tmp_path / "c")

    def rewrite(tx: ledger.Tx) -> None:
        for table in ("ledger", "ledger_frontier"):
            tx.run(f"DELETE FROM {table}")
        for n in range(6):
            ledger.append(tx, kind="k", use_case="u", subject=str(n), body={"n": n + 100})

    db.write(rewrite)
    assert [finding.problem for finding in db.read(ledger.verify)] == ["the checkpoint of 6 entries does not match"]


@pytest.mark.parametrize("part", [0, 1, 2, 4])
def test_a_changed_note_is_refused_when_read(part: int) -> None:
    lines = checkpoints.sign(b"k" * 32, 7, "ab" * 32).split("\n")
    lines[part] = (
        lines[part].replace(lines[part][-2], "0" if lines[part][-2] != "0" else "1") if len(lines[part]) > 1 else "8"
    )
    with pytest.raises(Corrupt):
        checkpoints.read("\n".join(lines))
