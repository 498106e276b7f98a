"""The releases of a run: what each new version is truly like, and what an evaluation would count, from the seed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

CHAMPION_ACCURACY: Final = 0.80
DISAGREEMENT: Final = 0.10  # share of the rows on which one of both models alone is right
ROWS_A_DAY: Final = 6_000  # labelled rows; what has come since the candidate was trained is evaluated on
CHAMPION_ERRORS: Final = 0.002
LATENCY_MS, LATENCY_P95_MS = 40.0, 80.0
TOO_SLOW_MS: Final = 160.0
_SCORE, _SCORE_SD = 0.5, 0.15
_P95: Final = 1.6449  # standard deviations above the median


@dataclass(frozen=True, slots=True)
class Kind:
    """How a new version differs from the one that serves. `gain` is of accuracy on labelled rows, `live_gain` that of
    what callers get; they differ where serving computes features in another way than training did.
    """

    name: str
    share: float
    gain: float = 0.0
    live_gain: float | None = None
    crash_share: float = 0.0
    slower: float = 1.0
    score_shift: float = 0.0

    @property
    def behaviour(self) -> dict[str, float]:
        """How its deployments answer, in the words of local Azure."""
        return {
            "error_rate": CHAMPION_ERRORS,
            "crash_share": self.crash_share,
            "latency_ms": LATENCY_MS * self.slower,
            "latency_p95_ms": LATENCY_P95_MS * self.slower,
            "score_mean": _SCORE + self.score_shift,
            "score_sd": _SCORE_SD,
        }

    @property
    def error_rate(self) -> float:
        """Share of its requests that fail."""
        return 1 - (1 - CHAMPION_ERRORS) * (1 - self.crash_share)

    @property
    def silent_harm(self) -> float:
        """Share of its requests that are answered wrongly or too slowly, beyond the champion's."""
        wrong = max(0.0, -(self.gain if self.live_gain is None else self.live_gain))
        return wrong + too_slow(self.slower) - too_slow(1.0)

    @property
    def harm(self) -> float:
        """Share of its requests that harm whoever sent them, beyond the champion's."""
        return self.error_rate - CHAMPION_ERRORS + self.silent_harm


KINDS: Final = (
    Kind("better, +2 pp", 0.20, gain=0.02),
    Kind("equal", 0.25),
    Kind("1 pp worse", 0.20, gain=-0.01),
    Kind("5 pp worse", 0.15, gain=-0.05),
    Kind("crashes on 5 %", 0.10, crash_share=0.05),
    Kind("slow, p95 x 2.5", 0.05, slower=2.5),
    Kind("skewed in serving", 0.05, live_gain=-0.05, score_shift=0.10),
)


def too_slow(slower: float) -> float:
    """Share of answers that take longer than TOO_SLOW_MS, by a version so many times slower than the champion."""
    spread = math.log(LATENCY_P95_MS / LATENCY_MS) / _P95
    z = math.log(TOO_SLOW_MS / (LATENCY_MS * slower)) / spread
    return 0.5 * math.erfc(z / math.sqrt(2))


@dataclass(frozen=True, slots=True)
class Counts:
    """Right answers of both models on the same rows."""

    rows: int
    both: int
    only_champion: int
    only_challenger: int

    def __add__(self, more: "Counts") -> "Counts":
        return Counts(
            self.rows + more.rows,
            self.both + more.both,
            self.only_champion + more.only_champion,
            self.only_challenger + more.only_challenger,
        )

    def report(self, name: str) -> dict[str, object]:
        """What an evaluation job tells in its tag."""
        return {
            "task": "classification",
            "rows": self.rows,
            "data_hash": f"{name}-{self.rows}",
            "challenger_correct": self.both + self.only_challenger,
            "champion_correct": self.both + self.only_champion,
            "only_champion": self.only_champion,
            "only_challenger": self.only_challenger,
        }


@dataclass(frozen=True, slots=True)
class Release:
    """One new version. `days` are the labelled rows of each day since it was trained."""

    number: int
    kind: Kind
    days: tuple[Counts, ...] = field(repr=False)

    def evaluated(self, evaluation: int) -> Counts:
        """The rows there are at the n-th evaluation, from 0: one a day while the gate holds it."""
        total, *more = self.days[: evaluation + 1]
        for day in more:
            total = total + day
        return total


def draw_releases(seed: int, count: int, days: int) -> list[Release]:
    """The releases of a run, in a random order, with each kind's share as exactly as whole numbers allow."""
    chance = np.random.default_rng(seed)
    kinds = list(np.repeat(np.arange(len(KINDS)), list(shared(count).values())))
    chance.shuffle(kinds)
    return [
        Release(number, KINDS[kind], tuple(draw_counts(KINDS[kind], chance) for _ in range(days)))
        for number, kind in enumerate(kinds)
    ]


def shared(count: int) -> Mapping[str, int]:
    """How many of so many releases are of each kind, by the largest remainders."""
    exact = {kind.name: kind.share * count for kind in KINDS}
    found = {name: int(value + 1e-9) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: found[name] - exact[name])
    for name in by_remainder[: count - sum(found.values())]:
        found[name] += 1
    return found


def draw_counts(kind: Kind, chance: np.random.Generator) -> Counts:
    """One day's labelled rows."""
    only_champion, only_challenger = (DISAGREEMENT - kind.gain) / 2, (DISAGREEMENT + kind.gain) / 2
    both = CHAMPION_ACCURACY - only_champion
    shares = (both, only_champion, only_challenger, 1 - both - DISAGREEMENT)
    counted = chance.multinomial(ROWS_A_DAY, shares)
    return Counts(ROWS_A_DAY, int(counted[0]), int(counted[1]), int(counted[2]))
