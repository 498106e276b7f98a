"""`python -m bench [latency|demo|help]`: without a name, all of them."""

import sys

from bench import cold_demo, help_time, latency

BENCHES = {"help": help_time.main, "latency": latency.main, "demo": cold_demo.main}


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
