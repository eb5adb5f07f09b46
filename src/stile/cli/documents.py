"""Data, contracts and policies: check here, publish there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stile.cli import show
from stile.cli.options import (
    as_json,
    client_for,
    project_value,
    show_json,
    to_server,
    use_case_for,
    version_number,
)

_FILE = click.Path(exists=True, dir_okay=False)


@click.group()
def data() -> None:
    """Tables."""


@data.command("check")
@click.argument("table", required=False, type=_FILE)
@click.option("--contract", "contract_file", type=_FILE, help="The contract (default: the project's).")
@click.option("--no-target", is_flag=True, help="The target column may be absent, as in live data.")
@as_json
def data_check(*, table: str | None, contract_file: str | None, no_target: bool, json_: bool) -> None:
    """Check TABLE (default: the project's) against its contract, here, without a server.

    Exit code 0 when every promise is kept, 1 with one line per broken promise.
    """
    from stile.cli.outcome import violation_line
    from stile.data.contract_check import check_table
    from stile.data.odcs import read_contract
    from stile.data.table import parse_csv
    from stile.kernel.errors import Invalid

    chosen = table or project_value("data", "table")
    if not chosen:
        raise Invalid("Which table? Name a CSV file, or run this inside a folder made by: stile init")
    promised = Path(contract_file or "contract.odcs.yaml")
    contract = read_contract(promised.read_text(encoding="utf-8"))
    content = parse_csv(Path(chosen).read_bytes())
    found = check_table(contract, content, needs_target=not no_target)
    if json_:
        show_json({"table": chosen, "rows": content.rows, "violations": found})
    elif found:
        show.say(f"{chosen} breaks {len(found)} of the promises of {promised}:", "red")
        for one in found:
            show.say(f"  - {violation_line({'column': one.column, 'message': one.message})}")
    else:
        show.say(f"{chosen}: {content.rows} rows keep all {len(contract.columns)} column promises.", "green")
    if found:
        raise click.exceptions.Exit(1)


@click.group()
def contract() -> None:
    """Data contracts (Open Data Contract Standard)."""


@contract.command("infer")
@click.argument("table", type=_FILE)
@click.option("--target", default="", metavar="COLUMN", help="The column with the outcome.")
@click.option("--name", default="", help="Name of the contract (default: the file's).")
def contract_infer(*, table: str, target: str, name: str) -> None:
    """Print a first contract for TABLE, with room around what it shows."""
    from stile.data.contract_infer import infer_contract
    from stile.data.odcs import write_contract
    from stile.data.table import parse_csv

    content = parse_csv(Path(table).read_bytes())
    click.echo(write_contract(infer_contract(content, name=name or Path(table).stem, target=target)), nl=False)


@contract.command("publish")
@click.argument("file", required=False, type=_FILE)
@click.option("--use-case", help="The use case (default: the one of this folder).")
@to_server
def contract_publish(
    *, file: str | None, use_case: str | None, url: str | None, token: str | None, json_: bool
) -> None:
    """Publish FILE (default: contract.odcs.yaml); tables are checked against it from then on."""
    text = Path(file or "contract.odcs.yaml").read_text(encoding="utf-8")
    scope = use_case_for(client_for(url, token), use_case)
    made = scope.publish_contract(text)
    if json_:
        show_json(made)
        return
    show.say(f"Contract of {scope.name}: version {made.get('version')}, {show.short(made.get('digest'))}.", "green")


@contract.command("list")
@click.option("--use-case", help="The use case (default: the one of this folder).")
@to_server
def contract_list(*, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """List the published contracts."""
    found = use_case_for(client_for(url, token), use_case).contracts()
    _versions(found, json_, "No contract yet. Publish one: stile contract publish")


@click.group()
def policy() -> None:
    """Policies: when a version may go to production, and who must agree."""


@policy.command("check")
@click.argument("file", required=False, type=_FILE)
@click.option("--candidate", callback=version_number, metavar="VERSION", help="Judge this version only.")
@click.option("--use-case", help="The use case (default: the one of this folder).")
@to_server
def policy_check(
    *, file: str | None, candidate: int | None, use_case: str | None, url: str | None, token: str | None, json_: bool
) -> None:
    """Judge under FILE (default: policy.yaml) without publishing it: what would change?"""
    from stile.cli.verdicts import show_report

    text = Path(file or "policy.yaml").read_text(encoding="utf-8")
    report = use_case_for(client_for(url, token), use_case).gate(candidate, policy_yaml=text)
    if json_:
        show_json(report)
        return
    show.say("A dry run: nothing was published.", "dim")
    show_report(report)


@policy.command("publish")
@click.argument("file", required=False, type=_FILE)
@click.option("--use-case", help="The use case (default: the one of this folder).")
@to_server
def policy_publish(*, file: str | None, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """Put FILE (default: policy.yaml) in force."""
    text = Path(file or "policy.yaml").read_text(encoding="utf-8")
    scope = use_case_for(client_for(url, token), use_case)
    made = scope.publish_policy(text)
    if json_:
        show_json(made)
        return
    show.say(f"Policy of {scope.name}: version {made.get('version')}, {show.short(made.get('digest'))}.", "green")


@policy.command("show")
@click.option("--use-case", help="The use case (default: the one of this folder).")
@to_server
def policy_show(*, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """Show the policy in force."""
    found = use_case_for(client_for(url, token), use_case).policy()
    if json_:
        show_json(found)
        return
    text = found.get("yaml") or found.get("text")
    if text:
        click.echo(text)
    else:
        show_json(found)


def _versions(found: list[dict[str, Any]], json_: bool, empty: str) -> None:
    if json_:
        show_json(found)
        return
    rows = [
        (one.get("version"), show.short(one.get("digest")), show.when(one.get("at")), one.get("by")) for one in found
    ]
    show.table("", ("version", "digest", "published", "by"), rows, empty=empty)
