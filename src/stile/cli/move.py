"""Moving in and out: ``stile import`` and ``stile export``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stile.cli import show
from stile.cli.options import client_for, show_json, to_server
from stile.kernel.errors import Invalid

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from stile.client import Client
    from stile.train.moving.server_source import ServerSource
    from stile.train.moving.transfer import Report
    from stile.train.moving.values import Source

_SHOWN = 40


@click.group("import")
def import_() -> None:
    """Take in what was tracked elsewhere: MLflow's history, or an export of another Stile.

    Ids, times and whole metric histories are kept. It may be stopped and started again, and doing it
    twice adds nothing twice.
    """


@import_.command("mlflow")
@click.argument("source")
@click.option(
    "--artifacts", type=click.Path(exists=True, file_okay=False),
    help="Where the old server kept artifacts that clients know as mlflow-artifacts: (its --artifacts-destination).",
)  # fmt: skip
@click.option("--state", type=click.Path(dir_okay=False), help="File that remembers what is done (default .stile/).")
@click.option("--source-token", default="", metavar="TOKEN", help="What to show to SOURCE when it is a server.")
@to_server
def from_mlflow(*, source: str, artifacts: str | None, state: str | None, source_token: str,
                url: str | None, token: str | None, json_: bool) -> None:  # fmt: skip
    """Take in everything of an MLflow SOURCE, which is only read.

    \b
      stile import mlflow mlflow.db                      a SQLite database file
      stile import mlflow postgresql://user@host/mlflow  a PostgreSQL database
      stile import mlflow ./mlruns                       a folder of MLflow's file store
      stile import mlflow http://127.0.0.1:5000          a running server
      stile import mlflow FOLDER                         a folder of stile export --layout mlflow
    """  # noqa: D301
    found = _opened(source, Path(artifacts) if artifacts else None, source_token)
    _transfer(found, source, state, url=url, token=token, json_=json_)


@import_.command("stile")
@click.argument("source")
@click.option("--state", type=click.Path(dir_okay=False), help="File that remembers what is done (default .stile/).")
@click.option("--source-token", default="", metavar="TOKEN", help="What to show to SOURCE when it is a server.")
@to_server
def from_stile(*, source: str, state: str | None, source_token: str,
               url: str | None, token: str | None, json_: bool) -> None:  # fmt: skip
    """Take in a folder written by ``stile export``, or everything tracked on another Stile server."""
    found = _opened(source, None, source_token)
    _transfer(found, source, state, url=url, token=token, json_=json_)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False))
@click.option(
    "--layout", type=click.Choice(["stile", "mlflow"]), default="stile", show_default=True,
    help="stile: JSON lines and files by digest. mlflow: what an MLflow server serves as it is.",
)  # fmt: skip
@to_server
def export(*, folder: str, layout: str, url: str | None, token: str | None, json_: bool) -> None:
    """Write all that is tracked and registered to FOLDER, which must be new or empty.

    The layout of Stile is JSON lines and files named by their digest; it is open and documented, and ``stile import
    stile FOLDER`` reads it back. The layout of MLflow is a SQLite database and a folder of artifacts that an MLflow
    3.17 server serves as they are, by the command that is printed at the end; an export that was stopped goes on when
    it is repeated. Both keep ids, times and whole metric histories, and tell what was not taken.

    Use cases, decisions and the ledger are part of neither: ``stile backup`` keeps those, and ``stile verify --export``
    the ledger.
    """
    from stile.train.moving.server_source import ServerSource

    client = client_for(url, token)
    source = ServerSource(client.session)
    if layout == "mlflow":
        _to_mlflow(client, source, Path(folder), json_=json_)
        return
    from stile.train.moving.export import export as write

    with _Bar(quiet=json_) as bar:
        counts = write(source, Path(folder), bar.counted)
    if json_:
        show_json({"folder": folder, "counts": counts})
        return
    show.table(f"{folder}/", ("what", "written"), list(counts.items()), empty="")


def _to_mlflow(client: Client, source: ServerSource, folder: Path, *, json_: bool) -> None:
    from stile.kernel.clock import SystemClock
    from stile.train.moving.mlflow_export import ARTIFACTS, DATABASE, MlflowExport
    from stile.train.moving.values import Omission

    with _Bar(quiet=json_) as bar:
        report = MlflowExport(source, folder, bar, pinned=source.pinned, now=SystemClock().now_ms()).run()
    why = "MLflow has no place for use cases, their evidence and decisions; stile backup keeps them"
    report.omitted += [Omission(what="use case", name=str(one["name"]), why=why) for one in client.use_cases()]
    serve = (
        f"cd {shlex.quote(str(folder.resolve()))} && "
        f"mlflow server --backend-store-uri sqlite:///{DATABASE} --artifacts-destination ./{ARTIFACTS}"
    )
    if json_:
        show_json({"folder": str(folder), "counts": report.seen, "omitted": report.omitted, "serve": serve})
        return
    show.table(f"{folder}/", ("what", "written"), list(report.seen.items()), empty="The server is empty.")
    _show_omitted(report, "Everything was written.")
    show.say("Serve it with:")
    click.echo(f"  {serve}")


def _opened(source: str, artifacts: Path | None, token: str) -> Source:
    """The source under an address of any kind.

    Raises:
        Invalid: it is none that can be read.
    """
    if source.startswith(("http://", "https://")):
        from stile.client.credentials import resolve
        from stile.client.session import Session
        from stile.train.moving.server_source import ServerSource

        return ServerSource(
            Session(resolve(source, token or None), 60.0, serves="MLflow server", start="mlflow server")
        )
    if source.startswith(("mysql", "mssql")):
        raise Invalid("Databases of this kind are read through MLflow: start `mlflow server` on it and give its URL.")
    folder = Path(source.removeprefix("file://"))
    if folder.is_dir():
        from stile.train.moving.database_source import DatabaseSource
        from stile.train.moving.export import ExportSource, is_export
        from stile.train.moving.folder_source import FolderSource
        from stile.train.moving.mlflow_export import ARTIFACTS, DATABASE

        if (folder / DATABASE).is_file():
            return DatabaseSource(str(folder / DATABASE), artifacts or folder / ARTIFACTS)
        return ExportSource(folder) if is_export(folder) else FolderSource(folder, artifacts)
    from stile.train.moving.database_source import DatabaseSource

    return DatabaseSource(source, artifacts)


def _transfer(found: Source, address: str, state: str | None, *, url: str | None, token: str | None,
              json_: bool) -> None:  # fmt: skip
    from stile.train.moving.state import TransferState, state_file
    from stile.train.moving.transfer import Transfer

    client = client_for(url, token)
    absolute = address if "://" in address else str(Path(address).resolve())
    kept = TransferState(Path(state) if state else state_file(Path(".stile"), absolute, client.url))
    try:
        with _Bar(quiet=json_) as bar:
            report = Transfer(found, client.session, kept, bar).run()
    finally:
        kept.close()
        found.close()
    if json_:
        show_json(report)
    else:
        _show(report)


def _show(report: Report) -> None:
    rows = [(what, count, report.added.get(what, 0)) for what, count in report.seen.items()]
    show.table(report.source, ("what", "at the source", "added"), rows, empty="The source is empty.")
    _show_omitted(report, "Everything was taken.")


def _show_omitted(report: Report, whole: str) -> None:
    if not report.omitted:
        show.say(whole, "green")
        return
    lines = [(one.what, one.name, one.why) for one in report.omitted[:_SHOWN]]
    show.table("Not taken", ("what", "which", "why"), lines, empty="")
    if len(report.omitted) > _SHOWN:
        show.say(f"... and {len(report.omitted) - _SHOWN} more; --json lists all.", "dim")


class _Bar:
    """A bar over the runs, with counts of the rest; silent when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._counts: dict[str, int] = {}

    def __enter__(self) -> _Bar:
        if not self._quiet:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("runs"), BarColumn(bar_width=28), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.description}", markup=False), console=show.console(),
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task("", total=None)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    def total(self, runs: int | None) -> None:
        """How many runs there are, when that is known."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=runs)

    def moved(self, what: str, count: int) -> None:
        """So many more of something were dealt with."""
        self.counted(what, self._counts.get(what, 0) + count)

    def counted(self, what: str, count: int) -> None:
        """So many of something were dealt with by now."""
        self._counts[what] = count
        if self._bar is not None and self._task is not None:
            says = ", ".join(f"{number} {name}" for name, number in self._counts.items() if name != "runs")
            self._bar.update(self._task, completed=self._counts.get("runs", 0), description=says)
