"""Limits as nodes of a decision: what holds a retraining back although the rules fire. YES lets it pass."""

from datetime import datetime, timedelta

from anew.core.evidence.comparison import number
from anew.core.evidence.history import AttemptState, History
from anew.core.evidence.tree import Node, Verdict
from anew.core.policies.limits import Budget, Freeze, Limits, MaxRetrainings

_LONGEST_COOLDOWN = timedelta(days=365)  # however often a candidate was rejected, the model gets another chance
_ROUNDING = 1 + 1e-9  # so that three times 0.1 fits into 0.3
ROLLBACK = "prefer_rollback"
_NO_RELEASE = Node(ROLLBACK, Verdict.NO, "no release of the model has all traffic that was not sent back already")
_NEVER_RETRAINED = Node("cooldown", Verdict.YES, "the model was never retrained before")
_NONE_IN_FLIGHT = Node("in_flight", Verdict.YES, "no other retraining of the model is under way")


def judge_limits(limits: Limits, history: History, now: datetime) -> tuple[Node, ...]:
    """The limits that a person who insists may set aside."""
    cooldown = _cooldown(limits, history, now)
    if limits.max_retrainings is None and not limits.freeze:
        return (cooldown,)
    most = limits.max_retrainings
    counted = () if most is None else (_max_retrainings(most, history, now),)
    return (cooldown, *counted, *(_freeze(freeze, now) for freeze in limits.freeze))


def judge_hard_limits(limits: Limits, history: History, now: datetime) -> tuple[Node, ...]:
    """The limits that no person may set aside: one retraining at a time, the budget, how many at once."""
    if limits.budget is None and limits.max_concurrent is None:
        return (_in_flight(history),)
    budget = () if limits.budget is None else (_budget(limits.budget, history, now),)
    at_once = () if limits.max_concurrent is None else (_max_concurrent(limits.max_concurrent, history),)
    return (_in_flight(history), *budget, *at_once)


def judge_rollback(limits: Limits, history: History, now: datetime) -> Node:
    """Whether the newest release is rolled back instead: YES when it is, NO when a retraining may begin, ERROR never;
    UNKNOWN while a rollback is under way, because its effect is not known yet.
    """
    release, soon = history.release, limits.prefer_rollback or timedelta(0)
    if release is None:
        return _NO_RELEASE
    ago = now - release.at
    took = f"version {release.version} took all traffic {_rounded(ago)} ago"
    values = {"version": release.version, "previous_version": release.previous_version, "at": release.at.isoformat()}
    if release.is_rolling_back:
        told = f"{took} and is being sent back: what that helps is seen before another is trained"
        return Node(ROLLBACK, Verdict.UNKNOWN, told, values)
    if ago > soon:
        return Node(ROLLBACK, Verdict.NO, f"{took}, longer than {soon}", values)
    if release.previous_version is None:
        return Node(ROLLBACK, Verdict.NO, f"{took}, and there is no version to go back to", values)
    told = f"{took}: going back to {release.previous_version} is tried before another is trained"
    return Node(ROLLBACK, Verdict.YES, told, values)


def cooldown_of(limits: Limits, history: History) -> timedelta:
    """The cooldown with its back-off: times the factor for each rejected candidate since the last that passed."""
    if limits.backoff_after_rejection == 1.0:
        return limits.cooldown
    length = limits.cooldown
    for attempt in history.attempts:
        if attempt.state is AttemptState.REGISTERED or length >= _LONGEST_COOLDOWN:
            break
        if attempt.state is AttemptState.REJECTED:
            length = min(length * limits.backoff_after_rejection, _LONGEST_COOLDOWN)
    return length


def _cooldown(limits: Limits, history: History, now: datetime) -> Node:
    last, length = history.last_retraining_at, cooldown_of(limits, history)
    if last is None:
        return _NEVER_RETRAINED
    ends = last + length
    values = {"cooldown_seconds": length.total_seconds(), "last": last.isoformat(), "ends": ends.isoformat()}
    if now >= ends:
        return Node("cooldown", Verdict.YES, f"the cooldown of {length} ended at {_moment(ends)}", values)
    because = "" if length == limits.cooldown else f", made longer than {limits.cooldown} by rejected candidates,"
    return Node("cooldown", Verdict.NO, f"the cooldown of {length}{because} lasts until {_moment(ends)}", values)


def _max_retrainings(most: MaxRetrainings, history: History, now: datetime) -> Node:
    recent = sum(attempt.at > now - most.window for attempt in history.attempts)
    verdict = Verdict.YES if recent < most.count else Verdict.NO
    told = f"{recent} retrainings in the last {most.window}; at most {most.count} are allowed"
    return Node("max_retrainings", verdict, told, {"count": most.count, "recent": recent})


def _freeze(freeze: Freeze, now: datetime) -> Node:
    held = freeze.holds(now)
    told = f"{'frozen' if held else 'no freeze now'}: {freeze.reason} ({freeze.kind}, {freeze.timezone})"
    return Node("freeze", Verdict.NO if held else Verdict.YES, told)


def _budget(budget: Budget, history: History, now: datetime) -> Node:
    recent = [attempt for attempt in history.attempts if attempt.at > now - budget.window]
    unknown = [attempt.id for attempt in recent if attempt.charge is None]
    spent = sum(attempt.charge or 0.0 for attempt in recent)
    asked = {"unit": budget.unit, "limit": budget.limit, "spent": spent, "per_retraining": budget.per_retraining}
    if unknown:
        told = f"what {', '.join(unknown)} cost is not known, so the budget counts as used up"
        return Node("budget", Verdict.NO, told, asked)
    fits = spent + budget.per_retraining <= budget.limit * _ROUNDING
    sums = f"{number(spent)} + {number(budget.per_retraining)} of {number(budget.limit)} {budget.unit}"
    told = f"{sums} in {budget.window}: {'within' if fits else 'over'} the budget"
    return Node("budget", Verdict.YES if fits else Verdict.NO, told, asked)


def _in_flight(history: History) -> Node:
    running = None
    for attempt in history.attempts:
        if attempt.state is AttemptState.OPEN:
            running = attempt.id
    if running is None:
        return _NONE_IN_FLIGHT
    told = f"retraining {running} is still under way"
    return Node("in_flight", Verdict.NO, told, {"open_retraining": running})


def _max_concurrent(most: int, history: History) -> Node:
    verdict = Verdict.YES if history.open_elsewhere < most else Verdict.NO
    told = f"{history.open_elsewhere} retrainings of other models are under way; at most {most} may be at once"
    return Node("max_concurrent", verdict, told, {"open": history.open_elsewhere, "most": most})


def _rounded(duration: timedelta) -> timedelta:
    return timedelta(seconds=round(duration.total_seconds()))


def _moment(at: datetime) -> str:
    return at.isoformat(" ", "seconds")
