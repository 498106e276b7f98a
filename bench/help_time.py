"""How long `anew --help` takes, beside the bare interpreter: the floor on the same machine in the same run."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

_RUNS = 9


def main() -> None:
    """Print the medians of both and their ratio."""
    anew = str(Path(sys.executable).with_name("anew"))
    floor = _median([sys.executable, "-c", "pass"])
    ours = _median([anew, "--help"])
    print(f"anew --help {ours * 1000:.0f} ms, python -c pass {floor * 1000:.0f} ms, ratio {ours / floor:.1f}")


def _median(command: list[str]) -> float:
    seconds: list[float] = []
    for _ in range(_RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])
