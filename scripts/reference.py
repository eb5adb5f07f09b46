"""Write the reference pages that are made from the code: docs/reference/api.md and docs/reference/cli.md.

python scripts/reference.py          write them
python scripts/reference.py --check  say whether they are up to date (exit code 1 when not)
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

PAGES = Path(__file__).parents[1] / "docs" / "reference"


def api() -> str:
    """Every route of our own API, by path."""
    from stile.app import routes

    lines = [
        "# API",
        "",
        "Made from the table of routes by `make reference`; `/api/v1/openapi.json` is the machine-readable form.",
        'JSON in and out. Errors are `{"error": {"code", "message", "details"}}`.',
        "Send `Authorization: Bearer TOKEN`; on loopback it may be left out.",
        "",
        "| route | permission | |",
        "|---|---|---|",
    ]
    table = sorted((route.path, route.method, route) for route in routes() if route.path.startswith("/api/v1/"))
    lines += [f"| `{method} {path}` | {route.permission} | {route.summary} |" for path, method, route in table]
    lines += [
        "",
        "Where the use case is known only from a record (an alert, a card, a promotion), the caller's roles in that",
        "use case are checked then. A denied call names the roles that would do (`kernel/permission.py` lists them).",
        "MLflow's protocol is answered under `/api/2.0/mlflow`, `/api/3.0/mlflow`, `/api/2.0/mlflow-artifacts`",
        "and their `/ajax-api` twins.",
    ]
    return "\n".join(lines) + "\n"


def cli() -> str:
    """The help text of every command."""
    from stile.cli.root import SECTIONS, stile

    lines = ["# Command line", "", "Made from the commands themselves by `make reference`.", ""]
    context = click.Context(stile, info_name="stile", terminal_width=100)
    for section, commands in SECTIONS.items():
        lines += [f"## {section}", ""]
        for name in commands:
            found = stile.get_command(context, name)
            assert found is not None
            lines += _help(found, click.Context(found, info_name=f"stile {name}", terminal_width=100))
    return "\n".join(lines).rstrip() + "\n"


def _help(command: click.Command, context: click.Context) -> list[str]:
    lines = [f"### {context.info_name}", "", "```text", command.get_help(context), "```", ""]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                lines += _help(inner, click.Context(inner, info_name=f"{context.info_name} {name}", terminal_width=100))
    return lines


def main() -> int:
    """Write or check the pages."""
    stale = []
    for name, text in (("api.md", api()), ("cli.md", cli())):
        page = PAGES / name
        if "--check" not in sys.argv:
            page.write_text(text, "utf-8")
        elif not page.exists() or page.read_text("utf-8") != text:
            stale.append(name)
    if stale:
        print(f"out of date: {', '.join(stale)}. Run: make reference")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
