"""`python -m bench NAME ...` runs benchmarks, `python -m bench all` those of `make bench`; no name lists them."""

import sys
from importlib import import_module
from typing import NamedTuple


class Bench(NamedTuple):
    """A module of this package with a `main`, and its line in the list."""

    module: str
    measures: str


BENCHES = {
    "help": Bench("help_time", "time of `anew --help`"),
    "decisions": Bench("decisions", "decisions per second on one core"),
    "drift": Bench("drift_metrics", "drift of a million rows against a stored profile"),
    "gate": Bench("gate", "the gate on 100,000 rows"),
    "intake": Bench("intake", "events per second that the webhook stores, and its response times"),
    "latency": Bench("latency", "one event to a launched run, by stage"),
    "burst": Bench("burst", "up to 1,000 drift events to launched runs"),
    "waiting": Bench("waiting", "10,000 runs to wait for, without events"),
    "backlog": Bench("backlog", "reads of a ledger while many events wait"),
    "demo": Bench("cold_demo", "the whole demo: time and peak memory"),
    "stalls": Bench("prefect_stalls", "stalls of a Prefect server on SQLite"),
}
RIVALS = {
    "releases": Bench("releases.main", "200 releases, beside naive rollouts"),
    "peers-burst": Bench("peers.burst", "`burst` with plain Prefect"),
    "peers-waiting": Bench("peers.waiting", "`waiting` with plain Prefect and Airflow"),
}


def main(arguments: list[str]) -> None:
    """Run the benchmarks named in *arguments*; words that begin with `--` are options of theirs."""
    names = [word for word in arguments if not word.startswith("-")]
    if not names or {"-h", "--help"} & set(arguments):
        print(_help())
        return
    names = [name for word in names for name in (BENCHES if word == "all" else [word])]
    known = BENCHES | RIVALS
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no benchmark named {', '.join(unknown)}\n\n{_help()}")
    for name in names:
        if len(names) > 1:
            print(f"== {name}", flush=True)
        import_module(f"bench.{known[name].module}").main()


def _help() -> str:
    def listed(benches: dict[str, Bench]) -> str:
        return "\n".join(f"  {name:<14} {bench.measures}" for name, bench in benches.items())

    return f"""\
Usage: python -m bench NAME ... [OPTIONS of the benchmark]

{listed(BENCHES)}
  {"all":<14} all of the above, one after the other (about an hour)

Beside rivals, which takes minutes each:
{listed(RIVALS)}"""


if __name__ == "__main__":
    main(sys.argv[1:])
