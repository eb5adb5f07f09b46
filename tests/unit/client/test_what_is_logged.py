"""What people have at hand can be logged as it is, and what cannot is told with what to do instead."""

from __future__ import annotations

import argparse
import dataclasses
import io
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stile.client import Client, Run
from stile.client.flat import flat, settings
from stile.client.media import figure, image, table
from stile.kernel.errors import Invalid
from stile.testing.server import RunningServer


@dataclasses.dataclass
class Optimizer:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)


class Tensor:
    """As much of a tensor as a training loop hands over."""

    dtype, shape = "float32", ()

    def __init__(self, value: float) -> None:
        self.value = value

    def item(self) -> float:
        return self.value


def test_settings_of_every_kind_have_dotted_names() -> None:
    given = argparse.Namespace(
        seed=1, optimizer=Optimizer(np.float64(0.5)), model={"depth": np.int64(3), "heads": {}}, note=None
    )
    assert settings(given) == {
        "seed": "1", "optimizer.lr": "0.5", "optimizer.betas": "(0.9, 0.99)", "model.depth": "3", "model.heads": "{}",
        "note": "None",
    }  # fmt: skip
    assert flat({"train": {"loss": Tensor(0.5)}, "lr": np.float32(0.5)}, "/") == {"train/loss": 0.5, "lr": 0.5}


def test_settings_without_names_are_refused() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    for given, says in (("lr=0.1", "str has no names"), ([1, 2], "list has no names"), (endless, "nested deeper")):
        with pytest.raises(Invalid, match=says):
            settings(given)


@pytest.fixture(params=["at once", "in the background"])
def run(server: RunningServer, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    with Client(server.url, token="") as client:
        if request.param == "at once":
            opened: Run = client.start_run("logged", "a name")
        else:
            opened = client.run("logged", "a name", system_every_s=0, code=False, environment=False)
        with opened:
            yield opened


def test_numbers_of_every_library_and_nested_metrics_are_logged(run: Any) -> None:
    run.log_metrics(
        {"train": {"loss": np.float32(0.5), "n": np.int64(3)}, "done": True, "t": Tensor(2.0)}, step=np.int64(7)
    )
    if hasattr(run, "log"):
        run.log({"valid": {"loss": Tensor(0.25)}, "plain": 1.0}, step=np.int32(7))
        run.flush()
    found = run._session.get("/api/2.0/mlflow/runs/get", run_id=run.run_id)["run"]
    metrics = {one["key"]: (one["value"], one["step"]) for one in found["data"]["metrics"]}
    more = {"valid/loss": (0.25, 7), "plain": (1.0, 7)} if hasattr(run, "log") else {}
    assert metrics == {"train/loss": (0.5, 7), "train/n": (3, 7), "done": (1, 7), "t": (2.0, 7)} | more
    assert found["info"]["run_name"] == run.name == "a name"
    assert run.url.endswith(f"/runs/{run.run_id}")


def test_what_is_no_metric_is_told_with_its_name(run: Any) -> None:
    for value, step, says in (
        (np.zeros((2, 3)), 1, r"'x' is an array of shape \(2, 3\), not one number"),
        (None, 1, "'x' is NoneType 'None', not one number"),
        ("high", 1, "'x' is str 'high', not one number"),
        (1.0, 0.5, "The step 0.5 is no whole number"),
        (1.0, 2.0, "The step 2.0 is no whole number"),
        (1.0, "one", "The step 'one' is no whole number"),
    ):
        for log in (run.log_metrics, getattr(run, "log", run.log_metrics)):
            with pytest.raises(Invalid, match=says):
                log({"good": 1.0, "x": value}, step=step)
        with pytest.raises(Invalid, match=says):
            run.log_batch([("x", value, step)])
    with pytest.raises(Invalid, match="A run does not end 'DONE'"):
        run.end("DONE")
    if hasattr(run, "log"):
        with pytest.raises(Invalid, match="is no mapping"):
            run.log(0.5)
    with pytest.raises(Invalid, match="64"):
        run.log_metrics({"x": 1.0}, step=2**70)


def test_files_of_every_kind_are_stored(run: Any, tmp_path: Path) -> None:
    run.log_param("lr", 0.1)
    run.set_tag("team", "vision")
    run.log_text("grüße", "notes/n.txt")
    run.log_dict({"a": np.array([1, 2]), "p": Path("x")}, "d.json")
    run.log_table({"a": [1, 2], "b": ["x", "y,z"]}, "t.csv")
    run.log_image(np.zeros((4, 5, 3)), "i.png")
    run.log_figure({"$schema": "https://vega.github.io/schema/vega-lite/v5.json"}, "f")
    (tmp_path / "own.txt").write_text("own")
    assert run.log_artifact(tmp_path / "own.txt").endswith("/own.txt")

    def content(path: str) -> bytes:
        got: bytes = run._session.download(f"/get-artifact?run_uuid={run.run_id}&path={path}")
        return got

    assert content("notes/n.txt").decode() == "grüße"
    assert content("d.json") == b'{\n  "a": [\n    1,\n    2\n  ],\n  "p": "x"\n}'
    assert content("t.csv") == b'a,b\n1,x\n2,"y,z"\n'
    assert content("i.png").startswith(b"\x89PNG")
    assert content("graphs/f.vl.json").startswith(b"{")
    for source, says in (
        (tmp_path, "log_folder"),
        (tmp_path / "nope", "There is no file"),
        (b"x", "give the artifact's"),
    ):
        with pytest.raises(Invalid, match=says):
            run.log_artifact(source)


def test_the_how_to_page_works_as_written(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "data-scientist.md").read_text()
    program = textwrap.dedent(page[page.index("    import argparse") : page.index("`Client()` takes")])
    monkeypatch.setenv("STILE_URL", server.url)
    monkeypatch.setenv("STILE_TOKEN", "")
    exec(program, {})
    run_id = capsys.readouterr().out.strip().rpartition("/")[2]
    with Client(server.url, token="") as client:
        run = client.session.get("/api/2.0/mlflow/runs/get", run_id=run_id)["run"]
    assert {one["key"]: one["value"] for one in run["data"]["params"]} == {"lr": "0.1", "model.depth": "3"}
    assert run["info"]["status"] == "FINISHED"
    assert ("train/loss", 99) in [(one["key"], one["step"]) for one in run["data"]["metrics"]]


def test_a_run_stands_below_its_parent(server: RunningServer) -> None:
    with Client(server.url, token="") as client, client.start_run("sweep") as sweep:
        for parent in (sweep, sweep.run_id):
            with client.start_run("sweep", parent=parent) as trial:
                found = client.session.get("/api/2.0/mlflow/runs/get", run_id=trial.run_id)["run"]
                assert {"key": "mlflow.parentRunId", "value": sweep.run_id} in found["data"]["tags"]


def test_pictures_come_back_as_they_were() -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for shape in ((4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)):
        whole = rng.integers(0, 256, shape, dtype=np.uint8)
        for given in (whole, whole.astype(np.int64), whole / 255.0):
            with Image.open(io.BytesIO(image(given))) as back:
                assert np.array_equal(np.asarray(back), whole.squeeze())
    with Image.open(io.BytesIO(image(np.array([[True, False]])))) as back:
        assert np.asarray(back).tolist() == [[255, 0]]
    with Image.open(io.BytesIO(image(Image.new("RGB", (2, 3))))) as back:
        assert back.size == (2, 3)
    for bad in (np.zeros((2, 2, 2)), np.zeros(3), np.zeros((0, 3)), "x.png"):
        with pytest.raises(Invalid, match="no picture"):
            image(bad)


def test_tables_are_written_from_rows_columns_and_frames() -> None:
    import pandas as pd
    import polars as pl

    columns = {"a": [1, 2], "b": ["x", "y"]}
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert {table(given) for given in (columns, rows, iter(rows), pd.DataFrame(columns), pl.DataFrame(columns))} == {
        b"a,b\n1,x\n2,y\n"
    }
    assert table([{"a": 1}, {"b": 2}]) == b"a,b\n1,\n,2\n"
    for bad, says in (({"a": [1], "b": []}, "a has 1, b has 0"), ([[1, 2]], "A table is"), ("text", "A table is")):
        with pytest.raises(Invalid, match=says):
            table(bad)


def test_figures_of_every_library_are_taken() -> None:
    from matplotlib.figure import Figure

    drawn = Figure()
    drawn.subplots().plot([1, 2])
    suffix, content = figure(drawn)
    assert (suffix, content[:4]) == (".png", b"\x89PNG")

    class Altair:
        def to_dict(self) -> dict[str, str]:
            return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json"}

    class Plotly(Altair):
        def add_trace(self) -> None: ...

        def to_html(self, *, include_plotlyjs: bool) -> str:
            return f"<html>{include_plotlyjs}</html>"

    assert figure(Altair())[0] == ".vl.json"
    assert figure(Plotly()) == (".html", b"<html>True</html>")
    for bad, says in (({"$schema": "x"}, "must name vega-lite"), ("plot", "str is no figure")):
        with pytest.raises(Invalid, match=says):
            figure(bad)
