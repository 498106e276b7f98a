"""Rules over many features, and what is within the noise of the rows it was computed from."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.evidence.tree import Verdict
from anew.core.rules.rule import Rule
from tests.core.rules.samples import judge, reading, rule, rule_of, verdict

YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN
ABOVE = {"kind": "threshold", "metric": "psi", "above": 0.2}
STICKY = rule("threshold", metric="psi", above=0.2, clears_at=0.1)
SHARE = rule("threshold", metric="psi", above=0.2, over={"kind": "share", "at_least": 0.5})
WEIGHTED = rule("threshold", metric="psi", above=0.2, over={"kind": "weighted", "weights": {"a": 1, "b": 3}})


# --- over features ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.5, 0.5, 0.1), YES),
        ((0.5, 0.1), YES),
        ((0.5, 0.1, 0.1), NO),
        ((0.5, 0.1, None), UNKNOWN),
        ((0.5, 0.5, None), YES),
        ((0.1, 0.1, None), NO),
        ((None,), UNKNOWN),
        ((), UNKNOWN),
    ],
)
def test_share_of_features(values: tuple[float | None, ...], expected: Verdict) -> None:
    """A rule over a share fires when enough features exceed the limit."""
    assert verdict(SHARE, [reading(value, feature=f"f{index}") for index, value in enumerate(values)]) is expected


@given(st.integers(1, 120), st.data())
def test_share_as_fraction_is_exact(features: int, data: st.DataObject) -> None:
    """A share given as a fraction is reached by exactly that many features."""
    beyond = data.draw(st.integers(1, features))
    signals = [reading(0.5 if index < beyond else 0.1, feature=f"f{index}") for index in range(features)]
    share = rule("threshold", metric="psi", above=0.2, over={"kind": "share", "at_least": beyond / features})
    assert verdict(share, signals) is YES
    assert verdict(share, [*signals[1:], reading(0.1, feature="f0")]) is NO


def test_sources_share_a_feature() -> None:
    """A feature measured by two sources counts once."""
    signals = [reading(0.5, feature="a", source=name) for name in ("drift", "log_analytics")]
    node = judge(SHARE, [*signals, reading(0.1, feature="b"), reading(0.1, feature="c")])
    assert (node.verdict, node.sentence) == (NO, "1 of 3 features have psi above 0.2; 50% are required")


@pytest.mark.parametrize("over", [SHARE, WEIGHTED])
def test_breach_event_is_not_enough(over: Rule) -> None:
    """A breach event alone leaves a rule over all features unknown."""
    assert verdict(over, [reading(0.9, feature=name, source="event") for name in "ab"]) is UNKNOWN


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(0.5, 0.1, NO), (0.1, 0.5, YES), (0.2, 0.2, NO), (0.9, None, UNKNOWN), (None, None, UNKNOWN)],
)
def test_weighted_mean_needs_all_features(a: float | None, b: float | None, expected: Verdict) -> None:
    """A weighted mean needs all its features and ignores others."""
    assert verdict(WEIGHTED, [reading(a, feature="a"), reading(b, feature="b"), reading(9, feature="c")]) is expected
    assert verdict(WEIGHTED, [reading(a, feature="a")]) is UNKNOWN


def test_worst_source_is_weighed() -> None:
    """The worst of two sources enters the weighted mean, whatever the order."""
    signals = [reading(0.5, feature="b"), reading(0.1, feature="b", source="drift"), reading(0.1, feature="a")]
    assert {verdict(WEIGHTED, list(order)) for order in permutations(signals)} == {YES}


@pytest.mark.parametrize("weight", [1.0, 1e308])
@pytest.mark.parametrize("value", [0.1, 1e308])
def test_overflowing_weights_never_fire(weight: float, value: float) -> None:
    """A weighted mean that overflows never fires."""
    huge = rule("threshold", metric="own", below=0.05, over={"kind": "weighted", "weights": {"a": weight, "b": weight}})
    signals = [reading(value, metric="own", feature=name) for name in "ab"]
    assert verdict(huge, signals) is (UNKNOWN if weight > 1 or value > 1 else NO)


# --- noise floors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "floor", "expected"),
    [
        (0.15, 0.25, UNKNOWN),
        (0.25, 0.25, UNKNOWN),
        (0.15, 0.2, UNKNOWN),
        (0.3, 0.25, YES),
        (0.15, 0.1, NO),
        (0.3, 0.1, YES),
        (0.3, None, YES),
        (0.3, float("inf"), UNKNOWN),
        (0.0, float("inf"), UNKNOWN),
    ],
)
def test_value_within_noise_is_unknown(value: float, floor: float | None, expected: Verdict) -> None:
    """A value within a noise floor that reaches the limit is unknown."""
    noisy = [reading(value, noise_floor=floor, rows=30, feature="a")]
    assert verdict(rule_of(ABOVE), noisy) is expected
    assert verdict(STICKY, noisy) is expected
    assert verdict(SHARE, noisy) is expected
    assert verdict(rule("k_of_n", k=1, n=1, of=ABOVE), noisy) is expected


def test_noise_is_explained_with_rows() -> None:
    """A value within the noise is explained with its number of rows."""
    said = judge(rule_of(ABOVE), [reading(0.15, noise_floor=0.25, rows=30)]).sentence
    assert "0.15 is within the noise of 30 rows (up to 0.25), too few for 0.2" in said


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_noise_floor_never_adds_yes(value: float, floor: float, limit: float) -> None:
    """A noise floor never turns a verdict into yes."""
    above = rule("threshold", metric="psi", above=limit)
    if verdict(above, [reading(value, noise_floor=floor)]) is YES:
        assert verdict(above, [reading(value)]) is YES
