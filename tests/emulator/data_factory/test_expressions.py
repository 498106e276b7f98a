"""The expression language of Data Factory, as pure functions."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.emulator.data_factory.expressions import ExpressionError, Scope, evaluate, resolve

SCOPE = Scope(
    pipeline={"parameters": {"name": "job-1", "rows": 336, "on": True, "none": None}, "RunId": "run-1"},
    variables={"count": 2},
    activities={"Read": {"output": {"a": {"b": [10, 20]}, "status": "Completed"}}},
    now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("@pipeline().parameters.rows", 336),
        ("@pipeline().RunId", "run-1"),
        ("job @{pipeline().parameters.name} of @{string(3)}", "job job-1 of 3"),
        ("@{pipeline().parameters.rows}", "336"),
        ("@activity('Read').output.a.b[1]", 20),
        ("@activity('Read').output['status']", "Completed"),
        ("@activity('Read').output?.missing", None),
        ("@variables('count')", 2),
        ("@concat('it''s ', pipeline().parameters.on)", "it's True"),
        ("@not(equals(1, 2))", True),
        ("@and(or(false, true), contains('abc', 'b'))", True),
        ("@contains(createArray('Completed','Failed'), activity('Read').output.status)", True),
        ("@if(greater(int('3'), 2), 'more', 'less')", "more"),
        ("@coalesce(null, pipeline().parameters.none, 'x')", "x"),
        ("@less(1.5, 2)", True),
        ("@json('{\"k\": [1]}').k", [1]),
        ("@utcnow()", "2026-01-02T03:04:05.0000000Z"),
        ("@@literal", "@literal"),
        ("a @@{b}", "a @{b}"),
    ],
)
def test_expression_has_documented_value(text: str, value: Any) -> None:
    """Each expression evaluates to the value that Data Factory documents."""
    assert evaluate(text, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@dayOfWeek('x')", "The function 'dayOfWeek'"),
        ("@equals(1", "expected ')'"),
        ("@equals(1, 2))", "Unexpected text"),
        ("@pipeline().parameters.nope", "available properties are 'name, rows, on, none'"),
        ("@activity('Later').output", "activity 'Later' is not defined or has not run yet"),
        ("@greater('a', 1)", "cannot compare"),
        ("@or(1, true)", "Boolean"),
        ("text @{concat('a')", "is not closed"),
    ],
)
def test_invalid_expression_says_why(text: str, reason: str) -> None:
    """An invalid expression raises `ExpressionError` with the reason."""
    with pytest.raises(ExpressionError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        evaluate(text, SCOPE)


def test_azure_ml_placeholders_are_kept() -> None:
    """Placeholders of Azure ML pass through an expression unchanged."""
    command = "train --data ${{inputs.data}} --out ${{outputs.model}}"
    assert evaluate(command, SCOPE) == command


def test_nested_expressions_are_resolved() -> None:
    """Expression objects and strings inside JSON are replaced by their values."""
    body = {"n": {"type": "Expression", "value": "@variables('count')"}, "list": ["@string(1)", 5, None]}
    assert resolve(body, SCOPE) == {"n": 2, "list": ["1", 5, None]}


@given(st.text(alphabet=st.characters(exclude_characters="@")))
def test_plain_text_is_unchanged(text: str) -> None:
    """Text without an at sign evaluates to itself."""
    assert evaluate(text, SCOPE) == text


@given(st.text())
def test_quoted_string_round_trips(text: str) -> None:
    """Any string survives a round trip through a quoted literal."""
    quoted = text.replace("'", "''")
    assert evaluate(f"@string('{quoted}')", SCOPE) == text


@given(st.text())
def test_arbitrary_text_raises_expression_errors_only(text: str) -> None:
    """Arbitrary text raises no error other than `ExpressionError`."""
    with suppress(ExpressionError):
        evaluate(f"@{text}", SCOPE)
