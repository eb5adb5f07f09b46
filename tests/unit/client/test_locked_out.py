"""A training whose token stops working goes on, and what it has logged is stored once it works again, or kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stile.client import Client
from stile.client.kept import send_kept
from stile.people import accounts
from stile.testing.server import RunningServer, running_server


@pytest.fixture
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    monkeypatch.chdir(tmp_path)
    with running_server(tmp_path / "strict", require_token=True) as running:
        yield running


def let(server: RunningServer, *, disabled: bool) -> None:
    server.services.db.write(lambda tx: accounts.set_disabled(tx, person="ada", disabled=disabled, by="setup"))
    server.services.authenticator.forget()


@pytest.mark.parametrize("again", [True, False])
def test_nothing_is_lost_when_a_token_stops_working(
    strict: RunningServer, again: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    keeper = strict.services.db.write(lambda tx: accounts.issue_token(tx, person="keeper", label="test"))
    with Client(strict.url, token=keeper.token) as operator:
        operator.add_person("ada")
        operator.create_use_case("toy").set_roles("ada", ["data_scientist"])
        token = operator.create_token("ada", "test")
    with Client(strict.url, token=token) as client:
        with client.run("locked", system_every_s=0, code=False, environment=False) as run:
            run.log({"loss": 1.0})
            assert run.flush(10)
            let(strict, disabled=True)
            for _ in range(50):
                run.log({"loss": 1.0})
            assert not run.flush(0.5)
            if again:
                let(strict, disabled=False)
                assert run.flush(10)
            begun = time.monotonic()
        assert time.monotonic() - begun < 5, "nobody waits for a token"
        said = capsys.readouterr().err
        assert said.count("points wait, because they cannot be sent now") == 1
        assert ("points are sent again" in said) == again
        if not again:
            assert "50 points could not be sent and are kept in" in said
            let(strict, disabled=False)
            assert send_kept(client.session, tmp_path / ".stile" / "unsent") == 50
        found = client.session.get("/api/2.0/mlflow/runs/get", run_id=run.run_id)["run"]
        assert found["info"]["status"] == "FINISHED"
        history = client.session.get("/api/2.0/mlflow/metrics/get-history", run_id=run.run_id, metric_key="loss")
        assert sorted(int(point["step"]) for point in history["metrics"]) == list(range(51))
