from __future__ import annotations

import ssl
import subprocess
import sys

import pytest

from stile.client import Client
from stile.client.session import classes_by_code, error_from
from stile.client.tracking import quoted
from stile.kernel import errors


@pytest.mark.parametrize("kind", list(classes_by_code().values()))
def test_every_error_comes_back_as_the_class_it_was_raised_as(kind):
    body = b'{"error": {"code": "%s", "message": "what happened", "details": {"a": 1}}}' % kind.code.encode()
    error = error_from(400, body)
    assert type(error) is kind
    assert (error.message, str(error), error.details) == ("what happened", "what happened", {"a": 1})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RESOURCE_DOES_NOT_EXIST", errors.Missing),
        ("RESOURCE_ALREADY_EXISTS", errors.Exists),
        ("INVALID_PARAMETER_VALUE", errors.Invalid),
        ("PERMISSION_DENIED", errors.Forbidden),
    ],
)
def test_mlflow_errors_come_back_as_ours(code, kind):
    error = error_from(400, b'{"error_code": "%s", "message": "m"}' % code.encode())
    assert type(error) is kind
    assert error.message == "m"


def test_answer_of_something_else_is_an_error_that_says_so():
    assert "Is this a Stile server?" in error_from(502, b"<html>bad gateway").message
    assert "Is this a Stile server?" in error_from(500, b"[1]").message


def test_absent_server_is_named_with_the_command_that_starts_one():
    with pytest.raises(errors.Unavailable, match=r"No Stile server answers at \S+ Start one with: stile up"):
        Client("http://127.0.0.1:1", token="").use_cases()


@pytest.mark.parametrize("name", [".", ".."])
def test_name_that_would_lead_to_another_address_is_refused(name):
    with pytest.raises(errors.Invalid, match="Use a plain one"):
        quoted(f"a/{name}/b")
    assert quoted("a b/ü#?%.txt") == "a%20b/%C3%BC%23%3F%25.txt"


@pytest.mark.parametrize(("url", "checked"), [("http://stile.example", False), ("https://stile.example", True)])
def test_certificates_are_read_and_checked_exactly_when_there_are_any(url, checked):
    with Client(url, token="") as client:
        pool = client.session._client()._transport._pool
        assert (pool._ssl_context.verify_mode == ssl.CERT_REQUIRED) is checked


def test_import_takes_nothing_heavy():
    code = (
        "import sys; from stile.client import Client; Client('http://127.0.0.1:1', token='');"
        "heavy = {'httpx', 'numpy', 'pandas', 'starlette', 'apsw', 'rich', 'click', 'yaml', 'dbos'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
