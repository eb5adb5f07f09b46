"""``stile verify`` on exports and data folders: passes untouched ones, finds a single changed byte."""

from __future__ import annotations

import msgspec
import pytest

from stile.cli.outcome import run_command
from stile.cli.root import stile
from stile.store import ledger
from stile.store.sqlite import SqliteDatabase


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    database = SqliteDatabase(folder / "stile.db")
    for number in range(5):
        database.write(
            lambda tx, n=number: ledger.append(
                tx, kind="tested", use_case="u", subject=str(n), body={"z": n, "a": "ä\n"}
            )
        )
    database.close()
    return folder


@pytest.fixture
def export(data_dir, tmp_path):
    database = SqliteDatabase(data_dir / "stile.db")
    lines = database.read(ledger.entries)
    database.close()
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return file


def test_untouched_folder_passes(data_dir, capsys):
    assert run_command(stile, ["verify", "--data", str(data_dir)]) == 0
    assert "Untouched: 5 entries" in capsys.readouterr().out


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_postgresql_is_checked_without_a_server(db, store_url, cluster, capsys):
    for number in range(3):
        db.write(lambda tx, n=number: ledger.append(tx, kind="k", use_case="u", subject=str(n), body={}))
    assert run_command(stile, ["verify", "--store", store_url]) == 0
    assert "Untouched: 3 entries" in capsys.readouterr().out
    db.write(lambda tx: tx.run("UPDATE ledger SET body = ? WHERE position = 2", (b"{1}",)))
    assert run_command(stile, ["verify", "--store", store_url]) == 1
    assert run_command(stile, ["verify", "--store", cluster.empty()]) != 0
    assert "no store of a Stile server" in capsys.readouterr().err


def test_flipped_byte_in_the_database_is_found(data_dir, capsys):
    import apsw

    connection = apsw.Connection(str(data_dir / "stile.db"))
    connection.execute("UPDATE ledger SET body = replace(CAST(body AS TEXT), '2', '9') WHERE position = 3")
    connection.close()
    assert run_command(stile, ["verify", "--data", str(data_dir)]) == 1
    assert "entry 3: was changed after it was written" in capsys.readouterr().out


def test_untouched_export_passes_offline(export):
    assert run_command(stile, ["verify", str(export)]) == 0


@pytest.mark.parametrize("position", [0.1, 0.35, 0.6, 0.95])
def test_changed_export_is_found(export, position, capsys):
    content = bytearray(export.read_bytes())
    place = int(len(content) * position)
    while not chr(content[place]).isdigit():
        place += 1
    content[place] = ord("1") if content[place] != ord("1") else ord("2")
    export.write_bytes(content)
    assert run_command(stile, ["verify", str(export)]) == 1


def test_missing_line_is_found(export):
    lines = export.read_bytes().splitlines(keepends=True)
    export.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert run_command(stile, ["verify", str(export)]) == 1


def test_rewritten_ledger_is_found_when_its_root_was_noted_elsewhere(export, capsys):
    assert run_command(stile, ["verify", str(export), "--json"]) == 0
    root = msgspec.json.decode(capsys.readouterr().out)["root"]
    assert run_command(stile, ["verify", str(export), "--root", root]) == 0
    assert run_command(stile, ["verify", str(export), "--root", "0" * 64]) == 1


def test_file_that_is_no_export_is_one_plain_line(tmp_path, capsys):
    file = tmp_path / "x.jsonl"
    file.write_text("{}\n")
    assert run_command(stile, ["verify", str(file)]) == 1
    assert "Line 1 is no entry of a ledger" in capsys.readouterr().err


def test_folder_without_database_is_one_plain_line(tmp_path, capsys):
    assert run_command(stile, ["verify", "--data", str(tmp_path)]) == 1
    assert "holds no stile.db" in capsys.readouterr().err
