"""The SDK against a running server."""

from __future__ import annotations

import math

import pytest

from stile.client import Client
from stile.kernel.errors import ContractBroken, Exists, Missing, Unauthenticated


@pytest.fixture
def client(server):
    with Client(server.url, token="") as made:
        yield made


def test_use_case_charter_comes_back_as_written(client):
    scope = client.create_use_case("credit", title="Credit", harms=["wrongly refused"], segment="region")
    assert scope.charter()["harms"] == ["wrongly refused"]
    assert scope.amend(title="Credit scoring")["title"] == "Credit scoring"
    assert [one["name"] for one in client.use_cases()] == ["credit"]


def test_server_error_is_raised_as_its_class(client):
    with pytest.raises(Missing, match="no use case called 'nope'"):
        client.use_case("nope").charter()
    client.create_use_case("credit")
    with pytest.raises(Exists):
        client.create_use_case("credit")


def test_person_acts_with_a_token(client, server):
    client.add_person("ada")
    token = client.create_token("ada", "test")
    with Client(server.url, token=token) as ada:
        assert ada.me()["name"] == "ada"
    with Client(server.url, token="stile_wrong") as nobody, pytest.raises(Unauthenticated):
        nobody.me()


def test_blob_is_the_same_from_memory_and_from_a_file(client, tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "big").write_bytes(content)
    digest = client.put_blob(content)
    assert client.put_blob(tmp_path / "big") == digest
    assert client.get_blob(digest) == content


def test_table_is_refused_with_every_violation_when_it_breaks_its_contract(client):
    from stile.data.contract_infer import infer_contract
    from stile.data.odcs import write_contract
    from stile.data.table import parse_csv

    good = b"age,ill\n" + b"".join(b"%d,%d\n" % (30 + i, i % 2) for i in range(40))
    scope = client.create_use_case("illness")
    scope.publish_contract(write_contract(infer_contract(parse_csv(good), name="illness", target="ill")))
    kept = scope.register_dataset("patients", "train", good)
    assert kept["rows"] == 40
    with pytest.raises(ContractBroken) as refused:
        scope.register_dataset("patients", "train", b"age,ill\n900,1\nold,0\n")
    assert {one["rule"] for one in refused.value.details["violations"]} >= {"out_of_range", "wrong_type"}
    assert [one["digest"] for one in scope.datasets()] == [kept["digest"]]


def test_diverged_training_is_kept_as_it_was(client):
    with client.start_run("diverged") as run:
        run.log_metric("loss", 0.5, 0)
        run.log_metrics({"loss": float("nan"), "norm": float("inf")}, 1)
    found = client.session.get("/api/2.0/mlflow/runs/get", run_id=run.run_id)["run"]["data"]["metrics"]
    assert {metric["key"]: metric["value"] for metric in found} == {"loss": "NaN", "norm": 1.7976931348623157e308}


def test_what_was_logged_is_read_back(client):
    for number in range(3):
        with client.start_run("read", f"run {number}", {"team": "a"}) as run:
            run.log_params({"model": {"depth": number}})
            run.log_batch([("loss", float("nan") if step == 2 else 1.0 / (step + 1), step) for step in (2, 0, 1)])
            run.log_metric("auc", number / 10)
            run.log_text("deep", "a folder/b/ü.txt")
            run.log_text("flat", "c.txt")
    best, second = client.search_runs("read", "metrics.auc > 0.05 and tags.team = 'a'", ["metrics.auc DESC"])
    assert (best["name"], best["status"], second["name"]) == ("run 2", "FINISHED", "run 1")
    assert (best["metrics.auc"], best["params.model.depth"], best["tags.team"]) == (0.2, "2", "a")
    assert math.isnan(best["metrics.loss"])
    assert [one["name"] for one in client.search_runs("read", limit=2)] == ["run 2", "run 1"]
    points = client.history(best["run_id"], "loss")
    assert [(one["step"], one["value"]) for one in points[:2]] == [(0, 1.0), (1, 0.5)]
    assert math.isnan(points[2]["value"])
    assert client.artifacts(best["run_id"]) == ["a folder/b/ü.txt", "c.txt"]
    assert client.get_artifact(best["run_id"], "a folder/b/ü.txt") == b"deep"
    with pytest.raises(Missing):
        client.get_artifact(best["run_id"], "none")
    with pytest.raises(Missing):
        client.search_runs("nobody")


def test_searches_go_on_over_pages(client, monkeypatch):
    monkeypatch.setattr("stile.client.reading._RUNS_PER_PAGE", 2)
    monkeypatch.setattr("stile.client.reading._POINTS_PER_PAGE", 2)
    made = [client.start_run("read") for _ in range(5)]
    made[0].log_batch([("loss", 1.0, step) for step in range(5)])
    assert len(client.search_runs("read")) == 5
    assert len(client.search_runs("read", limit=3)) == 3
    assert [one["step"] for one in client.history(made[0].run_id, "loss")] == list(range(5))
