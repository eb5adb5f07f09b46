"""Backups: one moment of a store that goes on being written to, and back again, verified."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from pathlib import Path

import pytest

from stile.cli.outcome import run_command
from stile.cli.root import stile
from stile.client import Client
from stile.kernel.clock import SystemClock
from stile.kernel.errors import Corrupt, Exists, Invalid, Missing, StileError
from stile.store.blobs_arriving import Settling
from stile.store.snapshot import counts
from stile.testing.server import running_server
from stile.work.backup import MANIFEST, back_up, restore
from stile.work.collection import Wish, carry_out


def silent(what: str, more: int) -> None:
    """Say nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a run, a file, a use case and a ledger with a checkpoint."""
    data = tmp_path / "data"
    with running_server(data) as server, Client(server.url) as client:
        client.create_use_case("credit", title="Credit", problem="p", decision="d")
        client.add_person("ana")
        with client.start_run("first") as run:
            run.log_metrics({"loss": 0.5})
            run.log_artifact(b"some content", "notes/a.txt")
        Settling(server.services.db, server.services.blobs).settle()
    (data / "keys").mkdir(exist_ok=True)
    (data / "keys" / "ledger.key").write_bytes(b"k" * 32)
    return data


@pytest.mark.parametrize(
    ("kind", "engines"),
    [
        ("backup", ("sqlite", "sqlite")),
        ("backup.tar", ("sqlite", "sqlite")),
        ("backup.tar", ("postgres", "postgres")),
        ("backup", ("postgres", "sqlite")),
        ("backup.tar", ("sqlite", "postgres")),
    ],
)
def test_everything_is_back_when_a_backup_was_taken_under_writes(
    tmp_path: Path, kind: str, engines: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    data, target, again = tmp_path / "data", tmp_path / kind, tmp_path / "again"
    before_store, after_store = (
        "sqlite" if engine == "sqlite" else request.getfixturevalue("cluster").fresh() for engine in engines
    )
    with running_server(data, store=before_store) as server, Client(server.url) as client:
        client.create_use_case("credit", title="Credit", problem="p", decision="d")
        stop, acknowledged = threading.Event(), []

        def write(worker: int) -> None:
            with Client(server.url) as own:
                run = own.start_run(f"worker {worker}")
                number = 0
                while not stop.is_set():
                    number += 1
                    run.log_metric("loss", 1.0, number)
                    own.session.upload(
                        f"/api/2.0/mlflow-artifacts/artifacts/{run.experiment_id}/{run.run_id}/artifacts/{number}.txt",
                        f"{worker} {number}".encode(),
                    )
                    acknowledged.append((run.run_id, number))

        writers = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
        for writer in writers:
            writer.start()
        while len(acknowledged) < 30:
            stop.wait(0.01)
        before = list(acknowledged)
        manifest = back_up(data, target, SystemClock(), silent, store=before_store)
        stop.set()
        for writer in writers:
            writer.join()
    assert manifest.missing == []
    assert restore(target, again, silent, store=after_store) == manifest
    if after_store == "sqlite":
        assert counts(again / "stile.db") == manifest.counts
    assert (again / "stile.db").exists() is (after_store == "sqlite")
    assert not (again / MANIFEST).exists()
    with running_server(again, store=after_store) as server, Client(server.url) as client:
        said = client.verify_ledger()
        assert (said["ok"], said["size"], said["root"]) == (True, manifest.ledger_size, manifest.ledger_root)
        for run_id, number in before:
            found = client.session.get(
                "/api/2.0/mlflow/metrics/get-history", run_id=run_id, metric_key="loss", max_results=25000
            )
            assert number in {point["step"] for point in found["metrics"]}
            assert client.session.download(f"/get-artifact?run_uuid={run_id}&path={number}.txt").endswith(
                str(number).encode()
            )
        client.create_use_case("another", title="A", problem="p", decision="d")


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_a_backup_is_whole_when_a_collection_runs_meanwhile(tmp_path: Path, store_url: str) -> None:
    """A run is purged, and its files collected, between the copy of the rows and everything else."""
    data = tmp_path / "data"
    with running_server(data, store=store_url) as server, Client(server.url) as client:
        with client.start_run("goes") as run:
            run.log_artifact(b"x" * 100_000, "a.bin")
        client.session.post("/api/2.0/mlflow/runs/delete", {"run_id": run.run_id})
        for file in (data / "blobs").glob("??/*"):
            os.utime(file, (1e9, 1e9))
        db, blobs = server.services.db, server.services.blobs
        collected = []

        def told(what: str, _: int) -> None:
            if what == "databases":
                collected.append(carry_out(db, blobs, SystemClock(), Wish(), by="ana").contents)

        manifest = back_up(data, tmp_path / "backup", SystemClock(), told, store=store_url)
    assert sum(collected) == 1
    assert manifest.missing == []
    assert restore(tmp_path / "backup", tmp_path / "again", silent) == manifest
    with running_server(tmp_path / "again") as server, Client(server.url) as client:
        assert client.session.download(f"/get-artifact?run_uuid={run.run_id}&path=a.bin") == b"x" * 100_000


def test_a_restore_is_refused_when_the_folder_is_not_empty(folder: Path, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "backup", SystemClock(), silent)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(Exists):
        restore(tmp_path / "backup", folder, silent)
    assert sorted(path.name for path in folder.iterdir()) == before
    with pytest.raises(Exists):
        back_up(folder, tmp_path / "backup", SystemClock(), silent)


@pytest.mark.parametrize("name", ["stile.db", "blobs", "keys/ledger.key"])
def test_nothing_is_restored_when_a_byte_was_changed(folder: Path, tmp_path: Path, name: str) -> None:
    back_up(folder, tmp_path / "backup", SystemClock(), silent)
    file = tmp_path / "backup" / name
    if file.is_dir():
        file = next(path for path in file.rglob("*") if path.is_file())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(StileError):
        restore(tmp_path / "backup", tmp_path / "new", silent)
    assert list((tmp_path / "new").iterdir()) == []


def test_nothing_is_restored_when_a_file_is_missing_or_foreign(folder: Path, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "backup", SystemClock(), silent)
    (tmp_path / "backup" / "extra.txt").write_text("?")
    with pytest.raises(Invalid):
        restore(tmp_path / "backup", tmp_path / "new", silent)
    (tmp_path / "backup" / "extra.txt").unlink()
    next(path for path in (tmp_path / "backup" / "blobs").rglob("*") if path.is_file()).unlink()
    with pytest.raises(Corrupt):
        restore(tmp_path / "backup", tmp_path / "new", silent)
    (tmp_path / "backup" / MANIFEST).unlink()
    with pytest.raises(Invalid):
        restore(tmp_path / "backup", tmp_path / "new", silent)


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", "blobs/../../outside", "keys/other"])
def test_a_tar_is_refused_when_a_path_leads_elsewhere(tmp_path: Path, path: str) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo(path)
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(Invalid):
        restore(tmp_path / "bad.tar", tmp_path / "new", silent)
    assert not (tmp_path / "outside").exists()


def test_no_backup_is_left_when_a_content_was_altered(folder: Path, tmp_path: Path) -> None:
    blob = next(path for path in (folder / "blobs").glob("??/*") if path.read_bytes() == b"some content")
    blob.write_bytes(b"other content")
    for target in (tmp_path / "backup", tmp_path / "backup.tar"):
        with pytest.raises(Corrupt):
            back_up(folder, target, SystemClock(), silent)
        assert not target.exists()
    assert not list(tmp_path.glob("*.part"))


def test_what_was_lost_before_is_told_when_a_backup_is_taken(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next(path for path in (folder / "blobs").glob("??/*") if path.read_bytes() == b"some content").unlink()
    assert run_command(stile, ["backup", str(tmp_path / "b.tar"), "--data", str(folder), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["missing"]) == 1
    assert run_command(stile, ["restore", str(tmp_path / "b.tar"), "--data", str(tmp_path / "new"), "--json"]) == 0
    with pytest.raises(Missing):
        back_up(tmp_path / "nothing", tmp_path / "other.tar", SystemClock(), silent)
