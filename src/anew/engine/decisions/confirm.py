"""Confirm in Azure the events behind every decision that would change anything: an event can be forged, or stale.

Deciding on unverified events first costs nothing. Only a decision that would start a training, or bring a version back,
has its events looked up, the newest first, until those that Azure knows carry the decision.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from anew.core.decisions.decide import monitors_of
from anew.core.events.event import Event
from anew.core.policies.policy import Policy
from anew.engine.base.context import Engine
from anew.engine.decisions.case import Case, Judged, Stage, judge_verified
from anew.errors import AnewError

_GROWTH = 4  # 1, 4, 16, ... events are looked up in a round: the newest usually decides


def confirm(engine: Engine, judged: Sequence[Judged], now: datetime) -> Stage[Judged]:
    """The same cases; those that would act rest only on events that Azure knows.

    A case waits while Azure may still come to know one of its events. When Azure cannot be asked, the cases that need
    it fail for now, and no other.
    """
    decided = {each.model: each for each in judged}
    unsettled = {model: each for model, each in decided.items() if each.acts and each.case.unverified}
    failed: dict[str, str] = {}
    size = 1
    while unsettled:
        try:
            verified = _look_up(engine, [each.case for each in unsettled.values()], size, now)
        except AnewError as error:
            failed = dict.fromkeys(unsettled, str(error))
            break
        for case in verified:
            model = case.policy.model
            decided[model] = judge_verified(engine.policies.compiled(model), case, now)
        unsettled = {
            model: decided[model] for model in unsettled if not decided[model].acts and decided[model].case.unverified
        }
        size *= _GROWTH
    sure = [each for each in decided.values() if each.model not in failed]
    waiting = [each.model for each in sure if not each.acts and _may_appear_late(engine, each.case, now)]
    return Stage(tuple(each for each in sure if each.model not in waiting), tuple(waiting), failed)


def _look_up(engine: Engine, cases: Sequence[Case], size: int, now: datetime) -> list[Case]:
    """The cases with so many more of their events looked up, all in one request. Raises AzureUnavailable."""
    asked = [(case, case.unverified[:size]) for case in cases]
    known = engine.missed.confirm([entry.event for _, some in asked for entry in some], now)
    return [
        replace(
            case,
            verified={
                **case.verified,
                **{entry.key: _if_watched(case.policy, known.get(entry.key)) for entry in some},
            },
        )
        for case, some in asked
    ]


def _if_watched(policy: Policy, event: Event | None) -> Event | None:
    """The event if, as Azure shows it, it comes from a monitor that the policy watches."""
    if event is None:
        return None
    names = {name.casefold() for name in monitors_of(event)}
    return event if names & {name.casefold() for name in policy.monitors} else None


def _may_appear_late(engine: Engine, case: Case, now: datetime) -> bool:
    # An event can arrive before Azure's logs show what it is about; they take minutes.
    return any(now < entry.received_at + engine.timing.confirm_within for entry in case.unknown_to_azure)
