"""Model folders as an MLflow client writes them, made in milliseconds and without MLflow; and models put in place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from stile.govern import aliases, registry
from stile.kernel.errors import Exists
from stile.store.blobs import BlobStore
from stile.store.database import Tx
from stile.train import artifacts


def write_skops_folder(folder: Path, model: Any, columns: list[str], example: list[list[float]] | None = None) -> Path:
    """A folder with MLmodel, model.skops and a serving example, in the form of MLflow 3.17.

    Args:
        folder: made here; must not exist.
        model: a fitted scikit-learn estimator.
        columns: names of its numeric columns.
        example: rows of the serving example.
    """
    import skops.io  # noqa: PLC0415  heavy, and optional

    folder.mkdir(parents=True)
    skops.io.dump(model, folder / "model.skops")
    inputs = [{"type": "double", "name": name, "required": True} for name in columns]
    document = {
        "flavors": {
            "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.skops"},
            "sklearn": {
                "pickled_model": "model.skops",
                "serialization_format": "skops",
                "skops_trusted_types": ["os.system"],
            },
        },
        "signature": {"inputs": msgspec.json.encode(inputs).decode()},
    }
    if example is not None:
        (folder / "serving_input_example.json").write_bytes(
            msgspec.json.encode({"dataframe_split": {"columns": columns, "data": example}})
        )
        document["saved_input_example_info"] = {"serving_input_path": "serving_input_example.json"}
    (folder / "MLmodel").write_bytes(msgspec.yaml.encode(document))
    return folder


def register_folder(tx: Tx, blobs: BlobStore, name: str, folder: Path, *, by: str = "ada") -> int:
    """Register the files of a folder as the next version of a model; returns its number."""
    with suppress(Exists):  # it has versions already
        registry.create_model(tx, name=name, by=by)
    root = f"0/models/{tx.new_hex()}/artifacts"
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        where = f"{root}/{path.relative_to(folder).as_posix()}"
        artifacts.bind(tx, path=where, digest=blobs.put(content), size=len(content), by=by)
    return registry.create_version(tx, name=name, source=f"mlflow-artifacts:/{root}", by=by).version


def point(tx: Tx, name: str, alias: str, version: int) -> None:
    """Make a guarded alias name a version as if somebody had decided so, which only tests may do."""
    aliases.set_alias(tx, name, alias, version, "test", "dec_test")
