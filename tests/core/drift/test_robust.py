"""Drift against a stored profile: near the exact values, not blinded by outliers, never NaN."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import special, stats

from anew.core.drift import (
    DEFAULT_ALPHA,
    DriftValue,
    Metric,
    NotMeasurable,
    NumericProfile,
    Rows,
    azure_table,
    drift_table,
    from_json,
    profile_reference,
    to_json,
)
from anew.core.drift.robust import feature_drift
from anew.errors import InvalidTable
from tests.core.drift.samples import DISTRIBUTIONS, drift_of, reasons, value_of

NUMERIC = [Metric.PSI, Metric.JENSEN_SHANNON, Metric.WASSERSTEIN, Metric.KOLMOGOROV_SMIRNOV]
HISTOGRAM = [Metric.PSI, Metric.JENSEN_SHANNON]


def samples(name: str, *, rows: int = 20_000, window: int = 3_000, shift: float = 0.1) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(5)
    draw = DISTRIBUTIONS[name]
    return [draw(rng, rows), draw(rng, window) + shift]


# --- numeric ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("shift", [0.0, 0.1, 3.0])
def test_wasserstein_is_within_the_profiles_error_of_scipys(name: str, shift: float) -> None:
    reference, window = samples(name, shift=shift)
    ((_, feature),) = profile_reference({"x": reference}).features
    assert isinstance(feature, NumericProfile)
    unit = float(np.std(reference, ddof=1))
    exact = stats.wasserstein_distance(reference, window) / unit
    got = value_of(reference, window, Metric.WASSERSTEIN).value
    assert got == pytest.approx(exact, abs=feature.point_error / unit + 1e-6)
    assert got == pytest.approx(exact, abs=0.002)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("shift", [0.0, 0.1, 3.0])
def test_kolmogorov_smirnov_is_within_0016_of_scipys_d_and_never_above(name: str, shift: float) -> None:
    reference, window = samples(name, shift=shift)
    exact = float(stats.ks_2samp(reference, window, method="asymp").statistic)
    drift = value_of(reference, window, Metric.KOLMOGOROV_SMIRNOV)
    assert drift.statistic is not None
    assert exact - 0.0016 <= drift.statistic <= exact + 1e-12
    effective = len(reference) * len(window) / (len(reference) + len(window))
    assert drift.value == pytest.approx(special.kolmogorov(math.sqrt(effective) * drift.statistic), rel=1e-9)


def test_psi_and_jensen_shannon_see_a_shift_of_three_deviations() -> None:
    reference, window = samples("normal", shift=3.0)
    assert value_of(reference, window, Metric.PSI).value > 5
    assert value_of(reference, window, Metric.JENSEN_SHANNON).value > 0.8


@pytest.mark.parametrize("outlier", [1e3, -1e6, 1e300])
def test_an_outlier_does_not_blind_the_robust_metrics_and_does_azures(outlier: float) -> None:
    reference, window = samples("normal", shift=3.0)
    with_outlier = np.append(window, outlier)
    azure = azure_table({"x": reference}, {"x": with_outlier}, metrics=HISTOGRAM)
    for metric, blinded in zip(HISTOGRAM, azure, strict=True):
        assert isinstance(blinded, DriftValue)
        robust = value_of(reference, with_outlier, metric)
        assert robust.value == pytest.approx(value_of(reference, window, metric).value, rel=0.02)
        assert robust.is_evidence
        assert blinded.value < 0.02
        assert not blinded.is_evidence


@pytest.mark.parametrize("metric", NUMERIC)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_reference_itself_has_not_drifted(name: str, metric: Metric) -> None:
    reference, _ = samples(name)
    drift = value_of(reference, reference, metric)
    assert drift.value == pytest.approx(1.0 if metric.is_p_value else 0.0, abs=0.002)
    assert not drift.is_evidence


@pytest.mark.parametrize("metric", NUMERIC)
def test_the_order_of_rows_does_not_matter(metric: Metric) -> None:
    reference, window = samples("lognormal")
    rng = np.random.default_rng(3)
    shuffled = value_of(rng.permutation(reference), rng.permutation(window), metric)
    assert shuffled == value_of(reference, window, metric)


@pytest.mark.parametrize("metric", NUMERIC)
def test_scale_and_origin_do_not_matter(metric: Metric) -> None:
    reference, window = samples("lognormal")
    drift, moved = value_of(reference, window, metric), value_of(8 * reference - 64, 8 * window - 64, metric)
    assert moved.value == pytest.approx(drift.value, rel=1e-6)
    assert moved.noise_floor == pytest.approx(drift.noise_floor, rel=1e-6)


@pytest.mark.parametrize("metric", NUMERIC)
def test_nulls_and_infinities_are_counted_and_change_no_value(metric: Metric) -> None:
    reference, window = samples("normal")
    broken = np.concatenate(([np.nan, -np.inf], window, [np.nan, np.inf, np.nan]))
    drift, plain = value_of(reference, broken, metric), value_of(reference, window, metric)
    assert (drift.value, drift.noise_floor) == (plain.value, plain.noise_floor)
    assert drift.rows == Rows(window=3_000, reference=20_000, nulls=3, infinities=2)
    assert drift == value_of(reference, np.array([None if np.isnan(x) else x for x in broken], dtype=object), metric)


@pytest.mark.parametrize("metric", NUMERIC)
@pytest.mark.parametrize("single", ["window", "reference"])
def test_single_precision_on_one_side_is_no_drift(metric: Metric, single: str) -> None:
    rng = np.random.default_rng(4)
    reference, window = (rng.choice([0.1, 0.2, 0.3, 0.7], rows, p=[0.5, 0.3, 0.1, 0.1]) for rows in (9000, 3000))
    plain = value_of(reference, window, metric)
    reference, window = (
        sample.astype(np.float32) if single == side else sample
        for side, sample in (("reference", reference), ("window", window))
    )
    assert value_of(reference, window, metric).value == pytest.approx(plain.value, rel=1e-5)


@given(
    arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e150, 1e150) | st.sampled_from([0.0, 1.0, 5e-324])),
    arrays(np.float64, st.integers(0, 40), elements=st.floats() | st.sampled_from([0.0, 1.0])),
)
def test_every_value_is_finite_and_in_range(reference: NDArray[np.float64], window: NDArray[np.float64]) -> None:
    drifts = drift_table(profile_reference({"x": reference}), {"x": window})
    assert [drift.metric for drift in drifts] == NUMERIC
    for drift in drifts:
        if isinstance(drift, DriftValue):
            assert math.isfinite(drift.noise_floor)
            assert 0 <= drift.value <= (1 if drift.metric not in (Metric.PSI, Metric.WASSERSTEIN) else 1.7e308)
            assert drift.rows.window + drift.rows.nulls + drift.rows.infinities == len(window)
        else:
            assert drift.reason


# --- categorical ------------------------------------------------------------------------------------------

PLANS = np.array(["free"] * 7000 + ["basic"] * 2000 + ["pro"] * 999 + ["old"])


def test_chi_squared_is_scipys_test_of_homogeneity() -> None:
    window = np.array(["free"] * 650 + ["basic"] * 250 + ["pro"] * 100)
    drift = value_of(PLANS[:-1], window, Metric.CHI_SQUARED)
    expected = stats.chi2_contingency([[7000, 2000, 999], [650, 250, 100]], correction=False)
    assert drift.value == pytest.approx(float(expected.pvalue), rel=1e-9)
    assert drift.statistic == pytest.approx(float(expected.statistic))


@pytest.mark.parametrize("metric", [Metric.PSI, Metric.JENSEN_SHANNON, Metric.CHI_SQUARED])
def test_categories_the_reference_never_saw_are_drift(metric: Metric) -> None:
    window = np.array(["free"] * 700 + ["new"] * 300)
    assert value_of(PLANS, window, metric).is_evidence


@pytest.mark.parametrize("metric", [Metric.PSI, Metric.JENSEN_SHANNON, Metric.CHI_SQUARED])
def test_one_row_of_an_unseen_category_is_no_evidence(metric: Metric) -> None:
    window = np.array(["free"] * 700 + ["basic"] * 200 + ["pro"] * 99 + ["new"])
    drift = value_of(PLANS, window, metric)
    assert math.isfinite(drift.value)
    assert not drift.is_evidence


def test_booleans_are_compared_as_categories() -> None:
    drift = value_of(np.arange(1000) % 2 == 0, np.arange(600) % 3 == 0, Metric.CHI_SQUARED)
    assert drift.is_evidence


def test_a_window_too_small_to_tell_categories_apart_is_not_measurable() -> None:
    drift = drift_of(PLANS, np.array(["free", "basic"]), Metric.PSI)
    assert isinstance(drift, NotMeasurable)
    assert drift.reason == "of 2 rows fewer than 5 are expected in all categories but one"


def test_values_that_never_repeat_are_not_measurable() -> None:
    days = np.arange("2020-01-01", "2025-01-01", dtype="datetime64[D]")
    drift = drift_of(days, days[:900], Metric.PSI)
    assert isinstance(drift, NotMeasurable)


def test_high_cardinality_keeps_its_noise_below_its_floor() -> None:
    rng = np.random.default_rng(6)
    reference, window = (rng.zipf(1.3, rows).astype(np.str_) for rows in (50_000, 5_000))
    drifts = drift_table(profile_reference({"x": reference}), {"x": window})
    assert [isinstance(drift, DriftValue) and drift.is_evidence for drift in drifts] == [False, False, False]


# --- what cannot be measured ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "window", "words"),
    [
        (np.arange(9.0), np.array([]), "the window has no rows"),
        (np.arange(9.0), np.array([np.nan, np.inf]), "none of the 2 rows of the window has a finite value"),
        (np.arange(9.0), np.array([None, None]), "none of the 2 rows of the window has a finite value"),
        (np.array(["a", "b"]), np.array([None]), "none of the 1 rows of the window has a finite value"),
        (np.full(9, 3.0), np.array([3.0, 4.0, np.nan]), "one value only, 3.0; 1 of 2 rows of the window have another"),
        (np.full(9, "a"), np.array(["a", "b", "b"]), "one value only, 'a'; 2 of 3 rows of the window have another"),
        (np.full(9, np.nan), np.arange(9.0), "the reference has no value to compare with"),
        (np.arange(9.0), np.array(["a"]), "the reference has numbers, the window categories"),
        (np.array(["a", "b"]), np.arange(9.0), "the reference has categories, the window numbers"),
        (np.array([-1e308, 0.0]), np.array([1.7e308]), None),
    ],
)
def test_what_cannot_be_measured_says_why(reference: NDArray[Any], window: NDArray[Any], words: str | None) -> None:
    drifts = drift_table(profile_reference({"x": reference}), {"x": window})
    assert drifts
    if words is None:
        assert all(isinstance(drift, NotMeasurable) or math.isfinite(drift.value) for drift in drifts)
    else:
        assert all(words in reason for reason in reasons(drifts))


def test_a_missing_column_is_not_measurable_and_an_extra_one_ignored() -> None:
    profile = profile_reference({"a": np.arange(9.0), "b": np.arange(9.0)})
    drifts = drift_table(profile, {"b": np.arange(9.0), "c": np.arange(9.0)}, metrics=[Metric.PSI])
    assert [drift.feature for drift in drifts] == ["a", "b"]
    assert reasons(drifts[:1]) == ["the window has no such column"]
    assert isinstance(drifts[1], DriftValue)


# --- tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_as_rows_by_features(order: Any) -> None:
    rng = np.random.default_rng(7)
    reference, window = rng.standard_normal((500, 3)), rng.standard_normal((200, 3)).copy(order=order)
    profile = profile_reference({name: reference[:, index] for index, name in enumerate("abc")})
    by_columns = drift_table(profile, {name: window[:, index] for index, name in enumerate("abc")})
    assert drift_table(profile, window) == by_columns
    assert [drift.feature for drift in by_columns[::4]] == ["a", "b", "c"]


def test_a_table_worth_threads_gives_the_same() -> None:
    window = np.random.default_rng(8).standard_normal((260_000, 4)).copy(order="F")
    columns = {name: window[:, index] for index, name in enumerate("abcd")}
    profile = profile_reference({name: column[:5000] for name, column in columns.items()})
    map_in_order = [
        feature_drift(name, feature, columns[name], (Metric.PSI, Metric.JENSEN_SHANNON), DEFAULT_ALPHA)
        for name, feature in profile.features
    ]
    assert drift_table(profile, window, metrics=HISTOGRAM) == tuple(itertools.chain(*map_in_order))


def test_a_profile_from_json_gives_the_same() -> None:
    reference, window = samples("lognormal")
    profile = profile_reference({"x": reference})
    assert drift_table(from_json(to_json(profile)), {"x": window}) == drift_table(profile, {"x": window})


@pytest.mark.parametrize("window", [np.zeros(3), np.zeros((3, 2)), {"x": np.zeros(2), "y": np.zeros(3)}])
def test_a_window_of_another_shape_is_refused(window: Any) -> None:
    with pytest.raises(InvalidTable, match=r"shape|length"):
        drift_table(profile_reference({"x": np.arange(9.0)}), window)
