"""The whole demo, cold: seconds, and the peak memory of each process it starts."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.memory import peaks


def main() -> None:
    """Run `anew demo --json --keep`, print what it took, and stop what it kept running."""
    anew = str(Path(sys.executable).with_name("anew"))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [anew, "demo", "--json", "--keep", "--folder", folder]
        done = subprocess.run(command, capture_output=True, check=False)
        seconds = time.perf_counter() - began
        if done.returncode:
            sys.exit(done.stderr.decode()[-2000:])
        outcome = json.loads(done.stdout)
        try:
            for name, megabytes in peaks(outcome["processes"]).items():
                print(f"{name:<16} peak {megabytes:6.0f} MB")
        finally:
            for pid in outcome["processes"].values():
                os.killpg(pid, signal.SIGTERM)
        print(f"demo {seconds:.1f} s, exit 0")
