"""People: ``login``, ``user``, ``token``, ``member``."""

from __future__ import annotations

from typing import Any

import click

from stile.cli import show
from stile.cli.options import client_for, show_json, to_server, use_case_for
from stile.client import Client
from stile.client.credentials import Credentials, credentials_file, forget, save
from stile.kernel.permission import TEAM_ROLES

_ROLES = [str(role) for role in TEAM_ROLES]


@click.command()
@click.option("--url", metavar="URL", help="The server (default: STILE_URL, or the local one).")
@click.option("--token", metavar="TOKEN", help="Your token; asked for, unseen, when not given.")
@click.option("--forget", "forget_", is_flag=True, help="Drop the token kept for this server.")
def login(*, url: str | None, token: str | None, forget_: bool) -> None:
    """Keep a token for a server.

    Get one from an operator (stile token create NAME) or on your page in the web UI. It is written
    to ~/.config/stile/credentials.toml, readable by you alone, after the server has accepted it.
    """
    file = credentials_file()
    address = client_for(url, "").url
    if forget_:
        known = forget(file, address)
        show.say(f"Forgot the token of {address}." if known else f"No token is kept for {address}.")
        return
    secret = token or click.prompt(f"Token for {address}", hide_input=True)
    with Client(address, secret.strip()) as client:
        me = client.me()
    save(file, Credentials(url=address, token=secret.strip()))
    show.say(f"Signed in to {address} as {me['name']}.", "green")


@click.group()
def user() -> None:
    """People and service accounts."""


@user.command("add")
@click.argument("name")
@click.option("--display", default="", help="Full name.")
@click.option("--service", is_flag=True, help="A service account: it may register and propose, never approve.")
@click.option("--password", is_flag=True, help="Ask for a password, for signing in to the web UI.")
@click.option("--system-role", "system_roles", multiple=True, type=click.Choice(["operator", "auditor"]),
              help="A role in the whole installation.")  # fmt: skip
@to_server
def user_add(
    *,
    name: str, display: str, service: bool, password: bool, system_roles: tuple[str, ...],
    url: str | None, token: str | None, json_: bool,
) -> None:  # fmt: skip
    """Create the account NAME."""
    fields: dict[str, Any] = {"system_roles": list(system_roles)} if system_roles else {}
    if password:
        fields["password"] = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    kind = "service" if service else "person"
    made = client_for(url, token).add_person(name, kind=kind, display=display, **fields)
    if json_:
        show_json(made)
        return
    show.say(f"Created {kind} {name}.", "green")
    show.say(f"Next: stile token create {name}", "dim")


@user.command("list")
@to_server
def user_list(*, url: str | None, token: str | None, json_: bool) -> None:
    """List accounts."""
    people = client_for(url, token).people()
    if json_:
        show_json(people)
        return
    rows = [(p.get("name"), p.get("display"), p.get("kind"), p.get("system_roles")) for p in people]
    show.table(
        "", ("name", "full name", "kind", "system roles"), rows, empty="Nobody yet. Add one: stile user add NAME"
    )


@user.command("password")
@click.argument("name")
@to_server
def user_password(*, name: str, url: str | None, token: str | None, json_: bool) -> None:
    """Give NAME a new password, asked for unseen; all sessions of NAME end."""
    password = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    client_for(url, token).change_password(name, password)
    if json_:
        show_json({"person": name})
        return
    show.say(f"{name} has a new password and is signed out everywhere.", "green")


@user.command("disable")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let NAME in again.")
@to_server
def user_disable(*, name: str, undo: bool, url: str | None, token: str | None, json_: bool) -> None:
    """Shut NAME out: sessions end and tokens stop working at once."""
    client_for(url, token).set_disabled(name, disabled=not undo)
    if json_:
        show_json({"person": name, "disabled": not undo})
        return
    show.say(f"{name} {'may sign in again' if undo else 'is shut out'}.", "green")


@user.command("link")
@click.argument("name")
@click.option("--minutes", default=15, show_default=True, type=click.IntRange(1, 1440), help="How long it works.")
@to_server
def user_link(*, name: str, minutes: int, url: str | None, token: str | None, json_: bool) -> None:
    """Make a link that signs NAME in to the web UI once, without a password."""
    made = client_for(url, token).sign_in_link(name, minutes=minutes)
    if json_:
        show_json(made)
        return
    show.say(str(made["url"]), "bold")
    show.say(f"Works once, for {minutes} minutes. Whoever opens it is {name}.", "dim")


@click.group()
def token() -> None:
    """Tokens: what a program shows to act as a person."""


@token.command("create")
@click.argument("person")
@click.option("--label", default="command line", show_default=True, help="What it is for.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 366), help="How long it lasts.")
@to_server
def token_create(*, person: str, label: str, days: int, url: str | None, token: str | None, json_: bool) -> None:
    """Create a token for PERSON. It is shown this once."""
    made = client_for(url, token).create_token(person, label, days)
    if json_:
        show_json({"person": person, "token": made})
        return
    click.echo(made)
    click.echo(f"Keep it: the server cannot show it again. It lasts {days} days.", err=True)


@click.group()
def member() -> None:
    """Who does what in a use case."""


@member.command("add")
@click.argument("person")
@click.argument("roles", nargs=-1, required=True, type=click.Choice(_ROLES))
@click.option("--use-case", help="The use case (default: the one of this folder).")
@to_server
def member_add(
    *, person: str, roles: tuple[str, ...], use_case: str | None, url: str | None, token: str | None, json_: bool
) -> None:
    """Give PERSON these ROLES in a use case (they replace the ones held before)."""
    scope = use_case_for(client_for(url, token), use_case)
    answer = scope.set_roles(person, roles)
    if json_:
        show_json(answer)
        return
    show.say(f"{person} is now {', '.join(roles)} in {scope.name}.", "green")


@member.command("list")
@click.option("--use-case", help="The use case (default: the one of this folder).")
@to_server
def member_list(*, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """List the team of a use case."""
    scope = use_case_for(client_for(url, token), use_case)
    members = scope.charter().get("members") or []
    if json_:
        show_json(members)
        return
    rows = [(m.get("person"), m.get("role")) for m in members]
    show.table(scope.name, ("person", "role"), rows, empty="Nobody yet. Add one: stile member add PERSON ROLE")
