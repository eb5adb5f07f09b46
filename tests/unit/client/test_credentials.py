from __future__ import annotations

import stat

import pytest

from stile.client.credentials import DEFAULT_URL, Credentials, forget, load, resolve, save
from stile.kernel.errors import Invalid


def test_argument_beats_environment_beats_kept_token_when_all_are_given(tmp_path):
    file = tmp_path / "credentials.toml"
    save(file, Credentials(url="http://kept:1", token="kept"))
    environ = {"STILE_CREDENTIALS": str(file)}
    assert resolve(environ=environ) == Credentials(url="http://kept:1", token="kept")
    environ |= {"STILE_URL": "http://env:2/", "STILE_TOKEN": "from-env"}
    assert resolve(environ=environ) == Credentials(url="http://env:2", token="from-env")
    assert resolve("http://arg:3", "arg", environ=environ) == Credentials(url="http://arg:3", token="arg")


def test_token_of_one_server_is_not_shown_to_another(tmp_path):
    file = tmp_path / "credentials.toml"
    save(file, Credentials(url="http://a", token="secret-of-a"))
    assert resolve("http://b", environ={"STILE_CREDENTIALS": str(file)}).token == ""


def test_local_server_without_token_when_nothing_is_set(tmp_path):
    environ = {"STILE_CREDENTIALS": str(tmp_path / "none.toml")}
    assert resolve(environ=environ) == Credentials(url=DEFAULT_URL, token="")


def test_file_is_readable_by_its_owner_only(tmp_path):
    file = tmp_path / "deep" / "credentials.toml"
    save(file, Credentials(url="http://a", token='quote " and \\ backslash'))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load(file)["http://a"] == 'quote " and \\ backslash'


def test_forgetting_keeps_the_other_servers(tmp_path):
    file = tmp_path / "credentials.toml"
    save(file, Credentials(url="http://a", token="1"))
    save(file, Credentials(url="http://b", token="2"))
    assert forget(file, "http://b") is True
    assert forget(file, "http://b") is False
    assert load(file) == {"default": "http://a", "http://a": "1"}


def test_address_is_refused_when_it_is_not_http(tmp_path):
    with pytest.raises(Invalid, match="not a server address"):
        resolve("file:///etc", environ={})


def test_broken_file_is_named_when_it_cannot_be_read(tmp_path):
    file = tmp_path / "credentials.toml"
    file.write_text("servers = 3")
    with pytest.raises(Invalid, match="stile login"):
        load(file)
