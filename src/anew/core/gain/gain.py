"""When retraining pays: sequential rules on the gain a new model would have had over the one in production.

The gain of a batch is measured without training the real model. Small surrogate models are trained on the champion's
training window and on the newest window; both score the same labelled batch; the difference of their accuracies is
the gain of a new model there. Gains are in accuracy (0 to 1), summed gains in accuracy x batches, and so is `cost`, the
cost of one retraining.

- `gain_cusum` is the published rule (CUSUM of Page, Biometrika 1954, on estimated gains): retrain when the summed gain
  beyond a noise allowance reaches half the cost.
- `adaptive_gain_cusum` asks for more evidence while nothing shows that models age on this stream, for none once that
  is shown, and looks one batch ahead where models age steadily.

All functions are pure. `anew.backtest.surrogates` trains the surrogates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from anew.core.statistics.cusum import cusum

_HALF: Final = 0.5


@dataclass(frozen=True)
class GainEvidence:
    """The evidence at one moment on the gain of retraining the champion.

    `gains` and `errors` (standard errors) are of the champion's labelled batches, oldest first, without the first
    one after its training: there a new model is the champion itself. `rows` are their row counts. `shortfalls` are the
    losses of the champion itself on them beyond those of its surrogates; empty if unknown.
    `typical_error` is the standard error of one gain now. `ageing` is the mean gain over models 4 to 24 batches old
    in the newest 16 batches, in standard errors: above 4, models age on this stream. `anticipated` is the expected gain
    of the next batch if ageing is steady. `pending` is the number of batches the champion has served without labels
    yet.
    """

    gains: tuple[float, ...]
    errors: tuple[float, ...]
    rows: tuple[int, ...]
    typical_error: float
    shortfalls: tuple[float, ...] = ()
    ageing: float = 0.0
    anticipated: float = 0.0
    pending: int = 0


@dataclass(frozen=True)
class GainVerdict:
    """Retrain or not, and the comparison: `statistic` >= `threshold`, both in accuracy x batches."""

    retrain: bool
    statistic: float
    threshold: float
    sentence: str
    parts: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class AdaptiveGain:
    """Settings of `adaptive_gain_cusum`; the defaults were fixed on development streams and checked on others.

    While nothing proves that models age on this stream, each gain is reduced by `allowance` standard errors, and their
    sum has to reach `hurdle` standard errors, and `share` of the cost. Once `ageing` exceeds `proof`, chance no longer
    explains the gains: they count in full, with `own_record` of the shortfalls, and have to reach `proven_share` of the
    cost. `carry` is the part of the newest gains that is assumed for each batch whose labels are late.
    """

    share: float = 0.5
    allowance: float = 0.75
    hurdle: float = 5.0
    proof: float = 4.0
    proven_share: float = 0.9
    carry: float = 0.5
    own_record: float = 0.3


def gain_cusum(evidence: GainEvidence, *, cost: float, allowance: float = 0.25) -> GainVerdict:
    """The published rule: retrain when the gain summed beyond a noise allowance reaches half the cost.

    The allowance of each batch is in standard errors of an accuracy of one half, `sqrt(0.25 / rows)`.
    """
    _check_cost(cost)
    noise = [allowance * math.sqrt(0.25 / max(1, rows)) for rows in evidence.rows]
    summed = _cusum_beyond(evidence.gains, noise)
    threshold = _HALF * cost
    sentence = (
        f"a fresh model would have gained {summed:.4f} accuracy x batches beyond noise since the last training, "
        f"{_against(summed, threshold)} {threshold:.4f}, half of what a retraining costs"
    )
    return GainVerdict(summed >= threshold, summed, threshold, sentence, {"summed_gain": summed})


def adaptive_gain_cusum(evidence: GainEvidence, *, cost: float, settings: AdaptiveGain | None = None) -> GainVerdict:
    """Gain-CUSUM that adapts the evidence it asks for to the stream.

    The statistic is the summed gain, with the gain expected for the next batch and for batches whose labels are late.
    On a stream that does not drift, chance alone does not reach the hurdle; where models provably age, waiting for
    proof about each single champion would cost more than it saves. The threshold never falls as cost rises.
    """
    _check_cost(cost)
    chosen = settings or AdaptiveGain()
    proven = evidence.ageing > chosen.proof
    summed = (
        _proven_sum(evidence, chosen)
        if proven
        else _cusum_beyond(evidence.gains, [chosen.allowance * error for error in evidence.errors])
    )
    economic = cost * (chosen.proven_share if proven else chosen.share)
    hurdle = 0.0 if proven else chosen.hurdle * evidence.typical_error
    seen = summed + evidence.anticipated
    # Gains without labels yet may count towards the cost, but never towards the proof.
    pending = _pending_gain(evidence, chosen) if seen >= hurdle else 0.0
    parts = {
        "summed_gain": summed,
        "anticipated_gain": evidence.anticipated,
        "pending_gain": pending,
        "cost_threshold": economic,
        "noise_threshold": hurdle,
        "ageing": evidence.ageing,
    }
    statistic, threshold = seen + pending, max(economic, hurdle)
    sentence = _adaptive_sentence(parts, statistic, economic / cost)
    return GainVerdict(statistic >= threshold, statistic, threshold, sentence, parts)


def _pending_gain(evidence: GainEvidence, chosen: AdaptiveGain) -> float:
    newest = evidence.gains[-3:]
    return chosen.carry * evidence.pending * max(0.0, sum(newest) / len(newest)) if newest else 0.0


def _proven_sum(evidence: GainEvidence, chosen: AdaptiveGain) -> float:
    # Surrogates only resemble the real model. If it loses faster than they do, part of that counts too; only a part,
    # because this difference is noisier than a gain.
    if len(evidence.shortfalls) != len(evidence.gains):
        return cusum(evidence.gains)
    pairs = zip(evidence.gains, evidence.shortfalls, strict=True)
    return cusum(gain + chosen.own_record * short for gain, short in pairs)


def _cusum_beyond(gains: Sequence[float], noise: Sequence[float]) -> float:
    return cusum(gain - allowed for gain, allowed in zip(gains, noise, strict=True))


def _check_cost(cost: float) -> None:
    if not (math.isfinite(cost) and cost > 0):
        raise ValueError(f"the cost of a retraining is a positive number of accuracy x batches; got {cost!r}")


def _adaptive_sentence(parts: dict[str, float], statistic: float, share: float) -> str:
    hurdle, economic = parts["noise_threshold"], parts["cost_threshold"]
    what = f"a fresh model would have gained {parts['summed_gain']:.4f} accuracy x batches since its training"
    if parts["anticipated_gain"] > 0:
        what += f", and {parts['anticipated_gain']:.4f} more in the next batch as models age steadily"
    if parts["pending_gain"] > 0:
        what += f", and about {parts['pending_gain']:.4f} in batches whose labels are late"
    if hurdle > economic:
        why = f"what chance could do while nothing shows that models age here (ageing {parts['ageing']:.1f})"
        return f"{what}, {_against(statistic, hurdle)} {hurdle:.4f}, {why}"
    return f"{what}, {_against(statistic, economic)} {economic:.4f}, {share:.0%} of what a retraining costs"


def _against(value: float, threshold: float) -> str:
    return "at least" if value >= threshold else "less than"
