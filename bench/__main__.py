"""`python -m bench [help|decisions|drift|latency|demo|stalls]`: without a name, all of them."""

import sys

from bench import cold_demo, decisions, drift_metrics, help_time, latency, prefect_stalls

BENCHES = {
    "help": help_time.main,
    "decisions": decisions.main,
    "drift": drift_metrics.main,
    "latency": latency.main,
    "demo": cold_demo.main,
    "stalls": prefect_stalls.main,
}


def main() -> None:
    """Run the benches named, or all."""
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.exit(f"no bench {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    for name in names:
        print(f"== {name}", flush=True)
        BENCHES[name]()


if __name__ == "__main__":
    main()
