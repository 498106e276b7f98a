"""The filters of Event Grid subscriptions: event types, subject prefix and suffix, advanced filters; pure.

Keys are looked up case-insensitively, as the documentation's own examples need (unverified). A name that has a dot in
it cannot be reached, as in Event Grid. On a missing key the negative operators match and the others do not.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from anew.emulator.base.state import Document

_MAX_FILTERS: Final = 25


class FilterError(ValueError):
    """A filter that Event Grid refuses when a client creates the subscription."""


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
        kind = each.get("operatorType")
        if kind in _PRESENCE:
            continue
        if kind not in _POSITIVE and kind not in _NEGATIVE:
            raise FilterError(f"The advanced filter operator '{kind}' is not supported.")
        if not each.get("key") or not _values(each):
            raise FilterError(f"The advanced filter '{kind}' needs a key and at least one value.")


def lookup(event: Document, key: str) -> Any:
    """The value at a dotted key such as ``data.runStatus``, or None when it is absent or null."""
    value: Any = event
    for name in key.split("."):
        if not isinstance(value, Mapping):
            return None
        items, folded = cast("Mapping[str, Any]", value), name.casefold()
        value = next((item for key, item in items.items() if key.casefold() == folded), None)
    return value


def _advanced(event_filter: Document) -> list[Document]:
    return event_filter.get("advancedFilters") or []


def _passes(event: Document, advanced: Document) -> bool:
    kind, value = advanced["operatorType"], lookup(event, advanced["key"])
    if kind in _PRESENCE:
        return (value is None) == _PRESENCE[kind]
    if kind in _NEGATIVE:
        return value is None or not _any(_NEGATIVE[kind], value, advanced)
    return value is not None and _any(_POSITIVE[kind], value, advanced)


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


def _number(test: Callable[[float, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(value: Any, wanted: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and test(value, wanted)

    return compare


_TEXT_EQUALS: Final = _text(operator.eq)
_TEXT_BEGINS: Final = _text(str.startswith)
_TEXT_ENDS: Final = _text(str.endswith)
_TEXT_CONTAINS: Final = _text(operator.contains)
_NUMBER_EQUALS: Final = _number(operator.eq)
_IN_RANGE: Final = _number(lambda value, limits: limits[0] <= value <= limits[1])

_POSITIVE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "BoolEquals": lambda value, wanted: isinstance(value, bool) and value == wanted,
    "NumberGreaterThan": _number(operator.gt),
    "NumberGreaterThanOrEquals": _number(operator.ge),
    "NumberIn": _NUMBER_EQUALS,
    "NumberInRange": _IN_RANGE,
    "NumberLessThan": _number(operator.lt),
    "NumberLessThanOrEquals": _number(operator.le),
    "StringBeginsWith": _TEXT_BEGINS,
    "StringContains": _TEXT_CONTAINS,
    "StringEndsWith": _TEXT_ENDS,
    "StringIn": _TEXT_EQUALS,
}
_NEGATIVE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "NumberNotIn": _NUMBER_EQUALS,
    "NumberNotInRange": _IN_RANGE,
    "StringNotBeginsWith": _TEXT_BEGINS,
    "StringNotContains": _TEXT_CONTAINS,
    "StringNotEndsWith": _TEXT_ENDS,
    "StringNotIn": _TEXT_EQUALS,
}
_PRESENCE: Final[Mapping[str, bool]] = {"IsNullOrUndefined": True, "IsNotNull": False}
