"""In production: predictions, what people think of them, what turned out true, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stile.cli import show
from stile.cli.options import client_for, show_json, to_server, use_case_argument, use_case_for
from stile.kernel.errors import Invalid


@click.command()
@click.argument("table", type=click.Path(exists=True, dir_okay=False))
@click.option("--gateway", default="http://127.0.0.1:7080", show_default=True, help="Address of the gateway.")
@click.option("--limit", type=click.IntRange(1), help="Only the first rows.")
@click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column out, e.g. the target.")
@click.option("--json", "json_", is_flag=True, help="Print the answers as JSON.")
def predict(*, table: str, gateway: str, limit: int | None, drop: tuple[str, ...], json_: bool) -> None:
    """Send the rows of TABLE to a gateway, one request per row; prints each answer with its prediction id."""
    from stile.client.gateway import Gateway
    from stile.data.table import parse_csv

    content = parse_csv(Path(table).read_bytes())
    names = [name for name in content.names if name not in drop]
    count = min(content.rows, limit or content.rows)
    columns = {name: content.columns[name][:count].tolist() for name in names}
    rows = [{name: columns[name][place] for name in names} for place in range(count)]
    with Gateway(gateway) as there:
        answers = [there.predict(row) for row in rows]
    if json_:
        show_json(answers)
        return
    lines = [(one.id, one.output, one.score, f"v{one.version}") for one in answers]
    show.table("", ("prediction id", "answer", "score", "version"), lines, empty="The table has no rows.")


@click.command()
@click.argument("prediction", required=False)
@click.argument("verdict", required=False)
@click.option("-m", "--reason", default="", help="Why.")
@click.option("--corrected", help="The right answer, when the verdict says that it was wrong.")
@click.option("--use-case", help="For the queue: the use case (default: the one of this folder).")
@to_server
def feedback(*, prediction: str | None, verdict: str | None, reason: str, corrected: str | None, use_case: str | None,
             url: str | None, token: str | None, json_: bool) -> None:  # fmt: skip
    """Say what you think of PREDICTION: a VERDICT of the use case (agree, correct, unsure ...).

    Without arguments: the queue of predictions most worth a look.
    """
    client = client_for(url, token)
    if prediction is None:
        queue = use_case_for(client, use_case).feedback_queue()
        if json_:
            show_json(queue)
            return
        rows = [(one.get("prediction"), show.when(one.get("at")), one.get("score"), one.get("why")) for one in queue]
        show.table("Worth a look", ("prediction", "when", "score", "because"), rows, empty="Nothing waits for a look.")
        return
    if verdict is None:
        raise Invalid("Say what you think, e.g.: stile feedback PREDICTION agree -m 'seen on the scan'")
    answer = client.give_feedback(prediction, verdict, reason, corrected)
    if json_:
        show_json(answer)
        return
    show.say(f"Recorded: {verdict} on {prediction}.", "green")


@click.command()
@click.argument("table", type=click.Path(exists=True, dir_okay=False))
@use_case_argument
@click.option("--source", default="", help="Where the truth comes from, when the table has no column 'source'.")
@to_server
def label(*, table: str, use_case: str | None, source: str, url: str | None, token: str | None, json_: bool) -> None:
    """Record what turned out true, from a CSV with the columns ``prediction`` and ``outcome``."""
    from stile.data.table import parse_csv

    content = parse_csv(Path(table).read_bytes())
    for name in ("prediction", "outcome"):
        if name not in content:
            raise Invalid(f"{table} has no column {name!r}. It needs: prediction, outcome (and may have source).")
    given = content.texts("source") if "source" in content else [source or Path(table).name] * content.rows
    outcomes = [
        {"prediction": str(prediction), "outcome": str(outcome), "source": str(where or source or Path(table).name)}
        for prediction, outcome, where in zip(content.texts("prediction"), content.texts("outcome"), given, strict=True)
    ]
    answer = use_case_for(client_for(url, token), use_case).add_outcomes(outcomes)
    if json_:
        show_json(answer)
        return
    show.say(f"Recorded {len(outcomes)} outcomes.", "green")


@click.command()
@click.argument("table", type=click.Path(dir_okay=False, writable=True))
@use_case_argument
@click.option("--source", default="", help="Only outcomes told by this source, e.g. expert.")
@to_server
def labelled(*, table: str, use_case: str | None, source: str, url: str | None, token: str | None, json_: bool) -> None:
    """Write live rows whose outcome is known to TABLE, in the columns of the contract.

    What systems and domain experts said about predictions becomes data to train and test the next
    candidate on: add it to the table of the project, or register it as a dataset of its own.
    """
    import csv

    from stile.data.odcs import read_contract

    there = use_case_for(client_for(url, token), use_case)
    published = there.contracts()
    if not published:
        raise Invalid(
            "The use case has no contract yet, so its columns are not known. Publish one: stile contract publish"
        )
    contract = read_contract(max(published, key=lambda one: int(one["version"]))["yaml"])
    names = [column.name for column in contract.columns if column.part in ("feature", "target", "ignored")]
    count = 0
    with Path(table).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for one in there.labelled(source=source):
            known = {**one["slices"], **one["inputs"], contract.target: one["outcome"]}
            writer.writerow([known.get(name, "") for name in names])
            count += 1
    if json_:
        show_json({"table": table, "rows": count, "columns": names})
        return
    show.say(f"Wrote {count} rows with a known outcome to {table}.", "green")


@click.command()
@click.argument("prediction")
@to_server
def why(*, prediction: str, url: str | None, token: str | None, json_: bool) -> None:
    """Walk from PREDICTION up to the vote: model, decision, rules, evidence, run, data, commit, people."""
    chain = client_for(url, token).why(prediction)
    if json_:
        show_json(chain)
        return
    _show_chain(chain)


def _show_chain(chain: dict[str, Any]) -> None:
    links = chain["links"]
    for place, link in enumerate(links):
        knot, branch = ("└", " ") if place == len(links) - 1 else ("├", "│")
        style = "" if link["known"] else "yellow"
        show.say(f"{knot} {link['title']}", f"bold {style}".strip())
        for line in [link["sentence"], *link["lines"]]:
            show.say(f"{branch}   {line}", style)
    if not chain["complete"]:
        show.say("The chain has gaps, marked above.", "yellow")
