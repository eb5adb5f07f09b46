"""``stile verify``: is the ledger what it claims to be? With the server, without it, or from an export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stile.cli import show
from stile.cli.options import client_for, show_json, to_server
from stile.client import Client
from stile.kernel.errors import Invalid, Missing

if TYPE_CHECKING:
    from stile.store.database import Tx
    from stile.store.ledger import Entry


@click.command()
@click.argument("export", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--data", "data_dir", type=click.Path(exists=True, file_okay=False), help="Check a server's data folder directly."
)
@click.option("--store", metavar="URL", help="Check a server's PostgreSQL database directly.")
@click.option(
    "--export",
    "to_file",
    type=click.Path(dir_okay=False),
    help="Also write the ledger to this file, one entry per line.",
)
@click.option("--root", "expected", metavar="HASH", help="The Merkle root you noted earlier, e.g. from a checkpoint.")
@to_server
def verify(*, export: str | None, data_dir: str | None, store: str | None, to_file: str | None, expected: str | None,
           url: str | None, token: str | None, json_: bool) -> None:  # fmt: skip
    """Check every byte of the ledger. Exit code 0 when it is untouched, 1 when it is not.

    \b
      stile verify                  the server checks its own ledger, and this program checks it again
      stile verify ledger.jsonl     offline, from a file written with --export
      stile verify --data DIR       the database file itself, without a server
      stile verify --store URL      the PostgreSQL database itself, without a server

    A ledger that holds together may still have been rewritten as a whole: compare its root with one
    that you noted elsewhere (--root).
    """  # noqa: D301
    if export:
        report = _of_entries(_read(Path(export)), export)
    elif data_dir:
        report = _of_folder(Path(data_dir))
    elif store:
        report = _of_store(store)
    else:
        report = _of_server(client_for(url, token), Path(to_file) if to_file else None)
    if expected and report["root"] != expected.removeprefix("sha256:"):
        problem = f"the root is {report['root']}, not the expected {expected}"
        report["findings"].append({"position": report["size"], "problem": problem})
    if json_:
        show_json(report | {"ok": not report["findings"]})
    else:
        _show(report)
    if report["findings"]:
        raise click.exceptions.Exit(1)


def _of_entries(entries: Iterator[Entry], where: str) -> dict[str, Any]:
    from stile.store.ledger import check

    findings, size, root = check(entries)
    return {
        "of": where,
        "size": size,
        "root": root,
        "findings": [{"position": f.position, "problem": f.problem} for f in findings],
    }


def _of_folder(folder: Path) -> dict[str, Any]:
    from stile.store.offline import read_only

    file = folder / "stile.db"
    if not file.is_file():
        raise Missing(f"{folder} is no data folder of a Stile server: it holds no stile.db.")
    with read_only(file) as tx:
        return _of_rows(tx, str(folder))


def _of_store(url: str) -> dict[str, Any]:
    from stile.kernel.settings import without_secrets
    from stile.store.postgres import read_only

    with read_only(url) as tx:
        return _of_rows(tx, without_secrets(url))


def _of_rows(tx: Tx, where: str) -> dict[str, Any]:
    from stile.store import ledger

    size, root = ledger.root(tx)
    findings = ledger.verify(tx)
    return {
        "of": where,
        "size": size,
        "root": root,
        "findings": [{"position": f.position, "problem": f.problem} for f in findings],
    }


def _of_server(client: Client, to_file: Path | None) -> dict[str, Any]:
    """The server's own check, and ours on the entries it hands out."""
    said = client.verify_ledger()
    lines = [line for page in _pages(client) for line in page]
    if to_file is not None:
        import msgspec

        to_file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    report = _of_entries((_entry(line, place) for place, line in enumerate(lines, start=1)), client.url)
    report["findings"] = [*said.get("findings", []), *report["findings"]]
    if said.get("root") != report["root"] or said.get("size") != report["size"]:
        problem = "the entries the server hands out are not those its root was computed from"
        report["findings"].append({"position": report["size"], "problem": problem})
    return report


def _pages(client: Client) -> Iterator[list[dict[str, Any]]]:
    after = 0
    while page := client.ledger(after=after):
        yield page
        after = int(page[-1]["position"])


def _read(file: Path) -> Iterator[Entry]:
    import msgspec

    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield _entry(msgspec.json.decode(line), number)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise Invalid(f"Line {number} of {file.name} is not JSON: {error}.") from error


def _entry(line: Any, number: int) -> Entry:
    import msgspec

    from stile.kernel.canonical import canonical_json
    from stile.store.ledger import Entry

    try:
        # the body is hashed in its canonical form, which any JSON reader can restore
        raw = msgspec.Raw(canonical_json(line["body"]))
        return Entry(body=raw, **{name: line[name] for name in Entry.__struct_fields__ if name != "body"})
    except (KeyError, TypeError) as error:
        raise Invalid(f"Line {number} is no entry of a ledger ({error} is missing).") from error


def _show(report: dict[str, Any]) -> None:
    findings = report["findings"]
    if not findings:
        show.say(f"Untouched: {report['size']} entries of {report['of']} hold together.", "green")
    else:
        show.say(f"NOT untouched: {len(findings)} findings in {report['size']} entries of {report['of']}.", "bold red")
        for one in findings[:20]:
            show.say(f"  entry {one['position']}: {one['problem']}", "red")
    show.facts("", [("root", report["root"])])
