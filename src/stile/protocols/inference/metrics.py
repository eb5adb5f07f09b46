"""Counters of one gateway, and their text for Prometheus.

Source: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import threading

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_HELP = {
    "stile_requests_total": "Requests by endpoint and status code.",
    "stile_predictions_total": "Rows answered, by version.",
    "stile_shadow_predictions_total": "Rows scored beside the answer, by role and version.",
    "stile_shadow_dropped_total": "Rows not scored beside the answer because the queue was full.",
    "stile_shadow_failed_total": "Rows that a version beside the champion could not score, by role.",
    "stile_log_lost_total": "Answered rows that could not be logged.",
    "stile_contract_violations_total": "Broken promises of the data contract in live rows, by column and rule.",
    "stile_swaps_total": "Deployments loaded, by result.",
}
_LIMIT = 1000  # no caller can make the page grow without end


class Metrics:
    """Counts; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._buckets = [0] * (len(_BUCKETS_S) + 1)
        self._seconds = 0.0

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count ``amount`` more under a name and labels."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            if key in self._counts or len(self._counts) < _LIMIT:
                self._counts[key] = self._counts.get(key, 0) + amount

    def total(self, name: str) -> float:
        """The sum over all labels of a name."""
        with self._lock:
            return sum(value for (counted, _), value in self._counts.items() if counted == name)

    def took(self, seconds: float) -> None:
        """Count the duration of one answered request."""
        place = next((i for i, bound in enumerate(_BUCKETS_S) if seconds <= bound), len(_BUCKETS_S))
        with self._lock:
            self._buckets[place] += 1
            self._seconds += seconds

    def text(self, gauges: dict[str, float]) -> str:
        """Everything counted, and the given gauges, for Prometheus."""
        with self._lock:
            counts = sorted(self._counts.items())
            buckets, seconds = list(self._buckets), self._seconds
        lines: list[str] = []
        last = ""
        for (name, labels), value in counts:
            if name != last:
                lines += [f"# HELP {name} {_HELP.get(name, name)}", f"# TYPE {name} counter"]
                last = name
            lines.append(f"{name}{_labels(labels)} {value:g}")
        name = "stile_request_seconds"
        lines += [f"# HELP {name} Time from arrival to answer of scored requests.", f"# TYPE {name} histogram"]
        running = 0
        for bound, count in zip((*_BUCKETS_S, None), buckets, strict=True):
            running += count
            lines.append(f'{name}_bucket{{le="{"+Inf" if bound is None else f"{bound:g}"}"}} {running}')
        lines += [f"{name}_sum {seconds:.6f}", f"{name}_count {running}"]
        for gauge, value in gauges.items():
            lines += [f"# TYPE {gauge} gauge", f"{gauge} {value:g}"]
        return "\n".join(lines) + "\n"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels)
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
