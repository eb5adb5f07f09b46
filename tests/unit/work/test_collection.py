"""gc: what was deleted goes, what anything refers to stays, and the ledger tells."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import pytest

from stile.cli.outcome import run_command
from stile.cli.root import stile
from stile.client import Client
from stile.govern import registry
from stile.kernel.canonical import canonical_json
from stile.kernel.clock import SystemClock
from stile.kernel.errors import Missing
from stile.people import use_case_records
from stile.store import ledger
from stile.store.blobs import LocalBlobs, StoredBlob, Wanted
from stile.store.blobs_arriving import ArrivingBlobs
from stile.store.database import Database, Tx
from stile.store.offline import read_only
from stile.store.sqlite import SqliteDatabase
from stile.testing.server import RunningServer
from stile.train import artifacts, experiments, logged_models, runs
from stile.train.points import Point, pieces
from stile.work.collection import Wish, carry_out, survey
from stile.work.references import REFERRING, SILENT, mentions

HOUR = 3_600_000
CLOCK = SystemClock()


@pytest.fixture
def blobs(tmp_path: Path, db: Database) -> ArrivingBlobs:
    return ArrivingBlobs(LocalBlobs(tmp_path / "blobs"), db.read)


def a_run(db: Database, blobs: ArrivingBlobs, content: bytes, experiment: str = "0") -> str:
    """A run with a metric, a param, a tag and a file."""
    digest = blobs.put(content)

    def work(tx: Tx) -> str:
        run = runs.create(tx, experiment_id=experiment, by="ana", tags=[("kind", "test")])
        runs.log_batch(
            tx,
            run.info.run_id,
            metrics=pieces(("loss", Point(1, step, 0.5)) for step in range(10)),
            params=[("depth", "3")],
        )
        path = run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
        artifacts.bind(tx, path=f"{path}/model/MLmodel", digest=digest, size=len(content), by="ana")
        return run.info.run_id

    return db.write(work)


def age(tmp_path: Path) -> None:
    """Make every blob two hours old."""
    for file in (tmp_path / "blobs").glob("??/*"):
        then = file.stat().st_mtime - 7200
        os.utime(file, (then, then))


def rows(db: Database) -> dict[str, int]:
    tables = ("runs", "latest", "points", "params", "run_tags", "artifacts")
    return db.read(lambda tx: {table: tx.scalar(f"SELECT COUNT(*) FROM {table}") for table in tables})


def test_nothing_is_left_of_deleted_runs_when_collected(db: Database, blobs: ArrivingBlobs, tmp_path: Path) -> None:
    stays, goes = a_run(db, blobs, b"stays"), a_run(db, blobs, b"goes")
    before = rows(db)
    db.write(lambda tx: runs.delete(tx, goes))
    age(tmp_path)
    seen = survey(db, blobs, CLOCK, Wish())
    assert [(run.run_id, run.points, run.files, run.bytes) for run in seen.purge.runs] == [(goes, 10, 1, 4)]
    assert rows(db) == before
    done = carry_out(db, blobs, CLOCK, Wish(), by="ana")
    assert ([run.run_id for run in done.purge.runs], done.contents, done.bytes) == ([goes], 1, 4)
    assert rows(db) == {table: count // 2 for table, count in before.items()}
    assert [found.size for found in blobs.listing()] == [5]
    with pytest.raises(Missing):
        db.read(lambda tx: runs.get(tx, goes))
    assert db.read(lambda tx: runs.get(tx, stays)).params == [("depth", "3")]
    kinds = [entry.kind for entry in db.read(ledger.entries)]
    assert kinds == ["runs.purged", "contents.collected"]
    assert db.read(ledger.verify) == []
    again = carry_out(db, blobs, CLOCK, Wish(), by="ana")
    assert (again.purge.runs, again.contents) == ([], 0)


def test_only_what_was_deleted_long_enough_goes_when_older_than_is_given(db: Database, blobs: ArrivingBlobs) -> None:
    first, second = a_run(db, blobs, b"one"), a_run(db, blobs, b"two")
    for run_id in (first, second):
        db.write(partial(runs.delete, run_id=run_id))
    week_ago = CLOCK.now_ms() - 7 * 24 * HOUR
    db.write(lambda tx: tx.run("UPDATE runs SET deleted_at = ? WHERE run_id = ?", (week_ago, first)))
    done = carry_out(db, blobs, CLOCK, Wish(deleted_for_ms=24 * HOUR), by="ana")
    assert [run.run_id for run in done.purge.runs] == [first]
    db.write(lambda tx: runs.restore(tx, second))
    assert carry_out(db, blobs, CLOCK, Wish(), by="ana").purge.runs == []


def test_a_single_run_goes_when_it_is_named_and_deleted(db: Database, blobs: ArrivingBlobs) -> None:
    active, goes, other = (a_run(db, blobs, content) for content in (b"1", b"2", b"3"))
    for run_id in (goes, other):
        db.write(partial(runs.delete, run_id=run_id))
    done = carry_out(db, blobs, CLOCK, Wish(runs=[active, goes]), by="ana")
    assert [run.run_id for run in done.purge.runs] == [goes]
    assert [(kept.name, kept.why) for kept in done.purge.kept] == [(active, "it is not deleted: delete it first")]
    assert db.read(lambda tx: runs.get(tx, other)).info.lifecycle == "deleted"
    with pytest.raises(Missing):
        survey(db, blobs, CLOCK, Wish(runs=["nobody"]))


def test_a_run_stays_when_a_version_or_evidence_refers_to_it(
    db: Database, blobs: ArrivingBlobs, tmp_path: Path
) -> None:
    versioned, by_files, judged = (a_run(db, blobs, content) for content in (b"1", b"2", b"3"))

    def refer(tx: Tx) -> None:
        registry.create_model(tx, name="net", by="ana")
        registry.create_version(tx, name="net", source=f"runs:/{versioned}/model", by="ana")
        uri = runs.info(tx, by_files).artifact_uri
        registry.create_version(tx, name="net", source=f"{uri}/model", by="ana")
        tx.run(
            "INSERT INTO evidence (digest, use_case, kind, version, model_digest, window_id, dataset, author, at, body)"
            " VALUES ('sha256:x', 'u', 'model_version', '1', '', '', '', 'ana', 1, ?)",
            (canonical_json({"lineage": {"run_id": judged}}),),
        )
        for run_id in (versioned, by_files, judged):
            runs.delete(tx, run_id)

    db.write(refer)
    age(tmp_path)
    done = carry_out(db, blobs, CLOCK, Wish(), by="ana")
    assert (done.purge.runs, done.contents) == ([], 0)
    assert {kept.name for kept in done.purge.kept} == {versioned, by_files, judged}
    assert all(kept.why for kept in done.purge.kept)


def test_a_run_stays_when_another_experiment_keeps_its_files_in_its_folder(db: Database, blobs: ArrivingBlobs) -> None:
    outer = a_run(db, blobs, b"outer")
    location = f"{db.read(lambda tx: runs.info(tx, outer)).artifact_uri}/model"
    inside = db.write(lambda tx: experiments.create(tx, name="inside", by="eve", artifact_location=location))
    inner = a_run(db, blobs, b"inner", inside.experiment_id)
    db.write(lambda tx: runs.delete(tx, outer))
    done = carry_out(db, blobs, CLOCK, Wish(), by="ana")
    assert [(kept.name, "inside" in kept.why) for kept in done.purge.kept] == [(outer, True)]
    path = db.read(lambda tx: runs.info(tx, inner)).artifact_uri.removeprefix("mlflow-artifacts:/")
    assert db.read(lambda tx: artifacts.find(tx, f"{path}/model/MLmodel")).size == 5


def test_an_experiment_goes_with_its_models_when_nothing_in_it_is_held(db: Database, blobs: ArrivingBlobs) -> None:
    empty, holding = (
        db.write(partial(experiments.create, name=name, by="ana")).experiment_id for name in ("empty", "holding")
    )
    goes, stays = a_run(db, blobs, b"goes", empty), a_run(db, blobs, b"stays", holding)

    def work(tx: Tx) -> None:
        logged_models.create(tx, experiment_id=empty, by="ana", name="net", tags={"a": "b"}, params={"c": "d"})
        registry.create_model(tx, name="net", by="ana")
        registry.create_version(tx, name="net", source=f"runs:/{stays}/model", by="ana")
        experiments.delete(tx, empty)
        experiments.delete(tx, holding)

    db.write(work)
    done = carry_out(db, blobs, CLOCK, Wish(), by="ana")
    assert ([run.run_id for run in done.purge.runs], done.purge.experiments) == ([goes], [empty])
    assert [(kept.what, kept.name) for kept in done.purge.kept] == [("run", stays), ("experiment", "holding")]
    assert db.read(lambda tx: tx.scalar("SELECT COUNT(*) FROM logged_model_params")) == 0
    db.write(lambda tx: experiments.create(tx, name="empty", by="ana"))


def test_contents_stay_when_they_are_young_kept_or_named_by_another(
    db: Database, blobs: ArrivingBlobs, tmp_path: Path
) -> None:
    data = blobs.put(b"the points of a graph")
    graph = blobs.put(canonical_json({"data": data}))
    loose, kept, stored_again = blobs.put(b"loose"), blobs.put(b"kept"), blobs.put(b"again")
    db.write(lambda tx: artifacts.bind(tx, path="0/graph.json", digest=graph, size=1, by="ana"))
    age(tmp_path)
    young = blobs.put(b"young")
    assert blobs.keep(kept)
    assert blobs.put(b"again") == stored_again
    assert carry_out(db, blobs, CLOCK, Wish(), by="ana").contents == 1
    assert {found.digest for found in blobs.listing()} == {data, graph, kept, stored_again, young}
    assert not blobs.has(loose)


def test_contents_come_back_when_somebody_needs_them_meanwhile(blobs: ArrivingBlobs, tmp_path: Path) -> None:
    named, stored = blobs.put(b"named"), blobs.put(b"stored")
    age(tmp_path)
    now = CLOCK.now_ms()

    def wanted(young: Collection[str]) -> set[str]:
        assert not young
        assert not blobs.has(named)
        blobs.put(b"stored")
        return {named}

    assert blobs.collect([named, stored], before_ms=now - HOUR, wanted=wanted) == [stored]
    assert (blobs.get(named), blobs.get(stored)) == (b"named", b"stored")


class _Meanwhile(LocalBlobs):
    """A store in which something happens when the listing ends, and when contents were just set aside."""

    after_listing: Callable[[], None] = staticmethod(lambda: None)
    when_aside: Callable[[], None] = staticmethod(lambda: None)

    def listing(self) -> Iterator[StoredBlob]:
        found = list(super().listing())
        self.after_listing()
        return iter(found)

    def collect(self, digests: Collection[str], *, before_ms: int, wanted: Wanted) -> list[str]:
        def then(young: Collection[str]) -> Collection[str]:
            self.when_aside()
            return wanted(young)

        return super().collect(digests, before_ms=before_ms, wanted=then)


@pytest.mark.parametrize("moment", ["after_listing", "when_aside"])
def test_what_a_document_names_stays_when_the_document_is_referred_to_meanwhile(
    db: Database, tmp_path: Path, moment: str
) -> None:
    inner = _Meanwhile(tmp_path / "blobs")
    blobs = ArrivingBlobs(inner, db.read)
    data = blobs.put(b"the points of a graph")
    graph = canonical_json({"data": data})
    outer = canonical_json({"graphs": [blobs.put(graph)]})
    digest = blobs.put(outer)
    age(tmp_path)

    def refer(tx: Tx) -> None:
        blobs.arrive(tx, digest, outer)
        artifacts.bind(tx, path="0/outer.json", digest=digest, size=len(outer), by="ana")

    setattr(inner, moment, lambda: db.write(refer))
    assert carry_out(db, blobs, CLOCK, Wish(), by="ana").contents == 0
    assert (blobs.get(digest), blobs.get(blobs.put(graph)), blobs.get(data)) == (outer, graph, b"the points of a graph")


def test_what_a_document_names_stays_when_the_document_was_kept_meanwhile(db: Database, tmp_path: Path) -> None:
    inner = _Meanwhile(tmp_path / "blobs")
    blobs = ArrivingBlobs(inner, db.read)
    data = blobs.put(b"the points of a graph")
    graph = blobs.put(canonical_json({"data": data}))
    age(tmp_path)
    inner.after_listing = lambda: None if blobs.keep(graph) else pytest.fail("gone too early")
    assert carry_out(db, blobs, CLOCK, Wish(), by="ana").contents == 0
    assert (blobs.get(data), blobs.has(graph)) == (b"the points of a graph", True)


def test_nothing_is_purged_that_was_restored_since_it_was_found(db: Database, blobs: ArrivingBlobs) -> None:
    month, week = 30 * 24 * HOUR, 7 * 24 * HOUR
    back, again = (db.write(partial(experiments.create, name=name, by="ana")).experiment_id for name in "ab")
    run = a_run(db, blobs, b"run")

    def work(tx: Tx) -> None:
        logged_models.create(tx, experiment_id=back, by="ana", name="net")
        for number in (back, again):
            experiments.delete(tx, number)
        runs.delete(tx, run)
        tx.run("UPDATE experiments SET updated_at = ? WHERE lifecycle = 'deleted'", (CLOCK.now_ms() - month,))
        tx.run("UPDATE runs SET deleted_at = ? WHERE run_id = ?", (CLOCK.now_ms() - month, run))

    def meanwhile(tx: Tx) -> None:
        experiments.restore(tx, back)
        for restore, delete, one in (
            (experiments.restore, experiments.delete, again),
            (runs.restore, runs.delete, run),
        ):
            restore(tx, one)
            delete(tx, one)

    db.write(work)
    seen = survey(db, blobs, CLOCK, Wish(deleted_for_ms=week)).purge
    assert (len(seen.runs), len(seen.models), len(seen.experiments)) == (1, 1, 2)
    done = carry_out(_Between(db, meanwhile), blobs, CLOCK, Wish(deleted_for_ms=week), by="ana").purge
    assert (done.runs, done.models, done.experiments) == ([], [], [])
    assert db.read(lambda tx: experiments.get(tx, back)).lifecycle == "active"


class _Between:
    """A database that somebody else writes to right after the first read."""

    def __init__(self, db: Database, meanwhile: Callable[[Tx], None]) -> None:
        self._db, self._meanwhile = db, [meanwhile]

    def read(self, work: Callable[[Tx], object]) -> object:
        found = self._db.read(work)
        while self._meanwhile:
            self._db.write(self._meanwhile.pop())
        return found

    def write(self, work: Callable[[Tx], object], **named: bool) -> object:
        return self._db.write(work, **named)


def test_contents_are_back_when_a_collection_was_killed(blobs: ArrivingBlobs, tmp_path: Path) -> None:
    digest = blobs.put(b"needed")

    class Killed(BaseException):
        pass

    def killed(_: Collection[str]) -> set[str]:
        for file in (tmp_path / "blobs").glob("??/*"):
            os.link(file, tmp_path / "as it was")
        raise Killed

    with pytest.raises(Killed):
        blobs.collect([digest], before_ms=CLOCK.now_ms() + HOUR, wanted=killed)
    assert blobs.get(digest) == b"needed"
    path = next((tmp_path / "blobs").glob("??/*"))
    path.rename(path.with_name(path.name + ".doomed"))
    assert LocalBlobs(tmp_path / "blobs").get(digest) == b"needed"


def test_every_table_is_searched_for_references_or_known_to_have_none(tmp_path: Path) -> None:
    SqliteDatabase(tmp_path / "stile.db").close()
    with read_only(tmp_path / "stile.db") as tx:
        created = {row[0] for row in tx.all("SELECT name FROM sqlite_master WHERE type = 'table'")}
    listed = {table.name for table in REFERRING}
    assert created - {"sqlite_sequence"} == listed | SILENT
    assert not listed & SILENT


def test_every_referring_table_can_be_read(db: Database) -> None:
    db.write(lambda tx: use_case_records.insert(tx, "credit", b"sha256:" + b"a" * 64, "ana"))
    assert db.read(lambda tx: mentions(tx)).digests == {"sha256:" + "a" * 64}


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_every_row_is_read_when_a_table_has_several_pages(db: Database) -> None:
    named = {f"sha256:{number:064x}" for number in range(1000)}

    def work(tx: Tx) -> None:
        for part in range(4):
            tags = [(f"{number % 7}.{number}", f"sha256:{number:064x}") for number in range(part, 1000, 4)]
            runs.create(tx, experiment_id="0", by="ana", tags=tags)

    db.write(work)
    assert db.read(lambda tx: mentions(tx)).digests == named


def test_only_an_operator_may_purge_when_somebody_else_asks(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(server.url) as client:
        run = client.start_run("old")
        run.log_metrics({"loss": 1.0})
        client.session.post("/api/2.0/mlflow/runs/delete", {"run_id": run.run_id})
        client.add_person("ana", password="a long enough password")
        client.add_person("olga", system_roles=["operator"])
        tokens = {name: client.create_token(name, "test") for name in ("ana", "olga")}
    assert run_command(stile, ["gc", "--yes", "--url", server.url, "--token", tokens["ana"]]) == 1
    assert "operator" in capsys.readouterr().err
    assert run_command(stile, ["gc", "--url", server.url, "--token", tokens["olga"]]) == 0
    assert "Would be purged" in capsys.readouterr().out
    assert server.services.db.read(lambda tx: runs.get(tx, run.run_id)).info.lifecycle == "deleted"
    assert run_command(stile, ["gc", "--yes", "--run", run.run_id, "--url", server.url, "--token", tokens["olga"]]) == 0
    with pytest.raises(Missing):
        server.services.db.read(lambda tx: runs.get(tx, run.run_id))
