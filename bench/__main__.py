"""`python -m bench [NAME ...]`, the names being those of BENCHES: without one, all of them.

`releases`, `peers-burst` and `peers-waiting` take minutes beside rivals, and are only run by name.
"""

import sys

from bench import (
    backlog,
    burst,
    cold_demo,
    decisions,
    drift_metrics,
    gate,
    help_time,
    intake,
    latency,
    prefect_stalls,
    waiting,
)
from bench.peers import burst as peers_burst
from bench.peers import waiting as peers_waiting
from bench.releases import main as releases

BENCHES = {
    "help": help_time.main,
    "decisions": decisions.main,
    "drift": drift_metrics.main,
    "gate": gate.main,
    "intake": intake.main,
    "latency": latency.main,
    "burst": burst.main,
    "waiting": waiting.main,
    "backlog": backlog.main,
    "demo": cold_demo.main,
    "stalls": prefect_stalls.main,
}
BY_NAME = {"releases": releases.main, "peers-burst": peers_burst.main, "peers-waiting": peers_waiting.main}


def main() -> None:
    """Run the benches named, or all."""
    known = BENCHES | BY_NAME
    names = [given for given in sys.argv[1:] if not given.startswith("--")] or list(BENCHES)
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no bench {', '.join(unknown)}; there are: {', '.join(known)}")
    for name in names:
        if len(names) > 1:
            print(f"== {name}", flush=True)
        known[name]()


if __name__ == "__main__":
    main()
