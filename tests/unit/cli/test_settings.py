from __future__ import annotations

import pytest

from stile.cli.settings import load_settings
from stile.kernel.errors import Invalid


def test_options_beat_environment_beat_file(tmp_path):
    file = tmp_path / "stile-server.toml"
    file.write_text('port = 1\nhost = "127.0.0.2"\ndata_dir = "from-file"\n')
    environ = {"STILE_PORT": "2", "STILE_HOST": "127.0.0.3", "STILE_ALLOWED_HOSTS": "a.example, b.example"}
    found = load_settings(file, environ=environ, options={"port": 3, "host": None})
    assert (found.port, found.host, found.data_dir) == (3, "127.0.0.3", "from-file")
    assert found.allowed_hosts == ["a.example", "b.example"]


def test_wrong_value_is_named(tmp_path):
    with pytest.raises(Invalid, match="port"):
        load_settings(environ={"STILE_PORT": "many"})


def test_unknown_name_in_the_file_is_named(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(Invalid, match="prot"):
        load_settings(file, environ={})
