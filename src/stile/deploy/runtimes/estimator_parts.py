"""Every scikit-learn object inside a loaded model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def parts(model: Any) -> Iterator[Any]:
    """Each scikit-learn object to be reached from ``model`` through containers and attributes, itself included."""
    seen: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set):
            waiting.extend(item)
        elif isinstance(item, np.ndarray):
            if item.dtype == object:
                waiting.extend(item.ravel().tolist())
        elif type(item).__module__.startswith("sklearn."):
            yield item
            waiting.extend(getattr(item, "__dict__", {}).values())
