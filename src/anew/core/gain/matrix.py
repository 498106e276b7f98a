"""The gains that surrogates measured on a stream, and the evidence for retraining that follows from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from anew.core.gain.gain import GainEvidence

Matrix = npt.NDArray[np.float64]

_YOUNG: Final = 3
_STEADY_BATCHES: Final = 12
_STEADY_AT_LEAST: Final = 5
_AGEING_AT_LEAST: Final = 4
_OLD_FROM: Final = 4
_OLD_TO: Final = 24


@dataclass(frozen=True)
class GainMatrix:
    """The accuracy of the surrogates of every training window on every later batch.

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
        """The gain on batch s of new surrogates, trained up to batch s-1, over those trained up to batch m."""
        gain = np.full_like(self.accuracy, np.nan)
        gain[:, 1:] = np.diagonal(self.accuracy, 1) - self.accuracy[:, 1:]
        return gain


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
    """The mean gain of new models over older ones in the newest batches, in standard errors; 0 if unknown.

    Each batch contributes the mean gain over models 4 to 24 batches old. A mean over all of them, and not over the
    champion alone, distinguishes a stream that drifts from a champion that had bad luck.
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

    A low quantile, not the mean: steady ageing can be foreseen, the mean of rare jumps cannot.
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
