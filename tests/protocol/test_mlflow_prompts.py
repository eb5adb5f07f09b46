"""Prompts through the mlflow client: registered models whose versions have text and no files."""

from __future__ import annotations

import httpx
import mlflow.genai
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from stile.govern import registry
from stile.testing.server import RunningServer

pytestmark = pytest.mark.usefixtures("shared")


@pytest.fixture
def client(shared: RunningServer) -> MlflowClient:
    return MlflowClient(shared.url)


def test_a_prompt_lives_like_it_does_with_mlflow(client: MlflowClient) -> None:
    first = mlflow.genai.register_prompt("greet", "Hello {{name}}", commit_message="first", tags={"tone": "warm"})
    assert (first.version, first.template, first.commit_message) == (1, "Hello {{name}}", "first")
    chat = [{"role": "system", "content": "You greet {{name}}."}]
    assert mlflow.genai.register_prompt("greet", chat).version == 2
    assert mlflow.genai.load_prompt("greet", version=1).format(name="Ada") == "Hello Ada"
    assert mlflow.genai.load_prompt("greet").template == chat
    assert mlflow.genai.load_prompt("prompts:/greet@latest").version == 2
    mlflow.genai.set_prompt_alias("greet", alias="prod", version=1)
    assert mlflow.genai.load_prompt("prompts:/greet@prod").version == 1
    assert [found.name for found in mlflow.genai.search_prompts(filter_string="name LIKE 'gre%'")] == ["greet"]
    assert [found.version for found in client.search_prompt_versions("greet")] == [2, 1]
    mlflow.genai.delete_prompt_alias("greet", alias="prod")
    assert mlflow.genai.load_prompt("greet", version=9, allow_missing=True) is None
    for version in ("1", "2"):
        client.delete_prompt_version("greet", version)
    client.delete_prompt("greet")
    assert mlflow.genai.search_prompts(filter_string="name = 'greet'") == []


def test_a_prompt_is_no_model(shared: RunningServer, client: MlflowClient) -> None:
    mlflow.genai.register_prompt("aside", "x")
    assert client.search_registered_models("name = 'aside'") == []
    assert "aside" not in [model.name for model in shared.services.db.read(registry.models)]
    with pytest.raises(MlflowException):
        client.get_registered_model("aside")


def test_the_latest_of_nothing_is_not_there(client: MlflowClient) -> None:
    client.create_registered_model("empty")
    with pytest.raises(MlflowException) as raised:
        client.get_model_version_by_alias("empty", "latest")
    assert raised.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("source", ["/etc/passwd", "s3://bucket/x", "runs:/none/x", ""])
def test_a_prompt_has_no_files(shared: RunningServer, source: str) -> None:
    base = f"{shared.url}/api/2.0/mlflow"
    mark = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    httpx.post(f"{base}/registered-models/create", json={"name": "bare", "tags": mark})
    answer = httpx.post(f"{base}/model-versions/create", json={"name": "bare", "source": source, "tags": mark})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert (
        httpx.get(f"{base}/registered-models/get", params={"name": "bare"}).json()["registered_model"][
            "latest_versions"
        ]
        == []
    )
