"""The chain: ``init``, ``run``, ``status``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stile.cli import show
from stile.cli.options import as_json, client_for, show_json, to_server

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from stile.project.chain import Ending, Step

_STEP_NAMES = ["contract", "train", "evaluate", "scenarios", "evidence", "gate", "labels"]


@click.command()
@click.argument("name")
@click.option(
    "--data", required=True, type=click.Path(exists=True, dir_okay=False), help="The table, CSV with a header."
)
@click.option("--target", required=True, metavar="COLUMN", help="The column with the outcome (two outcomes).")
@click.option(
    "--positive", default="", metavar="VALUE", help="The outcome counted as positive; guessed when not given."
)
@click.option("--segment", default="", metavar="COLUMN", help="Judge and route the values of this column apart.")
@click.option("--site", "site", default="", metavar="COLUMN", hidden=True)
@click.option("--title", default="", help="Name for people.")
@click.option("--into", type=click.Path(file_okay=False), help="Folder to write to (default: NAME).")
@click.option("--url", default="", metavar="URL", help="The server, kept in stile.toml.")
@click.option("--solo", is_flag=True, help="You work alone: one person may do it all, and every decision says so.")
@as_json
def init(*, name: str, data: str, target: str, positive: str, segment: str, site: str, title: str,
         into: str | None, url: str, solo: bool, json_: bool) -> None:  # fmt: skip
    """Write the use case NAME as files: contract, policy, scenarios, train.py, CI job.

    Everything is plain text for git and yours to edit. Nothing is sent anywhere.
    """
    from stile.project.scaffold import Wish, scaffold

    folder = Path(into or name)
    wish = Wish(
        name=name, data=Path(data), target=target, positive=positive, segment=segment or site,
        title=title, url=url, solo=solo,
    )  # fmt: skip
    files = scaffold(wish, folder)
    if json_:
        show_json({"folder": str(folder), "files": files})
        return
    says = {
        "stile.toml": "charter, data, commands: fill in problem, decision, harms",
        "contract.odcs.yaml": "what the table must look like, inferred: correct it",
        "policy.yaml": "when a version may go to production, and who must agree",
        "scenarios.yaml": "what-if questions about the test data",
        "train.py": "the candidates, with the ordinary mlflow client",
        ".github/workflows/stile.yml": "the same chain on every change",
    }
    show.table(f"{folder}/", ("file", "what it says"), [(file, says.get(file, "")) for file in files], empty="")
    show.say(f"Next: cd {folder} && stile run", "bold")


@click.command()
@click.option("--until", type=click.Choice(_STEP_NAMES), help="Stop after this step.")
@click.option("--again", is_flag=True, help="Run every step, changed or not.")
@click.option(
    "--project", "folder", type=click.Path(exists=True, file_okay=False), default=".", help="The project folder."
)
@to_server
def run(*, until: str | None, again: bool, folder: str, url: str | None, token: str | None, json_: bool) -> None:
    """Walk the chain of the project in this folder.

    contract -> train -> evaluate -> scenarios -> evidence -> gate -> labels. A step whose inputs have
    not changed is passed by; after a failure the walk goes on where it broke.
    """
    from stile.project.chain import begin, walk_chain
    from stile.project.manifest import open_project
    from stile.project.steps import STEPS

    project = open_project(Path(folder))
    client = client_for(url or project.manifest.server.url or None, token)
    walk = begin(project, client)
    with _Bars(quiet=json_) as bars:
        walk_chain(walk, STEPS, bars, until=until or "", again=again)
    if json_:
        show_json({"use_case": project.name, "endings": bars.endings, "results": walk.results})
        return
    report = walk.results.get("gate", {}).get("report")
    if report is not None:
        from stile.cli.verdicts import show_report

        show_report(report)
    show.say(f"{client.url}/models/{project.name}", "dim")


@click.command()
@click.option(
    "--project", "folder", type=click.Path(exists=True, file_okay=False), default=".", help="The project folder."
)
@to_server
def status(*, folder: str, url: str | None, token: str | None, json_: bool) -> None:
    """Show which steps are up to date and which would run."""
    from stile.project.chain import begin
    from stile.project.manifest import open_project
    from stile.project.steps import STEPS

    project = open_project(Path(folder))
    walk = begin(project, client_for(url or project.manifest.server.url or None, token))
    rows: list[dict[str, Any]] = []
    stale = False
    for step in STEPS:
        done = walk.state.outputs(step.name)
        if step.inputs is None:
            standing = "asked every time"
        elif done is None:
            standing, stale = "not done yet", True
        else:
            stale = stale or not walk.state.unchanged(step.name, step.inputs(walk))
            standing = "would run: its inputs have changed" if stale else "up to date"
        rows.append({"step": step.name, "standing": standing, "last": (done or {}).get("says", "")})
    if json_:
        show_json({"use_case": project.name, "steps": rows})
        return
    lines = [(row["step"], row["standing"], row["last"]) for row in rows]
    show.table(project.name, ("step", "standing", "last result"), lines, empty="")


class _Bars:
    """A bar per step on a terminal; one line per finished step elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self.endings: dict[str, str] = {}
        self._quiet = quiet
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Bars:
        if not self._quiet:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bars = Progress(
                TextColumn("{task.fields[mark]} {task.fields[step]:<10}", markup=True),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("{task.description}", markup=False),
                console=show.console(),
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def started(self, step: Step) -> None:
        """Show a new bar."""
        if self._bars is not None:
            self._tasks[step.name] = self._bars.add_task(step.says, total=1.0, step=step.name, mark="[cyan]>[/]")

    def progressed(self, step: Step, ratio: float, says: str) -> None:
        """Move the bar."""
        if self._bars is not None:
            self._bars.update(self._tasks[step.name], completed=ratio, description=says)

    def finished(self, step: Step, ending: Ending, says: str) -> None:
        """Fill the bar, or mark where it broke."""
        self.endings[step.name] = ending
        if self._bars is None:
            return
        mark = {"done": "[green]✓[/]", "unchanged": "[dim]=[/]", "failed": "[red]✗[/]"}[ending]
        text = f"unchanged: {says}" if ending == "unchanged" else says or "failed"
        filled = None if ending == "failed" else 1.0
        self._bars.update(self._tasks[step.name], completed=filled, description=text, mark=mark)
