"""`anew rollback`."""

import getpass
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from rich.console import Console

from anew.cli.output import one_line, print_json
from anew.core.rollouts.lifecycle import SERVING_ROLLOUT, Rollout, RolloutKind, RolloutState
from anew.core.rollouts.traffic import TrafficChange
from anew.core.rollouts.traffic_history import split_words
from anew.engine.base.context import Engine
from anew.errors import StaleWrite
from anew.settings import load_settings

_POLL = 2.0  # seconds
_TRIES = 5


@dataclass(frozen=True, slots=True)
class _Back:
    """The state of a rollback: its rollout, the traffic before and now, and the number of traffic writes between."""

    rollout: Rollout
    before: TrafficChange | None
    now: TrafficChange | None
    writes: int
    took: timedelta
    problem: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether the earlier version has the traffic."""
        rollout = self.rollout
        if rollout.kind is RolloutKind.ROLLBACK:
            return rollout.state in SERVING_ROLLOUT
        had_no_traffic = rollout.state is RolloutState.FAILED and rollout.step < 0
        return rollout.state is RolloutState.ROLLED_BACK or had_no_traffic


def rollback(
    model: str,
    *,
    to: str | None = None,
    reason: str = "requested",
    endpoint: str | None = None,
    wait: float = 600.0,
    json: bool = False,
) -> int:
    """Roll a model back to the version before, or to the one named; a rollout under way is aborted. Exits 1 when the
    version does not serve after the wait.

    Parameters
    ----------
    model
        The model.
    to
        The version to roll back to; default: the one that served before.
    reason
        The reason, for the audit trail and the history.
    endpoint
        The endpoint, when the model serves at several.
    wait
        Seconds to wait; after that reconcile continues.
    json
        Print one JSON object.
    """
    from anew.wiring import build_engine

    actor = getpass.getuser()
    engine = build_engine(load_settings(), actor)
    begun = time.monotonic()
    rollout = _request(engine, model, f"{reason} ({actor})", to, endpoint)
    before = _newest(engine, rollout.place)
    with Console(stderr=True).status(f"{rollout.id}: rolling back at {rollout.place}"):
        rollout, problem = _until_there(engine, rollout, begun + wait)
    took = timedelta(seconds=time.monotonic() - begun)
    back = _Back(rollout, before, _newest(engine, rollout.place), _writes_since(engine, before, rollout), took, problem)
    _print(back, json=json)
    return 0 if back.is_there else 1


def _request(engine: Engine, model: str, reason: str, to: str | None, endpoint: str | None) -> Rollout:
    from anew.engine.rollouts.rollback import request_rollback

    for _ in range(_TRIES - 1):
        try:
            return request_rollback(engine, model, reason, _now(), to=to, endpoint=endpoint)
        except StaleWrite:  # a worker saved the rollout in between
            continue
    return request_rollback(engine, model, reason, _now(), to=to, endpoint=endpoint)


def _until_there(engine: Engine, rollout: Rollout, until: float) -> tuple[Rollout, str | None]:
    """Advance the open rollouts of the endpoint until this one has ended, its version serves, or time is up."""
    from anew.engine.rollouts.advance import advance_rollouts

    while True:
        advanced = advance_rollouts(engine, _now(), rollout.place)
        rollout = engine.ledger.rollout(rollout.id) or rollout
        settled = not rollout.is_open or rollout.state in SERVING_ROLLOUT
        if settled or time.monotonic() >= until:
            return rollout, next(iter(advanced.deferred), None)
        time.sleep(_POLL)


def _writes_since(engine: Engine, before: TrafficChange | None, rollout: Rollout) -> int:
    newest_first = reversed(engine.ledger.traffic(rollout.place))
    later = takewhile(lambda change: change != before, newest_first)
    return sum(change.rollout_id is not None for change in later)


def _newest(engine: Engine, place: str) -> TrafficChange | None:
    return next(iter(engine.ledger.traffic(place, limit=1)), None)


def _print(back: _Back, *, json: bool) -> None:
    rollout, before, now = back.rollout, _split(back.before), _split(back.now)
    if json:
        print_json(
            {
                "rollout": rollout.id,
                "model": rollout.model,
                "endpoint": rollout.place,
                "state": rollout.state,
                "reason": rollout.reason,
                "from": before,
                "to": now,
                "serves": back.is_there,
                "traffic_writes": back.writes,
                "seconds": round(back.took.total_seconds(), 1),
            }
        )
        return
    if back.is_there:
        print(_done(back, before, now))
    else:
        reason = one_line(back.problem or rollout.reason or "it is not ready yet")
        next_step = "; reconcile continues" if rollout.is_open else ""
        print(f"{rollout.id} at {rollout.place} is {rollout.state}: {reason}{next_step}. It serves: {now}.")
    print(f"See: anew history {rollout.model}")


def _done(back: _Back, before: str, now: str) -> str:
    rollout = back.rollout
    if rollout.state is RolloutState.FAILED:
        reference = f"{rollout.model}:{rollout.version}"
        return f"{reference} was aborted before it took any traffic; {rollout.place} serves {now} ({rollout.id})."
    if back.writes == 0:
        further = f"To roll back further: anew rollback {rollout.model} --to VERSION"
        return f"Nothing to do: {rollout.place} serves {now} ({rollout.id}, {rollout.state}). {further}"
    times = "1 traffic write" if back.writes == 1 else f"{back.writes} traffic writes"
    return f"{rollout.place}: from {before} to {now}, in {times} and {back.took.total_seconds():.1f} s ({rollout.id})."


def _split(change: TrafficChange | None) -> str:
    return one_line(split_words(change)) if change else "traffic unknown to anew"


def _now() -> datetime:
    return datetime.now(UTC)
