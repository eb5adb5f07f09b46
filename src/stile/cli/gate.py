"""``stile gate``: the verdict, for people and for CI."""

from __future__ import annotations

from pathlib import Path

import click

from stile.cli.options import client_for, show_json, to_server, use_case_for, version_number


def _candidate(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    return None if value in (None, "all") else version_number(ctx, param, value)


@click.command()
@click.argument("use_case", required=False)
@click.option("--candidate", callback=_candidate, metavar="VERSION|all", help="One version, or all (default).")
@click.option("--policy", "policy_file", type=click.Path(exists=True, dir_okay=False),
              help="Judge under this file instead of the published policy; changes nothing.")  # fmt: skip
@click.option("--junit", "junit_file", type=click.Path(dir_okay=False), help="Write the rules as JUnit XML.")
@click.option("--summary", "summary_file", type=click.Path(dir_okay=False), help="Append the verdict as markdown.")
@to_server
def gate(*, use_case: str | None, candidate: int | None, policy_file: str | None, junit_file: str | None,
         summary_file: str | None, url: str | None, token: str | None, json_: bool) -> None:  # fmt: skip
    """Judge candidates by the policy: what would be decided now, and why.

    \b
    Exit codes, made for CI:
      0  promote    every rule passes and everybody asked has agreed
      1  rejected   a rule fails, somebody said no, or another version is better
      2  waiting    for an approval, or for evidence that was not measured
      3  error      no verdict: the server, the policy or the command line is at fault
    With several candidates: 0 when one may be promoted, else 2 when one is waiting, else 1.
    """  # noqa: D301
    from stile.cli import verdicts

    client = client_for(url, token)
    scope = use_case_for(client, use_case)
    text = Path(policy_file).read_text(encoding="utf-8") if policy_file else None
    report = scope.gate(candidate, policy_yaml=text)
    results = verdicts.results_of(report)
    if junit_file:
        Path(junit_file).write_text(verdicts.junit(scope.name, results), encoding="utf-8")
    if summary_file:
        with Path(summary_file).open("a", encoding="utf-8") as out:
            out.write(verdicts.markdown(scope.name, results, f"{client.url}/models/{scope.name}"))
    if json_:
        show_json(report)
    else:
        verdicts.show_report(report)
    raise click.exceptions.Exit(verdicts.exit_code(results))
