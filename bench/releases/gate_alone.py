"""The gate and its hold alone, over so many draws that rates can be told to a tenth of a percent."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from anew.core.gate import (
    EvaluationResult,
    GateOutcome,
    PairedCounts,
    at_each_analysis,
    evaluation_of_counts,
    judge_gate,
    most_analyses,
)
from anew.core.policies.gate import Gate
from bench.releases.plan import KINDS, Counts, Kind, draw_counts

GATE: Final = Gate(kind="non_inferiority")


@dataclass(frozen=True, slots=True)
class Rates:
    """Of how many draws of a kind, in percent; naive is the comparison of the two accuracies on the first rows."""

    kind: Kind
    promoted: float
    rejected: float
    inconclusive: float
    at_first: float
    naive: float


def long_run(draws: int, seed: int) -> list[Rates]:
    """The rates of every kind that differs in accuracy."""
    kinds = {kind.gain: kind for kind in reversed(KINDS)}
    chance = np.random.default_rng([seed, draws])
    return [_rates(kind, draws, chance) for _, kind in sorted(kinds.items(), reverse=True)]


def judge_until_over(days: tuple[Counts, ...]) -> tuple[GateOutcome, int]:
    """What the gate says at last, and at which evaluation; on one more day's rows each time."""
    rows, outcome = None, GateOutcome.INCONCLUSIVE
    for number, day in enumerate(days[: most_analyses(GATE)]):
        rows = day if rows is None else rows + day
        outcome = judge_gate(at_each_analysis(GATE), _evaluation(rows)).outcome
        if outcome is not GateOutcome.INCONCLUSIVE:
            return outcome, number
    return outcome, most_analyses(GATE) - 1


def _evaluation(rows: Counts) -> EvaluationResult:
    counted = PairedCounts(
        rows.both + rows.only_challenger, rows.both + rows.only_champion, rows.only_champion, rows.only_challenger
    )
    return evaluation_of_counts(rows.rows, str(rows.rows), counted)


def _rates(kind: Kind, draws: int, chance: np.random.Generator) -> Rates:
    days = [tuple(draw_counts(kind, chance) for _ in range(most_analyses(GATE))) for _ in range(draws)]
    ended = [judge_until_over(each) for each in days]

    def share(outcome: GateOutcome, *, first: bool = False) -> float:
        return 100 * sum(said is outcome and not (first and number) for said, number in ended) / draws

    return Rates(
        kind,
        share(GateOutcome.PROMOTE),
        share(GateOutcome.REJECT),
        share(GateOutcome.INCONCLUSIVE),
        share(GateOutcome.PROMOTE, first=True),
        100 * sum(first.only_challenger > first.only_champion for first, *_ in days) / draws,
    )
