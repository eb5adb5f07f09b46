"""How a command ends: its exit code, and its error in words a person can act on."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
import msgspec

from stile.kernel.errors import StileError

EXIT_FAILED = 1
EXIT_GATE_ERROR = 3


def run_command(command: click.Command, args: Sequence[str]) -> int:
    """Run ``command`` with ``args``; returns the exit code of the process.

    0 done; 1 could not be done; 2 wrong usage; 130 stopped by Ctrl-C. ``stile gate`` answers 3
    where others answer 1 or 2, because there 1 and 2 are verdicts.
    """
    judging = next(iter(args), "") == "gate"
    try:
        result = command.main(args=list(args), prog_name="stile", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return 130
    except click.UsageError as error:
        error.show()
        return EXIT_GATE_ERROR if judging else error.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_GATE_ERROR if judging else error.exit_code
    except StileError as error:
        _tell(error, as_json="--json" in args)
        return EXIT_GATE_ERROR if judging else EXIT_FAILED
    except BrokenPipeError:
        # the reader (head, less) has seen enough; keep Python from complaining while it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"stile: {error.strerror or error}{where}", err=True)
        return EXIT_GATE_ERROR if judging else EXIT_FAILED
    return result if isinstance(result, int) else 0


def _tell(error: StileError, *, as_json: bool) -> None:
    if as_json:
        envelope = {"error": {"code": error.code, "message": error.message, "details": error.details}}
        click.echo(msgspec.json.encode(envelope).decode(), err=True)
        return
    click.echo(f"stile: {error.message}", err=True)
    for violation in error.details.get("violations", []):
        click.echo(f"  - {violation_line(violation)}", err=True)


def violation_line(violation: object) -> str:
    """One broken promise of a contract in one line."""
    if not isinstance(violation, dict):
        return str(violation)
    line = str(violation.get("message", violation))
    column = violation.get("column")
    if column and str(column) not in line:
        line = f"{column}: {line}"
    examples = violation.get("examples") or []
    if examples and "e.g." not in line and str(examples[0]) not in line:
        line += f" (e.g. {', '.join(str(example) for example in examples[:3])})"
    return line
