"""The gate: whether the challenger may replace the champion, by a paired comparison on the same rows.

`compare` turns scored rows into an evaluation, which travels as a report in a tag of the job; `judge_gate` turns an
evaluation into a verdict with its sentence. Only the first needs the rows, numpy and scipy. May import `policies`,
`statistics`, `base` and `drift.columns`.
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
    evaluation_of_metrics,
)
from anew.core.gate.judging import at_each_analysis, judge_gate, most_analyses, without_champion
from anew.core.gate.metric import GateMetric
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

if TYPE_CHECKING:
    from anew.core.gate.comparing import compare

__all__ = [
    "EvaluationResult",
    "FloorState",
    "FloorVerdict",
    "GateMetric",
    "GateOutcome",
    "GateResult",
    "Interval",
    "Method",
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
    "most_analyses",
    "parse_evaluation",
    "parse_gate",
    "report_text",
    "without_champion",
]


def __getattr__(name: str) -> Any:
    # `compare` imports numpy and scipy: 0.3 s that commands which only judge or show a verdict need not spend.
    if name == "compare":
        from anew.core.gate.comparing import compare

        return compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
