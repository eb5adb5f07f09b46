"""How long one prediction takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from stile.kernel.errors import Invalid


def latency_fact(timings_ms: Sequence[float]) -> dict[str, Any]:
    """The fact ``latency`` from one-row timings in milliseconds: ``p50_ms``, ``p99_ms``, ``max_ms``, ``n``.

    A quantile is the smallest timing that at least that share of the timings do not exceed.

    Raises:
        Invalid: there are none, or one is negative or not finite.
    """
    if not timings_ms:
        raise Invalid("latency_ms is empty. Leave it out when latency was not measured.")
    if not all(math.isfinite(timing) and timing >= 0 for timing in timings_ms):
        raise Invalid("Every timing in latency_ms must be a number of milliseconds, not negative.")
    ordered = sorted(timings_ms)

    def quantile(share: float) -> float:
        return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)])

    return {"p50_ms": quantile(0.5), "p99_ms": quantile(0.99), "max_ms": float(ordered[-1]), "n": len(ordered)}
