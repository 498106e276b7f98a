"""The gate: whether the challenger may take the champion's place, by a paired comparison on the same rows.

`compare` turns scored rows into a report (numpy, and only there), `judge_gate` a report into a verdict.
"""

from typing import TYPE_CHECKING, Any

from anew.core.gate.evaluation import (
    EvaluationResult,
    Interval,
    Method,
    PairedCounts,
    SliceFigure,
    SliceReport,
    evaluation_of_counts,
)
from anew.core.gate.judging import judge_gate, without_champion
from anew.core.gate.looks import at_each_analysis, most_analyses
from anew.core.gate.metric import Metric
from anew.core.gate.metrics_only import evaluation_of_metrics
from anew.core.gate.report import parse_evaluation, parse_gate, report_text
from anew.core.gate.result import (
    FloorState,
    FloorVerdict,
    GateOutcome,
    GateResult,
    SliceState,
    SliceVerdict,
    gate_result_of,
)
from anew.core.gate.tails import mcnemar_p, paired_bounds

if TYPE_CHECKING:
    from anew.core.gate.comparing import compare

__all__ = [
    "EvaluationResult",
    "FloorState",
    "FloorVerdict",
    "GateOutcome",
    "GateResult",
    "Interval",
    "Method",
    "Metric",
    "PairedCounts",
    "SliceFigure",
    "SliceReport",
    "SliceState",
    "SliceVerdict",
    "at_each_analysis",
    "compare",
    "evaluation_of_counts",
    "evaluation_of_metrics",
    "gate_result_of",
    "judge_gate",
    "mcnemar_p",
    "most_analyses",
    "paired_bounds",
    "parse_evaluation",
    "parse_gate",
    "report_text",
    "without_champion",
]


def __getattr__(name: str) -> Any:
    # What computes imports numpy, 0.1 s that those who only judge need not spend.
    if name == "compare":
        from anew.core.gate.comparing import compare

        return compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
