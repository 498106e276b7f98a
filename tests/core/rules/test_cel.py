"""CEL rules: types are checked beforehand, what is missing is unknown, what fails is an error, and nothing hangs."""

import math
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from anew.core.evidence.history import Attempt, AttemptState, History
from anew.core.evidence.tree import Verdict
from anew.core.rules.cel import CelError, compile_expression
from anew.core.rules.rule import Rule
from tests.core.rules.samples import HOUR, NOW, judge, reading, retrained, rule, verdict

YES, NO, UNKNOWN, ERROR = Verdict.YES, Verdict.NO, Verdict.UNKNOWN, Verdict.ERROR
BUILT_IN: dict[str, float | int] = {"hours_since_retraining": 1.0, "retrainings": 0}


def cel(expr: str, **variables: Any) -> Rule:
    return rule("cel", expr=expr, variables=variables)


def aggregated(aggregate: str, expr: str = "x > 0.2") -> Rule:
    return cel(expr, x={"metric": "psi", "aggregate": aggregate})


def refusal(expr: str, **variables: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        cel(expr, **variables)
    return str(caught.value)


# --- what is refused beforehand ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("1.0 + 1.0", "must be a bool, and is double"),
        ("retrainings", "must be a bool, and is int"),
        ("'a'", "must be a bool, and is string"),
        ("x > 0.2", "undeclared reference to 'x'"),
        ("hours_since_retraining > 72", "numbers are doubles: write 1.0, not 1"),
        ("retrainings > ", "is not a CEL expression"),
        ("true and true", "is not a CEL expression"),
        ("retrainings > 1 ? true", "is not a CEL expression"),
        ("(" * 500 + "true" + ")" * 500, "is not a CEL expression"),
        ("[" * 900, "is not a CEL expression"),
        ("\x00", "is not a CEL expression"),
        ("", "at least 1 character"),
        ("true" + " && true" * 300, "at most 2000 characters"),
        ("open('/etc/passwd') == ''", "undeclared reference to 'open'"),
    ],
)
def test_invalid_expression_is_refused(expr: str, expected: str) -> None:
    """An expression that cannot give a bool is refused with the reason."""
    assert expected in refusal(expr)


def test_reserved_names_are_refused() -> None:
    """A variable cannot take a name that anew defines."""
    assert "retrainings: this name is anew's own" in refusal("true", retrainings={"metric": "psi"})


@pytest.mark.parametrize("name", ["", "X", "1x", "x-y", "x y", "é", "x" * 65])
def test_invalid_variable_name_is_refused(name: str) -> None:
    """A variable whose name is not plain is refused."""
    assert "should match pattern" in refusal("true", **{name: {"metric": "psi"}})


@given(st.text(min_size=1, max_size=80))
def test_any_text_is_handled(text: str) -> None:
    """Any text is a bool expression or is refused with a clear reason."""
    said = ""
    try:
        compile_expression(text, ("x",))
    except ValueError as error:
        said = str(error)
    assert not said or said.startswith(("is not a CEL expression", "must be a bool"))


# --- what it says -----------------------------------------------------------------------------------------


def test_true_expression_shows_its_values() -> None:
    """An expression that is true fires and shows the values that it used."""
    node = judge(aggregated("max"), [reading(0.5), reading(0.9, NOW - HOUR)])
    assert (node.verdict, node.sentence) == (YES, "x > 0.2 is true with x = 0.5")
    assert node.values["variables"]["x"] == 0.5


def test_missing_value_is_unknown() -> None:
    """A missing value is unknown, even where the expression would not need it."""
    node = judge(cel("true || x > 0.2", x={"metric": "psi"}), [reading(0.5, metric="accuracy")])
    assert (node.verdict, node.sentence) == (UNKNOWN, "there is no value of psi for 'x'")
    assert verdict(aggregated("max"), [reading(None)]) is UNKNOWN


@pytest.mark.parametrize(("aggregate", "expected"), [("max", YES), ("min", NO), ("mean", YES)])
def test_features_are_aggregated(aggregate: str, expected: Verdict) -> None:
    """The values of several features are aggregated."""
    assert verdict(aggregated(aggregate), [reading(0.1, feature="a"), reading(0.5, feature="b")]) is expected


def test_feature_variable_ignores_others() -> None:
    """A variable of one feature ignores other features."""
    one = cel("x > 0.2", x={"metric": "psi", "feature": "a"})
    assert verdict(one, [reading(0.5, feature="b")]) is UNKNOWN
    assert verdict(one, [reading(0.5, feature="b"), reading(0.1, feature="a")]) is NO


@pytest.mark.parametrize("aggregate", ["max", "min", "mean"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_value_is_an_error(aggregate: str, value: float) -> None:
    """A value that is not finite is an error, whatever the other values are."""
    signals = [reading(value, feature="a"), reading(0.5, feature="b"), reading(0.9, feature="c")]
    for expr in ("x > 0.2", "x < 0.2", "x != x", "true"):
        each = aggregated(aggregate, expr)
        assert {verdict(each, list(order)) for order in permutations(signals)} == {ERROR}


def test_overflowing_mean_is_an_error() -> None:
    """A mean that overflows is an error and not a crash."""
    assert verdict(aggregated("mean"), [reading(1.7e308, feature=name) for name in "ab"]) is ERROR


@pytest.mark.parametrize(
    ("expr", "reason"),
    [
        ("1 / retrainings == 1", "divide by zero"),
        ("[1.0][retrainings + 1] > 0.0", "Index error"),
        ("9223372036854775807 + 1 + retrainings > 0", "overflow"),
        ("{'a': 1.0}['b'] > x", "Key not found"),
    ],
)
def test_failing_expression_is_an_error(expr: str, reason: str) -> None:
    """An expression that fails is an error with the reason."""
    node = judge(cel(expr, x={"metric": "psi"}), [reading(0.5)])
    assert node.verdict is ERROR
    assert reason in node.sentence


def test_nested_loops_hit_the_budget() -> None:
    """Nested loops end early as an error."""
    expr = "true"
    for depth in range(8):
        expr = f"[0,0,0,0,0,0,0,0,0,0].all(v{depth}, {expr})"
    outcome = compile_expression(expr, ()).evaluate(BUILT_IN)
    assert isinstance(outcome, CelError)
    assert "budget" in outcome.reason


@pytest.mark.parametrize(("expr", "value"), [("1.0 / x > 0.0", 0.0), ("x * 1e308 * 10.0 > 1.0", 0.5)])
def test_double_arithmetic_does_not_fail(expr: str, value: float) -> None:
    """Division by zero and overflow of doubles do not fail."""
    assert verdict(cel(expr, x={"metric": "psi"}), [reading(value)]) is YES


# --- what it knows besides --------------------------------------------------------------------------------


def test_never_retrained_is_very_long_ago() -> None:
    """A model that was never retrained counts as retrained a very long time ago."""
    assert verdict(cel("hours_since_retraining > 72.0 && retrainings == 0"), []) is YES


@pytest.mark.parametrize(("hours", "expected"), [(71.9, NO), (72.0, NO), (72.1, YES)])
def test_hours_since_retraining(hours: float, expected: Verdict) -> None:
    """The hours since the last retraining are known."""
    history = retrained(NOW - timedelta(hours=hours))
    assert verdict(cel("hours_since_retraining > 72.0"), [], history) is expected


def test_all_retrainings_are_counted() -> None:
    """Retrainings are counted in whatever state they are."""
    attempts = tuple(Attempt(f"r{index}", NOW - index * HOUR, state) for index, state in enumerate(AttemptState))
    assert verdict(cel(f"retrainings == {len(AttemptState)}"), [], History(attempts)) is YES


@given(st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_expression_agrees_with_python(x: float, y: float) -> None:
    """An expression agrees with Python on finite numbers and fails on others."""
    both = compile_expression("x > y && x - 1.0 < x || y >= 0.5", ("x", "y"))
    outcome = both.evaluate({**BUILT_IN, "x": x, "y": y})
    if math.isfinite(x) and math.isfinite(y):
        assert outcome == ((x > y and x - 1.0 < x) or y >= 0.5)
    else:
        assert isinstance(outcome, CelError)
