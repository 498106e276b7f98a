"""`python -m bench releases [--releases=200] [--seed=1] [--rate=10] [--json] [--gate-only=N]`.

What runs: anew's engine over the Azure SDKs against local Azure, from the decision to the end of the rollout, with jobs
that only wait, evaluations drawn beforehand, and simulated traffic. Time is passed on, not waited for.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from anew.core.gate import at_each_analysis, most_analyses
from bench.releases import report
from bench.releases.gate_alone import GATE, long_run
from bench.releases.outcome import Outcome
from bench.releases.plan import DISAGREEMENT, KINDS, ROWS_A_DAY, Release, draw_releases
from bench.releases.rivals import RIVALS
from bench.releases.world import BAKE, Pace, play_world
from bench.rivals_canary import INTERVAL_SECONDS

_AT_ONCE = 2
_IN_A_WORLD = 10
_DRAWS = 20_000


def main() -> None:
    """Play the releases, then print what became of them; exits with 1 when a goal was missed."""
    draws, seed = int(_option("gate-only", 0)), int(_option("seed", 1))
    if draws:
        print(*report.of_gate(long_run(draws, seed), draws), sep="\n")
        return
    pace = Pace(_option("rate", 10.0), seed)
    releases = draw_releases(seed, int(_option("releases", 200)), most_analyses(GATE))
    began = time.monotonic()
    systems: dict[str, Sequence[Outcome]] = {"anew": play(releases, pace)}
    took = time.monotonic() - began
    systems |= {name: [rival(each, pace) for each in releases] for name, rival in RIVALS.items()}
    met = report.goals(systems["anew"])
    if "--json" in sys.argv:
        print(json.dumps(report.as_json(systems, pace.rate, met)))
    else:
        print(*_told(systems, releases, pace, met, took), sep="\n")
    if not all(goal.met for goal in met):
        sys.exit(1)


def play(releases: Sequence[Release], pace: Pace) -> list[Outcome]:
    """What anew made of them, in the releases' order: each world is a local Azure of its own, two at a time."""
    parts = [releases[first : first + _IN_A_WORLD] for first in range(0, len(releases), _IN_A_WORLD)]
    with (
        tempfile.TemporaryDirectory(prefix="anew-releases-") as name,
        ProcessPoolExecutor(_AT_ONCE, mp_context=get_context("spawn")) as pool,
    ):
        folders = [Path(name) / f"{number}" for number in range(len(parts))]
        for folder in folders:
            folder.mkdir()
        worlds = pool.map(play_world, folders, parts, [pace] * len(parts))
        return [outcome for world in worlds for outcome in world]


def _told(
    systems: report.Ended, releases: Sequence[Release], pace: Pace, met: Sequence[report.Goal], took: float
) -> Iterator[str]:
    yield f"{len(releases)} releases, seed {pace.seed}, {pace.rate:g} requests a second ({took:.0f} s)"
    yield "  " + ", ".join(f"{kind.share:.0%} {kind.name}" for kind in KINDS)
    rows = ", ".join(f"{ROWS_A_DAY * (look + 1):,}" for look in range(most_analyses(GATE)))
    yield (
        f"  gate: {GATE.kind}, margin {GATE.margin:g}, {at_each_analysis(GATE).confidence:.2%} at each of {rows} rows,"
        f" {DISAGREEMENT:.0%} disagreement"
    )
    yield f"  rollout: default stages and analysis, scores within 0.1, bake {BAKE}, a tick every 5 minutes;"
    yield "  training and evaluation take no time here, and evaluations report what was drawn for them"
    yield ""
    yield from report.of_anew(systems["anew"], pace.rate)
    yield ""
    yield from map(str, met)
    yield ""
    yield from report.side_by_side(systems, pace.rate)
    yield ""
    rates = long_run(_DRAWS, pace.seed)
    yield from report.chart(systems, pace.rate, rates)
    yield f"  Flagger and Argo Rollouts look every {INTERVAL_SECONDS} s: their decisions, not their code"
    yield ""
    yield from report.of_gate(rates, _DRAWS)


def _option(name: str, default: float) -> float:
    given = (word.partition("=")[2] for word in sys.argv if word.startswith(f"--{name}="))
    return float(next(given, default))
