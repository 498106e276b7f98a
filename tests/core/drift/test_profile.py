"""The profile: its figures, and that JSON brings it back or says what is wrong."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from anew.core.drift import CategoricalProfile, NumericProfile, Unusable, from_json, profile_reference, to_json
from anew.errors import InvalidTable
from tests.core.drift.samples import DISTRIBUTIONS

RNG = np.random.default_rng(11)
TABLE: dict[str, NDArray[Any]] = {
    "amount": RNG.lognormal(size=3000),
    "plan": RNG.choice(["free", "basic", "ü\U0001f600\n"], 3000, p=[0.7, 0.2, 0.1]),
    "empty": np.full(3000, np.nan),
}


def numeric(column: NDArray[Any], bins: int = 10) -> NumericProfile:
    ((_, feature),) = profile_reference({"x": column}, bins=bins).features
    assert isinstance(feature, NumericProfile)
    return feature


@pytest.mark.parametrize("name", ["normal", "lognormal", "poisson"])
def test_moments_match_scipy(name: str) -> None:
    """The moments agree with numpy and scipy."""
    values = DISTRIBUTIONS[name](np.random.default_rng(1), 5000) * 1e-3 + 40
    moments = numeric(values).moments
    assert moments.mean == pytest.approx(np.mean(values))
    assert moments.std == pytest.approx(np.std(values, ddof=1))
    assert moments.skewness == pytest.approx(stats.skew(values), abs=1e-6)
    assert moments.kurtosis == pytest.approx(stats.kurtosis(values), abs=1e-6)


def test_spread_of_distributions() -> None:
    """The spread equals the deviation of a two-valued feature and is larger for other features."""
    assert numeric(np.repeat([3.0, 7.0], 5000)).moments.spread == pytest.approx(2.0, rel=1e-3)
    uniform, heavy = (numeric(DISTRIBUTIONS[name](RNG, 20_000)).moments for name in ("uniform", "heavy"))
    assert 1 < uniform.spread / uniform.std < heavy.spread / heavy.std
    # The integral of sqrt(u (1 - u)) over 0..1 is pi / 8.
    assert uniform.spread == pytest.approx(np.pi / 8, rel=0.02)


@pytest.mark.parametrize("bins", [2, 5, 10, 50])
def test_bins_have_equal_counts(bins: int) -> None:
    """The bins of a continuous feature hold equally many rows."""
    counts = numeric(RNG.standard_normal(5000), bins).counts
    assert len(counts) == bins
    assert max(counts) - min(counts) <= 1


def test_dominant_value_has_own_bin() -> None:
    """A value that fills a bin gets a bin of its own."""
    feature = numeric(np.concatenate((np.zeros(600), np.linspace(1, 2, 400))))
    assert feature.counts[0] == 600
    assert 0 < feature.edges[0] <= 1
    assert len(feature.counts) == 5


@given(
    arrays(np.float64, st.integers(1, 200), elements=st.one_of(st.integers(0, 4).map(float), st.floats(-1e9, 1e9))),
    st.integers(2, 12),
)
def test_every_row_has_a_bin(values: NDArray[np.float64], bins: int) -> None:
    """No bin is empty, and every row is in exactly one."""
    feature = numeric(values, bins)
    places = np.searchsorted(np.array(feature.edges), values, side="right")
    assert feature.counts == tuple(np.bincount(places, minlength=len(feature.counts)).tolist())
    assert min(feature.counts) > 0
    assert sum(feature.counts) == feature.rows == len(values)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_points_lose_almost_nothing(name: str) -> None:
    """The stored points lose at most 0.2 % of a standard deviation."""
    feature = numeric(DISTRIBUTIONS[name](np.random.default_rng(2), 100_000))
    assert feature.point_error <= 0.002 * feature.moments.std


def test_few_distinct_values_lose_nothing() -> None:
    """A feature of few distinct values loses nothing."""
    assert numeric(RNG.integers(0, 1001, 50_000)).point_error == pytest.approx(0.0, abs=1e-9)


def test_nulls_and_infinities_are_counted() -> None:
    """Nulls and infinities are counted and change no other figure."""
    column = np.array([1.0, np.nan, 2.0, np.inf, -np.inf, np.nan])
    feature = numeric(column)
    assert (feature.rows, feature.nulls, feature.infinities) == (2, 2, 2)
    assert (feature.minimum, feature.maximum, feature.moments.mean) == (1.0, 2.0, 1.5)


def test_column_without_values_is_unusable() -> None:
    """A column without finite values is unusable."""
    table = {"a": np.array([np.nan, np.inf]), "b": np.array([None, None])}
    assert profile_reference(table).features == (("a", Unusable(1, 1)), ("b", Unusable(2, 0)))


def test_rare_categories_are_pooled() -> None:
    """Rare categories beyond the limit are pooled."""
    column = np.array(["a"] * 5 + ["c"] * 3 + ["b"] * 3 + ["d"])
    profile = profile_reference({"x": column}, max_categories=2)
    assert profile.features == (("x", CategoricalProfile(12, 0, (("a", 5), ("b", 3)), 4)),)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "needs columns"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "same length"),
        ({"a": np.array([-1.7e308, 1.7e308])}, "'a' reaches from"),
    ],
)
def test_invalid_reference_is_refused(table: dict[str, NDArray[Any]], words: str) -> None:
    """A reference that cannot be profiled is refused with the reason."""
    with pytest.raises(InvalidTable, match=words):
        profile_reference(table)


def test_fewer_than_two_bins_refused() -> None:
    """Fewer than two bins are refused."""
    with pytest.raises(InvalidTable, match="at least 2 bins"):
        profile_reference(TABLE, bins=1)


# --- JSON -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_json_round_trip(name: str) -> None:
    """JSON brings back the same profile."""
    profile = profile_reference({"x": DISTRIBUTIONS[name](RNG, 2000), **{k: v[:2000] for k, v in TABLE.items()}})
    assert from_json(to_json(profile)) == profile


@given(arrays(np.float64, st.integers(0, 30), elements=st.floats(-1e307, 1e307)))
def test_json_round_trip_of_any_numbers(values: NDArray[np.float64]) -> None:
    """JSON brings back the profile of any finite numbers."""
    profile = profile_reference({"x": values})
    assert from_json(to_json(profile)) == profile


def test_json_of_feature_is_small() -> None:
    """The JSON of one feature stays under 32 kB, however many rows it has."""
    assert len(to_json(profile_reference({"x": RNG.standard_normal(200_000)}))) < 32_000


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    document = json.loads(to_json(profile_reference(TABLE)))
    change(document)
    return json.dumps(document)


Change = Callable[[dict[str, Any]], object]
DAMAGES: dict[str, tuple[Change, str]] = {
    "another version": (lambda d: d.update(version=2), r"profile\.version must be 1"),
    "a version that is true": (lambda d: d.update(version=True), r"profile\.version must be 1"),
    "no features": (lambda d: d.pop("features"), r"lacks the fields \['features'\]"),
    "features that are none": (lambda d: d.update(features={}), r"profile\.features must be an object with a feature"),
    "features in a list": (lambda d: d.update(features=[]), r"profile\.features must be an object"),
    "an unknown field": (lambda d: d["features"]["amount"].update(x=1), r"unknown fields \['x'\]"),
    "an unknown kind": (
        lambda d: d["features"]["amount"].update(kind="ordinal"),
        r"features\.amount must be an object",
    ),
    "a feature that is text": (lambda d: d["features"].update(amount="?"), r"features\.amount must be an object"),
    "rows that are a float": (lambda d: d["features"]["amount"].update(rows=3.0), r"amount\.rows must be a whole"),
    "rows below zero": (lambda d: d["features"]["amount"].update(rows=-1), r"amount\.rows must be a whole"),
    "a text for a number": (
        lambda d: d["features"]["amount"]["edges"].__setitem__(1, "?"),
        r"edges\[1\] must be a fin",
    ),
    "edges that are no list": (lambda d: d["features"]["amount"].update(edges=1), r"edges must be a list"),
    "a number too large": (lambda d: d["features"]["amount"].update(minimum=10**400), r"minimum must be a finite"),
    "moments missing": (lambda d: d["features"]["amount"].update(moments={}), r"amount\.moments lacks"),
    "edges that descend": (lambda d: d["features"]["amount"]["edges"].reverse(), "edges do not ascend"),
    "counts that do not add up": (lambda d: d["features"]["amount"].update(rows=9), "contradicts itself"),
    "a bin without rows": (
        lambda d: d["features"]["amount"].update(edges=[], counts=[2999]),
        "counts are not the rows",
    ),
    "points that descend": (lambda d: d["features"]["amount"]["points"].reverse(), "points do not ascend"),
    "no points": (lambda d: d["features"]["amount"].update(points=[], before=[], equal=[]), "or empty"),
    "points without rows": (
        lambda d: d["features"]["amount"]["equal"].__setitem__(4, 0),
        "before and equal are not the rows",
    ),
    "a negative error": (lambda d: d["features"]["amount"].update(point_error=-1), "is negative"),
    "a category twice": (lambda d: d["features"]["plan"]["counts"][0].__setitem__(0, "basic"), "is there twice"),
    "a category alone": (lambda d: d["features"]["plan"]["counts"].__setitem__(0, ["free"]), "a category and its"),
    "a category of a number": (lambda d: d["features"]["plan"]["counts"][0].__setitem__(0, 1), "must be text"),
    "categories that do not add up": (lambda d: d["features"]["plan"].update(others=7), "not those of its rows"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_profile_is_refused(damage: str) -> None:
    """A damaged profile is refused with the place of the damage."""
    change, words = DAMAGES[damage]
    with pytest.raises(InvalidTable, match=words):
        from_json(edited(change))


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{", "\ufeff{}", "[" * 100_000, '{"version":1,"version":1,"features":{}}', "\x00\x01", "NaN"],
)
def test_other_text_is_refused(text: str) -> None:
    """Text that is not a profile is refused."""
    with pytest.raises(InvalidTable, match="profile"):
        from_json(text)


def test_nan_is_refused() -> None:
    """NaN in the JSON is refused."""
    text = to_json(profile_reference(TABLE)).replace('"infinities":0', '"infinities":NaN')
    with pytest.raises(InvalidTable, match="NaN is not a number of JSON"):
        from_json(text)


NONSENSE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(NONSENSE)
def test_arbitrary_json_raises_invalid_table(nonsense: Any) -> None:
    """Arbitrary JSON raises `InvalidTable` and no other error."""
    for document in (nonsense, {"version": 1, "features": {"x": nonsense}}):
        with pytest.raises(InvalidTable):
            from_json(json.dumps(document))
