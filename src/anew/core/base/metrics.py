"""The metrics anew knows by name: one spelling for each, and the direction in which it gets worse."""

from enum import StrEnum
from functools import lru_cache

DETAILS_UNKNOWN = "breach"  # the metric of a signal whose monitor reported a breach without readable details
MONITOR_FAILED = "monitor_failed"  # the metric of a monitor run that had no data, or broke


class Worse(StrEnum):
    """Which way a metric goes when things get worse."""

    ABOVE = "above"
    BELOW = "below"


_BELOW = (
    "TwoSampleKolmogorovSmirnovTest",  # a p-value
    "PearsonsChiSquaredTest",  # a p-value
    "NormalizedDiscountedCumulativeGain",
    "Accuracy",
    "Precision",
    "Recall",
    "F1",
    "RocAuc",
    "R2",
)
_ABOVE = (
    "PopulationStabilityIndex",
    "JensenShannonDistance",
    "NormalizedWassersteinDistance",
    "drift_coefficient",
    "NullValueRate",
    "OutOfBoundsRate",
    "DataTypeErrorRate",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "LogLoss",
    "ErrorRate",
    "gain",  # the gain that a newly trained model would bring
)
_BELOW_PREFIX = "aggregated"  # the GenAI scores: AggregatedGroundednessPassRate and the like
_SYNONYMS = {
    "chisquaredtest": "pearsonschisquaredtest",
    "mae": "meanabsoluteerror",
    "mse": "meansquarederror",
    "rmse": "rootmeansquarederror",
    "psi": "populationstabilityindex",
    "auc": "rocauc",
    "datadriftcoefficient": "driftcoefficient",
}


@lru_cache(maxsize=4096)
def canonical_metric(name: str) -> str:
    """One spelling for a metric: Azure writes `two_sample_kolmogorov_smirnov_test` in YAML and
    `TwoSampleKolmogorovSmirnovTest` in outputs and tags.
    """
    plain = name.replace("_", "").replace(" ", "").replace("-", "").casefold()
    return _SYNONYMS.get(plain, plain)


_DIRECTIONS = {canonical_metric(name): Worse.BELOW for name in _BELOW} | {
    canonical_metric(name): Worse.ABOVE for name in _ABOVE
}


def direction_of(metric: str) -> Worse | None:
    """The direction in which this metric gets worse, by its definition; None for a metric anew does not know.

    Azure's own component compares Accuracy, Precision and Recall the other way round (azureml-assets,
    `evaluate_metrics_threshold.py`), so that it tags a *good* accuracy as a breach; anew does not follow it.
    """
    name = canonical_metric(metric)
    if name.startswith(_BELOW_PREFIX):
        return Worse.BELOW
    return _DIRECTIONS.get(name)


def required_direction(metric: str) -> Worse:
    """The direction in which this metric gets worse. Raises ValueError for a metric anew does not know."""
    if (known := direction_of(metric)) is None:
        names = ", ".join(sorted((*_BELOW, *_ABOVE), key=str.casefold))
        raise ValueError(f"which way '{metric}' gets worse is not known: use 'above' or 'below'; known: {names}")
    return known


def check_direction(metric: str, given: Worse) -> None:
    """Raises ValueError if this metric is known to get worse in the other direction."""
    known = direction_of(metric)
    if known is not None and known is not given:
        falls = "falls" if known is Worse.BELOW else "rises"
        raise ValueError(f"{metric} gets worse as it {falls}: use '{known}' or 'worse_than', not '{given}'")
