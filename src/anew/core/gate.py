"""The comparison of challenger and champion on the same rows: non-inferiority on paired right and wrong answers.

Comparing two point estimates promotes a slightly worse model about half the time, so the gate asks for a confidence
bound, and has a third answer for when the rows are too few to tell.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from statistics import NormalDist
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anew.core.policy import Gate
from anew.errors import InvalidEvaluation

POWER = 0.8  # the chance of a promotion that `required_rows` aims at, when both models are equally good


class GateOutcome(StrEnum):
    """What the gate said. Inconclusive is not a pass."""

    PROMOTE = "promote"
    REJECT = "reject"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Paired counts over the same `rows` rows, whose content hashes to data_hash.

    `only_champion` counts rows that the champion alone got right. The champion's are None when none serves yet.
    """

    rows: int
    data_hash: str
    challenger_correct: int
    champion_correct: int | None = None
    only_champion: int | None = None
    only_challenger: int | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """The verdict with its figures; sentence says why in words.

    Accuracies are shares in 0..1, differences (challenger - champion) in -1..1. `required_rows` is how many rows
    would give two equally good models a chance of 80 % to pass; None when no number would (margin 0). Without an
    evaluation, rows is 0, data_hash empty and every figure None.
    """

    outcome: GateOutcome
    sentence: str
    rows: int
    data_hash: str
    accuracy_challenger: float | None = None
    accuracy_champion: float | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    margin: float | None = None
    required_rows: int | None = None


def judge_gate(gate: Gate, result: EvaluationResult) -> GateResult:
    """Promote, reject or inconclusive, by one-sided confidence bounds of the paired accuracy difference.

    Without a champion the policy's `without_champion` is the answer, however many rows there are.
    """
    if result.champion_correct is None or result.only_champion is None or result.only_challenger is None:
        accuracy = result.challenger_correct / result.rows
        return replace(
            without_champion(gate), rows=result.rows, data_hash=result.data_hash, accuracy_challenger=accuracy
        )
    worse, better, rows = result.only_champion, result.only_challenger, result.rows
    lower, upper = paired_bounds(worse, better, rows, gate.confidence)
    difference, needed = (better - worse) / rows, _required_rows(worse, better, rows, gate)
    judged = GateResult(
        outcome=_outcome(gate, rows, lower, upper),
        sentence="",
        rows=rows,
        data_hash=result.data_hash,
        accuracy_challenger=result.challenger_correct / rows,
        accuracy_champion=result.champion_correct / rows,
        difference=difference,
        lower=lower,
        upper=upper,
        margin=gate.margin,
        required_rows=needed,
    )
    return replace(judged, sentence=_sentence(gate, judged, lower, upper))


def without_champion(gate: Gate) -> GateResult:
    """The answer of a policy whose model no version serves yet: there is nothing to compare with."""
    return GateResult(
        outcome=GateOutcome(gate.without_champion),
        sentence=f"no version is in production yet, and the policy says: {gate.without_champion}",
        rows=0,
        data_hash="",
        margin=gate.margin,
    )


def paired_bounds(only_champion: int, only_challenger: int, rows: int, confidence: float) -> tuple[float, float]:
    """Lower and upper one-sided bounds of (challenger - champion) accuracy, each at this confidence.

    The adjusted Wald interval of Bonett and Price (2012), "Adjusted Wald Confidence Interval for a Difference of
    Binomial Proportions Based on Paired Data", J. Educ. Behav. Stat. 37(4): one row is added to each discordant
    cell, which keeps the size near nominal at small counts, where the plain interval collapses to a point.
    """
    worse, better = (only_champion + 1) / (rows + 2), (only_challenger + 1) / (rows + 2)
    centre = better - worse
    reach = _quantile(confidence) * math.sqrt((worse + better - centre * centre) / (rows + 2))
    return max(centre - reach, -1.0), min(centre + reach, 1.0)


def parse_evaluation(text: str) -> EvaluationResult:
    """The result an evaluation job reports in its tag `anew_evaluation`. Raises InvalidEvaluation for text that is
    not such a report, and for counts that cannot all be true of one table of rows.
    """
    try:
        report = _Report.model_validate_json(text)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'tag'}: {e['msg']}" for e in error.errors())
        raise InvalidEvaluation(f"the tag anew_evaluation is not a report: {said}") from None
    if contradiction := _contradiction(report):
        raise InvalidEvaluation(f"the counts in the tag anew_evaluation contradict each other: {contradiction}")
    return EvaluationResult(**report.model_dump(exclude={"task"}))


class _Report(BaseModel):
    """The wire form of an EvaluationResult. Keys it does not know are left for newer evaluators."""

    model_config = ConfigDict(strict=True, frozen=True)

    task: Literal["classification"]
    rows: Annotated[int, Field(ge=1)]
    data_hash: Annotated[str, Field(min_length=1)]
    challenger_correct: Annotated[int, Field(ge=0)]
    champion_correct: Annotated[int, Field(ge=0)] | None = None
    only_champion: Annotated[int, Field(ge=0)] | None = None
    only_challenger: Annotated[int, Field(ge=0)] | None = None


def _contradiction(report: _Report) -> str | None:
    champion, worse, better = report.champion_correct, report.only_champion, report.only_challenger
    if report.challenger_correct > report.rows:
        return f"challenger_correct {report.challenger_correct} of {report.rows} rows"
    if champion is None and worse is None and better is None:
        return None
    if champion is None or worse is None or better is None:
        return "champion_correct, only_champion and only_challenger come together or not at all"
    both = champion - worse
    if both != report.challenger_correct - better:
        return "champion_correct - only_champion is not challenger_correct - only_challenger"
    if both < 0 or both + worse + better > report.rows:
        return f"{both} rows right by both, {worse} and {better} by one alone, of {report.rows}"
    return None


# --- the test ---------------------------------------------------------------------------------------------


def _outcome(gate: Gate, rows: int, lower: float, upper: float) -> GateOutcome:
    if rows < gate.min_rows:
        return GateOutcome.INCONCLUSIVE
    if lower > -gate.margin:
        return GateOutcome.PROMOTE
    return GateOutcome.REJECT if upper < -gate.margin else GateOutcome.INCONCLUSIVE


def _required_rows(worse: int, better: int, rows: int, gate: Gate) -> int | None:
    """Normal approximation at a true difference of 0: (z_confidence + z_power)^2 * disagreement / margin^2."""
    if gate.margin == 0:
        return None
    disagreement = (worse + better + 2) / (rows + 2)
    needed = (_quantile(gate.confidence) + _quantile(POWER)) ** 2 * disagreement / gate.margin**2
    return max(gate.min_rows, math.ceil(needed))


def _sentence(gate: Gate, judged: GateResult, lower: float, upper: float) -> str:
    figures = f"challenger - champion = {judged.difference:+.2%} on {judged.rows} rows"
    allowed = f"at {gate.confidence:.0%} confidence, and {-gate.margin:+.2%} is allowed"
    match judged.outcome:
        case GateOutcome.PROMOTE:
            return f"{figures}: no worse than {lower:+.2%} {allowed}"
        case GateOutcome.REJECT:
            return f"{figures}: at best {upper:+.2%} {allowed}"
        case GateOutcome.INCONCLUSIVE if judged.rows < gate.min_rows:
            return f"{figures}: the policy asks for {gate.min_rows}"
        case GateOutcome.INCONCLUSIVE:
            needed = judged.required_rows
            more = f"; about {needed} rows would tell" if needed is not None and needed > judged.rows else ""
            return f"{figures}: between {lower:+.2%} and {upper:+.2%} {allowed}{more}"


@lru_cache(maxsize=64)
def _quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)
