"""Percentiles, and under what they were measured."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import psutil


def percentile(values: Sequence[float], percent: int) -> float:
    """The percentile between the values given, of two values or more; nan of none."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def machine() -> dict[str, object]:
    """The machine, how busy it is at this moment, and the versions behind the figures."""
    return {
        "cores": os.cpu_count(),
        "load average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "prefect": version("prefect"),
        "azure-mgmt-datafactory": version("azure-mgmt-datafactory"),
    }


def pss(pids: Mapping[str, int]) -> dict[str, float]:
    """Proportional set size in megabytes by name; a process counts with its children."""
    return {name: sum(_pss(process) for process in _family(pid)) for name, pid in pids.items()}


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _pss(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss / 2**20
    except psutil.NoSuchProcess:
        return 0.0
