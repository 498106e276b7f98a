"""The same releases through what is usually done: a comparison of two numbers, and canaries with fixed thresholds.

The canaries get answers drawn from the same distributions as local Azure's. Only what they decide is theirs: their
controllers do not run here.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from anew.core.rollouts.traffic import RequestStats
from bench.releases.outcome import Outcome
from bench.releases.plan import LATENCY_MS, LATENCY_P95_MS, Release
from bench.releases.world import Pace
from bench.rivals_canary import INTERVAL_SECONDS, RivalOutcome, argo_default, flagger_default

Judge = Callable[[Sequence[RequestStats]], RivalOutcome]
System = Callable[[Release, Pace], Outcome]
_P95: Final = 1.6449
_INTERVALS_AT_MOST: Final = 600


@dataclass(frozen=True, slots=True)
class Canary:
    """A judge of intervals, and the weight in percent of each; after the last comes all traffic, unwatched."""

    judge: Judge
    weights: tuple[int, ...]


# `stepWeight: 5`, `maxWeight: 50`, one interval each, as in Flagger's documentation.
FLAGGER = Canary(flagger_default, tuple(range(5, 55, 5)))
# Argo Rollouts has no default steps: these are anew's live ones, ten minutes each, measured every minute.
ARGO = Canary(argo_default, (5,) * 10 + (20,) * 10 + (50,) * 10)


def greater_than(release: Release, _: Pace) -> Outcome:
    """All traffic at once, if the challenger's accuracy on the first rows is the higher one."""
    counts = release.evaluated(0)
    if counts.only_challenger <= counts.only_champion:
        return Outcome(release.number, release.kind, "rejected")
    return Outcome(release.number, release.kind, "live", seconds=0.0, reached_all=True)


def canary(system: Canary) -> System:
    """All traffic step by step, as long as the judge says so; nothing is asked of the labelled rows."""

    def play(release: Release, pace: Pace) -> Outcome:
        chance = np.random.default_rng([pace.seed, release.number])
        seen: list[RequestStats] = []
        step = 0
        while step < len(system.weights):
            seen.append(_interval(release, pace, system.weights[step], chance))
            said = system.judge(seen)
            if said is RivalOutcome.ROLL_BACK or len(seen) == _INTERVALS_AT_MOST:
                return _outcome(release, seen, f"{system.weights[step]} %")
            step += said is RivalOutcome.ADVANCE
        return _outcome(release, seen, "")

    return play


def both(first: System, then: System) -> System:
    """The second for what the first lets through."""

    def play(release: Release, pace: Pace) -> Outcome:
        gated = first(release, pace)
        return then(release, pace) if gated.end == "live" else gated

    return play


def _interval(release: Release, pace: Pace, weight: int, chance: np.random.Generator) -> RequestStats:
    """What the canary answers in one interval at this weight."""
    kind, spread = release.kind, np.log(LATENCY_P95_MS / LATENCY_MS) / _P95
    requests = round(pace.rate * INTERVAL_SECONDS * weight / 100)
    errors = int(chance.binomial(requests, kind.error_rate))
    took = chance.lognormal(np.log(LATENCY_MS * kind.slower), spread, requests - errors)
    return RequestStats(requests, errors, dict(Counter(np.ceil(took).tolist())))


def _outcome(release: Release, seen: Sequence[RequestStats], stage: str) -> Outcome:
    seconds = float(len(seen) * INTERVAL_SECONDS)
    return Outcome(
        release.number,
        release.kind,
        "rolled back" if stage else "live",
        stage=stage,
        seconds=None if stage else seconds,
        answered=sum(each.requests for each in seen),
        errors=sum(each.errors for each in seen),
        watched=seconds,
        reached_all=not stage,
    )


RIVALS: Mapping[str, System] = {
    "metric greater than": greater_than,
    "Flagger": canary(FLAGGER),
    "Argo Rollouts": canary(ARGO),
    "greater than + Flagger": both(greater_than, canary(FLAGGER)),
    "greater than + Argo": both(greater_than, canary(ARGO)),
}
