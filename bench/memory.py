"""Peak memory of processes, as the kernel counted it."""

from collections.abc import Mapping
from pathlib import Path

import psutil


def peaks(pids: Mapping[str, int]) -> dict[str, float]:
    """Peak resident megabytes by name; a process with children counts with them."""
    return {name: sum(_peak(pid) for pid in _family(pid)) for name, pid in pids.items() if psutil.pid_exists(pid)}


def _family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
