"""Watching: windows of live traffic, alerts, the board."""

from __future__ import annotations

from typing import Any

import click

from stile.cli import show
from stile.cli.options import client_for, show_json, to_server, use_case_for

_use_case = click.option("--use-case", help="The use case (default: the one of this folder).")


@click.group()
def windows() -> None:
    """Windows of live traffic, each measured like a test set."""


@windows.command("list")
@_use_case
@to_server
def windows_list(*, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """List closed windows."""
    found = use_case_for(client_for(url, token), use_case).windows()
    if json_:
        show_json(found)
        return
    rows = [
        (
            _number(one), f"v{one.get('version')}", show.when(one.get("last_at")), one.get("rows"), _verdicts(one),
            one.get("id"),
        )
        for one in found
    ]  # fmt: skip
    names = ("window", "version", "until", "predictions", "live rules", "id")
    show.table("", names, rows, empty="No window yet. Close one: stile windows close")


@windows.command("close")
@_use_case
@to_server
def windows_close(*, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """Close the open window now and judge it by the policy's live rules."""
    made = use_case_for(client_for(url, token), use_case).close_window()
    if json_:
        show_json(made)
        return
    show.say(f"Window {_number(made)} over {made.get('rows')} predictions of v{made.get('version')}", "bold")
    for one in made.get("verdicts") or []:
        verdict = str((one.get("result") or {}).get("verdict"))
        style = {"pass": "green", "fail": "red"}.get(verdict, "yellow")
        show.say(f"  {verdict}  {one.get('id')}: {one.get('sentence')}", style)


@click.group()
def alerts() -> None:
    """Breaches on live traffic."""


@alerts.command("list")
@_use_case
@to_server
def alerts_list(*, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """List alerts."""
    found = use_case_for(client_for(url, token), use_case).alerts()
    if json_:
        show_json(found)
        return
    rows = [
        (one.get("id"), show.when(one.get("raised_at")), one.get("state"), one.get("rule"), one.get("finding"))
        for one in found
    ]
    show.table("", ("alert", "when", "state", "rule", "what happened"), rows, empty="No alerts.")


@alerts.command("ack")
@click.argument("alert")
@click.option("-m", "--cause", required=True, help="What caused it.")
@to_server
def alerts_ack(*, alert: str, cause: str, url: str | None, token: str | None, json_: bool) -> None:
    """Own ALERT by naming its cause."""
    answer = client_for(url, token).acknowledge(alert, cause)
    if json_:
        show_json(answer)
        return
    show.say(f"Acknowledged {alert}.", "green")


@click.command()
@_use_case
@click.option("--inbox", is_flag=True, help="Only what waits for you.")
@to_server
def board(*, use_case: str | None, inbox: bool, url: str | None, token: str | None, json_: bool) -> None:
    """Show the board, or with --inbox what waits for you."""
    client = client_for(url, token)
    found = client.inbox() if inbox else use_case_for(client, use_case).cards()
    if json_:
        show_json(found)
        return
    if inbox:
        rows = [
            (one.get("kind"), one.get("use_case"), one.get("title") or one.get("sentence"), one.get("url"))
            for one in found
        ]
        show.table("Waiting for you", ("what", "use case", "about", "where"), rows, empty="Nothing waits for you.")
        return
    cards = [
        (one.get("column"), one.get("title"), one.get("owner") or one.get("assignee"), one.get("id")) for one in found
    ]
    show.table("", ("column", "card", "owner", "id"), cards, empty="No cards yet. They come with proposals and alerts.")


def _number(window: dict[str, Any]) -> str:
    number = f"#{window.get('number')}"
    return number if window.get("state") == "closed" else f"{number} {window.get('state')}"


def _verdicts(window: dict[str, Any]) -> str:
    said = [(one.get("id"), (one.get("result") or {}).get("verdict")) for one in window.get("verdicts") or []]
    return ", ".join(f"{rule} {verdict}" for rule, verdict in said) or str(window.get("problem") or "")
