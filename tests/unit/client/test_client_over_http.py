"""The SDK against a running server."""

from __future__ import annotations

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
