"""Keeping house: ``stile gc``, ``stile backup``, ``stile restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stile.cli import show
from stile.cli.options import as_json, client_for, show_json, to_server

if TYPE_CHECKING:
    from stile.kernel.settings import Settings
    from stile.store.blobs import BlobStore

_SHOWN = 20


@click.command()
@click.option("--run", "runs", multiple=True, metavar="RUN_ID", help="Only this deleted run; may be repeated.")
@click.option("--older-than", "days", type=click.FloatRange(0, 36_500), default=0.0, metavar="DAYS",
              help="Only what was deleted at least so many days ago.")  # fmt: skip
@click.option("--contents-older-than", "hours", type=click.FloatRange(1, 876_000), default=1.0, metavar="HOURS",
              help="Leave files alone that were stored later than this (default 1).")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do it. Without this it is only said what would go.")
@to_server
def gc(*, runs: tuple[str, ...], days: float, hours: float, yes: bool,
       url: str | None, token: str | None, json_: bool) -> None:  # fmt: skip
    """Purge for good what was deleted: runs, experiments, logged models, and files that nothing refers to.

    What a version, dataset, evidence, decision or graph refers to always stays. What was purged cannot be
    restored; the ledger keeps its ids.
    """
    body = {"runs": list(runs), "older_than_days": days, "contents_older_than_hours": hours, "really": yes}
    answer: dict[str, Any] = client_for(url, token).session.post("/api/v1/collect", body, timeout_s=3600)
    if json_:
        show_json(answer)
        return
    purge = answer["purge"]
    rows = [
        ("experiments", len(purge["experiments"]), ""),
        ("runs", len(purge["runs"]), f"{sum(run['points'] for run in purge['runs'])} points"),
        ("logged models", len(purge["models"]), ""),
        ("abandoned uploads", answer["uploads"], ""),
        ("files nothing refers to", answer["contents"], f"{answer['bytes'] / 1e6:.1f} MB"),
    ]
    show.table("Purged" if yes else "Would be purged", ("what", "how many", "with"), rows, empty="")
    kept = [(one["what"], one["name"], one["why"]) for one in purge["kept"]]
    if kept:
        show.table("Stays", ("what", "which", "why"), kept[:_SHOWN], empty="")
    something = purge["runs"] or purge["models"] or purge["experiments"] or answer["contents"] or answer["uploads"]
    if something and not yes:
        show.say("Nothing was purged yet. Files of purged runs are counted once the runs are gone. To do it: --yes")


@click.command()
@click.argument("target", type=click.Path())
@click.option(
    "--data", "data_dir", type=click.Path(file_okay=False), help="The server's data folder (default: as for up)."
)
@click.option("--artifacts", metavar="URL", help="Where the server keeps files (default: as for up).")
@click.option("--store", metavar="URL", help="Where the server keeps rows (default: as for up).")
@as_json
def backup(*, target: str, data_dir: str | None, artifacts: str | None, store: str | None, json_: bool) -> None:
    """Back up a data folder (and its rows in PostgreSQL) to TARGET, while its server goes on serving.

    TARGET is a new folder, or a new file that ends in .tar. It holds the rows as they were at one moment, the
    contents they refer to (also those in a bucket), each checked, and the ledger's key: keep it as safe as the
    data folder itself.
    """
    from stile.cli.settings import load_settings
    from stile.kernel.clock import SystemClock
    from stile.work.backup import back_up

    settings = load_settings(options={"data_dir": data_dir, "artifacts": artifacts, "store": store})
    folder = Path(settings.data_dir)
    blobs = _bucket(settings)
    with show.counting("backing up", quiet=json_) as told:
        manifest = back_up(folder, Path(target), SystemClock(), told, blobs=blobs, store=settings.store)
    size = sum(file.size for file in manifest.files)
    if json_:
        facts = {"target": target, "files": len(manifest.files), "bytes": size, "missing": manifest.missing}
        show_json(facts | {"ledger_size": manifest.ledger_size, "ledger_root": manifest.ledger_root})
    else:
        show.say(f"{target}: {len(manifest.files)} files, {size / 1e6:.1f} MB, every digest checked.", "green")
        show.facts("", [("ledger", f"{manifest.ledger_size} entries"), ("root", manifest.ledger_root)])
        for digest in manifest.missing:
            show.say(f"missing in the data folder already: {digest}", "red")
    if manifest.missing:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("source", type=click.Path(exists=True))
@click.option(
    "--data", "data_dir", type=click.Path(file_okay=False), help="A new or empty folder (default: as for up)."
)
@click.option("--artifacts", metavar="URL", help="Where the server will keep files (default: as for up).")
@click.option("--store", metavar="URL", help="Where it will keep rows: an empty PostgreSQL database, or sqlite.")
@as_json
def restore(*, source: str, data_dir: str | None, artifacts: str | None, store: str | None, json_: bool) -> None:
    """Bring the backup SOURCE back into an empty data folder, and verify every byte of it there.

    A backup of either engine may be brought back into the other: this is how a server that began with SQLite
    moves to PostgreSQL.
    """
    from stile.cli.settings import load_settings
    from stile.work.backup import SQLITE
    from stile.work.backup import restore as bring_back

    settings = load_settings(options={"data_dir": data_dir, "artifacts": artifacts, "store": store})
    folder = Path(settings.data_dir)
    blobs = _bucket(settings)
    with show.counting("restoring", quiet=json_) as told:
        manifest = bring_back(Path(source), folder, told, blobs=blobs, store=settings.store)
    if json_:
        show_json({"data": str(folder), "files": len(manifest.files), "ledger_root": manifest.ledger_root})
        return
    show.say(f"{folder} is as it was on {show.when(manifest.at)}: {len(manifest.files)} files, all verified.", "green")
    on = "" if settings.store == SQLITE else f" --store {settings.store_shown}"
    show.say(f"Next: stile up --data {folder}{on}", "bold")


def _bucket(settings: Settings) -> BlobStore | None:
    """The bucket with the server's files; None when they are in the data folder."""
    from stile.store.blobs_opening import LOCAL, open_bucket

    if settings.artifacts == LOCAL:
        return None
    return open_bucket(settings.artifacts, plain_http=settings.artifacts_plain_http)
