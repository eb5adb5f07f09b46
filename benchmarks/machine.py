"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path


def sync_ms(folder: Path, rounds: int = 60) -> float:
    """Milliseconds the disk under ``folder`` takes to make 16 KiB durable (median)."""
    took = []
    with (folder / "sync").open("wb") as file:
        for _ in range(rounds):
            file.write(os.urandom(16 << 10))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begun) * 1000)
    (folder / "sync").unlink()
    return statistics.median(took)


def facts() -> list[tuple[str, str]]:
    """(what, value) lines about this machine."""
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    load = os.getloadavg()
    return [
        ("Processor", f"{cpu}, {os.cpu_count()} cores"),
        ("Memory", f"{memory:.0f} GiB"),
        ("System", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("Other load", f"load average {load[0]:.1f} when the run began (0 would be idle)"),
    ]
