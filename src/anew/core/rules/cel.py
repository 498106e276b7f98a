"""CEL expressions over flat, typed numbers: compiled and type-checked once, bool or nothing.

The Common Expression Language has no loops over these inputs and no side effects. The one module that knows the engine
(cel-expr-python, the C++ reference implementation): its run-time errors are *values*, whose content is truthy text.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

HOURS_SINCE = "hours_since_retraining"
RETRAININGS = "retrainings"
NEVER = 1e9  # hours; so that a model that was never retrained passes "hours_since_retraining > 72.0"
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


def _one_line(said: str) -> str:
    return " ".join(said.split())[:200]


def _plain(said: str) -> str:
    first = said.replace("INVALID_ARGUMENT:", "").replace("ERROR: <input>:", "at ").split("\n")[0]
    hint = " (numbers are doubles: write 1.0, not 1)" if "(double, int)" in said or "(int, double)" in said else ""
    return f"is not a CEL expression: {' '.join(first.split())}{hint}"
