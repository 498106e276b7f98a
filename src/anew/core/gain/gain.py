"""When retraining pays: sequential rules on the gain a fresh model would have had over the serving one.

The gain of a batch is measured without training the real model. Small surrogate models are trained on the champion's
training window and on the newest window; both score the same labelled batch; the difference of their accuracies is
what a fresh model would have gained there. Gains are in accuracy (0 to 1), summed gains in accuracy x batches, and so
is `cost`: what one retraining costs.

- `gain_cusum` is the published rule (CUSUM of Page, Biometrika 1954, on estimated gains): retrain when the summed gain
  beyond a noise allowance reaches half the cost.
- `adaptive_gain_cusum` asks for more evidence while nothing shows that models age on this stream, for none once that
  is shown, and looks one batch ahead where models age steadily.

All functions are pure. Nothing here knows how a surrogate is trained: see `anew.backtest.surrogates`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from anew.core.statistics.cusum import cusum

Matrix = npt.NDArray[np.float64]

_HALF: Final = 0.5
_YOUNG: Final = 3
_STEADY_BATCHES: Final = 12
_STEADY_AT_LEAST: Final = 5
_AGEING_AT_LEAST: Final = 4
_OLD_FROM: Final = 4
_OLD_TO: Final = 24


@dataclass(frozen=True)
class GainMatrix:
    """What the surrogates of every training window scored on every later batch.

    accuracy[m, s]: mean accuracy on batch s of the surrogates trained up to batch m, for first <= m < s; NaN
    elsewhere. error[m, s]: the standard error of the paired difference between them and those trained up to batch
    s-1. Both are (batches, batches). rows[s] is the number of labelled rows of batch s, first the last batch of the
    first training window.
    """

    accuracy: Matrix
    error: Matrix
    rows: npt.NDArray[np.int64]
    first: int

    def __post_init__(self) -> None:
        square = (len(self.rows), len(self.rows))
        if self.accuracy.shape != square or self.error.shape != square:
            raise ValueError(
                f"a gain matrix of {len(self.rows)} batches is square; got {self.accuracy.shape}, {self.error.shape}"
            )

    @cached_property
    def gain(self) -> Matrix:
        """What fresh surrogates, trained up to batch s-1, gained on batch s over those trained up to batch m."""
        gain = np.full_like(self.accuracy, np.nan)
        gain[:, 1:] = np.diagonal(self.accuracy, 1) - self.accuracy[:, 1:]
        return gain


@dataclass(frozen=True)
class GainEvidence:
    """What is known at one moment about the gain of retraining the champion.

    `gains` and `errors` (standard errors) are of the champion's labelled batches, oldest first, without the first
    one after its training: there a fresh model is the champion itself. `rows` are their row counts. `shortfalls` say
    by how much more the champion itself lost on them than its surrogates did; empty if unknown.
    `typical_error` is the standard error of one gain now. `ageing` is the mean gain over models 4 to 24 batches old
    in the newest 16 batches, in standard errors: above 4, models age on this stream. `anticipated` is the gain of the
    next batch that steady ageing lets expect. `pending` counts batches the champion has served whose labels are
    still to come.
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
    """Retrain or not, with what was compared: `statistic` >= `threshold`, both in accuracy x batches."""

    retrain: bool
    statistic: float
    threshold: float
    sentence: str
    parts: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class AdaptiveGain:
    """Settings of `adaptive_gain_cusum`; the defaults were fixed on development streams and checked on others.

    While nothing proves that models age on this stream, each gain is cut by `allowance` standard errors, their sum
    has to reach `hurdle` standard errors, and `share` of the cost. Once `ageing` exceeds `proof`, chance is no longer
    the explanation to fear: gains count in full, with `own_record` of the shortfalls, and `proven_share` of the cost
    is what they have to reach.
    `carry`: part of the newest gains that is assumed for each batch whose labels are late.
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
    """Gain-CUSUM whose demand for evidence adapts to the stream.

    The statistic is the summed gain, and what is anticipated for the next batch and for batches whose labels are late.
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
    # What labels have not shown yet may count towards the cost, and never towards the proof.
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


def evidence_at(
    matrix: GainMatrix,
    *,
    champion: int,
    labelled: int,
    now: int | None = None,
    records: Mapping[int, Sequence[float]] | None = None,
) -> GainEvidence:
    """The evidence for retraining the model trained up to batch `champion`, at batch `now`.

    Labels are known up to batch `labelled`; nothing newer is read. `now` is `labelled` unless labels come late.
    `records` holds the accuracies of the champion and of its predecessors: by the last batch each was trained on,
    from the next batch on.
    """
    served = slice(champion + 2, labelled + 1)
    current = labelled if now is None else now
    return GainEvidence(
        gains=tuple(matrix.gain[champion, served].tolist()),
        errors=tuple(matrix.error[champion, served].tolist()),
        rows=tuple(matrix.rows[served].tolist()),
        typical_error=_typical_error(matrix, champion, labelled),
        shortfalls=_shortfalls(matrix, champion, labelled, records or {}),
        ageing=ageing_at(matrix, labelled),
        anticipated=steady_gain_at(matrix, labelled),
        pending=current - labelled,
    )


def ageing_at(matrix: GainMatrix, labelled: int, *, batches: int = 16) -> float:
    """How clearly older models lose to fresh ones: mean over the newest batches, in standard errors; 0 if unknown.

    Each batch contributes the mean gain over models 4 to 24 batches old. Taken over all of them rather than over the
    champion alone, it tells a stream that drifts from a champion that had bad luck.
    """
    first = max(matrix.first + 1 + _OLD_FROM, labelled - batches + 1)
    gains = [_mean_gain_of_old(matrix, batch) for batch in range(first, labelled + 1)]
    if len(gains) < _AGEING_AT_LEAST:
        return 0.0
    newest = matrix.error[max(matrix.first, labelled - 9) : labelled, labelled - 5 : labelled + 1]
    error = float(np.nanmedian(newest))
    return float(np.mean(gains)) * math.sqrt(len(gains)) / error if error > 0 else 0.0


def steady_gain_at(matrix: GainMatrix, labelled: int, *, quantile: float = 0.3) -> float:
    """The gain over a model one batch old that most of the newest 12 batches showed (their 0.3-quantile, at least 0).

    A low quantile and not the mean: steady ageing is foreseeable, the mean of rare jumps is not.
    """
    first = max(matrix.first + 2, labelled - _STEADY_BATCHES + 1)
    gains = [float(matrix.gain[batch - 2, batch]) for batch in range(first, labelled + 1)]
    return max(0.0, float(np.quantile(gains, quantile))) if len(gains) >= _STEADY_AT_LEAST else 0.0


def _shortfalls(
    matrix: GainMatrix, champion: int, labelled: int, records: Mapping[int, Sequence[float]]
) -> tuple[float, ...]:
    """The lead of real models over their surrogates in their first 3 batches, minus the champion's lead now."""
    leads = {model: _lead(matrix, model, labelled, record) for model, record in records.items()}
    young = [lead for known in leads.values() for lead in known[:_YOUNG].tolist()]
    if champion not in leads or not young:
        return ()
    return tuple((np.mean(young) - leads[champion][1:]).tolist())


def _lead(matrix: GainMatrix, model: int, labelled: int, record: Sequence[float]) -> Matrix:
    known = min(len(record), max(0, labelled - model))
    return np.asarray(record[:known], dtype=np.float64) - matrix.accuracy[model, model + 1 : model + 1 + known]


def _mean_gain_of_old(matrix: GainMatrix, batch: int) -> float:
    oldest = max(matrix.first, batch - 1 - _OLD_TO)
    return float(np.mean(matrix.gain[oldest : batch - _OLD_FROM, batch]))


def _typical_error(matrix: GainMatrix, champion: int, labelled: int) -> float:
    """Mean standard error of the champion's newest 8 gains; before it has any, that of its predecessor."""
    if labelled >= champion + 2:
        return float(matrix.error[champion, max(champion + 2, labelled - 7) : labelled + 1].mean())
    known = matrix.error[matrix.first : labelled, labelled] if labelled > matrix.first else np.array([])
    known = known[np.isfinite(known) & (known > 0)]
    return float(known.mean()) if len(known) else math.inf


def _pending_gain(evidence: GainEvidence, chosen: AdaptiveGain) -> float:
    newest = evidence.gains[-3:]
    return chosen.carry * evidence.pending * max(0.0, sum(newest) / len(newest)) if newest else 0.0


def _proven_sum(evidence: GainEvidence, chosen: AdaptiveGain) -> float:
    # Surrogates are no more than like the real model. Where it loses faster than they do, part of that counts too:
    # a part only, for this difference is noisier than a gain.
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
