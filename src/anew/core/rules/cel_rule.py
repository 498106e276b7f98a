"""Judging a CEL expression: its variables are taken from the newest signals; what is missing is unknown."""

import math

from anew.core.base.metrics import canonical_metric
from anew.core.evidence.comparison import mean_of
from anew.core.evidence.facts import Facts
from anew.core.evidence.tree import Node, Verdict
from anew.core.rules.cel import HOURS_SINCE, NEVER, RETRAININGS, CelError, CompiledExpression
from anew.core.rules.documents import Cel, Variable

_AGGREGATES = {"max": max, "min": min, "mean": mean_of}


def judge_cel(rule: Cel, expression: CompiledExpression, facts: Facts) -> Node:
    """YES only for a true; an error of the expression, or a value that is no number, is an error."""
    values: dict[str, float | int] = {HOURS_SINCE: _hours_since(facts), RETRAININGS: len(facts.history.attempts)}
    for name, variable in rule.variables.items():
        value = _value_of(variable, facts)
        if value is None:
            absent = f"there is no value of {variable.metric} for '{name}'"
            return Node("cel", Verdict.UNKNOWN, absent, {"expr": rule.expr, "variables": _shown(values)})
        values[name] = value
    outcome = expression.evaluate(values)
    shown = {"expr": rule.expr, "variables": _shown(values)}
    if isinstance(outcome, CelError):
        return Node("cel", Verdict.ERROR, f"{rule.expr} failed: {outcome.reason}", shown)
    used = ", ".join(f"{name} = {value:.6g}" for name, value in values.items() if name in rule.expr)
    told = f"{rule.expr} is {str(outcome).lower()} with {used}" if used else f"{rule.expr} is {str(outcome).lower()}"
    return Node("cel", Verdict.YES if outcome else Verdict.NO, told, shown)


def _hours_since(facts: Facts) -> float:
    last = facts.history.last_retraining_at
    return NEVER if last is None else (facts.now - last).total_seconds() / 3600


def _value_of(variable: Variable, facts: Facts) -> float | None:
    found = [
        signal.value
        for signal in facts.newest(canonical_metric(variable.metric))
        if signal.value is not None and (variable.feature is None or signal.feature == variable.feature)
    ]
    if not all(map(math.isfinite, found)):  # max and min of such depend on the order
        return math.nan
    return float(_AGGREGATES[variable.aggregate](found)) if found else None


def _shown(values: dict[str, float | int]) -> dict[str, float | int | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
