"""What every command shares: which server, as whom, for which use case, and ``--json``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from stile.client import Client, UseCase
from stile.kernel.errors import Invalid

F = TypeVar("F", bound=Callable[..., Any])


def to_server(command: F) -> F:
    """Options of every command that talks to a server."""
    for option in reversed(
        (
            click.option("--url", metavar="URL", help="The server (default: STILE_URL, stile.toml, the last login)."),
            click.option("--token", metavar="TOKEN", help="Who is asking (default: STILE_TOKEN, the last login)."),
            as_json,
        )
    ):
        command = option(command)
    return command


def as_json(command: F) -> F:
    """The option ``--json``."""
    return click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")(command)


def use_case_argument(command: F) -> F:
    """The argument USE_CASE, which may be left out inside a project folder."""
    return click.argument("use_case", required=False)(command)


def client_for(url: str | None, token: str | None) -> Client:
    """A client for the running command; inside a project folder its ``stile.toml`` may say which server."""
    client = Client(url or os.environ.get("STILE_URL") or project_value("server", "url") or None, token)
    command = click.get_current_context(silent=True)
    if command is not None:
        command.call_on_close(client.close)
    return client


def use_case_for(client: Client, use_case: str | None) -> UseCase:
    """The named use case, or the one of the project folder.

    Raises:
        Invalid: no name, and this is no project folder.
    """
    name = use_case or project_value("use_case", "name")
    if not name:
        raise Invalid("Which use case? Name it, or run this inside a folder made by: stile init")
    return client.use_case(name)


def project_value(table: str, key: str) -> str:
    """One value of the ``stile.toml`` in this folder, or ""."""
    import tomllib
    from pathlib import Path

    file = Path("stile.toml")
    if not file.is_file():
        return ""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"stile.toml cannot be read: {error}.") from error
    section = content.get(table)
    return str(section.get(key, "")) if isinstance(section, dict) else ""


def version_number(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:  # noqa: ARG001
    """A version as people write it: ``7`` or ``v7``."""
    if value is None:
        return None
    text = value.removeprefix("v")
    if not text.isdigit() or int(text) < 1:
        raise click.BadParameter(f"{value!r} is not a version. Write a number such as 7.")
    return int(text)


def show_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
