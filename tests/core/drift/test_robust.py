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
def test_wasserstein_close_to_scipy(name: str, shift: float) -> None:
    """The Wasserstein distance is within the error stated by the profile of the value of scipy."""
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
def test_kolmogorov_smirnov_close_to_scipy(name: str, shift: float) -> None:
    """The Kolmogorov-Smirnov statistic is at most 0.0016 below that of scipy and never above."""
    reference, window = samples(name, shift=shift)
    exact = float(stats.ks_2samp(reference, window, method="asymp").statistic)
    drift = value_of(reference, window, Metric.KOLMOGOROV_SMIRNOV)
    assert drift.statistic is not None
    assert exact - 0.0016 <= drift.statistic <= exact + 1e-12
    effective = len(reference) * len(window) / (len(reference) + len(window))
    assert drift.value == pytest.approx(special.kolmogorov(math.sqrt(effective) * drift.statistic), rel=1e-9)


def test_psi_and_jensen_shannon_see_shift() -> None:
    """PSI and Jensen-Shannon are large for a shift of three deviations."""
    reference, window = samples("normal", shift=3.0)
    assert value_of(reference, window, Metric.PSI).value > 5
    assert value_of(reference, window, Metric.JENSEN_SHANNON).value > 0.8


@pytest.mark.parametrize("outlier", [1e3, -1e6, 1e300])
def test_outlier_does_not_hide_drift(outlier: float) -> None:
    """One outlier does not hide drift from the robust metrics, but does from those of Azure ML."""
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
def test_reference_has_not_drifted(name: str, metric: Metric) -> None:
    """The reference compared with itself shows no drift."""
    reference, _ = samples(name)
    drift = value_of(reference, reference, metric)
    assert drift.value == pytest.approx(1.0 if metric.is_p_value else 0.0, abs=0.002)
    assert not drift.is_evidence


@pytest.mark.parametrize("metric", NUMERIC)
def test_row_order_does_not_matter(metric: Metric) -> None:
    """The order of rows does not change the drift."""
    reference, window = samples("lognormal")
    rng = np.random.default_rng(3)
    shuffled = value_of(rng.permutation(reference), rng.permutation(window), metric)
    assert shuffled == value_of(reference, window, metric)


@pytest.mark.parametrize("metric", NUMERIC)
def test_scale_and_origin_do_not_matter(metric: Metric) -> None:
    """Scale and origin of the values change neither drift nor noise floor."""
    reference, window = samples("lognormal")
    drift, moved = value_of(reference, window, metric), value_of(8 * reference - 64, 8 * window - 64, metric)
    assert moved.value == pytest.approx(drift.value, rel=1e-6)
    assert moved.noise_floor == pytest.approx(drift.noise_floor, rel=1e-6)


@pytest.mark.parametrize("metric", NUMERIC)
def test_nulls_and_infinities_are_counted(metric: Metric) -> None:
    """Nulls and infinities are counted and change no value."""
    reference, window = samples("normal")
    broken = np.concatenate(([np.nan, -np.inf], window, [np.nan, np.inf, np.nan]))
    drift, plain = value_of(reference, broken, metric), value_of(reference, window, metric)
    assert (drift.value, drift.noise_floor) == (plain.value, plain.noise_floor)
    assert drift.rows == Rows(window=3_000, reference=20_000, nulls=3, infinities=2)
    assert drift == value_of(reference, np.array([None if np.isnan(x) else x for x in broken], dtype=object), metric)


@pytest.mark.parametrize("metric", NUMERIC)
@pytest.mark.parametrize("single", ["window", "reference"])
def test_single_precision_is_no_drift(metric: Metric, single: str) -> None:
    """Single precision on one side only is no drift."""
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
def test_every_value_is_finite(reference: NDArray[np.float64], window: NDArray[np.float64]) -> None:
    """Every value is finite and in its range, and what is not measurable has a reason."""
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


def test_chi_squared_matches_scipy() -> None:
    """Chi-squared equals the test of homogeneity of scipy."""
    window = np.array(["free"] * 650 + ["basic"] * 250 + ["pro"] * 100)
    drift = value_of(PLANS[:-1], window, Metric.CHI_SQUARED)
    expected = stats.chi2_contingency([[7000, 2000, 999], [650, 250, 100]], correction=False)
    assert drift.value == pytest.approx(float(expected.pvalue), rel=1e-9)
    assert drift.statistic == pytest.approx(float(expected.statistic))


@pytest.mark.parametrize("metric", [Metric.PSI, Metric.JENSEN_SHANNON, Metric.CHI_SQUARED])
def test_unseen_categories_are_drift(metric: Metric) -> None:
    """A large share of a category unseen in the reference is drift."""
    window = np.array(["free"] * 700 + ["new"] * 300)
    assert value_of(PLANS, window, metric).is_evidence


@pytest.mark.parametrize("metric", [Metric.PSI, Metric.JENSEN_SHANNON, Metric.CHI_SQUARED])
def test_one_unseen_row_is_no_evidence(metric: Metric) -> None:
    """One row of an unseen category is no evidence."""
    window = np.array(["free"] * 700 + ["basic"] * 200 + ["pro"] * 99 + ["new"])
    drift = value_of(PLANS, window, metric)
    assert math.isfinite(drift.value)
    assert not drift.is_evidence


def test_booleans_compare_as_categories() -> None:
    """Booleans are compared as categories."""
    drift = value_of(np.arange(1000) % 2 == 0, np.arange(600) % 3 == 0, Metric.CHI_SQUARED)
    assert drift.is_evidence


def test_small_categorical_window_not_measurable() -> None:
    """A window with too few rows for its categories is not measurable."""
    drift = drift_of(PLANS, np.array(["free", "basic"]), Metric.PSI)
    assert isinstance(drift, NotMeasurable)
    assert drift.reason == "of 2 rows fewer than 5 are expected in all categories but one"


def test_unique_values_are_not_measurable() -> None:
    """Values that never repeat are not measurable."""
    days = np.arange("2020-01-01", "2025-01-01", dtype="datetime64[D]")
    drift = drift_of(days, days[:900], Metric.PSI)
    assert isinstance(drift, NotMeasurable)


def test_high_cardinality_raises_no_alarm() -> None:
    """A feature of many categories that did not drift raises no alarm."""
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
def test_not_measurable_says_why(reference: NDArray[Any], window: NDArray[Any], words: str | None) -> None:
    """What cannot be measured says why."""
    drifts = drift_table(profile_reference({"x": reference}), {"x": window})
    assert drifts
    if words is None:
        assert all(isinstance(drift, NotMeasurable) or math.isfinite(drift.value) for drift in drifts)
    else:
        assert all(words in reason for reason in reasons(drifts))


def test_missing_and_extra_columns() -> None:
    """A missing column is not measurable, and an extra one is ignored."""
    profile = profile_reference({"a": np.arange(9.0), "b": np.arange(9.0)})
    drifts = drift_table(profile, {"b": np.arange(9.0), "c": np.arange(9.0)}, metrics=[Metric.PSI])
    assert [drift.feature for drift in drifts] == ["a", "b"]
    assert reasons(drifts[:1]) == ["the window has no such column"]
    assert isinstance(drifts[1], DriftValue)


# --- tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
def test_array_is_rows_by_features(order: Any) -> None:
    """An array is read as rows by features, in either memory order."""
    rng = np.random.default_rng(7)
    reference, window = rng.standard_normal((500, 3)), rng.standard_normal((200, 3)).copy(order=order)
    profile = profile_reference({name: reference[:, index] for index, name in enumerate("abc")})
    by_columns = drift_table(profile, {name: window[:, index] for index, name in enumerate("abc")})
    assert drift_table(profile, window) == by_columns
    assert [drift.feature for drift in by_columns[::4]] == ["a", "b", "c"]


def test_threads_change_nothing() -> None:
    """A table large enough for threads gives the same drift as without them."""
    window = np.random.default_rng(8).standard_normal((260_000, 4)).copy(order="F")
    columns = {name: window[:, index] for index, name in enumerate("abcd")}
    profile = profile_reference({name: column[:5000] for name, column in columns.items()})
    map_in_order = [
        feature_drift(name, feature, columns[name], (Metric.PSI, Metric.JENSEN_SHANNON), DEFAULT_ALPHA)
        for name, feature in profile.features
    ]
    assert drift_table(profile, window, metrics=HISTOGRAM) == tuple(itertools.chain(*map_in_order))


def test_profile_from_json_agrees() -> None:
    """A profile read from JSON gives the same drift."""
    reference, window = samples("lognormal")
    profile = profile_reference({"x": reference})
    assert drift_table(from_json(to_json(profile)), {"x": window}) == drift_table(profile, {"x": window})


@pytest.mark.parametrize("window", [np.zeros(3), np.zeros((3, 2)), {"x": np.zeros(2), "y": np.zeros(3)}])
def test_other_shape_is_refused(window: Any) -> None:
    """A window of another shape is refused."""
    with pytest.raises(InvalidTable, match=r"shape|length"):
        drift_table(profile_reference({"x": np.arange(9.0)}), window)
