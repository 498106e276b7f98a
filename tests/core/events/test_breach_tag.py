"""The breach tag: what can be read is read, and anything else is a breach without details."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.events.breach_tag import parse_breach_tag
from anew.core.events.event import Breach, Drift

PROSE = (
    "The signal '{}' has failed due to one or more features violating metric thresholds.\n"
    "The feature names and their corresponding computed metric values violating the threshold are \n{}\n"
)


def tag(*breaches: object, signal: str = "s") -> str:
    return PROSE.format(signal, [json.dumps(breach) for breach in breaches])


def test_breach_without_group() -> None:
    """A breach without a group concerns the whole model."""
    text = tag({"metric_name": "Accuracy", "metric_value": 0.7, "threshold_value": 0.9})

    assert parse_breach_tag(text) == Drift("s", breaches=(Breach("Accuracy", 0.7, 0.9, None),))


def test_nan_value_is_absent() -> None:
    """A value that is not a number is absent."""
    text = tag({"metric_name": "NDCG", "metric_value": 0.7, "threshold_value": float("nan"), "group": "AGE"})

    assert parse_breach_tag(text).breaches == (Breach("NDCG", 0.7, None, "AGE"),)


def test_names_with_brackets_and_quotes() -> None:
    """Names with brackets and quotes are read as they are."""
    text = tag({"metric_name": "M", "metric_value": 1, "threshold_value": 0, "group": "it's [odd]"}, signal="a'[b]")

    parsed = parse_breach_tag(text)

    assert parsed.monitor == "a'[b]"
    assert parsed.breaches == (Breach("M", 1.0, 0.0, "it's [odd]"),)


@pytest.mark.parametrize(
    "text",
    [
        "something else",
        PROSE.format("s", "[not python"),
        PROSE.format("s", "[1, 2]"),
        PROSE.format("s", "['not json']"),
        PROSE.format("s", "['{}']"),
        PROSE.format("s", "[" * 5000 + "]" * 5000),
        PROSE.format("s", "[" + "-" * 50_000 + "1]"),
        PROSE.format("s", "[__import__('os').getcwd()]"),
    ],
)
def test_unreadable_details_are_no_breaches(text: str) -> None:
    """Details that cannot be read give no breaches."""
    assert parse_breach_tag(text).breaches == ()


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """Any text is read without an error."""
    assert isinstance(parse_breach_tag(text), Drift)
    assert isinstance(parse_breach_tag(PROSE.format(text, text)), Drift)


def test_hostile_text_takes_linear_time() -> None:
    """Hostile text is read in linear time."""
    began = time.process_time()

    parse_breach_tag("The signal '" * 100_000)
    parse_breach_tag("[" * 1_000_000)

    assert time.process_time() - began < 2
