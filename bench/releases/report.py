"""Tables, goals and a picture of what became of the releases."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.releases.gate_alone import Rates
from bench.releases.outcome import HORIZON_SECONDS, Outcome
from bench.releases.plan import KINDS

Ended = Mapping[str, Sequence[Outcome]]
"""The outcomes by system; anew's come first."""

_WIDTH = 40
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Goal:
    """What was to be shown, how often it came about, and whether that is enough."""

    text: str
    count: int
    of: int
    met: bool

    def __str__(self) -> str:
        low, high = wilson(self.count, self.of)
        share = f"{self.count} of {self.of} (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
        return f"{'pass' if self.met else 'FAIL'}  {self.text}: {share}"


def wilson(count: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    if not of:
        return 0.0, 1.0
    share, spread = count / of, _Z * _Z / of
    centre = share + spread / 2
    reach = _Z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, (centre - reach) / (1 + spread)), min(1.0, (centre + reach) / (1 + spread))


def goals(ended: Sequence[Outcome]) -> list[Goal]:
    """What the issue asks for."""
    return [
        _never("no 5 pp worse version reaches all traffic", ended, "5 pp worse"),
        _at_most("1 pp worse versions that go live, at most 5 %", ended, "1 pp worse", 0.05),
        _at_least("better versions that go live, at least 95 %", ended, "better", 0.95),
        _never("no crashing, slow or skewed version reaches all traffic", ended, "crashes", "slow", "skewed"),
    ]


def _of(ended: Sequence[Outcome], *names: str) -> list[Outcome]:
    return [each for each in ended if each.kind.name.startswith(names)]


def _never(text: str, ended: Sequence[Outcome], *names: str) -> Goal:
    some = _of(ended, *names)
    reached = sum(each.reached_all for each in some)
    return Goal(text, reached, len(some), reached == 0)


def _at_most(text: str, ended: Sequence[Outcome], name: str, share: float) -> Goal:
    some = _of(ended, name)
    live = sum(each.end == "live" for each in some)
    return Goal(text, live, len(some), live <= share * len(some))


def _at_least(text: str, ended: Sequence[Outcome], name: str, share: float) -> Goal:
    some = _of(ended, name)
    live = sum(each.end == "live" for each in some)
    return Goal(text, live, len(some), live >= share * len(some))


# --- tables -----------------------------------------------------------------------------------------------


def of_anew(ended: Sequence[Outcome], rate: float) -> Iterator[str]:
    """What became of each kind under anew."""
    words = ("live", "reject", "unsure", "back")
    yield f"{'anew':<25}" + "".join(f"{word:>8}" for word in words) + f"  {'at':<14}{'harmed':>9}{'to 100 %':>10}"
    for kind in KINDS:
        some = _of(ended, kind.name)
        if some:
            yield _row(kind.name, some, rate)
    yield _row("all", ended, rate)


def _row(name: str, some: Sequence[Outcome], rate: float) -> str:
    back = [each for each in some if each.end == "rolled back"]
    stages = sorted((each.stage for each in back), key=lambda stage: (stage.endswith("mirrored"), stage))
    stage = statistics.mode(stages) if stages else ""
    hours = [each.seconds / 3600 for each in some if each.seconds is not None and each.end == "live"]
    counts = [_count(some, end) for end in ("live", "rejected", "inconclusive")]
    when = f"{statistics.median(hours):.1f} h" if hours else ""
    live, rejected, unsure = counts
    harmed = statistics.fmean(each.harmed(rate) for each in some)
    return (
        f"{name:<20}{len(some):>5}{live:>8}{rejected:>8}{unsure:>8}{len(back):>8}  {stage:<14}{harmed:>9.0f}{when:>10}"
    )


def _count(some: Sequence[Outcome], end: str) -> int:
    return sum(each.end == end for each in some)


def side_by_side(systems: Ended, rate: float) -> Iterator[str]:
    """How many of each kind go live, and the requests harmed in all, by system."""
    names = [kind.name for kind in KINDS]
    for title, cell in _CELLS.items():
        yield title
        yield f"{'':<24}" + "".join(f"{name:>19}" for name in names) + f"{'all':>12}"
        for system, ended in systems.items():
            cells = [cell(_of(ended, name), rate) for name in names]
            yield f"{system:<24}" + "".join(f"{text:>19}" for text in cells) + f"{cell(ended, rate):>12}"


def _live_of(some: Sequence[Outcome], _: float) -> str:
    return f"{_count(some, 'live')} of {len(some)}"


def _harmed(some: Sequence[Outcome], rate: float) -> str:
    return f"{sum(each.harmed(rate) for each in some):,.0f}"


_CELLS: Mapping[str, Callable[[Sequence[Outcome], float], str]] = {
    "versions that go live": _live_of,
    f"requests harmed within {HORIZON_SECONDS / 3600:.0f} h of a version's first, beyond the champion's": _harmed,
}


def chart(systems: Ended, rate: float, rates: Sequence[Rates]) -> Iterator[str]:
    """Requests harmed by system, as bars; wrong versions live; good ones lost.

    A rival is measured by what anew would harm in the long run: so few releases may happen to let nothing slip.
    """
    totals = {name: max(0.0, sum(each.harmed(rate) for each in ended)) for name, ended in systems.items()}
    first = in_the_long_run(next(iter(systems.values())), rate, rates)
    yield f"{'anew in the long run':<24}{'':<{_WIDTH}} {first:>12,.0f}  by the rates at which its gate alone errs"
    most = max(totals.values(), default=0.0) or 1.0
    for name, total in totals.items():
        bar = "█" * round(_WIDTH * total / most) or "▏"
        times = f" ({total / first:,.0f} x)" if first and name != next(iter(totals)) else ""
        wrong = sum(each.end == "live" and each.kind.harm > 0.001 for each in systems[name])
        lost = sum(each.end != "live" and each.kind.harm <= 0.001 for each in systems[name])
        yield f"{name:<24}{bar:<{_WIDTH}} {total:>12,.0f}{times:<10} wrong live {wrong:>3}, good kept out {lost:>3}"


def in_the_long_run(ended: Sequence[Outcome], rate: float, rates: Sequence[Rates]) -> float:
    """Requests harmed by wrong versions that the gate lets through as often as it does over many draws, were none of
    them seen by the rollout.
    """
    passing = {each.kind.name: each.promoted / 100 for each in rates}
    wrong = [each.kind for each in ended if each.kind.gain < 0]
    return sum(passing[kind.name] * kind.harm * HORIZON_SECONDS * rate for kind in wrong)


def of_gate(rates: Sequence[Rates], draws: int) -> Iterator[str]:
    """The long-run rates of the gate alone."""
    yield f"gate alone, {draws:,} draws of each, in percent; '>' compares both accuracies on the first rows"
    yield f"{'':<20}{'promoted':>10}{'at first':>10}{'rejected':>10}{'unsure':>10}{'>':>10}"
    for each in rates:
        yield (
            f"{each.kind.name:<20}{each.promoted:>10.2f}{each.at_first:>10.2f}{each.rejected:>10.2f}"
            f"{each.inconclusive:>10.2f}{each.naive:>10.2f}"
        )


def as_json(systems: Ended, rate: float, met: Sequence[Goal]) -> dict[str, Any]:
    """All of it for a program."""
    return {
        "goals": [{"text": g.text, "count": g.count, "of": g.of, "met": g.met} for g in met],
        "systems": {
            name: [
                {
                    "release": each.number,
                    "kind": each.kind.name,
                    "end": each.end,
                    "stage": each.stage,
                    "evaluations": each.evaluations,
                    "seconds": each.seconds,
                    "reached_all": each.reached_all,
                    "harmed": round(each.harmed(rate), 1),
                    "note": each.note,
                }
                for each in ended
            ]
            for name, ended in systems.items()
        },
    }
