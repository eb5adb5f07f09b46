"""Keeping house: ``stile gc``."""

from __future__ import annotations

from typing import Any

import click

from stile.cli import show
from stile.cli.options import client_for, show_json, to_server

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
        ("files nothing refers to", answer["contents"], f"{answer['bytes'] / 1e6:.1f} MB"),
    ]
    show.table("Purged" if yes else "Would be purged", ("what", "how many", "with"), rows, empty="")
    kept = [(one["what"], one["name"], one["why"]) for one in purge["kept"]]
    if kept:
        show.table("Stays", ("what", "which", "why"), kept[:_SHOWN], empty="")
    if not yes and (purge["runs"] or purge["models"] or purge["experiments"] or answer["contents"]):
        show.say("Nothing was purged yet. Files of purged runs are counted once the runs are gone. To do it: --yes")
