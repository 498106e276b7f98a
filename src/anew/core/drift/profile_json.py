"""A reference profile as JSON, and back. Only profiles that `profile_reference` could have made are read."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Final, cast

from anew.core.drift.moments import Moments
from anew.core.drift.profile import CategoricalProfile, FeatureProfile, NumericProfile, ReferenceProfile, Unusable
from anew.errors import InvalidTable

VERSION: Final = 1
_MOST_SHOWN: Final = 60
_LARGEST: Final = sys.float_info.max

Reader = Callable[[Any, str], Any]


def to_json(profile: ReferenceProfile) -> str:
    """One line of JSON, the same for equal profiles: up to 30 kB a numeric feature, as floats keep all their digits."""
    features = {name: {"kind": _kind(feature), **asdict(feature)} for name, feature in profile.features}
    return json.dumps({"version": VERSION, "features": features}, allow_nan=False, separators=(",", ":"))


def from_json(text: str) -> ReferenceProfile:
    """The profile this JSON describes. Raises InvalidTable, saying where, for text that is not JSON, for missing,
    unknown, repeated or mistyped fields, for another version, and for figures that cannot all be true of one sample.
    """
    try:
        document = json.loads(text, object_pairs_hook=_each_once, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidTable(f"the profile is not JSON: {error}") from None
    return _read_object(document, "profile", {"version": _read_version, "features": _read_features})["features"]


def _kind(feature: FeatureProfile) -> str:
    match feature:
        case NumericProfile():
            return "numeric"
        case CategoricalProfile():
            return "categorical"
        case Unusable():
            return "unusable"


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{max(names, key=names.count)!r} is there twice")
    return read


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


# --- values -----------------------------------------------------------------------------------------------


def _wrong(path: str, expected: str, value: Any) -> InvalidTable:
    shown = repr(value)
    return InvalidTable(f"{path} must be {expected}, not {shown[:_MOST_SHOWN]}{'...' * (len(shown) > _MOST_SHOWN)}")


def _read_object(value: Any, path: str, readers: Mapping[str, Reader]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(path, "an object", value)
    given = cast(dict[str, Any], value)
    if given.keys() != readers.keys():
        missing, unknown = sorted(readers.keys() - given.keys()), sorted(given.keys() - readers.keys())
        raise InvalidTable(f"{path} lacks the fields {missing} and has the unknown fields {unknown}")
    return {name: read(given[name], f"{path}.{name}") for name, read in readers.items()}


def _read_version(value: Any, path: str) -> int:
    if type(value) is not int or value != VERSION:
        raise _wrong(path, f"{VERSION}, the only one that can be read", value)
    return VERSION


def _read_count(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise _wrong(path, "a whole number from 0", value)
    return value


def _read_number(value: Any, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not -_LARGEST <= value <= _LARGEST:
        raise _wrong(path, "a finite number", value)
    return float(value)


def _read_text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong(path, "text", value)
    return value


def _list_of(read: Reader) -> Reader:
    def read_list(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _wrong(path, "a list", value)
        return tuple(read(each, f"{path}[{index}]") for index, each in enumerate(cast(list[Any], value)))

    return read_list


def _read_category(value: Any, path: str) -> tuple[str, int]:
    if not isinstance(value, list) or len(pair := cast(list[Any], value)) != 2:
        raise _wrong(path, "a category and its count", value)
    return _read_text(pair[0], path), _read_count(pair[1], path)


def _read_moments(value: Any, path: str) -> Moments:
    names = ("mean", "std", "skewness", "kurtosis", "spread")
    return Moments(**_read_object(value, path, dict.fromkeys(names, _read_number)))


# --- features ---------------------------------------------------------------------------------------------

_LOST: Final[Mapping[str, Reader]] = {"nulls": _read_count, "infinities": _read_count}
_NUMERIC: Final[Mapping[str, Reader]] = {
    "rows": _read_count,
    **_LOST,
    "minimum": _read_number,
    "maximum": _read_number,
    "moments": _read_moments,
    "edges": _list_of(_read_number),
    "counts": _list_of(_read_count),
    "points": _list_of(_read_number),
    "before": _list_of(_read_count),
    "equal": _list_of(_read_count),
    "point_error": _read_number,
}
_CATEGORICAL: Final[Mapping[str, Reader]] = {
    "rows": _read_count,
    "nulls": _read_count,
    "counts": _list_of(_read_category),
    "others": _read_count,
}


def _read_features(value: Any, path: str) -> ReferenceProfile:
    if not isinstance(value, dict) or not value:
        raise _wrong(path, "an object with a feature", value)
    features = cast(dict[str, Any], value)
    return ReferenceProfile(tuple((name, _read_feature(each, f"{path}.{name}")) for name, each in features.items()))


def _read_feature(value: Any, path: str) -> FeatureProfile:
    rest = dict(cast(dict[str, Any], value)) if isinstance(value, dict) else {}
    match rest.pop("kind", None):
        case "numeric":
            feature = NumericProfile(**_read_object(rest, path, _NUMERIC))
            contradiction = _numeric_contradiction(feature)
        case "categorical":
            feature = CategoricalProfile(**_read_object(rest, path, _CATEGORICAL))
            contradiction = _categorical_contradiction(feature)
        case "unusable":
            return Unusable(**_read_object(rest, path, _LOST))
        case _:
            raise _wrong(path, "an object of the kind numeric, categorical or unusable", value)
    if contradiction is not None:
        raise InvalidTable(f"{path} contradicts itself: {contradiction}")
    return feature


def _numeric_contradiction(feature: NumericProfile) -> str | None:
    moments, ends = feature.moments, (feature.minimum, feature.maximum)
    if not (len(feature.points) == len(feature.before) == len(feature.equal) > 0):
        return "points, before and equal are of different lengths, or empty"
    upto = [before + equal for before, equal in zip(feature.before, feature.equal, strict=True)]
    checks = {
        "the points do not ascend from the minimum to the maximum": _ascend(feature.points)
        and (feature.points[0], feature.points[-1]) == ends,
        "before and equal are not the rows up to each point": (feature.before[0], upto[-1]) == (0, feature.rows)
        and min(feature.equal) > 0
        and all(end <= start for end, start in zip(upto, feature.before[1:], strict=False)),
        "the edges do not ascend, or are outside the values": _ascend((feature.minimum, *feature.edges))
        and max(feature.edges, default=feature.maximum) <= feature.maximum,
        "the counts are not the rows between the edges": len(feature.counts) == len(feature.edges) + 1
        and min(feature.counts) > 0
        and sum(feature.counts) == feature.rows,
        "a deviation, spread or error is negative": min(moments.std, moments.spread, feature.point_error) >= 0,
    }
    return next((words for words, holds in checks.items() if not holds), None)


def _categorical_contradiction(feature: CategoricalProfile) -> str | None:
    counts = [count for _, count in feature.counts]
    if not counts or min(counts) == 0 or sum(counts) + feature.others != feature.rows:
        return "the counts are not those of its rows"
    if len({category for category, _ in feature.counts}) != len(counts):
        return "a category is there twice"
    return None


def _ascend(values: Sequence[float]) -> bool:
    return all(before < after for before, after in pairwise(values))
