"""Watching a stage, and the bake after the last: what the new deployment answers decides how it goes on."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from anew.core.policies.deploy import Deploy, Step
from anew.core.rollouts.canary import StageOutcome, StageVerdict, judge_stage
from anew.core.rollouts.lifecycle import Rollout, RolloutKind, RolloutMove, RolloutState
from anew.core.rollouts.stages import split_at
from anew.core.rollouts.traffic import RequestStats
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout, note_rollout
from anew.engine.rollouts.aborting import retire_old
from anew.engine.rollouts.shifting import shown_split, take_stage
from anew.errors import AzureRefused, TemporaryError, TrafficMoved

_SOONEST = timedelta(seconds=1)  # so that one pass measures once, whatever the policy says


@dataclass(frozen=True, slots=True)
class _Measurement:
    """What a measurement came to: its outcome, None when it could not be made, and a sentence."""

    outcome: StageOutcome | None
    sentence: str


def watch_stage(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    """Go on to the next stage, go back, or stay, by time, requests and analysis. Raises TrafficMoved."""
    if _wrote_next_stage(engine, rollout, rule):
        return take_stage(engine, rollout, rule, rollout.step + 1, now)
    stage = rule.steps[rollout.step]
    if rule.analysis is None and stage.min_requests == 0:
        return _next_when_waited(engine, rollout, rule, stage, now)
    if not _is_due(rollout, rule, now):
        return rollout
    measured = _measure(engine, rollout, rule, stage, now)
    noted = _note(engine, rollout, measured, now)
    if reason := _reason_to_go_back(engine, noted, rule, stage, measured, now):
        return move_rollout(engine, noted, RolloutMove.ABORT, now, reason=reason)
    return _next_when_waited(engine, noted, rule, stage, now) if measured.outcome is StageOutcome.PASS else noted


def watch_bake(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    """End the bake when its time is over, or go back when a check fails. A version that was brought back is not sent
    away again, and where nothing served before there is nothing to keep. Raises TrafficMoved.
    """
    _ensure_unmoved(engine, rollout, rule)
    may_go_back = rollout.previous is not None and rollout.kind is RolloutKind.RELEASE and rule.kind == "online"
    if rule.analysis is not None and may_go_back and _is_due(rollout, rule, now):
        measured = _measure(engine, rollout, rule, rule.steps[-1], now)
        rollout = _note(engine, rollout, measured, now)
        if rollout.failures > rule.analysis.failure_limit:
            return move_rollout(engine, rollout, RolloutMove.ABORT, now, reason=f"failed its bake: {measured.sentence}")
    bake = max(rule.bake, rule.steps[-1].wait) if rollout.previous is not None else timedelta(0)
    if now < rollout.state_since + bake:
        return rollout
    retire_old(engine, rollout, rule)
    return move_rollout(engine, rollout, RolloutMove.BAKED, now, reason=None)


def _next_when_waited(engine: Engine, rollout: Rollout, rule: Deploy, stage: Step, now: datetime) -> Rollout:
    if now < rollout.state_since + stage.wait:
        return rollout
    return take_stage(engine, rollout, rule, rollout.step + 1, now)


def _wrote_next_stage(engine: Engine, rollout: Rollout, rule: Deploy) -> bool:
    """Whether an earlier pass wrote the next stage, and died before it could record that. Raises TrafficMoved."""
    shown = shown_split(engine, rollout, rule)
    if shown.live == split_at(rollout, rule, rollout.step).live:
        return False
    if shown.live == split_at(rollout, rule, rollout.step + 1).live:
        return True
    raise TrafficMoved(f"{rollout.endpoint} shows {dict(shown.live) or 'no traffic'}")


def _ensure_unmoved(engine: Engine, rollout: Rollout, rule: Deploy) -> None:
    shown = shown_split(engine, rollout, rule)
    if shown.live != split_at(rollout, rule, rollout.step).live:
        raise TrafficMoved(f"{rollout.endpoint} shows {dict(shown.live) or 'no traffic'}")


def _is_due(rollout: Rollout, rule: Deploy, now: datetime) -> bool:
    every = max(rule.analysis.every if rule.analysis else _SOONEST, _SOONEST)
    return rollout.measured_at is None or now >= rollout.measured_at + every


# --- one measurement ---------------------------------------------------------------------------------------------


def _measure(engine: Engine, rollout: Rollout, rule: Deploy, stage: Step, now: datetime) -> _Measurement:
    try:
        new, old = _answers(engine, rollout, rule, now)
    except (TemporaryError, AzureRefused) as error:
        return _Measurement(None, f"could not be measured: {error}")
    if rule.analysis is None:
        enough = new.requests >= stage.min_requests
        outcome = StageOutcome.PASS if enough else StageOutcome.HOLD
        return _Measurement(outcome, f"{new.requests} of {stage.min_requests} requests")
    verdict: StageVerdict = judge_stage(rule.analysis, stage.min_requests, new, old, rollout.measurements)
    return _Measurement(verdict.outcome, verdict.node.sentence)


def _answers(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> tuple[RequestStats, RequestStats | None]:
    """What the new deployment answered on this stage, and the old one on the same traffic; when that has no traffic
    any more, what it answered before.
    """
    scores = rule.analysis is not None and rule.analysis.max_score_shift is not None
    names = [rollout.deployment, *([rollout.previous] if rollout.previous else [])]
    read = engine.traffic_log.read
    answered = read(rollout.endpoint, names, rollout.state_since, now, scores=scores)
    if rollout.previous is None:
        return answered[rollout.deployment], None
    if rollout.state is RolloutState.BAKING:
        before = read(rollout.endpoint, [rollout.previous], rollout.created_at, rollout.state_since, scores=scores)
        return answered[rollout.deployment], before[rollout.previous]
    return answered[rollout.deployment], answered[rollout.previous]


def _note(engine: Engine, rollout: Rollout, measured: _Measurement, now: datetime) -> Rollout:
    """Keep what the measurement said. Failures and errors are counted as long as they follow each other."""
    match measured.outcome:
        case None:
            counted = {"errors": rollout.errors + 1}
        case StageOutcome.FAIL:
            counted = {"errors": 0, "failures": rollout.failures + 1, "measurements": rollout.measurements + 1}
        case StageOutcome.HOLD | StageOutcome.PASS:
            counted = {"errors": 0, "failures": 0, "measurements": rollout.measurements + 1}
    reason = f"{measured.outcome or 'error'}: {measured.sentence}"
    return note_rollout(engine, rollout, "measured", now, measured_at=now, reason=reason, **counted)


def _reason_to_go_back(
    engine: Engine, rollout: Rollout, rule: Deploy, stage: Step, measured: _Measurement, now: datetime
) -> str | None:
    limits = rule.analysis
    if limits is not None and rollout.failures > limits.failure_limit:
        return measured.sentence
    if limits is not None and rollout.errors > limits.error_limit:
        return f"{rollout.errors} measurements in a row: {measured.sentence}"
    inconclusive_for = limits.inconclusive_for if limits is not None else engine.timing.rollout_stalled
    if measured.outcome is not StageOutcome.PASS and now > rollout.state_since + max(inconclusive_for, stage.wait):
        return f"inconclusive for {now - rollout.state_since}: {measured.sentence}"
    return None
