"""Deciding: propose, approve, reject, plan, apply, roll back, hold; and what was decided."""

from __future__ import annotations

from typing import Any

import click

from stile.cli import show
from stile.cli.options import client_for, show_json, to_server, use_case_argument, use_case_for, version_number
from stile.client import Client
from stile.kernel.errors import Invalid
from stile.kernel.permission import APPROVING_ROLES

_ROLES = [str(role) for role in APPROVING_ROLES]
_reason = click.option("-m", "--reason", required=True, help="Why; it is kept for ever.")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[USE_CASE] VERSION")
@_reason
@to_server
def propose(*, words: tuple[str, ...], reason: str, url: str | None, token: str | None, json_: bool) -> None:
    """Ask for the promotion of VERSION.

    The card moves, and the people whose approval the policy asks for find it in their inbox.
    """
    use_case, version = _split(words)
    scope = use_case_for(client_for(url, token), use_case)
    made = scope.propose(version, reason)
    if json_:
        show_json(made)
        return
    show.say(f"Proposed {scope.name} v{version}: {_id(made)}", "green")
    show.say(f'They can answer in the web UI, or with: stile approve {_id(made)} --role ROLE -m "why"', "dim")


@click.command()
@click.argument("promotion")
@click.option("--role", required=True, type=click.Choice(_ROLES), help="The role you speak in.")
@_reason
@to_server
def approve(*, promotion: str, role: str, reason: str, url: str | None, token: str | None, json_: bool) -> None:
    """Say yes to PROMOTION (its id, or a use case with one open request).

    Your yes is bound to the bytes of model, data, policy and evidence; it lapses when any of them changes.
    """
    _vote(verdict="yes", promotion=promotion, role=role, reason=reason, client=client_for(url, token), json_=json_)


@click.command()
@click.argument("promotion")
@click.option("--role", required=True, type=click.Choice(_ROLES), help="The role you speak in.")
@_reason
@to_server
def reject(*, promotion: str, role: str, reason: str, url: str | None, token: str | None, json_: bool) -> None:
    """Say no to PROMOTION (its id, or a use case with one open request)."""
    _vote(verdict="no", promotion=promotion, role=role, reason=reason, client=client_for(url, token), json_=json_)


@click.command()
@use_case_argument
@to_server
def plan(*, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """Show the decision that would be taken now and everything it would change, without doing it."""
    scope = use_case_for(client_for(url, token), use_case)
    made = scope.plan()
    if json_:
        show_json(made)
        return
    _show_plan(made)
    if not made.get("nothing"):
        show.say(f"Next: stile apply {scope.name} --plan {made.get('digest')}", "bold")


@click.command()
@use_case_argument
@click.option("--plan", "digest", help="The plan to carry out (default: the one of this moment, shown first).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@to_server
def apply(
    *, use_case: str | None, digest: str | None, yes: bool, url: str | None, token: str | None, json_: bool
) -> None:
    """Carry out a plan. Refused when the world has moved since it was made."""
    scope = use_case_for(client_for(url, token), use_case)
    if digest is None:
        made = scope.plan()
        digest = str(made["digest"])
        if not json_:
            _show_plan(made)
        if not yes:
            click.confirm("Carry it out?", abort=True, err=True)
    _show_decision(scope.apply(digest), json_)


@click.command()
@use_case_argument
@_reason
@click.option(
    "--to", "version", callback=version_number, metavar="VERSION", help="This version instead of the last champion."
)
@to_server
def rollback(
    *, use_case: str | None, reason: str, version: int | None, url: str | None, token: str | None, json_: bool
) -> None:
    """Put the previous champion back."""
    scope = use_case_for(client_for(url, token), use_case)
    _show_decision(scope.roll_back(reason, version), json_)


@click.command()
@use_case_argument
@_reason
@to_server
def hold(*, use_case: str | None, reason: str, url: str | None, token: str | None, json_: bool) -> None:
    """Stop promotions until somebody decides."""
    scope = use_case_for(client_for(url, token), use_case)
    _show_decision(scope.hold(reason), json_)


@click.command()
@use_case_argument
@to_server
def decisions(*, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """List what was decided."""
    found = use_case_for(client_for(url, token), use_case).decisions()
    if json_:
        show_json(found)
        return
    rows = [
        (show.when(one.get("at")), one.get("kind"), _version(one.get("version")), one.get("by"), one.get("sentence"))
        for one in found
    ]
    show.table(
        "", ("when", "decision", "version", "by", "why"), rows,
        empty="Nothing was decided yet. See what would be: stile plan",
    )  # fmt: skip


@click.command()
@use_case_argument
@to_server
def labels(*, use_case: str | None, url: str | None, token: str | None, json_: bool) -> None:
    """Show the standing of every version, and by how much it missed."""
    found = use_case_for(client_for(url, token), use_case).labels()
    if json_:
        show_json(found)
        return
    rows = [(_version(one.get("version")), one.get("text") or one.get("label"), one.get("sentence")) for one in found]
    show.table("", ("version", "standing", "why"), rows, empty="No version yet. Train and register one: stile run")


def _vote(*, verdict: str, promotion: str, role: str, reason: str, client: Client, json_: bool) -> None:
    answer = client.approve(_promotion_id(client, promotion), role, verdict, reason)
    if json_:
        show_json(answer)
        return
    show.say(f"Recorded: {verdict} as {role}.", "green" if verdict == "yes" else "red")


def _promotion_id(client: Client, word: str) -> str:
    """A promotion's id; a use case stands for its one open request."""
    if "_" in word:
        return word
    found = [one for one in client.use_case(word).promotions() if one.get("state") == "open"]
    if len(found) != 1:
        raise Invalid(f"{word} has {len(found)} open promotion requests. Give the id of the one you mean.")
    return _id(found[0])


def _split(words: tuple[str, ...]) -> tuple[str | None, int]:
    if len(words) not in (1, 2):
        raise click.UsageError("Give [USE_CASE] VERSION, e.g.: stile propose credit 7 -m 'why'")
    number = words[-1].removeprefix("v")
    if not number.isdigit() or int(number) < 1:
        raise click.UsageError(f"{words[-1]!r} is not a version. Write a number such as 7.")
    return (words[0] if len(words) == 2 else None), int(number)


def _id(made: dict[str, Any]) -> str:
    return str(made.get("id") or made.get("promotion") or "")


def _version(value: Any) -> str:
    return f"v{value}" if value not in (None, "", 0, "0") else "–"


def _show_plan(made: dict[str, Any]) -> None:
    show.say(str(made.get("sentence")), "bold")
    for effect in made.get("effects") or []:
        show.say(f"  ~ {effect.get('sentence')}")
    show.facts("", [("plan", made.get("digest"))])


def _show_decision(decision: dict[str, Any], json_: bool) -> None:
    if json_:
        show_json(decision)
        return
    show.say(f"{decision.get('kind')} {_version(decision.get('version'))}: {decision.get('sentence')}", "green")
    show.facts("", [("decision", decision.get("decision")), ("hash", show.short(decision.get("hash")))])
