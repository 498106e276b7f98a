"""The result of a computation of drift: a value beside its noise floor, or the reason why there is none."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

DEFAULT_ALPHA: Final = 0.001
"""The chance that a value of a feature which has not drifted is above its noise floor.

Fifty features read weekly are 2600 values a year: at the usual 0.05 that would be 130 false ones, at 0.001 it is 2 or
3. It costs little, because a floor grows with the square root of log(1/alpha) only: by 1.5 to 1.7 against 0.05.
"""


class Metric(StrEnum):
    """The metrics, under the names Azure ML writes into a monitor's outputs and tags."""

    PSI = "PopulationStabilityIndex"
    JENSEN_SHANNON = "JensenShannonDistance"
    WASSERSTEIN = "NormalizedWassersteinDistance"
    KOLMOGOROV_SMIRNOV = "TwoSampleKolmogorovSmirnovTest"
    CHI_SQUARED = "PearsonsChiSquaredTest"

    @property
    def is_p_value(self) -> bool:
        """Whether less means more drift."""
        return self in _P_VALUES


_P_VALUES: Final = frozenset({Metric.KOLMOGOROV_SMIRNOV, Metric.CHI_SQUARED})
NUMERIC_METRICS: Final = (Metric.PSI, Metric.JENSEN_SHANNON, Metric.WASSERSTEIN, Metric.KOLMOGOROV_SMIRNOV)
CATEGORICAL_METRICS: Final = (Metric.PSI, Metric.JENSEN_SHANNON, Metric.CHI_SQUARED)


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows stand behind a value: those with a usable value, and what was left out of the window.

    `nulls` counts None and NaN, `infinities` counts both signs.
    """

    window: int
    reference: int
    nulls: int = 0
    infinities: int = 0


@dataclass(frozen=True, slots=True)
class DriftValue:
    """One metric of one feature; every number is finite.

    `noise_floor` is the critical value at `alpha` when nothing drifted, for these numbers of rows. `statistic` is the
    one behind a p-value: D in 0..1 for Kolmogorov-Smirnov, chi-squared for Pearson, None for the others.
    """

    feature: str
    metric: Metric
    value: float
    noise_floor: float
    rows: Rows
    statistic: float | None = None

    @property
    def is_evidence(self) -> bool:
        """Whether the value is beyond the noise floor. False is *insufficient evidence* of drift, which is not evidence
        that there is none.
        """
        return self.value < self.noise_floor if self.metric.is_p_value else self.value > self.noise_floor


@dataclass(frozen=True, slots=True)
class NotMeasurable:
    """A metric of a feature that has no value, and the reason for a person to read."""

    feature: str
    metric: Metric
    reason: str
    rows: Rows


Drift = DriftValue | NotMeasurable


class Computed(NamedTuple):
    """A value without its feature and metric; either of the first two may not be finite."""

    value: float
    noise_floor: float
    statistic: float | None = None


def outcome(feature: str, metric: Metric, computed: Computed | str, rows: Rows) -> Drift:
    """The computed value as a drift, or the reason why there is none."""
    if isinstance(computed, str):
        return NotMeasurable(feature, metric, computed, rows)
    if not (math.isfinite(computed.value) and math.isfinite(computed.noise_floor)):
        return NotMeasurable(feature, metric, "the values are too far apart for arithmetic", rows)
    return DriftValue(feature, metric, computed.value, computed.noise_floor, rows, computed.statistic)
