"""Rule `cel`: one expression of the Common Expression Language over flat, typed numbers.

CEL has no loops over these inputs and no side effects. Expressions are compiled and type-checked when the policy is
read. Only this module knows the engine (cel-expr-python, the C++ reference implementation): its run-time errors are
*values*, whose content is truthy text.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from anew.core.base.document import Document, Text
from anew.core.base.metrics import canonical_metric
from anew.core.evidence.comparison import mean_of
from anew.core.evidence.facts import Facts
from anew.core.evidence.tree import Node, Verdict

# --- the engine -------------------------------------------------------------------------------------------

HOURS_SINCE = "hours_since_retraining"
RETRAININGS = "retrainings"
NEVER = 1e9  # hours, for a model that was never retrained: it passes "hours_since_retraining > 72.0"
_BUILT_IN = (HOURS_SINCE, RETRAININGS)


@dataclass(frozen=True, slots=True)
class CelError:
    """Why an evaluation gave no bool."""

    reason: str


@dataclass(frozen=True, slots=True)
class CompiledExpression:
    """A type-checked expression."""

    text: str
    variables: tuple[str, ...]
    _expression: Any

    def evaluate(self, values: Mapping[str, float | int]) -> bool | CelError:
        """The bool the expression comes to. A value that is not finite, or an error of CEL, is a CelError."""
        for name, value in values.items():
            if not math.isfinite(value):
                return CelError(f"{name} is not a finite number")
        try:
            outcome = self._expression.eval(data=dict(values))
        except RuntimeError as error:  # such as more steps than CEL's budget allows
            return CelError(_one_line(str(error)))
        if outcome.type().name() == "BOOL":
            return bool(outcome.value())
        return CelError(_one_line(str(outcome.value())))


@lru_cache(maxsize=1024)
def compile_expression(text: str, variables: tuple[str, ...]) -> CompiledExpression:
    """The expression over doubles of these names and the built-in ones. Raises ValueError with CEL's own message."""
    from cel_expr_python import cel

    if taken := sorted(set(variables) & set(_BUILT_IN)):
        raise ValueError(f"{', '.join(taken)}: this name is anew's own")
    types = dict.fromkeys(variables, cel.Type.DOUBLE) | {HOURS_SINCE: cel.Type.DOUBLE, RETRAININGS: cel.Type.INT}
    try:
        expression = cel.NewEnv(variables=types).compile(text)
    except (RuntimeError, ValueError) as error:
        raise ValueError(_plain(str(error))) from None
    if expression.return_type().name() != "BOOL":
        raise ValueError(f"must be a bool, and is {expression.return_type().name().lower()}")
    return CompiledExpression(text, variables, expression)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def _plain(message: str) -> str:
    first = message.replace("INVALID_ARGUMENT:", "").replace("ERROR: <input>:", "at ").split("\n")[0]
    mixed = "(double, int)" in message or "(int, double)" in message
    hint = " (numbers are doubles: write 1.0, not 1)" if mixed else ""
    return f"is not a CEL expression: {' '.join(first.split())}{hint}"


# --- the rule ---------------------------------------------------------------------------------------------


class Variable(Document):
    """A number for a CEL expression: the newest value of a metric, of one feature or aggregated over features."""

    metric: Text
    feature: str | None = None
    aggregate: Literal["max", "min", "mean"] = "max"


class Cel(Document):
    """One CEL expression over numbers, for what no other kind says. It must be a bool. Besides the variables it
    declares: `hours_since_retraining` (double; 1e9 when never retrained) and `retrainings` (int, of this model).
    """

    kind: Literal["cel"]
    expr: Annotated[str, Field(min_length=1, max_length=2000)]
    variables: dict[Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,63}$")], Variable] = Field(default={})

    @model_validator(mode="after")
    def _compiles(self) -> "Cel":
        self.compiled()
        return self

    def compiled(self) -> CompiledExpression:
        """The expression, type-checked. Raises ValueError."""
        return compile_expression(self.expr, tuple(sorted(self.variables)))


_AGGREGATES = {"max": max, "min": min, "mean": mean_of}


def judge_cel(rule: Cel, facts: Facts) -> Node:
    """YES only for a true; an error of the expression, or a value that is not a finite number, is an error."""
    last = facts.history.last_retraining_at
    hours = NEVER if last is None else (facts.now - last).total_seconds() / 3600
    values: dict[str, float | int] = {HOURS_SINCE: hours, RETRAININGS: len(facts.history.attempts)}
    for name, variable in rule.variables.items():
        value = _value_of(variable, facts)
        if value is None:
            absent = f"there is no value of {variable.metric} for '{name}'"
            return Node("cel", Verdict.UNKNOWN, absent, {"expr": rule.expr, "variables": _as_json(values)})
        values[name] = value
    outcome = rule.compiled().evaluate(values)
    shown = {"expr": rule.expr, "variables": _as_json(values)}
    if isinstance(outcome, CelError):
        return Node("cel", Verdict.ERROR, f"{rule.expr} failed: {outcome.reason}", shown)
    used = ", ".join(f"{name} = {value:.6g}" for name, value in values.items() if name in rule.expr)
    sentence = f"{rule.expr} is {str(outcome).lower()}" + (f" with {used}" if used else "")
    return Node("cel", Verdict.YES if outcome else Verdict.NO, sentence, shown)


def _value_of(variable: Variable, facts: Facts) -> float | None:
    found = [
        signal.value
        for signal in facts.newest(canonical_metric(variable.metric))
        if signal.value is not None and (variable.feature is None or signal.feature == variable.feature)
    ]
    if not all(map(math.isfinite, found)):  # the max or min of such values depends on their order
        return math.nan
    return float(_AGGREGATES[variable.aggregate](found)) if found else None


def _as_json(values: Mapping[str, float | int]) -> dict[str, float | int | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
