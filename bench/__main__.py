"""`python -m bench [help|decisions|drift|intake|latency|burst|waiting|demo|stalls]`: without a name, all of them.

`peers-burst` and `peers-waiting` measure rivals, for minutes and from packages of their own, and are only run by name.
"""

import sys

from bench import burst, cold_demo, decisions, drift_metrics, help_time, intake, latency, prefect_stalls, waiting
from bench.peers import burst as peers_burst
from bench.peers import waiting as peers_waiting

BENCHES = {
    "help": help_time.main,
    "decisions": decisions.main,
    "drift": drift_metrics.main,
    "intake": intake.main,
    "latency": latency.main,
    "burst": burst.main,
    "waiting": waiting.main,
    "demo": cold_demo.main,
    "stalls": prefect_stalls.main,
}
PEERS = {"peers-burst": peers_burst.main, "peers-waiting": peers_waiting.main}


def main() -> None:
    """Run the benches named, or all."""
    known = BENCHES | PEERS
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
