"""Which events an Event Grid subscription wants: event types, subject prefix and suffix, advanced filters; pure.

Keys are looked up case-insensitively, as the documentation's own examples need (unverified). A key with a dot inside
one of its names cannot be reached, as in Event Grid. On a missing key the negative operators match and the others
do not.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from anew.emulator.base.state import Document

_MISSING: Final = object()
_MAX_FILTERS: Final = 25


class FilterError(ValueError):
    """A filter Event Grid would refuse when the subscription is created."""


def matches(event: Document, event_filter: Document) -> bool:
    """Whether an event (Event Grid schema) passes a subscription's filter."""
    types: list[str] | None = event_filter.get("includedEventTypes")
    if types is not None and event["eventType"].casefold() not in {name.casefold() for name in types}:
        return False
    sensitive = bool(event_filter.get("isSubjectCaseSensitive"))
    subject, begins, ends = (
        text if sensitive else text.casefold()
        for text in (
            event["subject"],
            event_filter.get("subjectBeginsWith") or "",
            event_filter.get("subjectEndsWith") or "",
        )
    )
    if not (subject.startswith(begins) and subject.endswith(ends)):
        return False
    return all(_passes(event, advanced) for advanced in _advanced(event_filter))


def validate(event_filter: Document) -> None:
    """Raise FilterError for an advanced filter without a key, without values or with an unknown operator."""
    advanced = _advanced(event_filter)
    if len(advanced) > _MAX_FILTERS:
        raise FilterError(f"At most {_MAX_FILTERS} advanced filters are allowed, there are {len(advanced)}.")
    for each in advanced:
        operator = each.get("operatorType")
        if operator in _PRESENCE:
            continue
        if operator not in _POSITIVE and operator not in _NEGATIVE:
            raise FilterError(f"The advanced filter operator '{operator}' is not supported.")
        if not each.get("key") or not _values(each):
            raise FilterError(f"The advanced filter '{operator}' needs a key and at least one value.")


def lookup(event: Document, key: str) -> Any:
    """The value at a dotted key such as ``data.runStatus``, or None when it is absent or null."""
    found = _find(event, key.split("."))
    return None if found is _MISSING else found


def _advanced(event_filter: Document) -> list[Document]:
    return event_filter.get("advancedFilters") or []


def _find(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        if not isinstance(value, Mapping):
            return _MISSING
        items = cast("Mapping[str, Any]", value)
        folded = name.casefold()
        value = next((item for key, item in items.items() if key.casefold() == folded), _MISSING)
    return value


def _passes(event: Document, advanced: Document) -> bool:
    operator, value = advanced["operatorType"], _find(event, advanced["key"].split("."))
    if operator in _PRESENCE:
        return (value is _MISSING or value is None) == _PRESENCE[operator]
    if operator in _NEGATIVE:
        return value is _MISSING or value is None or not _any(_NEGATIVE[operator], value, advanced)
    return value is not _MISSING and value is not None and _any(_POSITIVE[operator], value, advanced)


def _any(test: Callable[[Any, Any], bool], value: Any, advanced: Document) -> bool:
    return any(test(value, wanted) for wanted in _values(advanced))


def _values(advanced: Document) -> list[Any]:
    values = advanced.get("values")
    if isinstance(values, list):
        return cast("list[Any]", values)
    return [advanced["value"]] if advanced.get("value") is not None else []


def _text(test: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def compare(value: Any, wanted: Any) -> bool:
        return isinstance(value, str) and test(value.casefold(), str(wanted).casefold())

    return compare


def _number(test: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    def compare(value: Any, wanted: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and test(value, wanted)

    return compare


def _in_range(value: Any, limits: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and limits[0] <= value <= limits[1]


_TEXT_EQUALS: Final = _text(lambda value, wanted: value == wanted)
_TEXT_BEGINS: Final = _text(lambda value, wanted: value.startswith(wanted))
_TEXT_ENDS: Final = _text(lambda value, wanted: value.endswith(wanted))
_TEXT_CONTAINS: Final = _text(lambda value, wanted: wanted in value)
_NUMBER_EQUALS: Final = _number(lambda value, wanted: value == wanted)

_POSITIVE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "BoolEquals": lambda value, wanted: isinstance(value, bool) and value == wanted,
    "NumberGreaterThan": _number(lambda value, wanted: value > wanted),
    "NumberGreaterThanOrEquals": _number(lambda value, wanted: value >= wanted),
    "NumberIn": _NUMBER_EQUALS,
    "NumberInRange": _in_range,
    "NumberLessThan": _number(lambda value, wanted: value < wanted),
    "NumberLessThanOrEquals": _number(lambda value, wanted: value <= wanted),
    "StringBeginsWith": _TEXT_BEGINS,
    "StringContains": _TEXT_CONTAINS,
    "StringEndsWith": _TEXT_ENDS,
    "StringIn": _TEXT_EQUALS,
}
_NEGATIVE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "NumberNotIn": _NUMBER_EQUALS,
    "NumberNotInRange": _in_range,
    "StringNotBeginsWith": _TEXT_BEGINS,
    "StringNotContains": _TEXT_CONTAINS,
    "StringNotEndsWith": _TEXT_ENDS,
    "StringNotIn": _TEXT_EQUALS,
}
_PRESENCE: Final[Mapping[str, bool]] = {"IsNullOrUndefined": True, "IsNotNull": False}
