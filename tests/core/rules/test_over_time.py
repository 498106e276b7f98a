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
def test_readings_before_retraining_ignored(fires: Rule, signals: list[Signal]) -> None:
    """Readings from before the last retraining do not count."""
    assert verdict(fires, signals) is YES
    assert verdict(fires, signals, retrained(signals[0].at - HOUR)) is YES
    assert verdict(fires, signals, retrained(signals[-1].at)) is UNKNOWN


@pytest.mark.parametrize(("fires", "signals"), _FIRES.values(), ids=_FIRES)
def test_source_order_does_not_matter(fires: Rule, signals: list[Signal]) -> None:
    """The order in which sources answer does not matter."""
    assert {verdict(fires, list(order)) for order in permutations(signals)} == {YES}


@pytest.mark.parametrize(("fires", "signals"), _FIRES.values(), ids=_FIRES)
def test_non_finite_reading_changes_nothing(fires: Rule, signals: list[Signal]) -> None:
    """A reading that is not finite changes no verdict, and alone it is unknown."""
    nothing = [reading(value, NOW - 90 * DAY, signals[0].metric) for value in (None, float("nan"), float("inf"))]
    assert verdict(fires, nothing + signals) is YES
    assert verdict(fires, nothing) is UNKNOWN


def test_breach_before_retraining_is_forgotten() -> None:
    """A breach before the last retraining is forgotten."""
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
def test_two_of_three(values: tuple[float | None, ...], expected: Verdict) -> None:
    """Two of three judges the newest three readings and counts unknown ones for neither side."""
    assert verdict(TWO_OF_THREE, readings(*values)) is expected


@given(st.integers(1, 4), st.integers(0, 3), st.lists(_NUMBERS, max_size=8))
def test_k_of_n_counts_newest_n(k: int, more: int, values: list[float]) -> None:
    """k of n counts the newest n readings."""
    newest = values[-(k + more) :]
    expected = UNKNOWN if not newest else YES if sum(value > 0.2 for value in newest) >= k else NO
    assert verdict(rule("k_of_n", k=k, n=k + more, of=ABOVE), readings(*values)) is expected


def test_simultaneous_features_are_one_reading() -> None:
    """Features measured at the same time are one reading."""
    signals = [reading(0.5, NOW - HOUR, feature=name) for name in "abc"] + [
        reading(0.1, feature=name) for name in "abc"
    ]
    assert verdict(TWO_OF_THREE, signals) is NO


def test_k_of_n_of_one_feature() -> None:
    """k of n of one feature ignores other features."""
    one = rule("k_of_n", k=2, n=3, of={**ABOVE, "feature": "a"})
    assert verdict(one, readings(0.5, 0.5, feature="b")) is UNKNOWN
    assert verdict(one, readings(0.5, 0.5, feature="a") + readings(0.1, 0.1, feature="b")) is YES


def test_k_of_n_of_breaches() -> None:
    """k of n of breaches counts reports of monitors, but not their failures."""
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
def test_hysteresis_fires_until_cleared(values: tuple[float | None, ...], expected: Verdict) -> None:
    """A threshold with hysteresis fires until the value is back at `clears_at`."""
    assert verdict(STICKY, readings(*values)) is expected


def test_falling_metric_clears_upwards() -> None:
    """Hysteresis of a metric that gets worse as it falls clears upwards."""
    low = rule("threshold", metric="accuracy", below=0.7, clears_at=0.8)
    assert verdict(low, readings(0.6, 0.75, metric="accuracy")) is YES
    assert verdict(low, readings(0.6, 0.8, 0.75, metric="accuracy")) is NO


@given(st.lists(_NUMBERS, min_size=1, max_size=10))
def test_hysteresis_at_limit_is_plain(values: list[float]) -> None:
    """Hysteresis that clears at the limit equals a plain threshold."""
    same = rule("threshold", metric="psi", above=0.2, clears_at=0.2)
    assert verdict(same, readings(*values)) is verdict(rule_of(ABOVE), readings(*values))


@given(st.lists(_NUMBERS, min_size=1, max_size=10))
def test_hysteresis_keeps_every_yes(values: list[float]) -> None:
    """Whatever fires a plain threshold also fires one with hysteresis."""
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
def test_cusum_adds_small_shifts(values: tuple[float, ...], expected: Verdict) -> None:
    """CUSUM adds up shifts beyond the slack and never falls below zero."""
    assert verdict(CUSUM, readings(*values)) is expected


def test_cusum_follows_bad_direction() -> None:
    """CUSUM adds up in the bad direction of its metric."""
    falling = rule("cusum", metric="accuracy", target=0.9, limit=0.1)
    assert verdict(falling, readings(0.84, 0.84, metric="accuracy")) is YES
    assert verdict(falling, readings(0.99, 0.99, metric="accuracy")) is NO
    assert verdict(rule("cusum", metric="own", target=1, limit=1, worse="below"), readings(-1, metric="own")) is YES


def test_cusum_per_series() -> None:
    """Each series has its own CUSUM, and the highest decides."""
    mixed = readings(0.25, 0.25, 0.25, feature="a") + readings(0.0, 0.0, 0.0, feature="b")
    assert verdict(CUSUM, mixed) is YES
    apart = readings(0.25, 0.25, feature="a") + readings(0.25, 0.25, feature="b")
    assert verdict(CUSUM, apart) is NO


@given(st.lists(st.floats(-1e308, 1e308) | st.none(), max_size=6))
def test_cusum_stays_finite(values: list[float | None]) -> None:
    """The sum of a CUSUM is finite for any numbers."""
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
def test_drop_below_baseline(values: tuple[float, ...], expected: Verdict) -> None:
    """A drop below the baseline fires when it is larger than allowed."""
    assert verdict(DROP, _accuracy(*values)) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.9,), UNKNOWN), ((0.9, 0.9), UNKNOWN), ((0.9, 0.9, 0.8), YES), ((0.9, 0.9, 0.8, 0.9), NO), ((0.8,) * 3, NO)],
)
def test_first_readings_are_the_baseline(values: tuple[float, ...], expected: Verdict) -> None:
    """Without a baseline the first readings are the baseline."""
    assert verdict(FREE_DROP, _accuracy(*values)) is expected


def test_retraining_resets_the_baseline() -> None:
    """A retraining resets the baseline."""
    signals = _accuracy(0.9, 0.9, 0.8, 0.8, 0.8)
    assert verdict(FREE_DROP, signals) is YES
    assert verdict(FREE_DROP, signals, retrained(signals[1].at)) is NO


def test_rising_error_is_a_drop() -> None:
    """An error that rises is a drop of performance."""
    errors = rule("performance_drop", metric="rmse", drop=1, baseline=10)
    assert verdict(errors, readings(12, metric="rmse")) is YES
    assert verdict(errors, readings(8, metric="rmse")) is NO


def test_mean_of_newest_is_compared() -> None:
    """The mean of the newest readings is compared."""
    mean = rule("performance_drop", drop=0.05, baseline=0.9, newest=2)
    assert verdict(mean, _accuracy(0.9, 0.82)) is NO
    assert verdict(mean, _accuracy(0.84, 0.82)) is YES


def test_label_delay_excludes_new_readings() -> None:
    """Readings younger than the label delay do not count."""
    late = rule("performance_drop", drop=0.05, baseline=0.9, label_delay=timedelta(minutes=59))
    later = rule("performance_drop", drop=0.05, baseline=0.9, label_delay=timedelta(minutes=61))
    signals = _accuracy(0.9, 0.5, 0.9)
    assert [verdict(each, signals) for each in (DROP, late, later)] == [NO, YES, NO]
    assert verdict(late, _accuracy(0.5)) is UNKNOWN


@pytest.mark.parametrize(("rows", "expected"), [(None, YES), (20, NO), (50, NO), (1000, YES)])
def test_drop_within_chance(rows: int | None, expected: Verdict) -> None:
    """A drop within chance for its number of rows does not fire."""
    assert verdict(DROP, _accuracy(0.83, rows=rows)) is expected


@pytest.mark.parametrize(
    ("baseline", "rows", "expected"), [(0.9, 1, NO), (0.9, 2, YES), (0.5, 4, NO), (0.5, 5, YES), (0.2, 10, NO)]
)
def test_very_few_rows_use_binomial(baseline: float, rows: int, expected: Verdict) -> None:
    """A drop in very few rows is judged by the binomial distribution."""
    dropped = rule("performance_drop", drop=0.05, baseline=baseline)
    assert ((1 - baseline) ** rows < 0.05) is (expected is YES)
    assert verdict(dropped, _accuracy(0.0, rows=rows)) is expected


@pytest.mark.parametrize("rows", [1, 3, 10, 30, 300])
@pytest.mark.parametrize("share", [0.6, 0.9, 0.98])
def test_unchanged_model_rarely_drops(rows: int, share: float) -> None:
    """A model that did not change rarely fires a drop."""
    chance = random.Random(7)
    anything = rule("performance_drop", drop=0.001)

    def measured() -> float:
        return sum(chance.random() < share for _ in range(rows)) / rows

    fired = sum(verdict(anything, _accuracy(measured(), measured(), measured(), rows=rows)) is YES for _ in range(300))
    assert fired / 300 < 0.09  # 5 % by its confidence, and what 300 histories leave to chance


def test_half_confidence_ignores_chance() -> None:
    """With a confidence of one half chance is ignored."""
    assert verdict(rule("performance_drop", drop=0.05, baseline=0.9, confidence=0.5), _accuracy(0.8, rows=1)) is YES


@given(st.lists(st.floats(allow_nan=True) | st.none(), max_size=5), st.none() | st.integers(-1, 10))
def test_drop_of_any_numbers(values: list[float | None], rows: int | None) -> None:
    """A performance drop of any numbers is judged without a crash."""
    for each in (DROP, FREE_DROP, rule("performance_drop", metric="mae", drop=0.1, newest=3)):
        assert judge(each, readings(*values, metric="mae", rows=rows) + _accuracy(*values, rows=rows)).sentence


# --- gain -------------------------------------------------------------------------------------------------


def _gain(*values: float | None, rows: int | None = 10_000) -> list[Signal]:
    return readings(*values, metric="gain", rows=rows)


def test_gains_add_up_to_cost() -> None:
    """Gains fire when they add up to a share of the cost."""
    assert verdict(GAIN, _gain(*[0.04] * 8), cost=0.1) is YES
    assert verdict(GAIN, _gain(*[0.04] * 8), cost=100.0) is NO
    assert verdict(rule("gain_cusum", cost=100.0), _gain(*[0.04] * 8), cost=0.1) is NO


def test_no_gain_never_pays() -> None:
    """Without a gain a retraining never pays."""
    assert verdict(GAIN, _gain(*[0.0] * 50)) is NO
    assert verdict(GAIN, _gain(*[-0.1] * 50)) is NO
    assert verdict(GAIN, _gain(None, float("nan"))) is UNKNOWN


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=8), st.floats(0.01, 1.0), st.floats(1, 10))
def test_higher_cost_never_pays_earlier(gains: list[float], cost: float, dearer: float) -> None:
    """A higher cost never makes a retraining pay earlier."""
    if verdict(GAIN, _gain(*gains), cost=cost * dearer) is YES:
        assert verdict(GAIN, _gain(*gains), cost=cost) is YES


# --- monitors that failed ---------------------------------------------------------------------------------


def test_failed_monitor_until_next_report() -> None:
    """A failed monitor counts as failed until its next report."""
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


def test_failed_monitor_is_no_breach() -> None:
    """A failed monitor is not a breach."""
    assert verdict(rule("monitor_breach"), [reading(1.0, metric=MONITOR_FAILED, monitor="m")]) is UNKNOWN
