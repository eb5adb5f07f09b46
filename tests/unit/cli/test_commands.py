from __future__ import annotations

import subprocess
import sys

import click
import pytest

from stile.cli.outcome import run_command
from stile.cli.root import COMMANDS, stile


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from stile.cli.root import stile;"
        "from stile.cli.outcome import run_command;"
        "assert run_command(stile, ['--help']) == 0;"
        "heavy = {'numpy', 'dbos', 'rich', 'httpx', 'starlette', 'uvicorn', 'apsw', 'jinja2', 'yaml'};"
        "heavy &= set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "The first hour" in done.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_command_loads_and_teaches(name, capsys):
    assert run_command(stile, [name, "--help"]) == 0
    assert "Usage: stile " + name in capsys.readouterr().out


def _every_command(group: click.Group, path: tuple[str, ...] = ()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _every_command(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


_WITHOUT_JSON = {"up", "serve", "login", "contract infer"}  # two run until stopped, one asks, one prints a file


@pytest.mark.parametrize(("name", "command"), list(_every_command(stile)))
def test_command_takes_json(name, command):
    options = {option for parameter in command.params for option in parameter.opts}
    assert ("--json" in options) == (name not in _WITHOUT_JSON)


def test_unknown_command_suggests_the_nearest(capsys):
    assert run_command(stile, ["aply"]) == 2
    assert "Did you mean: stile apply?" in capsys.readouterr().err


@pytest.mark.parametrize(("args", "code"), [(["gate", "--nope"], 3), (["plan", "--nope"], 2)])
def test_wrong_usage_of_the_gate_is_an_error_and_not_a_verdict(args, code):
    assert run_command(stile, args) == code


@pytest.mark.parametrize(("command", "code"), [("gate", 3), ("plan", 1)])
def test_absent_server_is_one_plain_line(command, code, capsys):
    assert run_command(stile, [command, "credit", "--url", "http://127.0.0.1:1", "--token", ""]) == code
    assert capsys.readouterr().err == (
        "stile: No Stile server answers at http://127.0.0.1:1. Start one with: stile up\n"
    )


def test_error_is_json_when_asked(capsys):
    import msgspec

    assert run_command(stile, ["plan", "credit", "--url", "http://127.0.0.1:1", "--token", "", "--json"]) == 1
    assert msgspec.json.decode(capsys.readouterr().err)["error"]["code"] == "unavailable"


def test_use_case_is_asked_for_outside_a_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(stile, ["labels", "--url", "http://127.0.0.1:1"]) == 1
    assert "Which use case?" in capsys.readouterr().err
