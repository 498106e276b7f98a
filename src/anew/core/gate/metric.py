"""The metric of a gate: its kind, which way is better, the limit of the difference, and how values are written."""

from enum import StrEnum

from anew.core.base.metrics import Worse, canonical_metric
from anew.core.policies.gate import Gate


class GateMetric(StrEnum):
    """The metrics computed from labels and predictions. Any other name is a column that is averaged."""

    ACCURACY = "accuracy"
    F1 = "f1"
    AUC = "auc"
    MAE = "mae"
    RMSE = "rmse"


_BY_NAME = {canonical_metric(metric): metric for metric in GateMetric}
_SHARES = (GateMetric.ACCURACY, GateMetric.F1, GateMetric.AUC)


def metric_named(name: str) -> GateMetric | None:
    """The metric of this name in any spelling (`RocAuc`, `mean_absolute_error`), or None for a column's."""
    return _BY_NAME.get(canonical_metric(name))


def same_metric(name: str, other: str) -> bool:
    """Whether two names mean one metric."""
    return canonical_metric(name) == canonical_metric(other)


def better_sign(gate: Gate) -> int:
    """1 when more of the gate's metric is better, -1 when less is."""
    return 1 if gate.worsens is Worse.BELOW else -1


def edge(gate: Gate) -> float:
    """The limit that the bounds of the difference are compared with."""
    return gate.margin if gate.kind == "superiority" else -gate.margin


def format_metric(metric: str, value: float, *, signed: bool = False) -> str:
    """A value, or with `signed` a difference, for people: shares in percent, the rest in its unit."""
    sign = "+" if signed else ""
    return f"{value:{sign}.2%}" if metric_named(metric) in _SHARES else f"{value:{sign}.4g}"
