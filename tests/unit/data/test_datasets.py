from __future__ import annotations

import pytest

from stile.data import contracts, dataset_records, datasets
from stile.data.contract_infer import infer_contract
from stile.data.odcs import write_contract
from stile.data.table import parse_csv
from stile.kernel.errors import Conflict, ContractBroken, Invalid, Missing
from stile.store import outbox
from stile.store.blobs import LocalBlobs
from stile.store.sqlite import SqliteDatabase

CASE = "cells"
GOOD = b"id,x,site,target\n" + b"".join(
    b"p%d,%d,%s,%d\n" % (i, i % 17, b"VA" if i % 2 else b"VB", i % 2) for i in range(60)
)


def publish(db: SqliteDatabase, content: bytes = GOOD, name: str = CASE) -> int:
    yaml = write_contract(infer_contract(parse_csv(content), name=name, target="target"))
    return db.write(lambda tx: contracts.publish(tx, use_case=CASE, yaml=yaml, by="dana")).version


def register(
    db: SqliteDatabase, blobs: LocalBlobs, content: bytes, name: str = "ref", role: str = "test"
) -> datasets.DatasetVersion:
    contract = db.read(lambda tx: contracts.latest(tx, CASE))
    checked = datasets.check(content, table_blob=blobs.put(content), contract=contract, role=role)  # type: ignore[arg-type]
    return db.write(
        lambda tx: datasets.register(
            tx,
            use_case=CASE,
            name=name,
            role=role,
            checked=checked,
            by="dana",
            source="lab export",  # type: ignore[arg-type]
        )
    )


def names(db: SqliteDatabase) -> list[str]:
    return [posted.name for posted in db.read(lambda tx: outbox.after(tx, 0))]


def test_dataset_has_lineage_when_it_was_registered(db: SqliteDatabase, blobs: LocalBlobs) -> None:
    publish(db)
    made = register(db, blobs, GOOD)
    assert (made.rows, made.columns, made.contract_version, made.by, made.source) == (60, 4, 1, "dana", "lab export")
    assert made.digest == parse_csv(GOOD).digest
    found = db.read(lambda tx: datasets.get(tx, CASE, made.digest))
    assert found == made
    profile = db.read(lambda tx: datasets.profile(tx, made.profile_digest))
    assert profile.digest == made.profile_digest
    assert [column.name for column in profile.columns] == ["x", "site", "target"], "keys are not profiled"
    assert datasets.load(blobs, made).digest == made.digest
    assert names(db) == ["ContractPublished", "DatasetRegistered"]


def test_nothing_is_stored_when_the_contract_is_broken(db: SqliteDatabase, blobs: LocalBlobs) -> None:
    publish(db)
    bad = GOOD.replace(b"p1,1,VA", b"p1,wide,VX").replace(b"p2,2,", b"p2,9999,")
    with pytest.raises(ContractBroken) as raised:
        register(db, blobs, bad)
    violations = raised.value.details["violations"]
    assert [(v["column"], v["rule"]) for v in violations] == [
        ("x", "wrong_type"), ("x", "out_of_range"), ("site", "unknown_category"),
    ]  # fmt: skip
    assert "3 promises" in raised.value.message
    assert db.read(lambda tx: datasets.versions(tx, CASE)) == []
    assert names(db) == ["ContractPublished"]


def test_registering_again_changes_nothing_when_content_name_and_role_are_the_same(
    db: SqliteDatabase, blobs: LocalBlobs
) -> None:
    publish(db)
    first, second = register(db, blobs, GOOD), register(db, blobs, GOOD)
    assert first == second
    assert names(db).count("DatasetRegistered") == 1
    turned = b"\n".join(b",".join(reversed(line.split(b","))) for line in GOOD.splitlines()) + b"\n"
    assert register(db, blobs, turned) == first, "the content counts, not the order of its columns"
    register(db, blobs, GOOD, role="train")
    assert len(db.read(lambda tx: datasets.versions(tx, CASE))) == 2


def test_registering_is_refused_when_the_contract_changed_after_the_check(
    db: SqliteDatabase, blobs: LocalBlobs
) -> None:
    checked = datasets.check(GOOD, table_blob=blobs.put(GOOD), contract=None, role="test")
    publish(db)
    with pytest.raises(Conflict, match="Register the table again"):
        db.write(lambda tx: datasets.register(tx, use_case=CASE, name="x", role="test", checked=checked, by="dana"))
    assert db.read(lambda tx: dataset_records.all_of(tx, CASE)) == []


def test_dataset_says_it_was_checked_against_nothing_when_there_is_no_contract(
    db: SqliteDatabase, blobs: LocalBlobs
) -> None:
    assert register(db, blobs, GOOD).contract_version == 0


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"\x00\xff"])
def test_table_is_refused_when_it_has_no_rows(db: SqliteDatabase, blobs: LocalBlobs, content: bytes) -> None:
    with pytest.raises(Invalid):
        register(db, blobs, content)


def test_contract_versions_count_up_only_when_the_promises_change(db: SqliteDatabase) -> None:
    assert publish(db) == 1
    assert publish(db) == 1
    assert publish(db, GOOD.replace(b"VA", b"VC")) == 2
    assert [one.version for one in db.read(lambda tx: contracts.versions(tx, CASE))] == [2, 1]
    assert db.read(lambda tx: contracts.get(tx, CASE, 1)).version == 1
    with pytest.raises(Missing):
        db.read(lambda tx: contracts.get(tx, CASE, 3))


def test_missing_things_say_what_to_do(db: SqliteDatabase) -> None:
    with pytest.raises(Missing, match="Register the table first"):
        db.read(lambda tx: datasets.get(tx, CASE, "sha256:" + "0" * 64))
    with pytest.raises(Missing):
        db.read(lambda tx: datasets.profile(tx, "sha256:" + "0" * 64))
