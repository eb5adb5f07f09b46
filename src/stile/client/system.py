"""What the machine does while a run runs: processor, memory, graphics cards. Linux from /proc, elsewhere with psutil.

The names are MLflow's, so that its pages and ours find them.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

_MEGABYTE = 1_000_000


class SystemSampler:
    """Reads the machine's state; ``sample`` gives what has happened since the last time.

    Args:
        proc: where the kernel shows it.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._cpu = self._cpu_times()
        self._nvidia = shutil.which("nvidia-smi")

    def sample(self) -> dict[str, float]:
        """Metrics by name; what cannot be read is left out."""
        found: dict[str, float] = {}
        before, self._cpu = self._cpu, self._cpu_times()
        if before is not None and self._cpu is not None and self._cpu[1] > before[1]:
            busy = (self._cpu[0] - before[0]) / (self._cpu[1] - before[1])
            found["system/cpu_utilization_percentage"] = 100.0 * busy
        found |= self._memory()
        found |= self._process_memory()
        if self._cpu is None and not found:
            found |= _with_psutil()
        if self._nvidia:
            found |= _graphics(self._nvidia)
        return found

    def _cpu_times(self) -> tuple[int, int] | None:
        """(busy, all) ticks since boot."""
        try:
            words = (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
        except OSError:
            return None
        ticks = [int(word) for word in words]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)

    def _memory(self) -> dict[str, float]:
        try:
            lines = (self._proc / "meminfo").read_text().splitlines()
        except OSError:
            return {}
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
        total, free = kilobytes.get("MemTotal", 0), kilobytes.get("MemAvailable", 0)
        if not total:
            return {}
        return {
            "system/system_memory_usage_megabytes": (total - free) * 1024 / _MEGABYTE,
            "system/system_memory_usage_percentage": 100.0 * (total - free) / total,
        }

    def _process_memory(self) -> dict[str, float]:
        try:
            pages = int((self._proc / "self" / "statm").read_text().split()[1])
        except OSError:
            return {}
        return {"system/process_memory_usage_megabytes": pages * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE}


def _with_psutil() -> dict[str, float]:
    try:
        psutil: Any = importlib.import_module("psutil")
    except ImportError:
        return {}
    memory = psutil.virtual_memory()
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / _MEGABYTE,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / _MEGABYTE,
    }


def _graphics(program: str) -> dict[str, float]:
    asked = "index,utilization.gpu,memory.used,memory.total"
    command = [program, f"--query-gpu={asked}", "--format=csv,noheader,nounits"]
    found: dict[str, float] = {}
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout  # noqa: S603
        for line in said.splitlines():
            index, busy, used, total = (word.strip() for word in line.split(","))
            found[f"system/gpu_{index}_utilization_percentage"] = float(busy)
            found[f"system/gpu_{index}_memory_usage_megabytes"] = float(used) * 1024 * 1024 / _MEGABYTE
            found[f"system/gpu_{index}_memory_usage_percentage"] = 100.0 * float(used) / float(total)
    return found
