"""Rules about a history of readings: k of n, hysteresis, sums, performance, gain, failed monitors."""

import random
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.base.metrics import MONITOR_FAILED
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Verdict
from anew.core.rules.rule import Rule
from tests.core.rules.samples import (
    DAY,
    HOUR,
    NOW,
    SPECIMENS,
    judge,
    reading,
    readings,
    retrained,
    rule,
    rule_of,
    verdict,
)

YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN
ABOVE = {"kind": "threshold", "metric": "psi", "above": 0.2}
TWO_OF_THREE = rule("k_of_n", k=2, n=3, of=ABOVE)
STICKY = rule("threshold", metric="psi", above=0.2, clears_at=0.1)
CUSUM = rule("cusum", metric="psi", target=0.1, slack=0.05, limit=0.3)
DROP = rule("performance_drop", drop=0.05, baseline=0.9)
FREE_DROP = rule("performance_drop", drop=0.05)
GAIN = rule("gain_cusum")
_NUMBERS = st.floats(-2, 2)


# --- since the last retraining ----------------------------------------------------------------------------

_FIRES: dict[str, tuple[Rule, list[Signal]]] = {
    "k_of_n": (TWO_OF_THREE, readings(0.5, 0.5, 0.5)),
    "hysteresis": (STICKY, readings(0.5, 0.15, 0.15)),
    "cusum": (CUSUM, readings(0.5, 0.5, 0.5)),
    "performance_drop": (FREE_DROP, readings(0.9, 0.9, 0.5, metric="accuracy")),
    "gain_cusum": (GAIN, readings(0.5, 0.5, 0.5, metric="gain", rows=10_000)),
}


@pytest.mark.parametrize(("fires", "signals"), _FIRES.values(), ids=_FIRES)
def test_readings_from_before_the_last_retraining_do_not_count(fires: Rule, signals: list[Signal]) -> None:
    assert verdict(fires, signals) is YES
    assert verdict(fires, signals, retrained(signals[0].at - HOUR)) is YES
    assert verdict(fires, signals, retrained(signals[-1].at)) is UNKNOWN


@pytest.mark.parametrize(("fires", "signals"), _FIRES.values(), ids=_FIRES)
def test_the_order_in_which_sources_answer_does_not_matter(fires: Rule, signals: list[Signal]) -> None:
    assert {verdict(fires, list(order)) for order in permutations(signals)} == {YES}


@pytest.mark.parametrize(("fires", "signals"), _FIRES.values(), ids=_FIRES)
def test_a_reading_that_is_no_number_changes_no_verdict_of_a_sum_and_makes_none(
    fires: Rule, signals: list[Signal]
) -> None:
    nothing = [reading(value, NOW - 90 * DAY, signals[0].metric) for value in (None, float("nan"), float("inf"))]
    assert verdict(fires, nothing + signals) is YES
    assert verdict(fires, nothing) is UNKNOWN


def test_a_breach_before_the_last_retraining_is_no_longer_remembered() -> None:
    signals = readings(0.5, 0.15)
    assert verdict(STICKY, signals) is YES
    assert verdict(STICKY, signals, retrained(signals[0].at)) is NO


# --- k of n -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.5,), NO),
        ((0.5, 0.5), YES),
        ((0.5, 0.1, 0.5), YES),
        ((0.5, 0.1, 0.1), NO),
        ((0.5, 0.5, 0.1, 0.1), NO),
        ((0.5, None, 0.1), UNKNOWN),
        ((0.1, None, 0.1), NO),
        ((0.5, None, 0.5), YES),
        ((None, None, None), UNKNOWN),
        ((), UNKNOWN),
    ],
)
def test_two_of_three_looks_at_the_newest_three_and_counts_unknowns_neither_way(
    values: tuple[float | None, ...], expected: Verdict
) -> None:
    assert verdict(TWO_OF_THREE, readings(*values)) is expected


@given(st.integers(1, 4), st.integers(0, 3), st.lists(_NUMBERS, max_size=8))
def test_k_of_n_is_a_count_over_the_newest_n(k: int, more: int, values: list[float]) -> None:
    newest = values[-(k + more) :]
    expected = UNKNOWN if not newest else YES if sum(value > 0.2 for value in newest) >= k else NO
    assert verdict(rule("k_of_n", k=k, n=k + more, of=ABOVE), readings(*values)) is expected


def test_features_measured_at_one_instant_are_one_reading() -> None:
    signals = [reading(0.5, NOW - HOUR, feature=name) for name in "abc"] + [
        reading(0.1, feature=name) for name in "abc"
    ]
    assert verdict(TWO_OF_THREE, signals) is NO


def test_k_of_n_of_a_feature_leaves_other_features_out() -> None:
    one = rule("k_of_n", k=2, n=3, of={**ABOVE, "feature": "a"})
    assert verdict(one, readings(0.5, 0.5, feature="b")) is UNKNOWN
    assert verdict(one, readings(0.5, 0.5, feature="a") + readings(0.1, 0.1, feature="b")) is YES


def test_k_of_n_of_breaches_counts_reports_of_monitors_and_no_failures() -> None:
    repeated = rule("k_of_n", k=2, n=2, of={"kind": "monitor_breach"})
    breaches = readings(0.5, 0.5, monitor="m", threshold=0.2)
    assert verdict(repeated, breaches) is YES
    assert verdict(repeated, breaches, retrained(breaches[0].at)) is NO
    assert verdict(repeated, readings(0.5, 0.1, monitor="m", threshold=0.2)) is NO
    assert verdict(repeated, readings(1.0, 1.0, metric=MONITOR_FAILED, monitor="m")) is UNKNOWN
    assert verdict(repeated, readings(0.5, 0.5)) is UNKNOWN


# --- hysteresis -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.15,), NO),
        ((0.2,), NO),
        ((0.21,), YES),
        ((0.5, 0.15), YES),
        ((0.5, 0.15, 0.15, 0.11), YES),
        ((0.5, 0.1), NO),
        ((0.5, 0.1, 0.15), NO),
        ((0.5, None, 0.15), YES),
        ((0.15, None, 0.15), NO),
        ((0.5, 0.15, None), UNKNOWN),
        ((0.5, 0.05, 0.5), YES),
    ],
)
def test_once_beyond_the_value_it_fires_until_it_is_back_at_clears_at(
    values: tuple[float | None, ...], expected: Verdict
) -> None:
    assert verdict(STICKY, readings(*values)) is expected


def test_hysteresis_of_what_gets_worse_as_it_falls_clears_upwards() -> None:
    low = rule("threshold", metric="accuracy", below=0.7, clears_at=0.8)
    assert verdict(low, readings(0.6, 0.75, metric="accuracy")) is YES
    assert verdict(low, readings(0.6, 0.8, 0.75, metric="accuracy")) is NO


@given(st.lists(_NUMBERS, min_size=1, max_size=10))
def test_hysteresis_that_clears_at_the_value_is_a_plain_threshold(values: list[float]) -> None:
    same = rule("threshold", metric="psi", above=0.2, clears_at=0.2)
    assert verdict(same, readings(*values)) is verdict(rule_of(ABOVE), readings(*values))


@given(st.lists(_NUMBERS, min_size=1, max_size=10))
def test_memory_only_ever_adds_a_yes(values: list[float]) -> None:
    if verdict(rule_of(ABOVE), readings(*values)) is YES:
        assert verdict(STICKY, readings(*values)) is YES


# --- cusum ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.25, 0.25), NO),
        ((0.25, 0.25, 0.25), YES),
        ((0.45,), YES),
        ((0.15,) * 50, NO),
        ((0.25, 0.25, 0.0, 0.25), NO),
        ((-5.0, 0.25, 0.25, 0.25), YES),
    ],
)
def test_small_shifts_add_up_beyond_the_slack_and_never_below_nothing(
    values: tuple[float, ...], expected: Verdict
) -> None:
    assert verdict(CUSUM, readings(*values)) is expected


def test_a_cusum_adds_up_in_the_metrics_bad_direction() -> None:
    falling = rule("cusum", metric="accuracy", target=0.9, limit=0.1)
    assert verdict(falling, readings(0.84, 0.84, metric="accuracy")) is YES
    assert verdict(falling, readings(0.99, 0.99, metric="accuracy")) is NO
    assert verdict(rule("cusum", metric="own", target=1, limit=1, worse="below"), readings(-1, metric="own")) is YES


def test_series_are_summed_apart_and_the_highest_decides() -> None:
    mixed = readings(0.25, 0.25, 0.25, feature="a") + readings(0.0, 0.0, 0.0, feature="b")
    assert verdict(CUSUM, mixed) is YES
    apart = readings(0.25, 0.25, feature="a") + readings(0.25, 0.25, feature="b")
    assert verdict(CUSUM, apart) is NO


@given(st.lists(st.floats(-1e308, 1e308) | st.none(), max_size=6))
def test_a_cusum_of_any_numbers_is_a_finite_sum(values: list[float | None]) -> None:
    node = judge(rule("cusum", metric="psi", target=-1e308, limit=1e308), readings(*values))
    assert 0 <= node.values.get("sum", 0) < float("inf")


# --- performance drop -------------------------------------------------------------------------------------


def _accuracy(*values: float | None, **more: Any) -> list[Signal]:
    return readings(*values, metric="accuracy", **more)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), UNKNOWN),
        ((0.84,), YES),
        ((0.86,), NO),
        ((0.99,), NO),
        ((0.5, 0.9), NO),
        ((0.9, 0.5), YES),
    ],
)
def test_a_drop_below_the_baseline_fires_when_it_is_larger_than_allowed(
    values: tuple[float, ...], expected: Verdict
) -> None:
    assert verdict(DROP, _accuracy(*values)) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.9,), UNKNOWN), ((0.9, 0.9), UNKNOWN), ((0.9, 0.9, 0.8), YES), ((0.9, 0.9, 0.8, 0.9), NO), ((0.8,) * 3, NO)],
)
def test_without_a_baseline_the_first_readings_are_it(values: tuple[float, ...], expected: Verdict) -> None:
    assert verdict(FREE_DROP, _accuracy(*values)) is expected


def test_a_baseline_is_taken_anew_after_a_retraining() -> None:
    signals = _accuracy(0.9, 0.9, 0.8, 0.8, 0.8)
    assert verdict(FREE_DROP, signals) is YES
    assert verdict(FREE_DROP, signals, retrained(signals[1].at)) is NO


def test_an_error_that_rises_is_a_drop_of_performance() -> None:
    errors = rule("performance_drop", metric="rmse", drop=1, baseline=10)
    assert verdict(errors, readings(12, metric="rmse")) is YES
    assert verdict(errors, readings(8, metric="rmse")) is NO


def test_the_mean_of_the_newest_readings_is_compared() -> None:
    mean = rule("performance_drop", drop=0.05, baseline=0.9, newest=2)
    assert verdict(mean, _accuracy(0.9, 0.82)) is NO
    assert verdict(mean, _accuracy(0.84, 0.82)) is YES


def test_readings_whose_labels_are_not_in_yet_do_not_count() -> None:
    late = rule("performance_drop", drop=0.05, baseline=0.9, label_delay=timedelta(minutes=59))
    later = rule("performance_drop", drop=0.05, baseline=0.9, label_delay=timedelta(minutes=61))
    signals = _accuracy(0.9, 0.5, 0.9)
    assert [verdict(each, signals) for each in (DROP, late, later)] == [NO, YES, NO]
    assert verdict(late, _accuracy(0.5)) is UNKNOWN


@pytest.mark.parametrize(("rows", "expected"), [(None, YES), (20, NO), (50, NO), (1000, YES)])
def test_a_drop_within_chance_for_its_rows_does_not_fire(rows: int | None, expected: Verdict) -> None:
    assert verdict(DROP, _accuracy(0.83, rows=rows)) is expected


@pytest.mark.parametrize(
    ("baseline", "rows", "expected"), [(0.9, 1, NO), (0.9, 2, YES), (0.5, 4, NO), (0.5, 5, YES), (0.2, 10, NO)]
)
def test_all_wrong_in_very_few_rows_is_judged_as_the_binomial_would(
    baseline: float, rows: int, expected: Verdict
) -> None:
    dropped = rule("performance_drop", drop=0.05, baseline=baseline)
    assert ((1 - baseline) ** rows < 0.05) is (expected is YES)
    assert verdict(dropped, _accuracy(0.0, rows=rows)) is expected


@pytest.mark.parametrize("rows", [1, 3, 10, 30, 300])
@pytest.mark.parametrize("share", [0.6, 0.9, 0.98])
def test_a_model_that_did_not_change_rarely_drops(rows: int, share: float) -> None:
    chance = random.Random(7)
    anything = rule("performance_drop", drop=0.001)

    def measured() -> float:
        return sum(chance.random() < share for _ in range(rows)) / rows

    fired = sum(verdict(anything, _accuracy(measured(), measured(), measured(), rows=rows)) is YES for _ in range(300))
    assert fired / 300 < 0.09  # 5 % by its confidence, and what 300 histories leave to chance


def test_a_confidence_of_a_half_compares_as_it_is() -> None:
    assert verdict(rule("performance_drop", drop=0.05, baseline=0.9, confidence=0.5), _accuracy(0.8, rows=1)) is YES


@given(st.lists(st.floats(allow_nan=True) | st.none(), max_size=5), st.none() | st.integers(-1, 10))
def test_a_performance_of_any_numbers_is_judged_without_a_crash(values: list[float | None], rows: int | None) -> None:
    for each in (DROP, FREE_DROP, rule("performance_drop", metric="mae", drop=0.1, newest=3)):
        assert judge(each, readings(*values, metric="mae", rows=rows) + _accuracy(*values, rows=rows)).sentence


# --- gain -------------------------------------------------------------------------------------------------


def _gain(*values: float | None, rows: int | None = 10_000) -> list[Signal]:
    return readings(*values, metric="gain", rows=rows)


def test_gains_add_up_to_a_share_of_the_cost() -> None:
    assert verdict(GAIN, _gain(*[0.04] * 8), cost=0.1) is YES
    assert verdict(GAIN, _gain(*[0.04] * 8), cost=100.0) is NO
    assert verdict(rule("gain_cusum", cost=100.0), _gain(*[0.04] * 8), cost=0.1) is NO


def test_no_gain_never_pays() -> None:
    assert verdict(GAIN, _gain(*[0.0] * 50)) is NO
    assert verdict(GAIN, _gain(*[-0.1] * 50)) is NO
    assert verdict(GAIN, _gain(None, float("nan"))) is UNKNOWN


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=8), st.floats(0.01, 1.0), st.floats(1, 10))
def test_a_dearer_retraining_never_pays_earlier(gains: list[float], cost: float, dearer: float) -> None:
    if verdict(GAIN, _gain(*gains), cost=cost * dearer) is YES:
        assert verdict(GAIN, _gain(*gains), cost=cost) is YES


# --- monitors that failed ---------------------------------------------------------------------------------


def test_a_monitor_that_failed_has_failed_until_a_report_comes() -> None:
    broken = rule_of(SPECIMENS["monitor_failed"][0])
    failed = reading(1.0, NOW - HOUR, MONITOR_FAILED, monitor="m")
    assert verdict(broken, []) is NO
    assert verdict(broken, [failed]) is YES
    assert verdict(broken, [failed, reading(0.1, NOW - 2 * HOUR, monitor="m")]) is YES
    assert verdict(broken, [failed, reading(0.1, monitor="m")]) is NO
    assert verdict(broken, [failed, reading(0.1)]) is YES  # a query is no monitor
    assert (
        verdict(broken, [failed, reading(0.1, NOW - HOUR / 2, monitor="m"), reading(1.0, NOW, MONITOR_FAILED)]) is YES
    )


def test_a_monitor_that_failed_is_no_breach() -> None:
    assert verdict(rule("monitor_breach"), [reading(1.0, metric=MONITOR_FAILED, monitor="m")]) is UNKNOWN
