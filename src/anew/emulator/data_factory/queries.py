"""The filters, order and pages of Data Factory's run queries; pure."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from anew.emulator.arm.protocol import ArmError
from anew.emulator.base.cloud import timestamp
from anew.emulator.base.state import Document

_FIELDS: Final[Mapping[str, str]] = {
    "ActivityName": "activityName",
    "ActivityRunEnd": "activityRunEnd",
    "ActivityRunStart": "activityRunStart",
    "ActivityType": "activityType",
    "LatestOnly": "isLatest",
    "PipelineName": "pipelineName",
    "RunEnd": "runEnd",
    "RunGroupId": "runGroupId",
    "RunStart": "runStart",
    "Status": "status",
}
_TESTS: Final[Mapping[str, Callable[[str, Sequence[str]], bool]]] = {
    "Equals": lambda value, wanted: value == wanted[0],
    "NotEquals": lambda value, wanted: value != wanted[0],
    "In": lambda value, wanted: value in wanted,
    "NotIn": lambda value, wanted: value not in wanted,
}


@dataclass(frozen=True)
class RunPage:
    """One page of a query's answer, and the token for the next page if there is one."""

    items: list[Document]
    continuation: str | None


def query_runs(runs: Sequence[Document], query: Document, *, updated: str, page_size: int) -> RunPage:
    """Answer a RunFilterParameters query over runs; updated names the field its time window applies to.

    Raises ArmError (400) on a missing or bad time window, an unknown operand or operator, or a bad token.
    """
    # All times have the same form, so their order as text is their order in time.
    after, before = (timestamp(_time(query, name)) for name in ("lastUpdatedAfter", "lastUpdatedBefore"))
    found = [run for run in runs if after <= run[updated] <= before]
    for condition in cast("list[Document]", query.get("filters") or []):
        holds = _condition(condition)
        found = [run for run in found if holds(run)]
    orders: list[Document] = query.get("orderBy") or []
    for order in reversed(orders):
        name, descending = _field(order["orderBy"]), str(order.get("order", "ASC")).upper() == "DESC"
        found.sort(key=lambda run, name=name: _text(run.get(name)), reverse=descending)
    start = _offset(query.get("continuationToken"))
    end = start + page_size
    token = base64.urlsafe_b64encode(json.dumps({"offset": end}).encode()).decode()
    return RunPage(found[start:end], token if end < len(found) else None)


def _refused(message: str) -> ArmError:
    return ArmError(400, "BadRequest", message)


def _condition(condition: Document) -> Callable[[Document], bool]:
    name, operator = _field(condition["operand"]), condition["operator"]
    wanted: list[Any] = condition.get("values") or []
    values = [_text(value) for value in wanted]
    if operator not in _TESTS or not values:
        raise _refused(f"The filter operator '{operator}' with {len(values)} value(s) is not valid.")
    test = _TESTS[operator]
    return lambda run: test(_text(run.get(name)), values)


def _field(operand: Any) -> str:
    if operand not in _FIELDS:
        raise _refused(f"The operand '{operand}' is not valid.")
    return _FIELDS[operand]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _time(query: Document, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(query[name])
    except (KeyError, TypeError, ValueError):
        raise _refused(f"The property '{name}' is required and must be a date-time.") from None
    if moment.tzinfo is None:
        raise _refused(f"The property '{name}' must carry a time zone.")
    return moment


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(token))["offset"])
    except (ValueError, KeyError, TypeError):
        raise _refused("The continuation token is not valid.") from None
