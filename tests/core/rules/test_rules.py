"""Rules: three-valued logic, freshest values, directions of metrics."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.base.metrics import DETAILS_UNKNOWN, Worse, direction_of
from anew.core.evidence.facts import arrange
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict
from anew.core.rules.monitors import MonitorBreach
from anew.core.rules.rule import AllOf, AnyOf, Not, Rule, compile_rule
from anew.core.rules.threshold import Threshold

AT = datetime(2026, 7, 14, tzinfo=UTC)
YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN
BELOW = Threshold(kind="threshold", metric="accuracy", below=0.76)
BREACH = MonitorBreach(kind="monitor_breach")


def signal(value: float | None, metric: str = "accuracy", at: datetime = AT, **more: str | float | None) -> Signal:
    return Signal(metric, value, str(more.pop("source", "log_analytics")), at, **more)  # pyright: ignore[reportArgumentType]


def judge(rule: Rule, *signals: Signal) -> Node:
    return compile_rule(rule, cost=0.1)(arrange(signals, History(), AT))


def verdict(rule: Rule, *signals: Signal) -> Verdict:
    return judge(rule, *signals).verdict


def breach(metric: str, value: float | None, threshold: float | None, monitor: str = "m") -> Signal:
    return Signal(metric, value, "event", AT, threshold=threshold, monitor=monitor)


# --- threshold --------------------------------------------------------------------------------------------


def test_threshold_explains_itself() -> None:
    """A threshold that fires names value, limit, source and day."""
    node = judge(BELOW, signal(0.7475))
    assert (node.verdict, node.sentence) == (YES, "accuracy 0.7475 is below 0.76 (log_analytics, 2026-07-14)")
    assert node.values["below"] == 0.76
    assert node.values["compared"][0]["value"] == 0.7475


@pytest.mark.parametrize(("value", "expected"), [(0.76, NO), (0.77, NO), (0.7599, YES), (-1.0, YES)])
def test_equality_is_no_breach(value: float, expected: Verdict) -> None:
    """A value equal to the limit is not a breach."""
    assert verdict(BELOW, signal(value)) is expected


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_non_finite_value_is_unknown(value: float | None) -> None:
    """A value that is not finite is unknown and null in the tree."""
    node = judge(BELOW, signal(value))
    assert (node.verdict, node.values["compared"][0]["value"]) == (UNKNOWN, None)


def test_absent_metric_is_unknown() -> None:
    """An absent metric is unknown."""
    node = judge(BELOW, signal(0.1, "recall"))
    assert (node.verdict, node.sentence) == (UNKNOWN, "there is no value of accuracy")


def test_newest_value_counts() -> None:
    """Only the newest value of a series counts."""
    old, new = signal(0.5, at=AT - timedelta(days=1)), signal(0.9)
    assert verdict(BELOW, old, new) is verdict(BELOW, new, old) is NO


def test_non_finite_newest_value_counts() -> None:
    """A newest value that is not finite is not replaced by an older one."""
    assert verdict(BELOW, signal(0.5, at=AT - timedelta(days=1)), signal(float("nan"))) is UNKNOWN


def test_any_series_fires() -> None:
    """Any series beyond the limit fires, whatever the order."""
    signals = (signal(0.9, feature="a"), signal(None, feature="b"), signal(0.5, feature="a", source="event"))
    assert {verdict(BELOW, *order) for order in permutations(signals)} == {YES}


def test_simultaneous_values_all_count() -> None:
    """Values with the same time all count."""
    assert verdict(BELOW, signal(0.5), signal(0.9)) is verdict(BELOW, signal(0.9), signal(0.5)) is YES


def test_threshold_of_one_feature() -> None:
    """A threshold on one feature ignores other features."""
    rule = BELOW.model_copy(update={"feature": "a"})
    assert verdict(rule, signal(0.1, feature="b")) is UNKNOWN
    assert verdict(rule, signal(0.1, feature="b"), signal(0.9, feature="a")) is NO


def test_metric_spellings_match() -> None:
    """The name of a metric matches in any spelling of Azure."""
    rule = Threshold(kind="threshold", metric="jensen_shannon_distance", above=0.1)
    assert verdict(rule, signal(0.2, "JensenShannonDistance")) is YES


def test_close_values_are_shown_in_full() -> None:
    """A value that rounds to the limit is shown in full."""
    assert "0.7599999999 is below 0.76 " in judge(BELOW, signal(0.7599999999)).sentence


# --- monitor_breach ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "value", "threshold", "expected"),
    [
        ("TwoSampleKolmogorovSmirnovTest", 0.01, 0.05, YES),
        ("TwoSampleKolmogorovSmirnovTest", 0.2, 0.05, NO),
        ("PearsonsChiSquaredTest", 0.01, 0.05, YES),
        ("chi_squared_test", 0.2, 0.05, NO),
        ("NormalizedDiscountedCumulativeGain", 0.5, 0.9, YES),
        ("AggregatedGroundednessPassRate", 0.5, 0.9, YES),
        ("AggregatedCoherencePassRate", 0.95, 0.9, NO),
        ("JensenShannonDistance", 0.31, 0.1, YES),
        ("JensenShannonDistance", 0.1, 0.1, NO),
        ("NormalizedWassersteinDistance", 0.05, 0.1, NO),
        ("NullValueRate", 0.1, 0.0, YES),
        ("RootMeanSquaredError", 3.0, 2.0, YES),
        ("MeanAbsoluteError", 1.0, 2.0, NO),
    ],
)
def test_breach_uses_metric_direction(metric: str, value: float, threshold: float, expected: Verdict) -> None:
    """A breach is computed again in the direction of its metric."""
    assert verdict(BREACH, breach(metric, value, threshold)) is expected


@pytest.mark.parametrize("metric", ["Accuracy", "Precision", "Recall"])
def test_good_score_is_no_breach(metric: str) -> None:
    """A good score is not a breach, although Azure tags it as one."""
    assert direction_of(metric) is Worse.BELOW
    assert verdict(BREACH, breach(metric, 0.95, 0.9)) is NO  # what Azure's component calls a breach
    assert verdict(BREACH, breach(metric, 0.85, 0.9)) is YES  # what it does not


@pytest.mark.parametrize("threshold", [None, float("nan")])
def test_breach_without_threshold(threshold: float | None) -> None:
    """A value without a threshold counts as a breach, and the sentence says it is by the monitor."""
    node = judge(BREACH, breach("Custom", 4.6, threshold))
    assert node.verdict is YES
    assert "according to the monitor" in node.sentence


def test_breach_without_details_is_unknown() -> None:
    """A breach without readable details is unknown."""
    node = judge(BREACH, breach(DETAILS_UNKNOWN, None, None))
    assert node.verdict is UNKNOWN
    assert "m reported a breach" in node.sentence


def test_measurement_is_no_breach() -> None:
    """A measurement that comes from no monitor is not a breach."""
    assert verdict(BREACH, signal(0.1)) is UNKNOWN


def test_signal_name_ignores_case() -> None:
    """The name of a signal matches in any case, but only as a whole."""
    rule = MonitorBreach(kind="monitor_breach", signal="Credit_Drift")
    assert verdict(rule, breach("JensenShannonDistance", 0.3, 0.1, "credit_drift")) is YES
    assert verdict(rule, breach("JensenShannonDistance", 0.3, 0.1, "credit_drift_2")) is UNKNOWN


def test_monitors_are_judged_separately() -> None:
    """Two monitors of one feature are both judged."""
    signals = breach("JensenShannonDistance", 0.0, 0.1, "a"), breach("JensenShannonDistance", 0.3, 0.1, "b")
    assert verdict(BREACH, *signals) is verdict(BREACH, *reversed(signals)) is YES


# --- all, any, not ----------------------------------------------------------------------------------------

_LEAF = {  # a rule of each verdict, given one accuracy of 0.5
    YES: Threshold(kind="threshold", metric="accuracy", below=0.76),
    NO: Threshold(kind="threshold", metric="accuracy", below=0.4),
    UNKNOWN: Threshold(kind="threshold", metric="nowhere", above=0.76),
}
_RANK = {NO: 0, UNKNOWN: 1, YES: 2}
_VERDICTS = st.lists(st.sampled_from([YES, NO, UNKNOWN]), min_size=1, max_size=5)
_EVIDENCE = signal(0.5)


@given(_VERDICTS)
def test_all_is_minimum_any_is_maximum(verdicts: list[Verdict]) -> None:
    """`all` is the lowest of its verdicts and `any` the highest."""
    rules = tuple(_LEAF[each] for each in verdicts)
    every, some = AllOf(kind="all", rules=rules), AnyOf(kind="any", rules=rules)
    assert judge(every, _EVIDENCE).verdict is min(verdicts, key=_RANK.__getitem__)
    assert judge(some, _EVIDENCE).verdict is max(verdicts, key=_RANK.__getitem__)


@given(_VERDICTS)
def test_de_morgan_holds(verdicts: list[Verdict]) -> None:
    """De Morgan holds, also with unknown verdicts."""
    rules = tuple(_LEAF[each] for each in verdicts)
    left = Not(kind="not", rule=AllOf(kind="all", rules=rules))
    right = AnyOf(kind="any", rules=tuple(Not(kind="not", rule=rule) for rule in rules))
    assert judge(left, _EVIDENCE).verdict is judge(right, _EVIDENCE).verdict


def _group(rules: list[Rule]) -> Rule:
    return AllOf(kind="all", rules=tuple(rules)) if len(rules) % 2 else AnyOf(kind="any", rules=tuple(rules))


@given(
    st.recursive(st.sampled_from(list(_LEAF.values())), lambda below: st.builds(_group, st.lists(below, min_size=1)))
)
def test_no_evidence_never_fires(rule: Rule) -> None:
    """Without evidence a rule without `not` is unknown."""
    assert judge(rule).verdict is UNKNOWN
