"""``stile reproduce``: do a recorded run again and say whether it measured the same."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stile.cli import show
from stile.cli.options import client_for, show_json, to_server

if TYPE_CHECKING:
    from stile.project.sameness import Comparison


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "--repo", type=click.Path(exists=True, file_okay=False), default=".", help="A git checkout with the commit."
)
@click.option(
    "--here", is_flag=True, help="Use the present Python and packages instead of installing the recorded ones."
)
@click.option("--command", metavar="WORDS", help="What to run, when that was not recorded (or other words than those).")
@click.option("--tolerance", type=click.FloatRange(0), default=1e-6, show_default=True,
              help="Largest relative difference of a point that still counts as the same.")  # fmt: skip
@to_server
def reproduce(*, run_id: str, repo: str, here: bool, command: str | None, tolerance: float,
              url: str | None, token: str | None, json_: bool) -> None:  # fmt: skip
    """Do RUN again from what was recorded with it: commit, changes, packages, dataset versions, command.

    It runs in a temporary folder against a throw-away server: nothing gets into the record or the registry.
    It runs the recorded command with your rights: only reproduce runs of people you trust. Exit code 0 when
    every metric is identical or within the tolerance, 1 when one is not.
    """
    from stile.project.reproduce import recipe
    from stile.project.reproduce import reproduce as again

    session = client_for(url, token).session
    wanted = recipe(session, run_id, shlex.split(command) if command else None)

    def told(says: str) -> None:
        if not json_:
            show.say(says, "dim")

    with tempfile.TemporaryDirectory(prefix="stile-again-") as scratch:
        report = again(session, wanted, Path(repo), Path(scratch), here=here, tolerance=tolerance, told=told)
    if json_:
        show_json({"run_id": report.run_id, "same": report.same, "metrics": report.metrics, "remarks": report.remarks})
    else:
        rows = [(one.key, one.verdict, one.first, one.again, _gap(one)) for one in report.metrics]
        columns = ("metric", "verdict", "recorded", "again", "largest relative difference")
        show.table(f"run {run_id}", columns, rows, empty="The run logged no metrics.")
        for remark in report.remarks:
            show.say(remark, "yellow")
    if not report.same:
        raise click.exceptions.Exit(1)


def _gap(one: Comparison) -> float | str | None:
    """How far apart two series are; where points have no partner, that."""
    return "other steps" if one.gap is None and one.verdict == "different" else one.gap
