"""The front door: the table of commands, in the order a newcomer walks them."""

from __future__ import annotations

import importlib
import sys

import click

from stile import __version__
from stile.cli.outcome import run_command

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "up": ("server:up", "Start the server and the web UI (SQLite, loopback, nothing to configure)."),
        "login": ("account:login", "Keep a token for a server, so that you need not repeat it."),
        "user": ("account:user", "People and service accounts: add, list, sign-in links."),
        "token": ("account:token", "Tokens of people and service accounts: create."),
        "member": ("account:member", "Who does what in a use case: add, list."),
    },
    "From a table to a candidate": {
        "init": ("chain:init", "Write a use case as files: contract, policy, train.py, scenarios, CI job."),
        "run": ("chain:run", "Walk the chain: contract, train, evaluate, scenarios, evidence, gate, labels."),
        "status": ("chain:status", "Where the chain stands and what would run next."),
        "data": ("documents:data", "Check a table against its contract."),
        "contract": ("documents:contract", "Data contracts: infer, publish, list."),
        "policy": ("documents:policy", "Policies: check (dry run), publish, show."),
    },
    "Over the stile": {
        "gate": ("gate:gate", "The verdict on a candidate. Exit: 0 promote, 1 rejected, 2 waiting, 3 error."),
        "propose": ("decide:propose", "Ask for a promotion; the right people find it in their inbox."),
        "approve": ("decide:approve", "Say yes to a promotion, in a role you hold."),
        "reject": ("decide:reject", "Say no to a promotion, in a role you hold."),
        "plan": ("decide:plan", "What would change in production, without doing it."),
        "apply": ("decide:apply", "Carry out a plan, unless the world has moved since."),
        "rollback": ("decide:rollback", "Put the previous champion back."),
        "hold": ("decide:hold", "Stop promotions until somebody decides."),
        "decisions": ("decide:decisions", "What was decided, by whom, on which evidence."),
        "labels": ("decide:labels", "The standing of every version, and by how much it missed."),
    },
    "In production": {
        "serve": ("server:serve", "Run a gateway: the champion answers, the shadow watches."),
        "predict": ("live:predict", "Send rows of a table to a gateway."),
        "feedback": ("live:feedback", "Say what you think of one prediction."),
        "label": ("live:label", "Record what turned out true, from a table."),
        "labelled": ("live:labelled", "Live rows with a known outcome as a table, for the next candidate."),
        "why": ("live:why", "From one answer up to the vote: model, decision, rules, evidence, run, people."),
        "windows": ("watch:windows", "Windows of live traffic: list, close."),
        "alerts": ("watch:alerts", "Breaches on live traffic: list, acknowledge."),
        "board": ("watch:board", "The board and your inbox."),
    },
    "Moving and keeping": {
        "import": ("move:import_", "Take in MLflow's history (database, folder, server), or an export."),
        "gc": ("keep:gc", "Purge for good what was deleted; without --yes it only says what would go."),
        "backup": ("keep:backup", "Back up a data folder while its server runs."),
        "restore": ("keep:restore", "Bring a backup back into an empty folder, verified."),
        "export": ("move:export", "Write all that is tracked and registered to an open layout."),
    },
    "Trust": {
        "reproduce": ("again:reproduce", "Do a recorded run again, and compare what it measured."),
        "verify": ("verify:verify", "Check the ledger: on the server, in a data folder, or offline from an export."),
    },
}
"""Section -> command -> (module:attribute below ``stile.cli``, one line of help)."""

COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class Lazy(click.Group):
    """A group that knows its commands' names and one-liners without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(f"stile.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = _nearest(args[0])
            hint = f" Did you mean: stile {near}?" if near else ""
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, says) for name, (_, says) in commands.items()])


@click.group(
    cls=Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Every command takes --json. Exit codes: 0 done, 1 it could not be done (the reason is on stderr), "
    "2 wrong usage; stile gate has its own: 0 promote, 1 rejected, 2 waiting, 3 error.",
)
@click.version_option(__version__, prog_name="stile")
def stile() -> None:
    """Take a model over the wall: from data to governed production, and keep it honest there.

    \b
    The first hour:
      stile up                                             server and web UI
      stile init credit --data loans.csv --target default  a use case as files
      cd credit && stile run                               train, evaluate, judge
      stile gate --candidate 1                             the verdict, before asking anyone
      stile propose 1 -m "why"                             ask the people who decide
      stile plan && stile apply                            what would change, then do it
      stile serve                                          predictions, each with an id
      stile why PREDICTION_ID                              and from any of them back to the vote
    """  # noqa: D301


def main() -> None:
    """Entry point of the console script: runs a command, prints errors in plain words, exits."""
    sys.exit(run_command(stile, sys.argv[1:]))


def _nearest(word: str) -> str:
    import difflib

    found = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.6)
    return found[0] if found else ""
