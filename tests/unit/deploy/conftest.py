from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stile.deploy.deployment import FileRef, Variant
from stile.store.blobs import LocalBlobs
from stile.testing.models import write_skops_folder

COLUMNS = ["a", "b", "c", "d"]


@pytest.fixture(scope="session")
def table() -> tuple[Any, Any]:
    random = np.random.default_rng(7)
    rows = random.normal(size=(200, 4))
    return rows, (rows[:, 0] + rows[:, 1] ** 2 > 0.5).astype(int)


@pytest.fixture
def variant_of(tmp_path: Path, blobs: LocalBlobs, table: tuple[Any, Any]) -> Any:
    """Makes a servable variant of an estimator."""

    def make(model: Any, **fields: Any) -> Variant:
        folder = write_skops_folder(tmp_path / f"model-{id(model)}", model, COLUMNS, table[0][:3].tolist())
        files = tuple(FileRef(path=p.name, digest=blobs.put(p.read_bytes())) for p in sorted(folder.iterdir()))
        return Variant(role="champion", version=1, digest="sha256:" + "0" * 64, files=files, **fields)

    return make
